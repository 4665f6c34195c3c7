//! The two halves of the protocol: verifying the co-signer's JWT, and signing the answer.

use crate::policy::Decision;
use crate::question::{Malformed, Object};
use anyhow::{Context, Result, bail};
use axum::http::StatusCode;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use tracing::warn;

/// How far a co-signer's clock may be off, where it dates its requests.
const LEEWAY_SECONDS: u64 = 30;

/// Why a request gets no answer. The co-signer takes any status but 200 as a failure, not as a rejection.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not signed by a known co-signer with RS256.
    #[error("the body is not a JWT that a known co-signer signed with RS256")]
    Signature,
    /// In strict mode a co-signer dates its requests.
    #[error("the request expired, or a clock is off")]
    Expired,
    /// In the JSON mode.
    #[error("the content type is not application/json")]
    ContentType,
    /// In the JSON mode.
    #[error("the body is not a JSON object")]
    Json,
    /// A question that this handler does not know.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The body is too long, for one.
    #[error("{1}")]
    Body(StatusCode, String),
}

impl Refused {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Signature | Self::Expired => StatusCode::UNAUTHORIZED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Json | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Body(status, _) => *status,
        }
    }
}

/// The co-signers' public keys and the own private key. The files of the public keys are read for every request: a key
/// can be put there after the co-signer is paired, and be replaced, while the handler runs.
pub struct Keys {
    cosigners: Vec<PathBuf>,
    answer: EncodingKey,
    algorithm: Algorithm,
}

/// The answer's payload: signed in the public-key mode, plain in the JSON mode.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<'a> {
    action: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection_reason: Option<&'a str>,
}

impl<'a> Answer<'a> {
    /// The answer to a request.
    pub fn new(request_id: &'a str, decision: &'a Decision) -> Self {
        Self { action: decision.action(), request_id, rejection_reason: decision.reason() }
    }
}

impl Keys {
    /// `cosigners` are files of public keys, `answer` is the private key itself, both PEM. The algorithm of answers is
    /// that of the key.
    pub fn new(cosigners: Vec<PathBuf>, answer: &[u8]) -> Result<Self> {
        let (answer, algorithm) = if let Ok(key) = EncodingKey::from_rsa_pem(answer) {
            (key, Algorithm::RS256)
        } else if let Ok(key) = EncodingKey::from_ec_pem(answer) {
            (key, Algorithm::ES256)
        } else {
            bail!("expected an RSA or P-256 private key in PEM (PKCS#8) for answers");
        };
        let keys = Self { cosigners, answer, algorithm };
        keys.sign("self-test", &Decision::Approve).context("the answer key cannot sign")?;
        Ok(keys)
    }

    /// The payload, if a known co-signer signed it.
    ///
    /// The algorithm is fixed: what the token's header says of keys and algorithms decides nothing. A token with an
    /// audience (`aud`) is refused: co-signers never send one, so it was made for somebody else.
    pub fn verify(&self, body: &[u8]) -> Result<Object, Refused> {
        let token = std::str::from_utf8(body).map_err(|_| Refused::Signature)?.trim();
        let mut rules = Validation::new(Algorithm::RS256);
        rules.required_spec_claims.clear();
        rules.validate_nbf = true;
        rules.leeway = LEEWAY_SECONDS;
        for key in self.cosigner_keys() {
            match jsonwebtoken::decode(token, &key, &rules) {
                Ok(token) => return Ok(token.claims),
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature) => {
                    return Err(Refused::Expired);
                }
                Err(_) => {}
            }
        }
        Err(Refused::Signature)
    }

    fn cosigner_keys(&self) -> impl Iterator<Item = DecodingKey> {
        self.cosigners.iter().filter_map(|path| match fs::read(path) {
            Ok(pem) => DecodingKey::from_rsa_pem(&pem)
                .inspect_err(|_| warn!(path = %path.display(), "not an RSA public key in PEM"))
                .ok(),
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read a co-signer's public key");
                None
            }
        })
    }

    /// The answer's JWT.
    pub fn sign(&self, request_id: &str, decision: &Decision) -> Result<String> {
        Ok(jsonwebtoken::encode(&Header::new(self.algorithm), &Answer::new(request_id, decision), &self.answer)?)
    }
}

/// The payload of the JSON mode. Nobody signed it.
pub fn parse_json(body: &[u8]) -> Result<Object, Refused> {
    serde_json::from_slice(body).map_err(|_| Refused::Json)
}
