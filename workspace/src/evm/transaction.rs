//! Unsigned transactions, and what becomes of them once signed.

use alloy_consensus::{SignableTransaction, Transaction, TxEip1559, TxEip2930, TxLegacy, TypedTransaction};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use alloy_rlp::Decodable;
use countersign_wire::evm::{MAX_ACCESSED_ADDRESSES, MAX_ACCESSED_KEYS};
use countersign_wire::key::EcdsaSignature;
use countersign_wire::transaction::Digest;

/// The types of transactions (EIP-2718) that are read beside legacy ones, which begin with a list.
const EIP_2930: u8 = 1;
const EIP_1559: u8 = 2;
const FIRST_OF_A_LIST: u8 = 0xc0;

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

/// An unsigned transaction: EIP-1559, EIP-2930, or legacy bound to its chain (EIP-155).
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
    /// They are not those of a transaction of one chain.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let malformed = |e: alloy_rlp::Error| format!("it cannot be read: {e}");
        let (transaction, rest) = match bytes.split_first() {
            Some((&EIP_1559, mut rest)) => {
                (TypedTransaction::Eip1559(TxEip1559::decode(&mut rest).map_err(malformed)?), rest)
            }
            Some((&EIP_2930, mut rest)) => {
                (TypedTransaction::Eip2930(TxEip2930::decode(&mut rest).map_err(malformed)?), rest)
            }
            Some((&first, _)) if first >= FIRST_OF_A_LIST => {
                let mut rest = bytes;
                (TypedTransaction::Legacy(TxLegacy::decode(&mut rest).map_err(malformed)?), rest)
            }
            _ => {
                return Err(
                    "expected an unsigned transaction of EIP-1559 (0x02), EIP-2930 (0x01) or EIP-155".to_owned()
                );
            }
        };
        let this = Self(transaction);
        if !rest.is_empty() || this.bytes() != bytes {
            return Err("it is not encoded in the one way of an unsigned transaction".to_owned());
        }
        if this.chain_id().is_none() {
            return Err("expected a legacy transaction to name its chain (EIP-155)".to_owned());
        }
        let priority_fee = this.0.max_priority_fee_per_gas().unwrap_or_default();
        if priority_fee > this.0.max_fee_per_gas() {
            return Err("its maxPriorityFeePerGas is above its maxFeePerGas, of which it is a part".to_owned());
        }
        let list = this.0.access_list().map(|list| list.0.as_slice()).unwrap_or_default();
        let keys = list.iter().map(|item| item.storage_keys.len()).fold(0, usize::saturating_add);
        if list.len() > MAX_ACCESSED_ADDRESSES || keys > MAX_ACCESSED_KEYS {
            return Err(format!(
                "expected at most {MAX_ACCESSED_ADDRESSES} addresses and {MAX_ACCESSED_KEYS} storage keys in its access list"
            ));
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

    /// What it costs at most, in Wei: gas limit × highest price of one gas.
    pub fn max_fee_wei(&self) -> U256 {
        U256::from(self.0.gas_limit()).saturating_mul(U256::from(self.0.max_fee_per_gas()))
    }

    /// What it moves, in Wei.
    pub fn value(&self) -> U256 {
        self.0.value()
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use alloy_consensus::TxEnvelope;
    use alloy_consensus::transaction::SignerRecoverable;
    use alloy_eips::eip2718::Decodable2718;
    use alloy_primitives::keccak256;
    use k256::ecdsa::SigningKey;

    pub fn transfer() -> Transfer {
        Transfer {
            chain_id: 1,
            nonce: 7,
            to: crate::evm::address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed").unwrap(),
            value: U256::from(10_000_000_000_000_000u64),
            gas_limit: 21_000,
            max_fee: 30_000_000_000,
            priority_fee: 1_000_000_000,
        }
    }

    /// The example of EIP-155: its signing data and the hash that the EIP states.
    #[test]
    fn the_example_of_eip_155_is_read_and_has_the_hash_that_it_states() {
        let data = "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";
        let unsigned = Unsigned::read(&hex::decode(data).unwrap()).unwrap();
        assert_eq!((unsigned.chain_id(), unsigned.nonce()), (Some(1), 9));
        let expected = "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53";
        assert_eq!(hex::encode(unsigned.digest()), expected);
        assert!(Unsigned::read(&hex::decode(&data.replacen("ec09", "e909", 1)[..84]).unwrap()).is_err(), "no chain");
    }

    #[test]
    fn what_is_signed_is_recovered_to_the_signers_address() {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let unsigned = Unsigned::transfer(&transfer());
        assert_eq!(keccak256(unsigned.bytes()).0, unsigned.digest());
        assert_eq!(Unsigned::read(&unsigned.bytes()), Ok(unsigned.clone()));
        let (signature, parity) = key.sign_prehash_recoverable(&unsigned.digest()).unwrap();
        let (r, s) = (signature.r().to_bytes().into(), signature.s().to_bytes().into());
        let raw = unsigned.signed(&EcdsaSignature { r, s, v: parity.to_byte() });
        let bytes = hex::decode(&raw.bytes[2..]).unwrap();
        assert_eq!(raw.hash, format!("0x{}", hex::encode(keccak256(&bytes))));
        let envelope = TxEnvelope::decode_2718(&mut bytes.as_slice()).unwrap();
        let signer = Address::from_public_key(key.verifying_key());
        assert_eq!(envelope.recover_signer().unwrap(), signer);
        assert_eq!((envelope.nonce(), envelope.value()), (7, transfer().value));
    }

    #[test]
    fn bytes_that_could_be_read_in_two_ways_are_refused() {
        let good = Unsigned::transfer(&transfer()).bytes();
        let longer = [&good[..], &[0]].concat();
        let mut other_type = good.clone();
        other_type[0] = 3;
        let signed = Unsigned::transfer(&transfer()).signed(&EcdsaSignature { r: [1; 32], s: [1; 32], v: 0 });
        let signed = hex::decode(&signed.bytes[2..]).unwrap();
        let greedy = Unsigned::transfer(&Transfer { priority_fee: 40_000_000_000, ..transfer() }).bytes();
        for bad in [&[][..], &[2], &good[..good.len() - 1], &longer, &other_type, &signed, &greedy] {
            assert!(Unsigned::read(bad).is_err(), "{}", hex::encode(bad));
        }
    }

    #[test]
    fn an_access_list_is_as_long_as_co_signers_take_it() {
        use alloy_eips::eip2930::AccessListItem;
        let read = |addresses: usize, keys: usize| {
            let item = AccessListItem { address: transfer().to, storage_keys: vec![[7; 32].into(); keys] };
            let access_list = AccessList(vec![item; addresses]);
            let transaction = TxEip2930 { chain_id: 1, access_list, ..TxEip2930::default() };
            Unsigned::read(&Unsigned(TypedTransaction::Eip2930(transaction)).bytes())
        };
        for (addresses, keys) in [(MAX_ACCESSED_ADDRESSES, 2), (1, MAX_ACCESSED_KEYS), (MAX_ACCESSED_ADDRESSES, 0)] {
            assert!(read(addresses, keys).is_ok(), "{addresses} {keys}");
        }
        for (addresses, keys) in
            [(MAX_ACCESSED_ADDRESSES, 3), (1, MAX_ACCESSED_KEYS + 1), (MAX_ACCESSED_ADDRESSES + 1, 0)]
        {
            assert!(read(addresses, keys).unwrap_err().contains("access list"), "{addresses} {keys}");
        }
    }
}
