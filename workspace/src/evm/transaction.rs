//! Unsigned transactions, and what becomes of them once signed.

use alloy_consensus::{SignableTransaction, Transaction, TxEip1559, TypedTransaction};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use alloy_rlp::Decodable;
use countersign_wire::key::EcdsaSignature;
use countersign_wire::transaction::Digest;

/// Type of an EIP-1559 transaction.
const EIP_1559: u8 = 2;

/// What a transfer is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The chain.
    pub chain_id: u64,
    /// How many of the account's transactions come before it.
    pub nonce: u64,
    /// To whom.
    pub to: Address,
    /// How much, in Wei.
    pub value: U256,
    /// Most units of gas.
    pub gas_limit: u64,
    /// Highest fee of a unit of gas, in Wei.
    pub max_fee: u128,
    /// Of it for whoever makes the block, in Wei.
    pub priority_fee: u128,
}

/// An unsigned transaction (EIP-1559).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned(TypedTransaction);

/// A signed transaction as the chain takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Its bytes, hex behind `0x`.
    pub bytes: String,
    /// Its hash, hex behind `0x`.
    pub hash: String,
}

impl Unsigned {
    /// A transfer.
    pub fn transfer(transfer: &Transfer) -> Self {
        Self(TypedTransaction::Eip1559(TxEip1559 {
            chain_id: transfer.chain_id,
            nonce: transfer.nonce,
            gas_limit: transfer.gas_limit,
            max_fee_per_gas: transfer.max_fee,
            max_priority_fee_per_gas: transfer.priority_fee,
            to: TxKind::Call(transfer.to),
            value: transfer.value,
            access_list: AccessList::default(),
            input: Bytes::new(),
        }))
    }

    /// Reads the bytes that are hashed for a signature: each transaction has exactly one such encoding.
    ///
    /// # Errors
    /// They are not those of an EIP-1559 transaction.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let expected =
            |why: &str| format!("expected an unsigned EIP-1559 transaction (0x02 and a list of nine items): {why}");
        let Some((&EIP_1559, mut list)) = bytes.split_first() else {
            return Err(expected("its first byte is not 0x02"));
        };
        let transaction = TxEip1559::decode(&mut list).map_err(|e| expected(&e.to_string()))?;
        let this = Self(TypedTransaction::Eip1559(transaction));
        if !list.is_empty() || this.bytes() != bytes {
            return Err(expected("it is not encoded in the one way"));
        }
        Ok(this)
    }

    /// The bytes that are hashed for a signature.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.encode_for_signing(&mut bytes);
        bytes
    }

    /// What is signed.
    pub fn digest(&self) -> Digest {
        self.0.signature_hash().0
    }

    /// The chain.
    pub fn chain_id(&self) -> Option<u64> {
        self.0.chain_id()
    }

    /// Its nonce.
    pub fn nonce(&self) -> u64 {
        self.0.nonce()
    }

    /// To whom it goes, with its checksum; none where it makes a contract.
    pub fn to(&self) -> Option<String> {
        self.0.to().map(|to| to.to_checksum(None))
    }

    /// The transaction with its signature.
    pub fn signed(&self, signature: &EcdsaSignature) -> Raw {
        let (r, s) = (U256::from_be_bytes(signature.r), U256::from_be_bytes(signature.s));
        let signature = Signature::new(r, s, signature.v & 1 == 1);
        let envelope = alloy_consensus::TxEnvelope::from(self.0.clone().into_signed(signature));
        let hash = format!("0x{}", hex::encode(envelope.tx_hash()));
        Raw { bytes: format!("0x{}", hex::encode(envelope.encoded_2718())), hash }
    }
}
