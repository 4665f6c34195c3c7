//! A request as this co-signer understands it.

use super::eip712::TypedData;
use super::evm::UnsignedTransaction;
use countersign_wire::Text;
use countersign_wire::evm::Asset;
use countersign_wire::key::{DerivationPath, Operation};
use countersign_wire::limits::MAX_NAME_BYTES;
use countersign_wire::transaction::Digest;
use serde_json::Value;

/// A request, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What is done.
    pub operation: Operation,
    /// For which asset.
    pub asset: Asset,
    /// With which vault account's key.
    pub vault_account: u32,
    /// What is signed, in order: 1 to [`countersign_wire::limits::MAX_DIGESTS`].
    pub digests: Vec<Digest>,
    /// The derivation path of each digest, in the same order.
    pub paths: Vec<DerivationPath>,
    /// What each digest was made from, in the same order.
    pub messages: Vec<Message>,
    /// What the workspace chose of it where the client said nothing: members of what handlers are shown.
    pub chosen: Vec<&'static str>,
    /// The client's note.
    pub note: Option<String>,
    /// The client's own id of the transaction.
    pub external: Option<Text<MAX_NAME_BYTES>>,
}

impl Decoded {
    /// The transaction that is signed; a hash and a message are none.
    pub fn transaction(&self) -> Option<&UnsignedTransaction> {
        match &self.messages[..] {
            [Message { written: Written::Transaction(transaction), .. }] => Some(transaction),
            _ => None,
        }
    }
}

/// What one digest was made from, as people and callback handlers may look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub written: Written,
    /// The bytes whose Keccak-256 is the digest; none where the client gave the hash.
    pub hashed: Option<Vec<u8>>,
}

/// What is signed, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A hash, in hex.
    Hash(String),
    /// A message that goes under the envelope of EIP-191, in hex.
    Eip191(String),
    /// Typed data (EIP-712).
    Eip712 {
        /// The document.
        content: Value,
        /// What it hashes to.
        typed: TypedData,
    },
    /// A transaction.
    Transaction(Box<UnsignedTransaction>),
}
