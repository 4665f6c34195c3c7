//! What the customer's co-signer answers when it is asked to authorise.

use super::record::{TransactionRecord, TransactionStatus};
use countersign_wire::group::Group;
use countersign_wire::ids::WorkspaceId;
use countersign_wire::key::Algorithm;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::Authorisation;
use countersign_wire::{Message, Signed};

/// Opens an Authorisation and compares it with what this workspace decoded from the client's body itself.
pub(super) fn check(
    signed: &Signed<Authorisation>,
    record: &TransactionRecord,
    group: &Group,
    workspace: WorkspaceId,
) -> Result<Authorisation, Refusal> {
    let mismatch = |what: &str| Refusal::new(Code::Mismatch, format!("the Authorisation is for another {what}"));
    let customer = group.customer().ok_or_else(|| mismatch("group"))?;
    let word = signed.open(&customer.0).map_err(|e| Refusal::new(Code::NotAuthorised, e.to_string()))?;
    let request = &record.request;
    let paths_fit = word.paths.len() == record.digests.len() && word.paths.iter().all(|path| *path == record.path);
    let checks = [
        (word.workspace == workspace, "workspace"),
        (word.transaction == request.transaction, "transaction"),
        (word.request_hash == request.digest(), "request"),
        (word.operation == record.operation, "operation"),
        (*word.digests == *record.digests, "list of digests"),
        (word.algorithm == Algorithm::EcdsaSecp256k1, "algorithm"),
        (word.key == request.key, "key"),
        (paths_fit, "derivation path"),
        (word.group == request.group && word.group == group.id, "group"),
        (word.signer == request.signer, "signer"),
    ];
    match checks.into_iter().find(|(fits, _)| !fits) {
        Some((_, what)) => Err(mismatch(what)),
        None => Ok(word),
    }
}

/// How a transaction ends that the customer's co-signer refuses for good: REJECTED where its handler or its settings said
/// no, FAILED where something did not work.
pub(super) fn status_of_refusal(code: Code) -> TransactionStatus {
    match code {
        Code::Busy
        | Code::Timeout
        | Code::Internal
        | Code::NotYet
        | Code::Cancelled
        | Code::Dns
        | Code::Connect
        | Code::TlsUntrusted
        | Code::HttpStatus
        | Code::BadSignature
        | Code::RequestIdMismatch
        | Code::AnswerMalformed
        | Code::AnswerTooLarge
        | Code::AnswerExpired
        | Code::AddressDenied
        | Code::Redirect
        | Code::CallbackTimeout
        | Code::ActionUnsupported
        | Code::Retry
        | Code::HandlerChanged
        | Code::ConnectionLost
        | Code::Ignored
        | Code::PinMismatch
        | Code::Storage
        | Code::KeyService
        | Code::KeyPending => TransactionStatus::Failed,
        _ => TransactionStatus::Rejected,
    }
}

/// Whether the customer's co-signer is asked again. A callback that failed is not: the request fails, and whoever wants
/// another try asks with a request of its own.
pub(super) fn may_ask_again(code: Code) -> bool {
    matches!(
        code,
        Code::Busy
            | Code::Timeout
            | Code::Internal
            | Code::NotYet
            | Code::KeyPending
            | Code::Storage
            | Code::Conflict
            | Code::Retry
    )
}

/// Whether a refusal of a session can be another answer in a moment.
pub(super) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Busy
            | Code::Timeout
            | Code::Internal
            | Code::NotYet
            | Code::Cancelled
            | Code::Channel
            | Code::ProtocolAborted
            | Code::CoordinatorInconsistent
            | Code::ExecutionRepeated
            | Code::KeyPending
            | Code::SessionOver
            | Code::Storage
            | Code::KeyService
    )
}
