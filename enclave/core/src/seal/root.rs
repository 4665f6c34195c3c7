//! The root blob: the wrapped root key, and the data keys under it. The key service unwraps the root key for the measured
//! image alone.

use super::StateError;
use super::blob::{FixedName, ROOT_NAME};
use super::data_keys::{MAX_ENTRIES_BYTES, TAG_BYTES};
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_wire::host_link::BlobName;
use countersign_wire::limits::{MAX_BLOB_BYTES, MAX_URL_BYTES};
use countersign_wire::{Bytes, Text};
use std::collections::BTreeMap;

/// Version of the format of the root.
pub(super) const VERSION: u8 = 2;
/// Longest wrapped root key in bytes: key services give up to 6 KiB.
pub const MAX_WRAPPED_KEY_BYTES: usize = 8 * 1024;
/// Longest sealed data keys in bytes.
pub(super) const MAX_SEALED_KEYS_BYTES: usize = MAX_ENTRIES_BYTES + TAG_BYTES;

/// What the root holds.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Root {
    /// The instance's public identity: associated data of the wrapped key and of every blob.
    pub instance: [u8; 32],
    /// The key that wraps the root key, as operators named it.
    pub wrapping_key: Text<MAX_URL_BYTES>,
    /// The wrapped root key.
    pub wrapped: Bytes<MAX_WRAPPED_KEY_BYTES>,
    /// The data keys, sealed under the root key.
    pub sealed_keys: Bytes<MAX_SEALED_KEYS_BYTES>,
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

    /// What the sealed data keys are bound to: everything else in the root.
    pub(super) fn bound(&self, domain: &[u8]) -> Vec<u8> {
        let mut bytes = domain.to_vec();
        // Bounded fields into memory: this cannot fail.
        let _ = (VERSION, &self.instance, &self.wrapping_key, &self.wrapped).serialize(&mut bytes);
        bytes
    }

    /// Version byte and content.
    pub(super) fn encode(&self) -> Bytes<MAX_BLOB_BYTES> {
        let mut bytes = vec![VERSION];
        // Bounded fields into memory: this cannot fail, and fits by far.
        let _ = self.serialize(&mut bytes);
        Bytes::new(bytes).unwrap_or_default()
    }
}

const _: () =
    assert!(1 + 32 + 4 + MAX_URL_BYTES + 4 + MAX_WRAPPED_KEY_BYTES + 4 + MAX_SEALED_KEYS_BYTES < MAX_BLOB_BYTES);
