//! Ethereum, by other people's code: addresses, EIP-191 hashes, EIP-1559 transactions (alloy), and the verification of
//! signatures (libsecp256k1, and alloy's recovery beside it). Nothing of Countersign's own arithmetic is used here.

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, Signature as AlloySignature, TxKind, U256, eip191_hash_message};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};
use secp256k1::{Message, PublicKey, Secp256k1};
use serde_json::Value;

/// Chain id of the public test network Sepolia.
pub const SEPOLIA: u64 = 11_155_111;

/// Why a signature is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// A member is not there or not of the right form.
    #[error("signedMessages: expected {0}")]
    Form(&'static str),
    /// It is over something else.
    #[error("the signature is over {got}, expected {expected}")]
    Content {
        /// The digest that was asked for.
        expected: String,
        /// What the answer says.
        got: String,
    },
    /// libsecp256k1 refuses it.
    #[error("libsecp256k1: {0}")]
    Libsecp256k1(#[from] secp256k1::Error),
    /// It leads to another key.
    #[error("{by} recovers {got}, expected {expected}")]
    Signer {
        /// Which library.
        by: &'static str,
        /// The address that should have signed.
        expected: String,
        /// The address that did.
        got: String,
    },
    /// A transaction that alloy cannot read back.
    #[error("alloy: {0}")]
    Transaction(String),
}

/// An ECDSA signature as the API returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSignature {
    /// What was signed, as the API says: a message or a hash, hex.
    pub content: String,
    /// The derived public key, compressed.
    pub public_key: PublicKey,
    /// Big-endian `r` and `s`.
    pub rs: [u8; 64],
    /// Recovery id, 0 or 1.
    pub v: u8,
}

fn bytes<const N: usize>(value: &Value, what: &'static str) -> Result<[u8; N], BadSignature> {
    let text = value.as_str().ok_or(BadSignature::Form(what))?;
    let mut bytes = [0; N];
    hex::decode_to_slice(text.trim_start_matches("0x"), &mut bytes).map_err(|_| BadSignature::Form(what))?;
    Ok(bytes)
}

impl ApiSignature {
    /// From an element of a transaction's `signedMessages`. `fullSig` must be `r` and `s`.
    pub fn parse(message: &Value) -> Result<Self, BadSignature> {
        let signature = &message["signature"];
        let r = bytes::<32>(&signature["r"], "signature.r of 32 bytes in hex")?;
        let s = bytes::<32>(&signature["s"], "signature.s of 32 bytes in hex")?;
        let rs = bytes::<64>(&signature["fullSig"], "signature.fullSig of 64 bytes in hex")?;
        if rs.get(..32) != Some(&r) || rs.get(32..) != Some(&s) {
            return Err(BadSignature::Form("signature.fullSig to be r and s"));
        }
        let v = signature["v"].as_u64().and_then(|v| u8::try_from(v).ok()).filter(|v| *v < 2);
        Ok(Self {
            content: message["content"].as_str().ok_or(BadSignature::Form("content"))?.to_owned(),
            public_key: PublicKey::from_slice(&bytes::<33>(&message["publicKey"], "publicKey of 33 bytes in hex")?)?,
            rs,
            v: v.ok_or(BadSignature::Form("signature.v of 0 or 1"))?,
        })
    }

    /// Whether the API says that it is over this content.
    pub fn is_over(&self, content: &str) -> Result<(), BadSignature> {
        if self.content == content {
            return Ok(());
        }
        Err(BadSignature::Content { expected: content.to_owned(), got: self.content.clone() })
    }

    /// The address of its public key.
    pub fn address(&self) -> Address {
        address_of(&self.public_key)
    }

    fn alloy(&self) -> AlloySignature {
        let (r, s) = self.rs.split_at(32);
        AlloySignature::new(U256::from_be_slice(r), U256::from_be_slice(s), self.v == 1)
    }

    /// Verifies that `address` signed `digest`: by libsecp256k1 with the public key, by its recovery, and by alloy's. A
    /// signature whose `s` is in the upper half is refused, as Ethereum does.
    pub fn verify(&self, digest: B256, address: Address) -> Result<(), BadSignature> {
        let secp = Secp256k1::verification_only();
        let message = Message::from_digest(digest.0);
        let signature = Signature::from_compact(&self.rs)?;
        // libsecp256k1 verifies no signature with a high s.
        secp.verify_ecdsa(&message, &signature, &self.public_key)?;
        let id = RecoveryId::try_from(i32::from(self.v))?;
        let recovered = secp.recover_ecdsa(&message, &RecoverableSignature::from_compact(&self.rs, id)?)?;
        let by_alloy = self.alloy().recover_address_from_prehash(&digest);
        let by_alloy = by_alloy.map_err(|e| BadSignature::Transaction(e.to_string()))?;
        for (by, got) in [
            ("the public key's address", self.address()),
            ("libsecp256k1", address_of(&recovered)),
            ("alloy", by_alloy),
        ] {
            if got != address {
                return Err(BadSignature::Signer { by, expected: address.to_string(), got: got.to_string() });
            }
        }
        Ok(())
    }
}

fn address_of(key: &PublicKey) -> Address {
    let uncompressed = key.serialize_uncompressed();
    // The first of the 65 bytes says that both coordinates follow.
    Address::from_raw_public_key(uncompressed.get(1..).unwrap_or_default())
}

/// The digest of a message by EIP-191, version 0x45 (`personal_sign`).
pub fn eip191_digest(message: &[u8]) -> B256 {
    eip191_hash_message(message)
}

/// An unsigned EIP-1559 transfer on [`SEPOLIA`].
pub fn transfer(to: Address, wei: u64, nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: SEPOLIA,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(to),
        value: U256::from(wei),
        access_list: Default::default(),
        input: Bytes::new(),
    }
}

/// The hash of an unsigned transaction: what has to be signed.
pub fn signing_hash(transaction: &TxEip1559) -> B256 {
    transaction.signature_hash()
}

/// Puts a signature to a transaction and returns it as it would be sent (EIP-2718). It is read back and its sender is
/// recovered by alloy.
pub fn sign(transaction: TxEip1559, signature: &ApiSignature, sender: Address) -> Result<Vec<u8>, BadSignature> {
    let envelope: TxEnvelope = transaction.into_signed(signature.alloy()).into();
    let raw = envelope.encoded_2718();
    let read = TxEnvelope::decode_2718(&mut raw.as_slice()).map_err(|e| BadSignature::Transaction(e.to_string()))?;
    let got = read.recover_signer().map_err(|e| BadSignature::Transaction(e.to_string()))?;
    if got != sender {
        return Err(BadSignature::Signer { by: "alloy", expected: sender.to_string(), got: got.to_string() });
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256};
    use secp256k1::SecretKey;
    use serde_json::json;

    /// A signature by libsecp256k1 with the secret key 1, in the API's form.
    fn signed(digest: B256, change: impl FnOnce(&mut Value)) -> Result<ApiSignature, BadSignature> {
        let secp = Secp256k1::new();
        let mut secret = [0u8; 32];
        secret[31] = 1;
        let secret = SecretKey::from_slice(&secret).unwrap();
        let signature = secp.sign_ecdsa_recoverable(&Message::from_digest(digest.0), &secret);
        let (id, rs) = signature.serialize_compact();
        let mut message = json!({
            "content": "00",
            "publicKey": hex::encode(PublicKey::from_secret_key(&secp, &secret).serialize()),
            "signature": {
                "fullSig": hex::encode(rs), "r": hex::encode(&rs[..32]), "s": hex::encode(&rs[32..]), "v": i32::from(id),
            },
        });
        change(&mut message);
        ApiSignature::parse(&message)
    }

    /// The well-known address of the secret key 1.
    const ONE: Address = address!("0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");

    #[test]
    fn eip191_of_hello_world_is_the_published_hash() {
        let expected = b256!("0xd9eba16ed0ecae432b71fe008c98cc872bb4cc214d3220a36f365326cf807d68");
        assert_eq!(eip191_digest(b"hello world"), expected);
    }

    #[test]
    fn a_good_signature_is_good_for_its_digest_and_its_address_alone() {
        let digest = eip191_digest(b"hello");
        let good = signed(digest, |_| {}).unwrap();
        assert_eq!(good.verify(digest, ONE), Ok(()));
        assert!(matches!(good.verify(eip191_digest(b"hallo"), ONE), Err(BadSignature::Libsecp256k1(_))));
        assert!(matches!(good.verify(digest, Address::ZERO), Err(BadSignature::Signer { .. })));
    }

    #[test]
    fn another_parity_a_high_s_and_a_wrong_form_are_refused() {
        let digest = eip191_digest(b"hello");
        let mut other = signed(digest, |_| {}).unwrap();
        other.v ^= 1;
        assert!(matches!(other.verify(digest, ONE), Err(BadSignature::Signer { by: "libsecp256k1", .. })));
        let mut high = signed(digest, |_| {}).unwrap();
        let order =
            U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
        let s = order - U256::from_be_slice(&high.rs[32..]);
        high.rs[32..].copy_from_slice(&s.to_be_bytes::<32>());
        high.v ^= 1;
        assert!(matches!(high.verify(digest, ONE), Err(BadSignature::Libsecp256k1(_))));
        assert!(signed(digest, |m| m["signature"]["r"] = json!("00".repeat(32))).is_err());
        assert!(signed(digest, |m| m["signature"]["v"] = json!(27)).is_err());
        assert!(signed(digest, |m| m["publicKey"] = json!("02")).is_err());
    }

    #[test]
    fn a_signed_transaction_can_be_read_back_and_names_its_sender() {
        let transaction = transfer(address!("0x000000000000000000000000000000000000dEaD"), 1, 0);
        let digest = signing_hash(&transaction);
        let signature = signed(digest, |_| {}).unwrap();
        let raw = sign(transaction.clone(), &signature, ONE).unwrap();
        assert_eq!(raw.first(), Some(&2));
        assert!(matches!(sign(transaction, &signature, Address::ZERO), Err(BadSignature::Signer { .. })));
    }
}
