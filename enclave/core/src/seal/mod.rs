//! Sealed state: what leaves for the host's storage, and what is believed when it comes back.
//!
//! One data key an instance, wrapped by the key service, stands in the *root* blob. Every other blob is sealed under a
//! key of its own, derived from the data key. The *head* blob, written with every batch, holds a hash over all of them:
//! no blob can be exchanged, kept back, or brought back from earlier without being noticed. What one co-signer cannot
//! notice alone is that *everything* was put back to an earlier whole (threat T01); that takes a witness.

mod blob;
mod head;
mod root;

pub use blob::{BlobId, Kind, MAX_PLAINTEXT_BYTES};
pub use root::{MAX_WRAPPED_KEY_BYTES, Root};

use blob::{HEAD_NAME, Header, Place, ROOT_NAME};
use countersign_wire::host_link::{BlobName, BlobWrite};
use countersign_wire::limits::{MAX_BATCH_WRITES, MAX_BLOB_BYTES, MAX_URL_BYTES};
use countersign_wire::{Bytes, Text};
use head::{Element, Head, SetHash, SetKey};
use rand_core::RngCore;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Why a batch was not sealed. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More writes than one batch may have.
    #[error("expected at most {max} writes in one batch, head and root included, got {got}")]
    TooManyWrites {
        /// Most writes allowed.
        max: usize,
        /// Writes asked for.
        got: usize,
    },
    /// A record that does not fit into a blob.
    #[error("{name}: expected at most {max} bytes before sealing, got {got}")]
    TooLarge {
        /// Which.
        name: BlobName,
        /// Most bytes allowed.
        max: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// Two changes of one blob in one batch.
    #[error("{name}: two changes in one batch")]
    Twice {
        /// Which.
        name: BlobName,
    },
    /// A wrapped data key that does not fit into the root.
    #[error("expected a wrapped data key of at most {max} bytes, got {got}")]
    Wrapped {
        /// Most bytes allowed.
        max: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// The cipher refused. It does not, for inputs within the limits above.
    #[error("{name}: sealing failed")]
    Cipher {
        /// Which.
        name: BlobName,
    },
}

/// Why stored blobs are not this co-signer's state. Never a reason for a fresh start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// There are blobs, but not these.
    #[error("sealed state is incomplete: {what} is missing; restore the host's storage as it was")]
    Missing {
        /// What is missing.
        what: String,
    },
    /// A blob that was changed, cut, or belongs to another instance.
    #[error("{name}: corrupt, or not of this instance")]
    Corrupt {
        /// Which.
        name: BlobName,
    },
    /// A blob of a version that this program does not know.
    #[error("{name}: expected version {expected}, got {got}; use the software that wrote it, or a newer one")]
    Version {
        /// Which.
        name: BlobName,
        /// The version that this program writes.
        expected: u8,
        /// The version that came.
        got: u8,
    },
    /// A blob that stands in the place of another one.
    #[error("{name}: this is {found}, stored in its place")]
    Swapped {
        /// The place.
        name: BlobName,
        /// What stands there.
        found: BlobName,
    },
    /// Blobs of different times: an old one was put back, or one that was deleted.
    #[error("sealed state is stale: blobs of different times were put together")]
    Stale,
}

/// One change of a batch: the new record, or none to delete the blob.
pub type BlobChange = (BlobId, Option<Zeroizing<Vec<u8>>>);

/// Opened records.
pub type Records = Vec<(BlobId, Zeroizing<Vec<u8>>)>;

/// Seals batches. It knows what is stored, so that each head follows from the last one at the cost of its changes.
pub struct Sealer {
    root: Root,
    data_key: Zeroizing<[u8; 32]>,
    set_key: SetKey,
    epoch: u64,
    set: SetHash,
    elements: BTreeMap<BlobName, Element>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer(epoch {}, {} blobs, data key <redacted>)", self.epoch, self.elements.len())
    }
}

impl Sealer {
    /// For a fresh instance: nothing is stored yet, and the first batch brings the root.
    pub fn create(
        data_key: Zeroizing<[u8; 32]>,
        instance: [u8; 32],
        wrapping_key: Text<MAX_URL_BYTES>,
        wrapped: Vec<u8>,
    ) -> Result<Self, SealError> {
        let wrapped = Bytes::new(wrapped).map_err(|e| SealError::Wrapped { max: e.max, got: e.got })?;
        Ok(Self::empty(data_key, Root { instance, wrapping_key, wrapped }))
    }

    fn empty(data_key: Zeroizing<[u8; 32]>, root: Root) -> Self {
        let set_key = SetKey::derive(&data_key, &root.instance);
        Self { root, data_key, set_key, epoch: 0, set: SetHash::EMPTY, elements: BTreeMap::new() }
    }

    /// Whether the next batch is the first one of a claim.
    pub fn is_fresh(&self) -> bool {
        self.epoch == 0
    }

    /// Seals a batch: the changes, the head, and with the first batch the root. Deleting a blob that is not stored is
    /// nothing. After this the sealer has moved on: a batch that was sealed must become durable, or the process end.
    pub fn seal(&mut self, changes: Vec<BlobChange>, rng: &mut dyn RngCore) -> Result<Vec<BlobWrite>, SealError> {
        let first = self.epoch == 0;
        let got = changes.len().saturating_add(if first { 2 } else { 1 });
        if got > MAX_BATCH_WRITES {
            return Err(SealError::TooManyWrites { max: MAX_BATCH_WRITES, got });
        }
        let epoch = self.epoch.saturating_add(1);
        let mut set = self.set;
        let mut elements: BTreeMap<BlobName, Option<Element>> = BTreeMap::new();
        let mut writes = Vec::with_capacity(got);
        if first {
            writes.push(BlobWrite { name: ROOT_NAME.into_text(), value: Some(self.root.encode()) });
        }
        for (id, record) in &changes {
            let name = id.name();
            if elements.contains_key(&name) {
                return Err(SealError::Twice { name });
            }
            let known = self.elements.get(&name);
            if record.is_none() && known.is_none() {
                continue;
            }
            if let Some(known) = known {
                set = set.without(known);
            }
            let value = match record {
                Some(record) => Some(self.seal_one(&Place::Blob(*id), epoch, record, rng)?),
                None => None,
            };
            let element = value.as_ref().map(|sealed| self.set_key.element(&name, epoch, sealed));
            if let Some(element) = &element {
                set = set.with(element);
            }
            elements.insert(name.clone(), element);
            writes.push(BlobWrite { name, value });
        }
        let added = elements.iter().filter(|(name, new)| new.is_some() && !self.elements.contains_key(*name)).count();
        let deleted = elements.values().filter(|new| new.is_none()).count();
        let count = self.elements.len().saturating_add(added).saturating_sub(deleted);
        let head = Head::new(epoch, count, set, &self.root);
        let sealed = self.seal_one(&Place::Head, epoch, &head.encode(), rng)?;
        writes.push(BlobWrite { name: HEAD_NAME.into_text(), value: Some(sealed) });
        self.epoch = epoch;
        self.set = set;
        for (name, element) in elements {
            match element {
                Some(element) => self.elements.insert(name, element),
                None => self.elements.remove(&name),
            };
        }
        Ok(writes)
    }

    fn seal_one(
        &self,
        place: &Place,
        epoch: u64,
        record: &[u8],
        rng: &mut dyn RngCore,
    ) -> Result<Bytes<MAX_BLOB_BYTES>, SealError> {
        let name = place.name();
        if record.len() > MAX_PLAINTEXT_BYTES {
            return Err(SealError::TooLarge { name, max: MAX_PLAINTEXT_BYTES, got: record.len() });
        }
        let mut salt = [0u8; 32];
        rng.fill_bytes(&mut salt);
        let sealed = blob::seal(&self.data_key, &self.root.instance, &Header::new(place, epoch, salt), record);
        sealed.and_then(|sealed| Bytes::new(sealed).ok()).ok_or(SealError::Cipher { name })
    }

    /// Opens everything that is stored: each blob, and then that together they are exactly what the head says. `root` and
    /// `blobs` are as [`Root::read`] had them; `data_key` is what the key service made of the root's wrapped key.
    pub fn open(
        data_key: Zeroizing<[u8; 32]>,
        root: Root,
        blobs: &BTreeMap<BlobName, Vec<u8>>,
    ) -> Result<(Self, Records), StateError> {
        let mut sealer = Self::empty(data_key, root);
        let (root, head_name) = (ROOT_NAME.into_text(), HEAD_NAME.into_text());
        let head = blobs.get(&head_name).ok_or_else(|| StateError::Missing { what: "the head".into() })?;
        let (_, _, head) = sealer.open_one(&head_name, head)?;
        let head = Head::decode(&head).ok_or(StateError::Corrupt { name: head_name.clone() })?;
        if !head.is_over(&sealer.root) {
            return Err(StateError::Corrupt { name: root });
        }
        let mut records = Vec::new();
        for (name, sealed) in blobs.iter().filter(|(name, _)| **name != root && **name != head_name) {
            let (place, epoch, record) = sealer.open_one(name, sealed)?;
            let Place::Blob(id) = place else { return Err(StateError::Corrupt { name: name.clone() }) };
            if epoch > head.epoch {
                return Err(StateError::Stale);
            }
            let element = sealer.set_key.element(name, epoch, sealed);
            sealer.set = sealer.set.with(&element);
            sealer.elements.insert(name.clone(), element);
            records.push((id, record));
        }
        let stored = sealer.elements.len() as u64;
        if stored < head.count {
            let missing = head.count.saturating_sub(stored);
            return Err(StateError::Missing { what: format!("{missing} of {} blobs", head.count) });
        }
        if stored > head.count || head.set != sealer.set {
            return Err(StateError::Stale);
        }
        sealer.epoch = head.epoch;
        Ok((sealer, records))
    }

    fn open_one(&self, name: &BlobName, sealed: &[u8]) -> Result<(Place, u64, Zeroizing<Vec<u8>>), StateError> {
        let corrupt = || StateError::Corrupt { name: name.clone() };
        let (header, rest) = blob::split(sealed).map_err(|fault| fault.of(name))?;
        let place = header.place().ok_or_else(corrupt)?;
        if place.name() != *name {
            return Err(StateError::Swapped { name: name.clone(), found: place.name() });
        }
        let record = blob::open(&self.data_key, &self.root.instance, &header, rest).ok_or_else(corrupt)?;
        Ok((place, header.epoch, record))
    }
}

#[cfg(test)]
mod tests;
