//! TRANSFER and CONTRACT_CALL.

use super::body::{Body, ExtraParameters, Number, Plain};
use super::{ContentError, refused};
use crate::asset::Asset;
use crate::evm::amount::{wei, wei_of_gwei};
use crate::evm::transaction::Unsigned;
use alloy_primitives::{Address, U256};
use countersign_wire::limits::MAX_UNSIGNED_BYTES;

/// Gas of a transfer to an account without code.
pub const TRANSFER_GAS: u64 = 21_000;
/// Most gas that a transfer may ask for: a block of the main chain.
const MAX_GAS: u64 = 60_000_000;

/// What a client wants transferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// To whom.
    pub to: Address,
    /// How much, as the client wrote it.
    pub amount: String,
    /// How much, in Wei.
    pub value: U256,
    /// Most units of gas.
    pub gas_limit: u64,
    /// Highest fee of a unit of gas, in Wei, where the client says it.
    pub max_fee: Option<u128>,
    /// Of it for whoever makes the block, in Wei, where the client says it.
    pub priority_fee: Option<u128>,
}

fn text<'n>(name: &str, number: &'n Number) -> Result<&'n str, ContentError> {
    match number {
        Number::Text(text) => Ok(text),
        Number::Number(number) => refused(format!("expected {name} as a text, which has one reading: \"{number}\"")),
    }
}

pub(super) fn transfer(body: &Body) -> Result<Wanted, ContentError> {
    let extra = body.extra_parameters.as_ref();
    if extra.is_some_and(|e| e.raw_message_data.is_some() || e.unsigned_transaction.is_some()) {
        return refused("expected a TRANSFER to have no extraParameters: its transaction is built here");
    }
    if !matches!(body.treat_as_gross_amount, None | Some(Plain::Flag(false))) {
        return refused(
            "expected treatAsGrossAmount to be false or absent: the amount arrives, the fee is paid on top",
        );
    }
    let Some(destination) = body.destination.as_ref().filter(|d| d.r#type == "ONE_TIME_ADDRESS") else {
        return refused("expected a destination of type ONE_TIME_ADDRESS with its oneTimeAddress");
    };
    let Some(one_time) = destination.one_time_address.as_ref().filter(|a| a.tag.as_deref().unwrap_or("").is_empty())
    else {
        return refused("expected destination.oneTimeAddress with an address and without a tag");
    };
    let Some(amount) = &body.amount else { return refused("expected an amount such as \"0.01\"") };
    let amount = text("amount", amount)?;
    let named = |name: &str, e: &dyn std::fmt::Display| ContentError(format!("{name}: {e}"));
    let fee = |name: &str, number: &Option<Number>| match number {
        None => Ok(None),
        Some(number) => wei_of_gwei(text(name, number)?).map(Some).map_err(|e| named(name, &e)),
    };
    let gas_limit = match &body.gas_limit {
        None => TRANSFER_GAS,
        Some(number) => {
            let digits = text("gasLimit", number)?;
            let gas = digits.parse::<u64>().ok().filter(|gas| gas.to_string() == digits);
            match gas.filter(|gas| (TRANSFER_GAS..=MAX_GAS).contains(gas)) {
                Some(gas) => gas,
                None => return refused(format!("gasLimit: expected {TRANSFER_GAS} to {MAX_GAS}, got {digits:.40?}")),
            }
        }
    };
    Ok(Wanted {
        to: crate::evm::address(&one_time.address).map_err(|e| named("destination", &e))?,
        amount: amount.to_owned(),
        value: wei(amount).map_err(|e| named("amount", &e))?,
        gas_limit,
        max_fee: fee("maxFee", &body.max_fee)?,
        priority_fee: fee("priorityFee", &body.priority_fee)?,
    })
}

pub(super) fn contract_call(body: Body, asset: &Asset) -> Result<Unsigned, ContentError> {
    let ExtraParameters { raw_message_data, unsigned_transaction } = body.extra_parameters.unwrap_or_default();
    let (None, Some(given)) = (raw_message_data, unsigned_transaction) else {
        return refused("expected extraParameters of a CONTRACT_CALL to be {unsignedTransaction}");
    };
    let bytes = given.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
    let Some(bytes) = bytes.filter(|bytes| bytes.len() <= MAX_UNSIGNED_BYTES) else {
        return refused(format!(
            "unsignedTransaction: expected 0x and hexadecimal digits, {MAX_UNSIGNED_BYTES} bytes at most"
        ));
    };
    let unsigned = Unsigned::read(&bytes).map_err(|e| ContentError(format!("unsignedTransaction: {e}")))?;
    if unsigned.chain_id() != Some(asset.chain_id) {
        let got = unsigned.chain_id().unwrap_or_default();
        return refused(format!("unsignedTransaction: expected chain {} of {}, got {got}", asset.chain_id, asset.id));
    }
    Ok(unsigned)
}
