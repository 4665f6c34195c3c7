//! What a co-signer knows, as it is sealed: one record a blob. Secrets are zeroized on drop.

use crate::callback::MAX_PAYLOAD_BYTES;
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_wire::callback::{Attempt, ChangeApproval, ConfigChange};
use countersign_wire::command::{ApprovalSetting, Initiator, Measurements, Network};
use countersign_wire::group::{Group, Role};
use countersign_wire::ids::{
    ApiUserId, ChangeId, GroupId, KeyId, OperatorId, PairingId, PartyId, SessionId, TransactionId,
    WorkspaceFingerprint, WorkspaceId,
};
use countersign_wire::key::{EcdsaSignature, KeyPurpose, PublicKey};
use countersign_wire::limits::{
    MAX_BLOB_BYTES, MAX_DER_BYTES, MAX_DIGESTS, MAX_INITIATORS, MAX_MEASUREMENTS, MAX_NAME_BYTES, MAX_NETWORKS,
    MAX_OPERATORS, MAX_PARTIES, MAX_TOKEN_BYTES, MAX_URL_BYTES,
};
use countersign_wire::refusal::Refusal;
use countersign_wire::transaction::{Authorisation, IntentId, TransactionRequest};
use countersign_wire::{Bytes, List, Signed, Text, message};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes inside a record. `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Secret(Bytes<MAX_BLOB_BYTES>);

impl Secret {
    /// Takes over secret bytes; longer ones than a blob may be become empty and never load.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Bytes::new(bytes).unwrap_or_default())
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Zeroize for Secret {
    fn zeroize(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        bytes.zeroize();
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl ZeroizeOnDrop for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

/// The instance.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct Settings {
    /// Its identity's secret (Ed25519).
    pub identity: Secret,
    /// Its operators, sorted by key.
    pub operators: List<(OperatorId, Text<MAX_NAME_BYTES>), MAX_OPERATORS>,
    /// How many must sign a change.
    pub required: u16,
    /// The key service's key that seals the state's root key, as operators named it.
    pub sealing_key: Text<MAX_URL_BYTES>,
    /// Counts accepted commands.
    pub epoch: u64,
    /// The co-signer's name, for people.
    pub name: Text<MAX_NAME_BYTES>,
}
message!(Settings, "countersign/sealed/settings", 2, MAX_BLOB_BYTES);

/// An API user of a pairing.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct User {
    /// Who.
    pub id: ApiUserId,
    /// How its requests are approved.
    pub approval: ApprovalSetting,
    /// Whether RAW may be signed for its keys.
    pub allow_raw: bool,
    /// The pairing token's `jti`, while the workspace has not confirmed it.
    pub unconfirmed: Option<Text<MAX_NAME_BYTES>>,
    /// Secret of the key that signs its word about configuration changes (Ed25519).
    pub approval_key: Secret,
    /// Its own key that signs requests to its handler (PKCS#8); empty: the pairing's does.
    pub request_key: Secret,
}

impl User {
    /// Whether requests to its handler are signed with its own key.
    pub fn signs_own_requests(&self) -> bool {
        matches!(&self.approval, ApprovalSetting::Handler(handler) if handler.own_request_key)
    }
}

/// A group of a pairing.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct GroupRecord {
    /// The group.
    pub group: Group,
    /// Whether operators accepted it.
    pub accepted: bool,
}

/// A pairing.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct Pairing {
    /// Its id.
    pub id: PairingId,
    /// Its identity's secret (Ed25519).
    pub identity: Secret,
    /// What this co-signer is in it.
    pub role: Role,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Fingerprint over its id and keys, as an operator named it.
    pub fingerprint: WorkspaceFingerprint,
    /// The key that signs its messages; known once it is confirmed.
    pub message_key: [u8; 32],
    /// Its base URL.
    pub url: Text<MAX_URL_BYTES>,
    /// The only certificate authority to trust for it.
    pub root: Option<Bytes<MAX_DER_BYTES>>,
    /// Non-public networks in which it may be.
    pub networks: List<Network, MAX_NETWORKS>,
    /// Whether the workspace may know the identity: a pairing token was sent with it.
    pub offered: bool,
    /// The refresh token; empty while unconfirmed.
    pub refresh_token: Secret,
    /// Whether only what an initiator asked for is signed.
    pub require_intent: bool,
    /// Measurements accepted from peers; empty: the own ones.
    pub peer_measurements: List<Measurements, MAX_MEASUREMENTS>,
    /// Key that signs requests to callback handlers (PKCS#8).
    pub callback_key: Secret,
    /// API users, sorted by id.
    pub users: List<User, { countersign_wire::limits::MAX_USERS }>,
    /// Initiators, sorted by id.
    pub initiators: List<Initiator, MAX_INITIATORS>,
    /// Groups, in the order in which they were proposed.
    pub groups: List<GroupRecord, { countersign_wire::limits::MAX_GROUPS }>,
    /// Intents older than this are refused (Unix ms).
    pub intent_floor_ms: u64,
}
message!(Pairing, "countersign/sealed/pairing", 2, MAX_BLOB_BYTES);

impl Pairing {
    /// Whether the workspace confirmed it.
    pub fn is_confirmed(&self) -> bool {
        !self.refresh_token.expose().is_empty()
    }

    /// A confirmed API user.
    pub fn user(&self, id: &ApiUserId) -> Option<&User> {
        self.users.iter().find(|u| u.id == *id && u.unconfirmed.is_none())
    }

    /// An accepted group.
    pub fn accepted_group(&self, id: &GroupId) -> Option<&Group> {
        self.groups.iter().find(|g| g.group.id == *id && g.accepted).map(|g| &g.group)
    }
}

/// How far the outcome of a ceremony is agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Agreed {
    /// Held here; this party signed, or is about to sign, its acknowledgement.
    Held = 0,
    /// All parties hold it.
    Durable = 1,
    /// All parties signed that it is durable.
    Published = 2,
}

/// Auxiliary information of a group.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct AuxRecord {
    /// The group.
    pub group: GroupId,
    /// How far it is agreed.
    pub agreed: Agreed,
    /// The session that made it.
    pub session: SessionId,
    /// Hash over its public part.
    pub outcome: [u8; 32],
    /// It.
    pub aux: Secret,
}
message!(AuxRecord, "countersign/sealed/aux", 1, MAX_BLOB_BYTES);

/// Safe primes: the spare ones, or a group's.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct PrimesRecord {
    /// The group that they are for.
    pub group: Option<GroupId>,
    /// They.
    pub primes: Secret,
}
message!(PrimesRecord, "countersign/sealed/primes", 1, MAX_BLOB_BYTES);

/// A key's share set.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct KeyRecord {
    /// The key.
    pub key: KeyId,
    /// The group that holds it.
    pub group: GroupId,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// How far it is agreed.
    pub agreed: Agreed,
    /// The session that made it.
    pub session: SessionId,
    /// Hash over the whole public outcome.
    pub outcome: [u8; 32],
    /// The epoch of the share set.
    pub epoch: u32,
    /// The share.
    pub share: Secret,
    /// The master public key.
    pub public_key: PublicKey,
    /// Its chain code.
    pub chain_code: [u8; 32],
    /// Why it is suspended.
    pub suspended: Option<Refusal>,
    /// Peers that were shown to misbehave with it.
    pub quarantined: List<PartyId, MAX_PARTIES>,
}
message!(KeyRecord, "countersign/sealed/key", 1, MAX_BLOB_BYTES);

/// The decision about a request; final.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub enum Decision {
    /// Authorised by the customer's co-signer (this one or the group's).
    Authorised(Signed<Authorisation>),
    /// Refused for good.
    Refused(Refusal),
}

/// One line of the ledger: a request that was decided, and what came of it.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct RequestRecord {
    /// The transaction.
    pub transaction: TransactionId,
    /// Digest of the whole request.
    pub request_hash: [u8; 32],
    /// The intent.
    pub intent: Option<IntentId>,
    /// Hash over its digests in order.
    pub digests_hash: [u8; 32],
    /// The decision.
    pub decision: Decision,
    /// Position in the ledger.
    pub position: u64,
    /// When it was decided (Unix ms).
    pub decided_at_ms: u64,
    /// The signatures, by digest.
    pub signatures: List<Option<(PublicKey, EcdsaSignature)>, MAX_DIGESTS>,
}
message!(RequestRecord, "countersign/sealed/request", 1, crate::limits::MAX_REQUEST_RECORD_BYTES);

/// What a RETRY series is about.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub enum AskingAbout {
    /// A transaction, and the intent that was proved when it came.
    Transaction {
        /// As it came.
        request: Box<TransactionRequest>,
        /// Whose intent it is.
        intent: Option<IntentId>,
    },
    /// A configuration change.
    Change(ConfigChange),
}

/// A RETRY series.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct AskingRecord {
    /// The API user whose handler is asked.
    pub user: ApiUserId,
    /// What about.
    pub about: AskingAbout,
    /// The exact payload of every attempt.
    pub payload: Bytes<MAX_PAYLOAD_BYTES>,
    /// The UUID that the answer must repeat.
    pub request_id: Text<64>,
    /// [`ApprovalSetting::digest`] of the setting that it belongs to: under another one it is over.
    pub approval: [u8; 32],
    /// Attempts that were answered.
    pub attempts: u16,
    /// When the next one is due (Unix ms).
    pub next_at_ms: u64,
    /// The last one.
    pub last: Option<Attempt>,
}
message!(AskingRecord, "countersign/sealed/asking", 1, MAX_BLOB_BYTES);

/// A decision about a configuration change; final.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct ChangeRecord {
    /// The change.
    pub change: ChangeId,
    /// Whose word it is.
    pub signer: ApiUserId,
    /// Digest of the change.
    pub change_hash: [u8; 32],
    /// The API user's word.
    pub approval: Signed<ChangeApproval>,
    /// When it was decided (Unix ms).
    pub decided_at_ms: u64,
}
message!(ChangeRecord, "countersign/sealed/change", 1, 4 * 1024);

/// Which key serves an asset of a vault account. Fixed by the first key certificate.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VaultRecord {
    /// The vault account.
    pub vault_account: u32,
    /// The asset.
    pub asset: Text<32>,
    /// The key.
    pub key: KeyId,
}
message!(VaultRecord, "countersign/sealed/vault", 1, 1024);

/// A pairing token that was used.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct UsedToken {
    /// Its `jti`.
    pub jti: Text<MAX_NAME_BYTES>,
    /// When it may be forgotten (Unix ms).
    pub forget_at_ms: u64,
}
message!(UsedToken, "countersign/sealed/used-token", 1, MAX_TOKEN_BYTES);
