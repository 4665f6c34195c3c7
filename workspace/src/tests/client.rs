//! A client that can do everything right and everything wrong.

use countersign_token::{SigningKey, generate_rsa_2048};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Keys take long to make: every test uses these.
pub static KEYS: LazyLock<[Arc<SigningKey>; 2]> =
    LazyLock::new(|| [(); 2].map(|()| Arc::new(SigningKey::from_pkcs8_der(&generate_rsa_2048().unwrap()).unwrap())));

pub fn now() -> u64 {
    crate::clock::now_ms() / 1000
}

#[derive(Clone)]
pub struct Client {
    pub base: String,
    pub user: String,
    pub key: Arc<SigningKey>,
    pub http: reqwest::Client,
}

/// An answer: status and body.
pub type Answer = (u16, Value);

pub async fn sent(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: expected JSON, got {text:?}")))
}

/// Asserts that an answer is an error of this status and reason with a sentence.
#[track_caller]
pub fn refused(answer: &Answer, status: u16, reason: &str) {
    let (got, body) = answer;
    assert_eq!((*got, body["reason"].as_str()), (status, Some(reason)), "{body}");
    assert_eq!(body["code"], status, "{body}");
    assert!(body["message"].as_str().is_some_and(|m| m.len() > 10), "{body}");
}

#[track_caller]
pub fn ok(answer: Answer) -> Value {
    let (status, body) = answer;
    assert!((200..300).contains(&status), "{status}: {body}");
    body
}

impl Client {
    pub fn new(base: &str, ca_pem: &str, user: &str, key: usize) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .add_root_certificate(reqwest::Certificate::from_pem(ca_pem.as_bytes()).unwrap())
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()
            .unwrap();
        Self { base: base.to_owned(), user: user.to_owned(), key: Arc::clone(&KEYS[key]), http }
    }

    pub fn claims(&self, uri: &str, body: &[u8]) -> Value {
        json!({
            "uri": uri, "nonce": uuid::Uuid::new_v4().to_string(), "iat": now(), "exp": now() + 55, "sub": self.user,
            "bodyHash": hex::encode(Sha256::digest(body)),
        })
    }

    pub fn signed(&self, claims: &Value) -> String {
        self.key.sign(claims.to_string().as_bytes(), None).unwrap()
    }

    pub fn request(&self, method: Method, path: &str, body: Vec<u8>) -> RequestBuilder {
        let token = self.signed(&self.claims(path, &body));
        self.bare(method, path, body).header("X-API-Key", &self.user).bearer_auth(token)
    }

    pub fn bare(&self, method: Method, path: &str, body: Vec<u8>) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).header("Content-Type", "application/json").body(body)
    }

    pub async fn get(&self, path: &str) -> Answer {
        sent(self.request(Method::GET, path, Vec::new())).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        sent(self.request(Method::POST, path, body.to_string().into_bytes())).await
    }

    pub async fn post_empty(&self, path: &str) -> Answer {
        sent(self.request(Method::POST, path, Vec::new())).await
    }

    pub async fn post_once(&self, path: &str, body: &Value, key: &str) -> Answer {
        let request = self.request(Method::POST, path, body.to_string().into_bytes());
        sent(request.header("Idempotency-Key", key)).await
    }

    /// Without any token, as enclaves call the pairing endpoints.
    pub async fn post_bare(&self, path: &str, body: &Value) -> Answer {
        sent(self.bare(Method::POST, path, body.to_string().into_bytes())).await
    }
}
