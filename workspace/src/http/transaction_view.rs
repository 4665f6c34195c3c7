//! How a transaction is shown.

use super::callback_view;
use super::errors::ApiError;
use crate::ceremony::{TransactionRecord, TransactionStatus};
use crate::clock::now_ms;
use crate::content::{self, Content, What};
use crate::store::transactions::StoredTransaction;
use countersign_wire::refusal::{Code, Refusal};
use serde_json::{Value, json};

/// The sub-status: why a transaction ended as it did, or that a signature may exist all the same.
fn sub_status(record: &TransactionRecord, now_ms: u64) -> String {
    let code = || record.reason.as_ref().map(|r| r.code.as_str().to_uppercase()).unwrap_or_default();
    match record.status {
        TransactionStatus::Cancelled | TransactionStatus::Timeout | TransactionStatus::Failed
            if record.signature_may_exist(now_ms) =>
        {
            "SIGNATURE_MAY_EXIST".to_owned()
        }
        TransactionStatus::Rejected if record.reason.as_ref().is_some_and(|r| r.code == Code::Rejected) => {
            "REJECTED_BY_CALLBACK_HANDLER".to_owned()
        }
        TransactionStatus::PendingAuthorization if record.waiting => "WAITING_FOR_CALLBACK_HANDLER".to_owned(),
        status if status.is_final() => code(),
        _ => String::new(),
    }
}

fn refusal(refusal: &Refusal) -> Value {
    json!({"code": refusal.code.as_str(), "detail": refusal.detail.as_str()})
}

fn signed_messages(record: &TransactionRecord, messages: &[(String, [u8; 32])]) -> Vec<Value> {
    let signed = messages.iter().zip(&record.signatures);
    let shown = signed.filter_map(|((content, _), signature)| {
        let signature = signature.as_ref()?;
        let (r, s) = (hex::encode(signature.r), hex::encode(signature.s));
        Some(json!({
            "content": content,
            "algorithm": "MPC_ECDSA_SECP256K1",
            "derivationPath": record.path.elements(),
            "publicKey": hex::encode(record.public_key),
            "signature": {"fullSig": format!("{r}{s}"), "r": r, "s": s, "v": signature.v},
        }))
    });
    shown.collect()
}

/// What people read while it is not over.
fn system_messages(record: &TransactionRecord) -> Vec<Value> {
    if record.status.is_final() {
        return Vec::new();
    }
    let asked_again = callback_view::asked_again(&record.attempts);
    let trouble = record.reason.as_ref().map(ToString::to_string);
    asked_again.into_iter().chain(trouble).map(|message| json!({"type": "WARN", "message": message})).collect()
}

/// What is true of transactions of the chain only.
fn add_chain(shown: &mut Value, record: &TransactionRecord, content: &Content) {
    let Some(unsigned) = content.unsigned(record.request.unsigned.as_deref()) else { return };
    shown["nonce"] = unsigned.nonce().to_string().into();
    shown["destinationAddress"] = unsigned.to().unwrap_or_default().into();
    shown["countersign"]["unsignedTransaction"] = format!("0x{}", hex::encode(unsigned.bytes())).into();
    if let What::Transfer(wanted) = &content.what {
        shown["amountInfo"] = json!({"amount": wanted.amount, "requestedAmount": wanted.amount});
        shown["gasLimit"] = wanted.gas_limit.to_string().into();
        shown["destination"] = json!({"type": "ONE_TIME_ADDRESS", "id": ""});
        shown["addressType"] = "ONE_TIME".into();
    }
    if let Some(Some(signature)) = record.signatures.first() {
        let raw = unsigned.signed(signature);
        shown["txHash"] = raw.hash.into();
        shown["countersign"]["signedTransaction"] = raw.bytes.into();
    }
}

/// A transaction as the API shows it. Nothing is broadcast by this workspace: `countersign.signedTransaction` is the
/// client's to send.
///
/// # Errors
/// What is stored cannot be read.
pub fn shown(stored: &StoredTransaction) -> Result<Value, ApiError> {
    let record = &stored.record;
    let content = content::read(&record.request.body).map_err(|e| ApiError::internal(&e))?;
    let messages = content.messages(record.request.unsigned.as_deref());
    let body: Value = serde_json::from_slice(&record.request.body).map_err(|e| ApiError::internal(&e))?;
    let ended = record.status.is_final();
    let rejected = record.status == TransactionStatus::Rejected;
    let completed = record.status == TransactionStatus::Completed;
    let reason = record.reason.as_ref();
    let failed = reason.filter(|_| ended && !completed);
    let signer = record.request.signer.as_str();
    let mut shown = json!({
        "id": record.request.transaction.to_string(),
        "externalTxId": stored.external_tx_id,
        "status": record.status.as_str(),
        "subStatus": sub_status(record, now_ms()),
        "errorDescription": failed.map(|r| r.detail.as_str()).unwrap_or_default(),
        "operation": record.operation.as_str(),
        "note": content.note.clone().unwrap_or_default(),
        "assetId": content.asset.id,
        "source": {"type": "VAULT_ACCOUNT", "id": content.vault_account.to_string()},
        "createdAt": record.created_at_ms,
        "lastUpdated": record.updated_at_ms,
        "createdBy": stored.initiator,
        "signedBy": if completed { vec![signer] } else { Vec::new() },
        "rejectedBy": if rejected { signer } else { "" },
        "signerId": signer,
        "keyId": record.request.key.to_string(),
        "extraParameters": body.get("extraParameters"),
        "signedMessages": signed_messages(record, &messages),
        "rejection": failed.map(refusal),
        "systemMessages": system_messages(record),
        "countersign": {"callback": callback_view::shown(&record.attempts, ended)},
    });
    add_chain(&mut shown, record, &content);
    Ok(shown)
}
