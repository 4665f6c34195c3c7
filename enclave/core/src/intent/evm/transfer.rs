//! `TRANSFER`: the client says what it wants, the workspace builds the transaction, and every co-signer holds one against
//! the other. The nonce alone is the workspace's; the fee is, where the client says nothing, up to the asset's cap.

use super::amount::{GWEI_DECIMALS, decimal, written};
use super::destination::Destination;
use super::transaction::Fees;
use super::u256::U256;
use super::{UnsignedTransaction, admitted, differs};
use countersign_token::strict_json;
use countersign_wire::evm::Asset;
use countersign_wire::refusal::{Code, Refusal};
use serde::Deserialize;
use serde_json::Value;

/// What moving Ether to an address costs that runs no code.
pub const TRANSFER_GAS: u64 = 21_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Transfer {
    destination: Destination,
    amount: Value,
    gas_limit: Option<Value>,
    /// In Gwei, as the following.
    gas_price: Option<Value>,
    max_fee: Option<Value>,
    priority_fee: Option<Value>,
}

/// Reads the transaction that the workspace built, and holds it against what the client asked for. Says, too, what the
/// client left to the workspace.
pub(in crate::intent) fn transfer(
    members: Value,
    asset: &Asset,
    unsigned: Option<&[u8]>,
) -> Result<(UnsignedTransaction, Vec<&'static str>), Refusal> {
    let malformed = |detail: String| Refusal::new(Code::Malformed, detail);
    let asked: Transfer =
        strict_json::from_value(members).map_err(|e| malformed(format!("the body cannot be read: {e}")))?;
    let unsigned = unsigned.ok_or_else(|| {
        malformed("a TRANSFER comes with the unsigned transaction that the workspace built, and there is none".into())
    })?;
    let transaction = admitted(unsigned, asset)?;
    asked.destination.check(&transaction)?;
    let amount = units("amount", &asked.amount, asset.decimals)?;
    if amount != transaction.value_wei {
        let shown = |wei| decimal(wei, asset.decimals);
        return Err(differs("amount", shown(amount), shown(transaction.value_wei)));
    }
    if !transaction.data.is_empty() {
        return Err(differs("data", "nothing", format!("{} bytes", transaction.data.len())));
    }
    if !transaction.access_list.is_empty() {
        return Err(differs("access list", "nothing", format!("{} addresses", transaction.access_list.len())));
    }
    let gas_limit = match &asked.gas_limit {
        Some(limit) => units("gasLimit", limit, 0)?,
        None => U256::from(TRANSFER_GAS),
    };
    if gas_limit != U256::from(transaction.gas_limit) {
        return Err(differs("gas limit", gas_limit, transaction.gas_limit));
    }
    check_prices(&asked, &transaction.fees)?;
    let chosen = left_open(&asked, &transaction.fees);
    Ok((transaction, chosen))
}

/// Members of what handlers are shown, sorted.
fn left_open(asked: &Transfer, fees: &Fees) -> Vec<&'static str> {
    let mut open = vec!["countersign.evm.nonce", "countersign.evm.type"];
    let most = match fees {
        Fees::Legacy { .. } | Fees::AccessList { .. } => (&asked.gas_price, "countersign.evm.gasPrice"),
        Fees::Market { .. } => (&asked.max_fee, "countersign.evm.maxFeePerGas"),
    };
    if most.0.is_none() {
        open.extend([most.1, "countersign.evm.maxFee", "fee"]);
    }
    if matches!(fees, Fees::Market { .. }) && asked.priority_fee.is_none() {
        open.push("countersign.evm.maxPriorityFeePerGas");
    }
    open.sort_unstable();
    open
}

/// A price that the client gave is the transaction's, and the transaction has such a price.
fn check_prices(asked: &Transfer, fees: &Fees) -> Result<(), Refusal> {
    let (gas_price, max_fee, priority_fee) = match fees {
        Fees::Legacy { gas_price } | Fees::AccessList { gas_price } => (Some(*gas_price), None, None),
        Fees::Market { max_fee_per_gas, max_priority_fee_per_gas } => {
            (None, Some(*max_fee_per_gas), Some(*max_priority_fee_per_gas))
        }
    };
    for (name, asked, got) in [
        ("gasPrice", &asked.gas_price, gas_price),
        ("maxFee", &asked.max_fee, max_fee),
        ("priorityFee", &asked.priority_fee, priority_fee),
    ] {
        let Some(asked) = asked else { continue };
        let expected = units(name, asked, GWEI_DECIMALS)?;
        if got != Some(expected) {
            let gwei = |wei| format!("{} Gwei", decimal(wei, GWEI_DECIMALS));
            let got = got.map_or_else(|| "none: it is of another type".to_owned(), gwei);
            return Err(differs(name, gwei(expected), got));
        }
    }
    Ok(())
}

fn units(name: &str, value: &Value, decimals: usize) -> Result<U256, Refusal> {
    written(value, decimals).map_err(|e| Refusal::new(Code::Malformed, format!("{name}: {e}")))
}
