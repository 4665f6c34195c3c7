//! The two halves of the protocol: verifying the co-signer's JWT, and signing the answer.

use crate::policy::Decision;
use anyhow::{Context, Result, bail};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::warn;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not signed by a known co-signer with RS256.
    #[error("the body is not a JWT that a known co-signer signed with RS256")]
    Signature,
    /// In strict mode a co-signer dates its requests.
    #[error("the request expired, or a clock is off")]
    Expired,
    /// Signed by the co-signer, but not a question that this handler knows.
    #[error("the payload is not as expected: {0}")]
    Payload(serde_json::Error),
}

/// The co-signers' public keys and the own private key. The files of the public keys are read for every request: a key
/// can be put there after the co-signer is paired, and be replaced, while the handler runs.
pub struct Keys {
    cosigners: Vec<PathBuf>,
    answer: EncodingKey,
    algorithm: Algorithm,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    action: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection_reason: Option<&'a str>,
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

    /// The payload, if a known co-signer signed it. The algorithm is fixed: what the token's header says of keys and
    /// algorithms decides nothing.
    pub fn verify(&self, body: &[u8]) -> Result<Value, Refused> {
        let token = std::str::from_utf8(body).map_err(|_| Refused::Signature)?.trim();
        let mut rules = Validation::new(Algorithm::RS256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false; // the claim is optional: checked below, with its type
        rules.validate_aud = false;
        let payload = self.cosigner_keys().find_map(|key| jsonwebtoken::decode::<Value>(token, &key, &rules).ok());
        let payload = payload.ok_or(Refused::Signature)?.claims;
        match payload.get("exp") {
            None => Ok(payload),
            Some(exp) if exp.as_u64().is_some_and(|exp| exp > unix_seconds()) => Ok(payload),
            Some(_) => Err(Refused::Expired),
        }
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
        let (action, rejection_reason) = match decision {
            Decision::Approve => ("APPROVE", None),
            Decision::Reject(reason) => ("REJECT", Some(reason.as_str())),
            Decision::Ignore => ("IGNORE", None),
        };
        let answer = Answer { action, request_id, rejection_reason };
        Ok(jsonwebtoken::encode(&Header::new(self.algorithm), &answer, &self.answer)?)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default()
}
