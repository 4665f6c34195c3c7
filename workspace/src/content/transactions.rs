//! TRANSFER and CONTRACT_CALL.

use super::body::{Body, Destination, ExtraParameters, Number, Plain};
use super::{ContentError, refused};
use crate::evm::amount::{wei, wei_of_gwei};
use crate::evm::transaction::Unsigned;
use alloy_primitives::{Address, U256};
use countersign_wire::evm::Asset;
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

/// A number as the client wrote it. A JSON number with a fraction is rounded by who reads it: it is not taken.
fn text(name: &str, number: &Number) -> Result<String, ContentError> {
    match number {
        Number::Text(text) => Ok(text.clone()),
        Number::Number(number) if number.is_u64() => Ok(number.to_string()),
        Number::Number(number) => refused(format!("expected {name} as a text, which is exact: \"{number}\"")),
    }
}

fn named(name: &str, e: &dyn std::fmt::Display) -> ContentError {
    ContentError(format!("{name}: {e}"))
}

fn recipient(destination: &Destination) -> Result<Address, ContentError> {
    let one_time = destination.one_time_address.as_ref().filter(|_| destination.r#type == "ONE_TIME_ADDRESS");
    match one_time.filter(|a| a.tag.as_deref().unwrap_or_default().is_empty()) {
        Some(one_time) => crate::evm::address(&one_time.address).map_err(|e| named("destination", &e)),
        None => {
            refused("expected a destination of type ONE_TIME_ADDRESS, its oneTimeAddress with an address and no tag")
        }
    }
}

fn gas_limit(number: &Number) -> Result<u64, ContentError> {
    let digits = text("gasLimit", number)?;
    let gas = digits.parse::<u64>().ok().filter(|gas| gas.to_string() == digits);
    match gas.filter(|gas| (TRANSFER_GAS..=MAX_GAS).contains(gas)) {
        Some(gas) => Ok(gas),
        None => refused(format!("gasLimit: expected {TRANSFER_GAS} to {MAX_GAS}, got {digits:.40?}")),
    }
}

/// An amount that includes the fee, a whole balance, somebody else who pays: none of that is what would be signed.
fn check_nothing_else_is_asked(body: &Body) -> Result<(), ContentError> {
    let flags = [
        ("treatAsGrossAmount", &body.treat_as_gross_amount),
        ("forceSweep", &body.force_sweep),
        ("useGasless", &body.use_gasless),
    ];
    match flags.into_iter().find(|(_, flag)| !matches!(flag, None | Some(Plain::Flag(false)))) {
        Some((name, _)) => refused(format!("expected {name} to be false or absent: it is not supported")),
        None => Ok(()),
    }
}

pub(super) fn transfer(body: &Body) -> Result<Wanted, ContentError> {
    check_nothing_else_is_asked(body)?;
    if body.extra_parameters.is_some() {
        return refused("expected a TRANSFER to have no extraParameters: its transaction is built here");
    }
    let Some(destination) = &body.destination else { return refused("expected a destination") };
    let Some(amount) = &body.amount else { return refused("expected an amount such as \"0.01\"") };
    let amount = text("amount", amount)?;
    let fee = |name: &str, number: &Option<Number>| match number {
        None => Ok(None),
        Some(number) => wei_of_gwei(&text(name, number)?).map(Some).map_err(|e| named(name, &e)),
    };
    Ok(Wanted {
        to: recipient(destination)?,
        value: wei(&amount).map_err(|e| named("amount", &e))?,
        amount,
        gas_limit: body.gas_limit.as_ref().map_or(Ok(TRANSFER_GAS), gas_limit)?,
        max_fee: fee("maxFee", &body.max_fee)?,
        priority_fee: fee("priorityFee", &body.priority_fee)?,
    })
}

pub(super) fn contract_call(mut body: Body, asset: &Asset) -> Result<Unsigned, ContentError> {
    check_nothing_else_is_asked(&body)?;
    let ExtraParameters { raw_message_data, unsigned_transaction } = body.extra_parameters.take().unwrap_or_default();
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
    if let Some(destination) = &body.destination
        && Some(recipient(destination)?.to_checksum(None)) != unsigned.to()
    {
        return refused("expected destination to be that of unsignedTransaction, or absent");
    }
    if let Some(amount) = &body.amount
        && wei(&text("amount", amount)?).map_err(|e| named("amount", &e))? != unsigned.value()
    {
        return refused("expected amount to be the value of unsignedTransaction, or absent");
    }
    Ok(unsigned)
}
