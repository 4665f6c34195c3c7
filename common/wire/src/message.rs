//! What every top-level message has: a name, a version byte in front, and a size limit.

use borsh::{BorshDeserialize, BorshSerialize};

/// Why bytes are not a message. No variant carries the bytes themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than the message may be.
    #[error("{name}: expected at most {max} bytes, got {got}")]
    TooLarge {
        /// The message's name.
        name: &'static str,
        /// Most bytes allowed.
        max: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Written by another version of the protocol.
    #[error("{name}: expected version {expected}, got {got}; upgrade the older side")]
    Version {
        /// The message's name.
        name: &'static str,
        /// The version that this program speaks.
        expected: u8,
        /// The version that came.
        got: u8,
    },
    /// Unknown variant, wrong length, trailing bytes, or text that is not UTF-8.
    #[error("{name}: malformed: {detail}")]
    Malformed {
        /// The message's name.
        name: &'static str,
        /// What the decoder expected.
        detail: String,
    },
}

/// A message with a version and a size limit. Encoding: one version byte, then Borsh.
pub trait Message: BorshSerialize + BorshDeserialize {
    /// Its name: it also separates the domains of signatures and hashes.
    const NAME: &'static str;
    /// The version that this program speaks.
    const VERSION: u8;
    /// Most bytes of an encoding, the version byte included.
    const MAX_BYTES: usize;

    /// Version byte and Borsh encoding. Every field has its own limit, so encoding cannot fail for length.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION];
        // Writing to memory fails only for a list of more than u32::MAX items, which no bounded type can hold.
        if self.serialize(&mut bytes).is_err() {
            bytes.truncate(1);
        }
        bytes
    }

    /// Decodes exactly one message.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(DecodeError::TooLarge { name: Self::NAME, max: Self::MAX_BYTES, got: bytes.len() });
        }
        let Some((version, body)) = bytes.split_first() else {
            return Err(DecodeError::Malformed {
                name: Self::NAME,
                detail: "expected a version byte, got nothing".into(),
            });
        };
        if *version != Self::VERSION {
            return Err(DecodeError::Version { name: Self::NAME, expected: Self::VERSION, got: *version });
        }
        borsh::from_slice(body).map_err(|e| DecodeError::Malformed { name: Self::NAME, detail: e.to_string() })
    }

    /// SHA-256 over name, version and encoding: the hash by which other messages refer to this one.
    fn digest(&self) -> [u8; 32] {
        digest_of(Self::NAME, &self.encode())
    }
}

/// SHA-256 over a domain and one byte string: `len(domain) as u8 ‖ domain ‖ bytes`.
pub fn digest_of(domain: &'static str, bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    // Domains are string constants of this code base, all far below 256 bytes.
    hash.update([u8::try_from(domain.len()).unwrap_or(u8::MAX)]);
    hash.update(domain.as_bytes());
    hash.update(bytes);
    hash.finalize().into()
}

/// Implements [`Message`]: `message!(Type, "countersign/name", version, max_bytes)`.
#[macro_export]
macro_rules! message {
    ($type:ty, $name:literal, $version:literal, $max:expr) => {
        impl $crate::Message for $type {
            const NAME: &'static str = $name;
            const VERSION: u8 = $version;
            const MAX_BYTES: usize = $max;
        }
    };
}
