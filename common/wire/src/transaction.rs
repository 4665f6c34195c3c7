//! A client's request on its way through the co-signers, and the customer's Authorisation for it.

use crate::ids::{ApiUserId, GroupId, KeyId, TransactionId, WorkspaceId};
use crate::key::{Algorithm, DerivationPath, Operation};
use crate::limits::{
    MAX_DIGESTS, MAX_NAME_BYTES, MAX_REQUEST_BODY_BYTES, MAX_TOKEN_BYTES, MAX_UNSIGNED_BYTES, MAX_URL_BYTES,
};
use crate::message::digest_of;
use crate::{Bytes, List, Text, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// A 32-byte digest that is signed.
pub type Digest = [u8; 32];

/// A client's own HTTP request, whole, and what the workspace chose for it. There is no second description: every
/// co-signer decodes the body for itself.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TransactionRequest {
    /// The workspace's id for it.
    pub transaction: TransactionId,
    /// The group that is to sign.
    pub group: GroupId,
    /// The key that is to sign.
    pub key: KeyId,
    /// The API user whose co-signer and handler approve.
    pub signer: ApiUserId,
    /// HTTP method, as received.
    pub method: Text<8>,
    /// Path and query, as received.
    pub path: Text<MAX_URL_BYTES>,
    /// The raw body, as received.
    pub body: Bytes<MAX_REQUEST_BODY_BYTES>,
    /// The client's bearer token, as received. Absent where the workspace itself asks.
    pub token: Option<Text<MAX_TOKEN_BYTES>>,
    /// The unsigned transaction that the workspace built for a TRANSFER. Every co-signer holds it against the body.
    pub unsigned: Option<Bytes<MAX_UNSIGNED_BYTES>>,
}

message!(TransactionRequest, "countersign/transaction-request", 2, 100 * 1024);

/// Which of a client's requests this is: it names one ordered list of digests for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct IntentId {
    /// The API user that signed the request.
    pub initiator: ApiUserId,
    /// The token's `nonce`.
    pub nonce: Text<MAX_NAME_BYTES>,
    /// The body's `externalTxId`, if it has one.
    pub external: Option<Text<MAX_NAME_BYTES>>,
}

/// Who approved.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Approval {
    /// The signer's callback handler, under this request id.
    Handler {
        /// The UUID that the handler saw.
        request_id: Text<64>,
    },
    /// Nobody: an operator paired the signer with `--auto-approve`.
    Auto,
}

/// The customer's co-signer's word that it authorised exactly this. Signed with its pairing's identity.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Authorisation {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The transaction.
    pub transaction: TransactionId,
    /// [`crate::Message::digest`] of the whole [`TransactionRequest`].
    pub request_hash: [u8; 32],
    /// The intent, where there was one.
    pub intent: Option<IntentId>,
    /// What is done.
    pub operation: Operation,
    /// The digests, in order.
    pub digests: List<Digest, MAX_DIGESTS>,
    /// With which algorithm.
    pub algorithm: Algorithm,
    /// With which key.
    pub key: KeyId,
    /// The epoch of its share set.
    pub epoch: u32,
    /// The derivation path of each digest, in the same order.
    pub paths: List<DerivationPath, MAX_DIGESTS>,
    /// By which group.
    pub group: GroupId,
    /// The approving API user.
    pub signer: ApiUserId,
    /// Who approved.
    pub approval: Approval,
    /// Position in the customer's ledger; grows with every Authorisation of a pairing.
    pub ledger_position: u64,
    /// Unix time in milliseconds when it was given.
    pub issued_at_ms: u64,
    /// Unix time in milliseconds after which no session may start under it.
    pub not_after_ms: u64,
}

message!(Authorisation, "countersign/authorisation", 1, 16 * 1024);

/// SHA-256 over an ordered list of digests: what an intent is bound to.
pub fn digests_hash(digests: &[Digest]) -> [u8; 32] {
    digest_of("countersign/digests/v1", &digests.concat())
}
