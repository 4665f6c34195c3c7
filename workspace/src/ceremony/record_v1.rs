//! Transactions as the first version of this program stored them: read, never written.

use super::attempts::Attempts;
use super::record::{TransactionRecord, TransactionStatus};
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_wire::ids::{ApiUserId, GroupId, KeyId, SessionId, TransactionId};
use countersign_wire::key::{DerivationPath, EcdsaSignature, Operation, PublicKey};
use countersign_wire::limits::{MAX_REQUEST_BODY_BYTES, MAX_TOKEN_BYTES, MAX_URL_BYTES};
use countersign_wire::refusal::Refusal;
use countersign_wire::transaction::{Authorisation, Digest, TransactionRequest};
use countersign_wire::{Bytes, DecodeError, Message, Signed, Text, message};

#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct RequestV1 {
    transaction: TransactionId,
    group: GroupId,
    key: KeyId,
    signer: ApiUserId,
    method: Text<8>,
    path: Text<MAX_URL_BYTES>,
    body: Bytes<MAX_REQUEST_BODY_BYTES>,
    token: Option<Text<MAX_TOKEN_BYTES>>,
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct TransactionRecordV1 {
    request: RequestV1,
    operation: Operation,
    digests: Vec<Digest>,
    path: DerivationPath,
    public_key: PublicKey,
    created_at_ms: u64,
    updated_at_ms: u64,
    authorise_until_ms: u64,
    status: TransactionStatus,
    waiting: bool,
    authorisation: Option<Signed<Authorisation>>,
    not_after_ms: Option<u64>,
    started: Vec<Option<SessionId>>,
    signatures: Vec<Option<EcdsaSignature>>,
    reason: Option<Refusal>,
}

message!(TransactionRecordV1, "cosigner-workspace/transaction-record", 1, 256 * 1024);

impl From<TransactionRecordV1> for TransactionRecord {
    fn from(old: TransactionRecordV1) -> Self {
        let RequestV1 { transaction, group, key, signer, method, path, body, token } = old.request;
        Self {
            request: TransactionRequest { transaction, group, key, signer, method, path, body, token, unsigned: None },
            operation: old.operation,
            digests: old.digests,
            path: old.path,
            public_key: old.public_key,
            created_at_ms: old.created_at_ms,
            updated_at_ms: old.updated_at_ms,
            authorise_until_ms: old.authorise_until_ms,
            status: old.status,
            waiting: old.waiting,
            attempts: Attempts::default(),
            authorisation: old.authorisation,
            not_after_ms: old.not_after_ms,
            started: old.started,
            signatures: old.signatures,
            reason: old.reason,
        }
    }
}

impl TransactionRecord {
    /// Reads a stored record, also one of the version before.
    ///
    /// # Errors
    /// It is neither.
    pub fn load(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(&TransactionRecordV1::VERSION) => TransactionRecordV1::decode(bytes).map(Self::from),
            _ => Self::decode(bytes),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use countersign_wire::refusal::Code;

    #[test]
    fn a_transaction_that_the_version_before_stored_is_read() {
        let old = TransactionRecordV1 {
            request: RequestV1 {
                transaction: TransactionId([1; 16]),
                group: GroupId([2; 16]),
                key: KeyId([3; 16]),
                signer: "signer".parse().unwrap(),
                method: Text::new("POST").unwrap(),
                path: Text::new("/v1/transactions").unwrap(),
                body: Bytes::new(b"{}".to_vec()).unwrap(),
                token: None,
            },
            operation: Operation::Raw,
            digests: vec![[4; 32]],
            path: DerivationPath::vault(60, 0, 0, 0).unwrap(),
            public_key: [2; 33],
            created_at_ms: 5,
            updated_at_ms: 6,
            authorise_until_ms: 7,
            status: TransactionStatus::PendingAuthorization,
            waiting: true,
            authorisation: None,
            not_after_ms: None,
            started: vec![None],
            signatures: vec![None],
            reason: Some(Refusal::new(Code::Busy, "busy")),
        };
        let bytes = old.encode();
        let new = TransactionRecord::load(&bytes).unwrap();
        assert_eq!((new.request.transaction, new.waiting, new.updated_at_ms), (TransactionId([1; 16]), true, 6));
        assert_eq!((new.request.unsigned.is_none(), new.attempts.all().len()), (true, 0));
        assert_eq!(TransactionRecord::load(&new.encode()).unwrap(), new, "and what is written now is read too");
        assert!(TransactionRecord::load(&[9, 0]).is_err() && TransactionRecord::load(&[]).is_err());
    }
}
