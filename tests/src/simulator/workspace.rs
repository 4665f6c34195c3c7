//! The workspace: its real coordinator, durable records, and pairing endpoints.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cosigner_core::HttpAnswer;
use cosigner_workspace::ceremony::{
    AgreementPhase, CertificateRecord, ChangeRecord, Coordinator, GroupRecord, GroupStatus, KeyRecord, PublicChecks,
    Record, Settings, Snapshot, TransactionRecord,
};
use countersign_mpc::public;
use countersign_token::{PublicKey, SigningKey, generate_p256, verify};
use countersign_wire::SigningIdentity;
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::ids::{ChangeId, GroupId, KeyId, PartyId, TransactionId, WorkspaceFingerprint, WorkspaceId};
use countersign_wire::key::{EcdsaSignature, PublicKey as SignerKey};
use countersign_wire::pairing_http::{
    ACCESS_TOKEN_PATH, AccessToken, CHALLENGE_PATH, Challenge, PAIR_PATH, PairAnswer, PairRequest,
    workspace_fingerprint,
};
use serde_json::json;
use sha3_address::address;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the coordinator checks with, over the real mathematics.
pub struct Checks;

impl PublicChecks for Checks {
    fn is_signature(&self, public_key: &SignerKey, digest: &[u8; 32], signature: &EcdsaSignature) -> bool {
        public::verify(public_key, digest, signature)
    }

    fn address(&self, asset: &str, public_key: &SignerKey) -> Option<String> {
        (asset == "ETH").then(|| address(public_key)).flatten()
    }
}

/// EIP-55, from the specification.
mod sha3_address {
    use super::{SignerKey, public};
    use sha3::{Digest, Keccak256};

    pub fn address(public_key: &SignerKey) -> Option<String> {
        let uncompressed = public::uncompressed(public_key).ok()?;
        let lower = hex::encode(&Keccak256::digest(&uncompressed[1..])[12..]);
        let hash = hex::encode(Keccak256::digest(lower.as_bytes()));
        let mixed = lower.chars().zip(hash.chars()).map(|(c, h)| if h >= '8' { c.to_ascii_uppercase() } else { c });
        Some(format!("0x{}", mixed.collect::<String>()))
    }
}

/// The keys of a workspace.
pub struct Keys {
    pub id: WorkspaceId,
    pub message: SigningIdentity,
    pub token: SigningKey,
}

impl Keys {
    pub fn new(id: u8) -> Self {
        let token = generate_p256().expect("a key");
        Self {
            id: WorkspaceId([id; 16]),
            message: SigningIdentity::from_secret(&[id; 32]),
            token: SigningKey::from_pkcs8_der(&token).expect("a key"),
        }
    }

    pub fn fingerprint(&self) -> WorkspaceFingerprint {
        workspace_fingerprint(&self.id, self.token.public().spki_der(), &self.message.public())
    }

    /// A pairing token.
    pub fn pairing_token(&self, user: &str, jti: &str, now_ms: u64) -> String {
        let now = now_ms / 1000;
        let claims = json!({
            "iss": format!("https://workspace-{}.example", self.id.0[0]), "sub": user, "userId": user, "tenantId": self.id.to_string(),
            "jti": jti, "iat": now, "exp": now + 3600,
        });
        self.token.sign(claims.to_string().as_bytes(), Some("token")).expect("signed")
    }

    /// What the pairing endpoints answer.
    pub fn endpoint(&self, path: &str, body: &[u8]) -> HttpAnswer {
        let ok = |value: serde_json::Value| HttpAnswer { status: 200, body: value.to_string().into_bytes() };
        match path {
            CHALLENGE_PATH => {
                let challenge = Challenge {
                    challenge: "42".repeat(32),
                    token_key: STANDARD.encode(self.token.public().spki_der()),
                    message_key: hex::encode(self.message.public()),
                };
                ok(serde_json::to_value(challenge).expect("json"))
            }
            PAIR_PATH => {
                let request: PairRequest = serde_json::from_slice(body).expect("a pairing request");
                let key = PublicKey::from_spki_der(self.token.public().spki_der()).expect("a key");
                verify(&request.token, &key).expect("a token of this workspace");
                let answer = PairAnswer {
                    device_id: request.party.clone(),
                    refresh_token: format!("refresh-{}", request.party),
                    status: "COMPLETED".into(),
                };
                ok(serde_json::to_value(answer).expect("json"))
            }
            ACCESS_TOKEN_PATH => {
                let answer = AccessToken { access_token: "access".into(), expires_in: 900 };
                ok(serde_json::to_value(answer).expect("json"))
            }
            other => panic!("no endpoint {other}"),
        }
    }
}

/// What is durable.
#[derive(Default, Clone)]
pub struct Store {
    pub groups: BTreeMap<GroupId, GroupRecord>,
    pub keys: BTreeMap<KeyId, KeyRecord>,
    pub transactions: BTreeMap<TransactionId, TransactionRecord>,
    pub certificates: BTreeMap<KeyId, CertificateRecord>,
    pub changes: BTreeMap<ChangeId, ChangeRecord>,
}

impl Store {
    pub fn put(&mut self, record: Record) {
        match record {
            Record::Group(r) => drop(self.groups.insert(r.group.id, r)),
            Record::Key(r) => drop(self.keys.insert(r.key, r)),
            Record::Transaction(r) => {
                let id = r.request.transaction;
                if let Some(known) = self.transactions.get(&id) {
                    assert!(
                        !known.status.is_final() || known.status == r.status,
                        "transaction {id} ended as {:?} and then as {:?}",
                        known.status,
                        r.status
                    );
                }
                self.transactions.insert(id, r);
            }
            Record::Certificate(r) => drop(self.certificates.insert(r.key, r)),
            Record::Change(r) => drop(self.changes.insert(r.change.id, r)),
            // For the API alone: the coordinator asks for neither when it starts again.
            Record::Users(_) | Record::Audit(_) => {}
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            groups: self.groups.values().cloned().collect(),
            keys: self.keys.values().cloned().collect(),
            transactions: self.transactions.values().filter(|t| !t.status.is_final()).cloned().collect(),
            changes: self.changes.values().filter(|c| !c.status.is_final()).cloned().collect(),
        }
    }
}

/// The workspace.
pub struct SimulatedWorkspace {
    pub keys: Arc<Keys>,
    pub store: Store,
    pub coordinator: Coordinator,
    pub settings: Settings,
    pub wake_at: Option<u64>,
    /// Every authentic message of a co-signer, in order.
    pub heard: Vec<(PartyId, CosignerMessage)>,
    /// A hostile workspace's coordinator does nothing by itself: the test speaks for it.
    pub silent: bool,
}

impl SimulatedWorkspace {
    pub fn new(keys: Arc<Keys>, store: Store) -> Self {
        let settings = Settings {
            sign_session_ms: 8_000,
            keygen_session_ms: 8_000,
            aux_session_ms: 20_000,
            aux_poll_ms: 1_000,
            keygen_attempts: 200,
            sign_attempts: 400,
            keygen_give_up_ms: 1_200_000,
            retry_longest_ms: 4_000,
            aux_retry_longest_ms: 4_000,
            ..Settings::default()
        };
        let coordinator =
            Coordinator::new(settings.clone(), keys.id, Box::new(Checks), store.snapshot()).expect("a sound store");
        Self { keys, store, coordinator, settings, wake_at: None, heard: Vec::new(), silent: false }
    }

    /// The process ends and starts again from what was durable.
    pub fn restart(&mut self) {
        self.coordinator =
            Coordinator::new(self.settings.clone(), self.keys.id, Box::new(Checks), self.store.snapshot())
                .expect("a sound store");
        self.wake_at = None;
    }

    pub fn group_is_ready(&self, group: &GroupId) -> bool {
        self.store.groups.get(group).is_some_and(|g| g.status == GroupStatus::Ready)
    }

    /// The session in which a key is being made.
    pub fn key_phase(&self, key: &KeyId) -> Option<&AgreementPhase> {
        self.store.keys.get(key).map(|k| &k.agreement.phase)
    }
}
