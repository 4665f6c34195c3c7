//! A handler whose answers, and whose key, change while it runs.

use crate::scripted_handler::{Answer, Reply, payload};
use countersign_stack::keys::KeyPair;
use countersign_token::SigningKey;
use serde_json::json;
use std::sync::Mutex;

pub struct Scripted(Mutex<(SigningKey, &'static str)>);

fn key(pair: &KeyPair) -> SigningKey {
    SigningKey::from_pem(&pair.private_pem().unwrap()).unwrap()
}

impl Scripted {
    /// It approves, signing with this key.
    pub fn new(pair: &KeyPair) -> Self {
        Self(Mutex::new((key(pair), "APPROVE")))
    }

    /// From now on it signs with this key.
    pub fn signs_with(&self, pair: &KeyPair) {
        self.0.lock().unwrap().0 = key(pair);
    }

    /// From now on it says this.
    pub fn says(&self, action: &'static str) {
        self.0.lock().unwrap().1 = action;
    }
}

fn answer(key: &SigningKey, action: &str, request_id: &serde_json::Value) -> Reply {
    let answer = json!({"action": action, "requestId": request_id});
    Reply::of("200 OK", "", &key.sign(answer.to_string().as_bytes(), None).unwrap().into_bytes())
}

impl Answer for Scripted {
    fn to(&self, _path: &str, body: &[u8]) -> Reply {
        let Some(shown) = payload(body) else { return Reply::of("400 Bad Request", "", b"") };
        let (key, action) = &*self.0.lock().unwrap();
        answer(key, action, &shown["requestId"])
    }
}

/// It answers as a cache would: for a request that came before.
pub struct Stale(pub KeyPair);

impl Answer for Stale {
    fn to(&self, _path: &str, _body: &[u8]) -> Reply {
        answer(&key(&self.0), "APPROVE", &json!("00000000-0000-4000-8000-000000000000"))
    }
}
