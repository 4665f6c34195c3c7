//! A handler that says the same to everything, and keeps what it was asked.

use crate::scripted_handler::{Answer, Reply, payload};
use countersign_stack::keys::KeyPair;
use countersign_token::SigningKey;
use serde_json::{Value, json};
use std::sync::Mutex;

pub struct Recording {
    answering: SigningKey,
    action: Mutex<&'static str>,
    /// Paths and payloads of the requests, the first one first.
    pub seen: Mutex<Vec<(String, Value)>>,
}

impl Recording {
    /// It approves, signing with this key.
    pub fn new(answers: &KeyPair) -> Self {
        let answering = SigningKey::from_pem(&answers.private_pem().unwrap()).unwrap();
        Self { answering, action: Mutex::new("APPROVE"), seen: Mutex::default() }
    }

    /// From now on it says this.
    pub fn says(&self, action: &'static str) {
        *self.action.lock().unwrap() = action;
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The last request.
    pub fn last(&self) -> (String, Value) {
        self.seen.lock().unwrap().last().cloned().expect("a request")
    }
}

impl Answer for Recording {
    fn to(&self, path: &str, body: &[u8]) -> Reply {
        let Some(shown) = payload(body) else { return Reply::of("400 Bad Request", "", b"") };
        let action = *self.action.lock().unwrap();
        let answer = json!({"action": action, "requestId": shown["requestId"], "rejectionReason": "the test says so"});
        self.seen.lock().unwrap().push((path.to_owned(), shown));
        Reply::of("200 OK", "", &self.answering.sign(answer.to_string().as_bytes(), None).unwrap().into_bytes())
    }
}
