//! Clients that sign their requests, callback handlers that answer, and operators at their CLI.

use cosigner_core::{ExchangeSpec, Trust};
use countersign_token::{PublicKey, SigningKey, generate_p256, generate_rsa_2048, unverified_payload, verify};
use countersign_wire::command::{Handler, HandlerTls, Initiator, RetrySchedule};
use countersign_wire::ids::{ApiUserId, GroupId, KeyId, TransactionId};
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{Bytes, List, Text};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A client of the workspace's API: an initiator.
#[derive(Clone)]
pub struct Client {
    pub user: ApiUserId,
    key: Arc<SigningKey>,
}

impl Client {
    pub fn new(user: &str) -> Self {
        let key = generate_rsa_2048().expect("a key");
        Self { user: user.parse().expect("an id"), key: Arc::new(SigningKey::from_pkcs8_der(&key).expect("a key")) }
    }

    pub fn initiator(&self) -> Initiator {
        Initiator { user: self.user.clone(), public_key: Bytes::new(self.key.public().spki_der()).expect("small") }
    }

    /// The bearer token of a request.
    pub fn token(&self, uri: &str, body: &[u8], nonce: &str, now_ms: u64) -> String {
        let now = now_ms / 1000;
        let claims = json!({
            "uri": uri, "nonce": nonce, "iat": now, "exp": now + 55, "sub": self.user.as_str(),
            "bodyHash": hex::encode(Sha256::digest(body)),
        });
        self.key.sign(claims.to_string().as_bytes(), None).expect("signed")
    }

    /// The body of a `TYPED_MESSAGE` transaction.
    pub fn message_body(text: &str, note: &str, external: Option<&str>, vault: u32) -> Vec<u8> {
        Self::messages_body(&[text], note, external, vault)
    }

    /// The same, of several messages.
    pub fn messages_body(texts: &[&str], note: &str, external: Option<&str>, vault: u32) -> Vec<u8> {
        let messages: Vec<Value> =
            texts.iter().map(|text| json!({"content": hex::encode(text), "type": "EIP191"})).collect();
        let mut body = json!({
            "operation": "TYPED_MESSAGE", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": vault.to_string()}, "note": note,
            "extraParameters": {"rawMessageData": {"messages": messages}},
        });
        if let Some(external) = external {
            body["externalTxId"] = json!(external);
        }
        body.to_string().into_bytes()
    }

    /// The body of a `RAW` transaction.
    pub fn raw_body(digest: &[u8; 32], vault: u32) -> Vec<u8> {
        json!({
            "operation": "RAW", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": vault.to_string()},
            "extraParameters": {"rawMessageData": {"algorithm": "MPC_ECDSA_SECP256K1", "messages": [{"content": hex::encode(digest)}]}},
        })
        .to_string()
        .into_bytes()
    }

    /// A whole request as the workspace passes it on.
    #[expect(clippy::too_many_arguments, reason = "the fields of a request")]
    pub fn request(
        &self,
        transaction: TransactionId,
        group: GroupId,
        key: KeyId,
        signer: &ApiUserId,
        body: Vec<u8>,
        nonce: &str,
        now_ms: u64,
    ) -> TransactionRequest {
        let token = self.token("/v1/transactions", &body, nonce, now_ms);
        TransactionRequest {
            transaction,
            group,
            key,
            signer: signer.clone(),
            method: Text::new("POST").expect("short"),
            path: Text::new("/v1/transactions").expect("short"),
            body: Bytes::new(body).expect("small"),
            token: Some(Text::new(token).expect("small")),
            unsigned: None,
        }
    }
}

/// When the simulated handler wants to be asked again.
pub const RETRY: RetrySchedule = RetrySchedule { every_s: 30, times: 3 };

/// A callback handler: it rejects what is noted `reject-me`, answers RETRY once to what is noted `retry-me`, and for ever to
/// what is noted `retry-for-ever`, and approves everything else.
#[derive(Clone)]
pub struct SimulatedHandler {
    key: Arc<SigningKey>,
    /// Whether it answers at all.
    pub answers: bool,
    /// Digests that it approved.
    pub approved: BTreeSet<[u8; 32]>,
    /// The same with the path of the key that it was shown for each.
    pub approved_paths: BTreeSet<([u8; 32], String)>,
    /// Digests that it rejected.
    pub rejected: BTreeSet<[u8; 32]>,
    /// Every request that it saw, in order.
    pub shown: Vec<Value>,
}

impl Default for SimulatedHandler {
    fn default() -> Self {
        let key = generate_p256().expect("a key");
        Self {
            key: Arc::new(SigningKey::from_pkcs8_der(&key).expect("a key")),
            answers: true,
            approved: BTreeSet::new(),
            approved_paths: BTreeSet::new(),
            rejected: BTreeSet::new(),
            shown: Vec::new(),
        }
    }
}

impl SimulatedHandler {
    pub fn public_key(&self) -> Vec<u8> {
        self.key.public().spki_der().to_vec()
    }

    /// Where it is, as operators configure it.
    pub fn settings(&self) -> Handler {
        Handler {
            url: Text::new("https://handler.example/hook").expect("short"),
            keys: List::new(vec![Bytes::new(self.public_key()).expect("small")]).expect("one"),
            tls: HandlerTls::PublicRoots,
            networks: List::default(),
            deadline_ms: 5_000,
            retry: RETRY,
            dated_requests: false,
            own_request_key: false,
        }
    }

    /// Whether an exchange goes to it, and believes nobody else.
    pub fn is_asked_by(&self, spec: &ExchangeSpec) -> bool {
        let paths = ["/hook/v2/tx_sign_request", "/hook/v2/config_change_sign_request"];
        (spec.host.as_str(), spec.port) == ("handler.example", 443)
            && paths.contains(&spec.path.as_str())
            && spec.trust == Trust::PublicRoots
            && spec.addresses.networks.is_empty()
    }

    /// Answers a request of the co-signer, as an HTTP body.
    pub fn answer(&mut self, body: &[u8], cosigner: Option<&PublicKey>) -> Option<Vec<u8>> {
        let token = std::str::from_utf8(body).ok()?;
        let payload = match cosigner {
            Some(key) => verify(token, key).ok()?,
            None => unverified_payload(token).ok()?,
        };
        let payload: Value = serde_json::from_slice(&payload).ok()?;
        if !self.answers {
            return None;
        }
        let note = payload["note"].as_str().or(payload["extraInfo"]["note"].as_str()).unwrap_or_default().to_owned();
        let asked_before = self.shown.iter().any(|shown| shown["requestId"] == payload["requestId"]);
        self.shown.push(payload.clone());
        if note == "retry-for-ever" || (note.starts_with("retry-me") && !asked_before) {
            return self.say(&json!({"action": "RETRY", "requestId": payload["requestId"]}));
        }
        if note == "ignore-me" {
            return self.say(&json!({"action": "IGNORE", "requestId": payload["requestId"]}));
        }
        let reject = matches!(note.as_str(), "reject-me" | "retry-me-then-reject");
        for entry in payload["rawTx"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let digest: [u8; 32] = hex::decode(entry["payload"].as_str()?).ok()?.try_into().ok()?;
            if reject {
                self.rejected.insert(digest);
            } else {
                self.approved.insert(digest);
                self.approved_paths.insert((digest, entry["keyDerivationPath"].as_str()?.to_owned()));
            }
        }
        let mut answer =
            json!({"action": if reject { "REJECT" } else { "APPROVE" }, "requestId": payload["requestId"]});
        if reject {
            answer["rejectionReason"] = json!("the note says so");
        }
        self.say(&answer)
    }

    fn say(&self, answer: &Value) -> Option<Vec<u8>> {
        self.key.sign(answer.to_string().as_bytes(), None).ok().map(String::into_bytes)
    }
}
