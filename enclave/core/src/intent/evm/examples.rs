//! Transactions for tests, encoded by another implementation.

use super::address::Address;
use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address as TheirAddress, TxKind, U256};

/// An address with letters in both cases.
pub const TO: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
/// One Gwei in wei.
pub const GWEI: u128 = 1_000_000_000;

/// Where [`TO`] is.
pub fn to() -> Address {
    TO.parse::<TheirAddress>().map(|address| address.into_array()).unwrap_or_default()
}

/// Half an Ether to [`TO`] on the main chain, for at most 30 Gwei a gas.
pub fn transfer() -> TxEip1559 {
    TxEip1559 {
        chain_id: 1,
        nonce: 7,
        gas_limit: 21_000,
        max_fee_per_gas: 30 * GWEI,
        max_priority_fee_per_gas: 2 * GWEI,
        to: TxKind::Call(to().into()),
        value: U256::from(500_000_000_000_000_000u64),
        access_list: AccessList::default(),
        input: Vec::new().into(),
    }
}

/// The same as a legacy transaction.
pub fn legacy() -> TxLegacy {
    let TxEip1559 { chain_id, nonce, gas_limit, max_fee_per_gas, to, value, input, .. } = transfer();
    TxLegacy { chain_id: Some(chain_id), nonce, gas_price: max_fee_per_gas, gas_limit, to, value, input }
}

/// A call of ERC-20's `transfer(TO, 1)`, which moves no Ether.
pub fn call() -> TxEip1559 {
    let data = [vec![0xa9, 0x05, 0x9c, 0xbb], vec![0; 12], to().to_vec(), vec![0; 31], vec![1]].concat();
    TxEip1559 { gas_limit: 65_000, value: U256::ZERO, input: data.into(), ..transfer() }
}

/// The bytes that are signed.
pub fn unsigned(transaction: &impl SignableTransaction<alloy_primitives::Signature>) -> Vec<u8> {
    transaction.encoded_for_signing()
}
