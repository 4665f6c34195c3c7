//! What a client's transaction asks for, read out of its raw body.
//!
//! Co-signers read the same bytes for themselves and are as strict: what is not understood completely is refused here,
//! with a sentence for the client, before anybody is asked.

mod body;
mod messages;
mod transactions;

pub use transactions::{TRANSFER_GAS, Wanted};

use crate::evm::transaction::Unsigned;
use body::{Body, Source};
use countersign_token::strict_json;
use countersign_wire::evm::Asset;
use countersign_wire::key::Operation;
use countersign_wire::limits::MAX_NAME_BYTES;
use countersign_wire::transaction::Digest;

/// Longest note in bytes.
pub const MAX_NOTE_BYTES: usize = 4 * 1024;

/// A transaction's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What is asked.
    pub operation: Operation,
    /// For which asset.
    pub asset: Asset,
    /// Of which vault account.
    pub vault_account: u32,
    /// The client's note.
    pub note: Option<String>,
    /// The client's own id for it.
    pub external_tx_id: Option<String>,
    /// What is to be signed.
    pub what: What,
}

/// What is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Messages, each as it is shown and as the digest that is signed for it.
    Messages(Vec<(String, Digest)>),
    /// A transaction that this workspace builds.
    Transfer(Wanted),
    /// A transaction that the client gives whole.
    Transaction(Unsigned),
}

/// A body that is not a transaction of this workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ContentError(String);

fn refused<T>(detail: impl Into<String>) -> Result<T, ContentError> {
    Err(ContentError(detail.into()))
}

impl Content {
    /// What is signed, in order: each as it is shown, and its digest. `built` are the bytes of the transaction that this
    /// workspace built; without them a transfer has nothing to sign yet.
    pub fn messages(&self, built: Option<&[u8]>) -> Vec<(String, Digest)> {
        match &self.what {
            What::Messages(messages) => messages.clone(),
            What::Transfer(_) | What::Transaction(_) => {
                let unsigned = self.unsigned(built);
                unsigned.iter().map(|u| (hex::encode(u.digest()), u.digest())).collect()
            }
        }
    }

    /// The unsigned transaction, where one is signed.
    pub fn unsigned(&self, built: Option<&[u8]>) -> Option<Unsigned> {
        match &self.what {
            What::Messages(_) => None,
            What::Transfer(_) => built.and_then(|bytes| Unsigned::read(bytes).ok()),
            What::Transaction(unsigned) => Some(unsigned.clone()),
        }
    }
}

/// Reads a body.
///
/// # Errors
/// It is not a transaction; the sentence says what was expected.
pub fn read(body: &[u8]) -> Result<Content, ContentError> {
    let mut body: Body = match strict_json::from_slice(body) {
        Ok(body) => body,
        Err(e) => return refused(format!("the body cannot be read: {e}")),
    };
    let known = [Operation::Raw, Operation::TypedMessage, Operation::Transfer, Operation::ContractCall];
    let Some(operation) = known.into_iter().find(|operation| operation.as_str() == body.operation) else {
        return refused(format!(
            "expected the operation RAW, TYPED_MESSAGE, TRANSFER or CONTRACT_CALL, got {:.80?}",
            body.operation
        ));
    };
    let Some(asset) = Asset::find(&body.asset_id) else {
        return refused(format!("asset {:.80?} is not supported", body.asset_id));
    };
    let vault_account = vault_account(&body.source)?;
    asset.path(vault_account).map_err(|e| ContentError(format!("vault account: {e}")))?;
    check_length("note", body.note.as_deref(), MAX_NOTE_BYTES)?;
    check_length("externalTxId", body.external_tx_id.as_deref(), MAX_NAME_BYTES)?;
    if body.external_tx_id.as_deref() == Some("") {
        return refused("expected an externalTxId that is not empty, or none");
    }
    let fees = body.max_fee.is_some() || body.priority_fee.is_some() || body.gas_limit.is_some();
    if fees && operation != Operation::Transfer {
        return refused("expected maxFee, priorityFee and gasLimit in a TRANSFER only");
    }
    let is_message = matches!(operation, Operation::Raw | Operation::TypedMessage);
    if is_message && (body.destination.is_some() || body.amount.is_some()) {
        return refused("expected destination and amount in a TRANSFER or CONTRACT_CALL only");
    }
    let (note, external_tx_id) = (body.note.take(), body.external_tx_id.take());
    let what = match operation {
        Operation::Transfer => What::Transfer(transactions::transfer(&body)?),
        Operation::ContractCall => What::Transaction(transactions::contract_call(body, &asset)?),
        Operation::Raw | Operation::TypedMessage => {
            let extra = body.extra_parameters.unwrap_or_default();
            let (Some(data), None) = (extra.raw_message_data, extra.unsigned_transaction) else {
                return refused("expected extraParameters to be {rawMessageData}");
            };
            What::Messages(messages::read(operation, &asset, vault_account, data)?)
        }
    };
    Ok(Content { operation, asset, vault_account, note, external_tx_id, what })
}

fn check_length(name: &str, value: Option<&str>, max: usize) -> Result<(), ContentError> {
    match value {
        Some(value) if value.len() > max => {
            refused(format!("expected {name} of at most {max} bytes, got {}", value.len()))
        }
        _ => Ok(()),
    }
}

/// A vault account's number, written in one way only.
fn vault_account(source: &Source) -> Result<u32, ContentError> {
    if source.r#type != "VAULT_ACCOUNT" {
        return refused(format!("expected a source of type VAULT_ACCOUNT, got {:.80?}", source.r#type));
    }
    match source.id.parse::<u32>() {
        Ok(number) if number.to_string() == source.id => Ok(number),
        _ => refused(format!("expected the id of a vault account such as \"0\", got {:.80?}", source.id)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
