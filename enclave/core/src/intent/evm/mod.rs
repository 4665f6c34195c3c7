//! Ethereum transactions: what a client gives or asks for, and the bytes that are signed for it.

pub mod address;
pub mod amount;
mod contract_call;
mod destination;
#[cfg(test)]
pub(crate) mod examples;
mod rlp;
pub mod transaction;
#[cfg(test)]
mod transaction_tests;
mod transfer;
pub mod u256;

pub(super) use contract_call::contract_call;
pub use transaction::UnsignedTransaction;
pub(super) use transfer::transfer;

use amount::decimal;
use countersign_wire::evm::Asset;
use countersign_wire::refusal::{Code, Refusal};
use u256::U256;

/// Reads bytes that are to be signed for an asset: a transaction of its chain, within its cap on fees.
fn admitted(unsigned: &[u8], asset: &Asset) -> Result<UnsignedTransaction, Refusal> {
    let transaction = transaction::decode(unsigned)
        .map_err(|e| Refusal::new(Code::Malformed, format!("the unsigned transaction: {e}")))?;
    if transaction.chain_id != asset.chain_id {
        let (got, expected) = (transaction.chain_id, asset.chain_id);
        let detail = format!("the transaction is for chain {got}, expected {expected}, the chain of {}", asset.id);
        return Err(Refusal::new(Code::Mismatch, detail));
    }
    let cap = U256::from(asset.max_fee_wei);
    if transaction.max_fee_wei > cap {
        let (fee, cap) = (decimal(transaction.max_fee_wei, asset.decimals), decimal(cap, asset.decimals));
        let detail = format!(
            "the fee may be up to {fee} {0}, at most {cap} {0} are allowed: lower the gas limit or the price of gas",
            asset.id
        );
        return Err(Refusal::new(Code::FeeTooHigh, detail));
    }
    Ok(transaction)
}

/// A field of the transaction that is not what the client asked for (threat T11).
fn differs(field: &str, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::Mismatch, format!("the transaction's {field} is {got}, the request says {expected}"))
}
