//! What a handler is shown of a transaction. Everything in it was decoded here from the client's own bytes.

mod build;
#[cfg(test)]
mod golden;
mod payload;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transaction_tests;

use super::question::Question;
use crate::intent::Decoded;
use borsh::BorshSerialize;
use build::payload;
use countersign_wire::ids::{ApiUserId, KeyId, PairingId, PartyId, TransactionId};
use countersign_wire::key::{Algorithm, DerivationPath, Operation};
use countersign_wire::message::digest_of;
use countersign_wire::transaction::{Digest, IntentId};
use payload::Payload;

/// A transaction in front of a handler.
pub struct TransactionShown<'a> {
    /// The pairing.
    pub pairing: PairingId,
    /// See [`request_id_secret`].
    pub secret: &'a [u8; 32],
    /// The workspace's id for it.
    pub transaction: TransactionId,
    /// The client's proven intent, if there is one.
    pub intent: Option<&'a IntentId>,
    /// The decoded request.
    pub decoded: &'a Decoded,
    /// The key that is to sign.
    pub key: KeyId,
    /// The epoch of its share set.
    pub epoch: u32,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The API user whose handler it is.
    pub signer: &'a ApiUserId,
    /// The parties of the group.
    pub players: &'a [PartyId],
}

/// Everything that an approval covers: the request id is a hash of it, so that an answer approves nothing else.
#[derive(BorshSerialize)]
struct Covered<'a> {
    secret: &'a [u8; 32],
    pairing: PairingId,
    transaction: TransactionId,
    intent: Option<&'a IntentId>,
    operation: Operation,
    key: KeyId,
    epoch: u32,
    algorithm: Algorithm,
    paths: &'a [DerivationPath],
    digests: &'a [Digest],
    shown: &'a [u8],
}

/// Builds the request about a transaction. The same transaction gives the same bytes.
pub fn tx_sign_request(shown: &TransactionShown<'_>) -> Question {
    let mut payload = payload(shown);
    let covered = Covered {
        secret: shown.secret,
        pairing: shown.pairing,
        transaction: shown.transaction,
        intent: shown.intent,
        operation: shown.decoded.operation,
        key: shown.key,
        epoch: shown.epoch,
        algorithm: shown.algorithm,
        paths: &shown.decoded.paths,
        digests: &shown.decoded.digests,
        shown: &json(&payload),
    };
    // Writing to memory fails only for lists of more than u32::MAX items; the request's body is far smaller.
    let covered = borsh::to_vec(&covered).unwrap_or_default();
    let request_id = uuid(digest_of("countersign/callback-request-id/v1", &covered));
    payload.request_id = Some(request_id.clone());
    Question { payload: json(&payload), request_id }
}

/// What makes request ids of a pairing, which handlers repeat answers by, nobody else's to compute: in 122 bits two requests
/// with one id could be searched for. Derived from the secret of the pairing's identity, so that it lasts as long.
pub(crate) fn request_id_secret(identity: &[u8]) -> [u8; 32] {
    digest_of("countersign/callback-request-id-secret/v1", identity)
}

/// Strings and numbers into memory: this cannot fail. Should it ever, an empty payload is one that no handler approves.
fn json(payload: &Payload<'_>) -> Vec<u8> {
    serde_json::to_vec(payload).unwrap_or_default()
}

/// A UUID of version 8 (RFC 9562, section 5.8): 122 bits of the hash.
pub(super) fn uuid(hash: [u8; 32]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = hash;
    let bytes = [a, b, c, d, e, f, g & 0x0f | 0x80, h, i & 0x3f | 0x80, j, k, l, m, n, o, p];
    TransactionId(bytes).to_string()
}
