//! `CONTRACT_CALL`: the client gives the whole unsigned transaction. What it says beside it must not contradict it.

use super::amount::{decimal, written};
use super::destination::Destination;
use super::{UnsignedTransaction, admitted, differs};
use countersign_token::strict_json;
use countersign_wire::evm::Asset;
use countersign_wire::limits::MAX_UNSIGNED_BYTES;
use countersign_wire::refusal::{Code, Refusal};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ContractCall {
    extra_parameters: ExtraParameters,
    destination: Option<Destination>,
    amount: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExtraParameters {
    unsigned_transaction: String,
}

/// The bytes that the client gave, and what they say.
pub(in crate::intent) fn contract_call(
    members: Value,
    asset: &Asset,
) -> Result<(Vec<u8>, UnsignedTransaction), Refusal> {
    let malformed = |detail: String| Refusal::new(Code::Malformed, detail);
    let asked: ContractCall =
        strict_json::from_value(members).map_err(|e| malformed(format!("the body cannot be read: {e}")))?;
    let unsigned = asked.extra_parameters.unsigned_transaction;
    let digits = unsigned.strip_prefix("0x").filter(|digits| digits.len() <= 2 * MAX_UNSIGNED_BYTES);
    let unsigned = digits.and_then(|digits| hex::decode(digits).ok()).ok_or_else(|| {
        malformed(format!("expected unsignedTransaction to be 0x and the digits of at most {MAX_UNSIGNED_BYTES} bytes"))
    })?;
    let transaction = admitted(&unsigned, asset)?;
    if let Some(destination) = asked.destination {
        destination.check(&transaction)?;
    }
    if let Some(amount) = asked.amount {
        let amount = written(&amount, asset.decimals).map_err(|e| malformed(format!("amount: {e}")))?;
        if amount != transaction.value_wei {
            let shown = |wei| decimal(wei, asset.decimals);
            return Err(differs("amount", shown(amount), shown(transaction.value_wei)));
        }
    }
    Ok((unsigned, transaction))
}
