//! An unsigned Ethereum transaction: the bytes whose Keccak-256 is signed, read completely or refused.

use super::address::Address;
use super::rlp::{Reader, RlpError};
use super::u256::U256;
use countersign_wire::evm::{MAX_ACCESSED_ADDRESSES, MAX_ACCESSED_KEYS};
use countersign_wire::limits::MAX_UNSIGNED_BYTES;

/// What would be signed, field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedTransaction {
    /// The chain on which alone it counts.
    pub chain_id: u64,
    /// The sender's count of transactions.
    pub nonce: u64,
    /// What it offers for gas; says of which type it is.
    pub fees: Fees,
    /// The most gas that it may use.
    pub gas_limit: u64,
    /// Gas limit × the most that it offers for one gas, in wei: the fee is never higher.
    pub max_fee_wei: U256,
    /// Where it goes; none where it creates a contract.
    pub to: Option<Address>,
    /// What it moves there, in wei.
    pub value_wei: U256,
    /// What it calls there, or the code of the contract that it creates.
    pub data: Vec<u8>,
    /// What it says that it will access (EIP-2930).
    pub access_list: Vec<Accessed>,
}

/// The price of one gas, in wei.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fees {
    /// A legacy transaction, bound to its chain as EIP-155 says.
    Legacy {
        /// The price.
        gas_price: U256,
    },
    /// EIP-2930: the same price, and an access list.
    AccessList {
        /// The price.
        gas_price: U256,
    },
    /// EIP-1559.
    Market {
        /// The most that is paid in all.
        max_fee_per_gas: U256,
        /// The part of it that the block's proposer may keep.
        max_priority_fee_per_gas: U256,
    },
}

impl Fees {
    /// The transaction type (EIP-2718).
    pub fn transaction_type(&self) -> u8 {
        match self {
            Fees::Legacy { .. } => 0,
            Fees::AccessList { .. } => 1,
            Fees::Market { .. } => 2,
        }
    }

    /// The most that one gas costs.
    pub fn highest(&self) -> U256 {
        match self {
            Fees::Legacy { gas_price } | Fees::AccessList { gas_price } => *gas_price,
            Fees::Market { max_fee_per_gas, .. } => *max_fee_per_gas,
        }
    }
}

/// An entry of an access list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accessed {
    /// Whose storage.
    pub address: Address,
    /// Which of its slots.
    pub storage_keys: Vec<[u8; 32]>,
}

/// Why bytes are not a transaction that is signed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// None, or too many bytes.
    #[error("expected an unsigned transaction of 1 to {MAX_UNSIGNED_BYTES} bytes, got {0}")]
    Length(usize),
    /// A type that is known and not supported, or not known.
    #[error("{0} is not supported: expected a legacy transaction, or one of EIP-2930 or EIP-1559")]
    Type(String),
    /// A field that is not encoded as it must be.
    #[error("{field}: {error}")]
    Encoding {
        /// Which.
        field: &'static str,
        /// What is wrong.
        error: RlpError,
    },
    /// An address or a storage key of another length.
    #[error("{field}: expected {expected} bytes, got {got}")]
    FieldLength {
        /// Which.
        field: &'static str,
        /// How long it is.
        expected: usize,
        /// How long it came.
        got: usize,
    },
    /// A legacy transaction that any chain would take.
    #[error("the legacy transaction names no chain: expected the nine items of EIP-155, which end in chain id, 0, 0")]
    NoChain,
    /// A transaction with a signature in it.
    #[error(
        "the legacy transaction ends in something else than chain id, 0, 0 (EIP-155): expected it without a signature"
    )]
    NotUnsigned,
    /// No block takes such a transaction.
    #[error("the priority fee is higher than the maximum fee")]
    PriorityAboveMaximum,
    /// No account has so much.
    #[error("the fee does not fit in 256 bits")]
    FeeOverflow,
    /// More entries than a limit allows.
    #[error("the access list has more than {MAX_ACCESSED_ADDRESSES} addresses or {MAX_ACCESSED_KEYS} storage keys")]
    AccessListTooLong,
}

/// Reads an unsigned transaction: all of the bytes, each field in its only encoding.
pub fn decode(unsigned: &[u8]) -> Result<UnsignedTransaction, TransactionError> {
    if unsigned.len() > MAX_UNSIGNED_BYTES {
        return Err(TransactionError::Length(unsigned.len()));
    }
    let unsupported = |name: &str| Err(TransactionError::Type(name.to_owned()));
    match unsigned.split_first() {
        None => Err(TransactionError::Length(0)),
        Some((0xc0.., _)) => legacy(items(unsigned)?),
        Some((1, rest)) => access_list_transaction(items(rest)?),
        Some((2, rest)) => market(items(rest)?),
        Some((3, _)) => unsupported("a blob transaction (type 3, EIP-4844)"),
        Some((4, _)) => unsupported("a transaction that sets an account's code (type 4, EIP-7702)"),
        Some((other, _)) => unsupported(&format!("a transaction of type {other}")),
    }
}

/// The items of the one list that `bytes` are.
fn items(bytes: &[u8]) -> Result<Reader<'_>, TransactionError> {
    let mut whole = Reader::new(bytes);
    let items = read("transaction", whole.list())?;
    read("transaction", whole.end())?;
    Ok(items)
}

fn read<T>(field: &'static str, result: Result<T, RlpError>) -> Result<T, TransactionError> {
    result.map_err(|error| TransactionError::Encoding { field, error })
}

fn legacy(mut items: Reader<'_>) -> Result<UnsignedTransaction, TransactionError> {
    let nonce = read("nonce", items.u64())?;
    let gas_price = read("gasPrice", items.u256())?;
    let call = Call::read(&mut items)?;
    if items.is_empty() {
        return Err(TransactionError::NoChain);
    }
    let chain_id = read("chainId", items.u64())?;
    for field in ["r", "s"] {
        if read(field, items.u256())? != U256::ZERO {
            return Err(TransactionError::NotUnsigned);
        }
    }
    read("transaction", items.end())?;
    call.with(chain_id, nonce, Fees::Legacy { gas_price }, Vec::new())
}

fn access_list_transaction(mut items: Reader<'_>) -> Result<UnsignedTransaction, TransactionError> {
    let chain_id = read("chainId", items.u64())?;
    let nonce = read("nonce", items.u64())?;
    let gas_price = read("gasPrice", items.u256())?;
    let call = Call::read(&mut items)?;
    let access_list = access_list(read("accessList", items.list())?)?;
    read("transaction", items.end())?;
    call.with(chain_id, nonce, Fees::AccessList { gas_price }, access_list)
}

fn market(mut items: Reader<'_>) -> Result<UnsignedTransaction, TransactionError> {
    let chain_id = read("chainId", items.u64())?;
    let nonce = read("nonce", items.u64())?;
    let max_priority_fee_per_gas = read("maxPriorityFeePerGas", items.u256())?;
    let max_fee_per_gas = read("maxFeePerGas", items.u256())?;
    if max_priority_fee_per_gas > max_fee_per_gas {
        return Err(TransactionError::PriorityAboveMaximum);
    }
    let call = Call::read(&mut items)?;
    let access_list = access_list(read("accessList", items.list())?)?;
    read("transaction", items.end())?;
    call.with(chain_id, nonce, Fees::Market { max_fee_per_gas, max_priority_fee_per_gas }, access_list)
}

/// The four fields that every type has in this order.
struct Call {
    gas_limit: u64,
    to: Option<Address>,
    value_wei: U256,
    data: Vec<u8>,
}

impl Call {
    fn read(items: &mut Reader<'_>) -> Result<Self, TransactionError> {
        Ok(Self {
            gas_limit: read("gasLimit", items.u64())?,
            to: match read("to", items.bytes())? {
                [] => None,
                bytes => Some(exactly("to", bytes)?),
            },
            value_wei: read("value", items.u256())?,
            data: read("data", items.bytes())?.to_vec(),
        })
    }

    fn with(
        self,
        chain_id: u64,
        nonce: u64,
        fees: Fees,
        access_list: Vec<Accessed>,
    ) -> Result<UnsignedTransaction, TransactionError> {
        let Self { gas_limit, to, value_wei, data } = self;
        let max_fee_wei = fees.highest().checked_mul(gas_limit).ok_or(TransactionError::FeeOverflow)?;
        Ok(UnsignedTransaction { chain_id, nonce, fees, gas_limit, max_fee_wei, to, value_wei, data, access_list })
    }
}

fn access_list(mut entries: Reader<'_>) -> Result<Vec<Accessed>, TransactionError> {
    let mut list = Vec::new();
    let mut keys = 0usize;
    while !entries.is_empty() {
        let mut entry = read("accessList", entries.list())?;
        let address = exactly("accessList address", read("accessList address", entry.bytes())?)?;
        let mut slots = read("accessList storageKeys", entry.list())?;
        read("accessList", entry.end())?;
        let mut storage_keys = Vec::new();
        while !slots.is_empty() {
            keys += 1;
            if keys > MAX_ACCESSED_KEYS {
                return Err(TransactionError::AccessListTooLong);
            }
            storage_keys.push(exactly("accessList storageKey", read("accessList storageKey", slots.bytes())?)?);
        }
        list.push(Accessed { address, storage_keys });
        if list.len() > MAX_ACCESSED_ADDRESSES {
            return Err(TransactionError::AccessListTooLong);
        }
    }
    Ok(list)
}

fn exactly<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], TransactionError> {
    bytes.try_into().map_err(|_| TransactionError::FieldLength { field, expected: N, got: bytes.len() })
}
