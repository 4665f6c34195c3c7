//! The root blob: the wrapped data key. It is not secret; the key service gives its content to the measured image alone.

use super::StateError;
use super::blob::{FixedName, ROOT_NAME};
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_wire::host_link::BlobName;
use countersign_wire::limits::{MAX_BLOB_BYTES, MAX_URL_BYTES};
use countersign_wire::{Bytes, Text};
use std::collections::BTreeMap;

/// Version of the format of the root.
const VERSION: u8 = 1;
/// Longest wrapped data key in bytes: key services give up to 6 KiB.
pub const MAX_WRAPPED_KEY_BYTES: usize = 8 * 1024;

/// What the root holds.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Root {
    /// The instance's public identity: associated data of the wrapped key and of every blob.
    pub instance: [u8; 32],
    /// The key that wraps the data key, as named at the claim.
    pub wrapping_key: Text<MAX_URL_BYTES>,
    /// The wrapped data key.
    pub wrapped: Bytes<MAX_WRAPPED_KEY_BYTES>,
}

impl Root {
    /// The root among what the host stored. No blob at all is a fresh instance: `None`. Blobs without a root are a
    /// co-signer whose state is incomplete (threat T05).
    pub fn read(blobs: &BTreeMap<BlobName, Vec<u8>>) -> Result<Option<Self>, StateError> {
        if blobs.is_empty() {
            return Ok(None);
        }
        let name = FixedName::into_text(ROOT_NAME);
        let bytes = blobs.get(&name).ok_or_else(|| StateError::Missing { what: "the root".into() })?;
        match bytes.split_first() {
            Some((&VERSION, body)) => borsh::from_slice(body).map(Some).map_err(|_| StateError::Corrupt { name }),
            Some((&got, _)) => Err(StateError::Version { name, expected: VERSION, got }),
            None => Err(StateError::Corrupt { name }),
        }
    }

    /// Version byte and content.
    pub(super) fn encode(&self) -> Bytes<MAX_BLOB_BYTES> {
        let mut bytes = vec![VERSION];
        // Bounded fields into memory: this cannot fail, and fits by far.
        let _ = self.serialize(&mut bytes);
        Bytes::new(bytes).unwrap_or_default()
    }
}

const _: () = assert!(1 + 32 + 4 + MAX_URL_BYTES + 4 + MAX_WRAPPED_KEY_BYTES < MAX_BLOB_BYTES);
