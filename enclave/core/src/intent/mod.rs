//! What a client asked for: its request's body decoded into what would be signed, and the proof that the client asked.

mod body;
mod decoded;
mod eip191;
mod eip712;
mod evm;
mod keccak;
mod message;
mod token;

pub use body::decode;
pub use decoded::{Decoded, Message, Written};
pub(crate) use eip191::enveloped as eip191_enveloped;
pub use evm::address::{checksummed, ethereum_address};
pub use evm::amount::decimal;
#[cfg(test)]
pub(crate) use evm::examples;
pub use evm::transaction::{Fees, UnsignedTransaction};
pub use evm::u256::U256;
pub(crate) use keccak::keccak256;
pub use token::{verify_initiator, verify_intent};
