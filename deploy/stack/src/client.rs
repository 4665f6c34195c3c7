//! A client of the workspace's HTTP API, as an application would write one: every request carries a token, signed by the
//! API user's key, over path, body and a nonce.

use countersign_token::SigningKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a token is valid; the platform allows 60 s.
const TOKEN_SECONDS: u64 = 55;
/// How long one HTTP call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that was idle for so long is not used again: the workspace closes such connections, at the earliest after
/// ten seconds, and perhaps just when the next request is under way.
const MAX_IDLE: Duration = Duration::from_secs(3);

/// The API refused, or could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It answered with another status than 2xx.
    #[error("{method} {path}: HTTP {status}: {message}")]
    Refused {
        /// Method.
        method: String,
        /// Path.
        path: String,
        /// HTTP status.
        status: u16,
        /// `message` of the answer, or its text.
        message: String,
        /// The whole answer, null where it is not JSON.
        body: Value,
    },
    /// No answer.
    #[error("{method} {path}: {source}")]
    Transport {
        /// Method.
        method: String,
        /// Path.
        path: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The client itself could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}

impl ApiError {
    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A client that speaks as one API user.
#[derive(Clone)]
pub struct Client {
    base: String,
    user: String,
    key: std::sync::Arc<SigningKey>,
    http: reqwest::Client,
}

impl Client {
    /// `base` is `https://host:port`, `ca_pem` the only authorities to trust, one or more, `user` the API user's id.
    pub fn new(base: &str, ca_pem: &str, user: &str, key_pem: &str) -> Result<Self, ApiError> {
        // Whoever installed one before: it is the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let failed = |e: &dyn std::fmt::Display| ApiError::Client(e.to_string());
        let authorities = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes()).map_err(|e| failed(&e))?;
        if authorities.is_empty() {
            return Err(ApiError::Client("expected certificates of authorities (PEM), found none".into()));
        }
        let builder = authorities
            .into_iter()
            .fold(reqwest::Client::builder(), |builder, authority| builder.add_root_certificate(authority));
        let http =
            builder.timeout(CALL_TIMEOUT).pool_idle_timeout(MAX_IDLE).no_proxy().build().map_err(|e| failed(&e))?;
        let key = SigningKey::from_pem(key_pem).map_err(|e| failed(&e))?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), user: user.to_owned(), key: key.into(), http })
    }

    /// The API user's id.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// `https://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A token for a request; `uri` is path and query.
    pub fn token(&self, uri: &str, body: &[u8]) -> Result<String, ApiError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default();
        let claims = json!({
            "uri": uri, "nonce": uuid::Uuid::new_v4().to_string(), "iat": now, "exp": now.saturating_add(TOKEN_SECONDS),
            "sub": self.user, "bodyHash": hex::encode(Sha256::digest(body)),
        });
        self.key.sign(claims.to_string().as_bytes(), None).map_err(|e| ApiError::Client(e.to_string()))
    }

    /// Sends exactly these bytes with exactly this token.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        token: &str,
        idempotency_key: Option<&str>,
    ) -> Result<(StatusCode, String), ApiError> {
        let failed = |source| ApiError::Transport { method: method.to_string(), path: path.to_owned(), source };
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base))
            .header("X-API-Key", &self.user)
            .bearer_auth(token)
            .header("Content-Type", "application/json")
            .body(body);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        Ok((status, text))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Value, ApiError> {
        let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let token = self.token(path, &bytes)?;
        let (status, text) = self.send(method.clone(), path, bytes, &token, idempotency_key).await?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(body);
        }
        let message = body["message"].as_str().map(str::to_owned).unwrap_or(text);
        let (method, path) = (method.to_string(), path.to_owned());
        Err(ApiError::Refused { method, path, status: status.as_u16(), message, body })
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call(Method::GET, path, None, None).await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.call(Method::POST, path, Some(body), None).await
    }

    /// `POST` with an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, body: &Value, idempotency_key: &str) -> Result<Value, ApiError> {
        self.call(Method::POST, path, Some(body), Some(idempotency_key)).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::certificates::Authority;
    use crate::keys::{Algorithm, KeyPair};

    #[test]
    fn a_bundle_of_authorities_is_taken_whole_and_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::create(folder.path(), "user", Algorithm::Rs256).unwrap().private_pem().unwrap();
        let one = Authority::create(folder.path()).unwrap();
        let two = Authority::create(folder.path()).unwrap();
        let new = |pem: &str| Client::new("https://localhost", pem, "user", &key).map(|_| ());
        new(&format!("# one\n{}# two\n{}", one.pem(), two.pem())).unwrap();
        for none in ["", "not a certificate"] {
            assert!(new(none).unwrap_err().to_string().contains("found none"), "{none:?}");
        }
        assert!(new(&one.pem().replace("MII", "MIA")).is_err());
    }
}
