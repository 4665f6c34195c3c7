//! Sealed state: what leaves for the host's storage, and what is believed when it comes back.
//!
//! The *root* blob holds the root key, wrapped by the key service, and under it the data keys. Every other blob is
//! sealed under a key of its own, derived from the newest data key of its time. The *head* blob, written with every
//! batch, holds a hash over all of them: no blob can be exchanged, kept back, or brought back from earlier without being
//! noticed. What one co-signer cannot notice alone is that *everything* was put back to an earlier whole (threat T01);
//! that takes a witness.

mod blob;
mod data_keys;
mod head;
mod root;

pub use blob::{BlobId, Kind, MAX_PLAINTEXT_BYTES};
pub use root::{MAX_WRAPPED_KEY_BYTES, Root};

use blob::{HEAD_NAME, Header, Place, ROOT_NAME};
use countersign_wire::host_link::{BlobName, BlobWrite};
use countersign_wire::limits::{MAX_BATCH_WRITES, MAX_BLOB_BYTES, MAX_URL_BYTES};
use countersign_wire::{Bytes, Text};
use data_keys::DataKeys;
use head::{Head, Member, SetHash, SetKey};
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
    /// A wrapped root key that does not fit into the root.
    #[error("expected a wrapped key of at most {max} bytes, got {got}")]
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
    #[error("{name}: expected version {expected}, got {got}; use the software that wrote it")]
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
    /// The next batch brings the root.
    root_is_due: bool,
    keys: DataKeys,
    set_key: SetKey,
    epoch: u64,
    set: SetHash,
    members: BTreeMap<BlobName, Member>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer(epoch {}, {} blobs, data keys <redacted>)", self.epoch, self.members.len())
    }
}

/// A root key, as the key service made it.
pub struct RootKey {
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
    /// The key of the key service that wraps it.
    pub wrapping_key: Text<MAX_URL_BYTES>,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

impl RootKey {
    fn root(self, instance: [u8; 32], keys: &DataKeys) -> Result<Root, SealError> {
        let wrapped = Bytes::new(self.wrapped).map_err(|e| SealError::Wrapped { max: e.max, got: e.got })?;
        let mut root = Root { instance, wrapping_key: self.wrapping_key, wrapped, sealed_keys: Bytes::default() };
        root.sealed_keys =
            keys.seal(&self.key, &root).ok_or_else(|| SealError::Cipher { name: ROOT_NAME.into_text() })?;
        Ok(root)
    }
}

impl Sealer {
    /// For a fresh instance: nothing is stored yet, and the first batch brings the root.
    pub fn create(root_key: RootKey, instance: [u8; 32], rng: &mut dyn RngCore) -> Result<Self, SealError> {
        let keys = DataKeys::first(rng);
        let root = root_key.root(instance, &keys)?;
        Ok(Self { root_is_due: true, ..Self::empty(keys, root) })
    }

    fn empty(keys: DataKeys, root: Root) -> Self {
        let set_key = SetKey::derive(keys.newest(), &root.instance);
        Self { root, root_is_due: false, keys, set_key, epoch: 0, set: SetHash::EMPTY, members: BTreeMap::new() }
    }

    /// Puts the state under a new root key, and what is sealed from now on under a new data key. The next batch brings the
    /// new root; until it is durable the earlier one opens the state. An error changes nothing.
    ///
    /// The head's sum is taken anew, under a key that nobody with the earlier data key knows: one HMAC for each blob.
    pub fn rotate(&mut self, root_key: RootKey, rng: &mut dyn RngCore) -> Result<(), SealError> {
        let mut in_use: Vec<u64> = self.members.values().map(|member| member.epoch).collect();
        in_use.sort_unstable();
        let next = self.epoch.saturating_add(1);
        let keys = self.keys.rotated(next, &in_use, rng);
        let root = root_key.root(self.root.instance, &keys)?;
        let set_key = SetKey::derive(keys.newest(), &root.instance);
        let add = |set: SetHash, (name, member)| set.with(&set_key.element(name, member));
        self.set = self.members.iter().fold(SetHash::EMPTY, add);
        (self.root, self.root_is_due, self.keys, self.set_key) = (root, true, keys, set_key);
        Ok(())
    }

    /// Whether the next batch is the first one of a claim.
    pub fn is_fresh(&self) -> bool {
        self.epoch == 0
    }

    /// Seals a batch: the changes, the head, and with the first batch and after a rotation the root. Deleting a blob that
    /// is not stored is nothing. After this the sealer has moved on: a batch that was sealed must become durable, or the
    /// process end.
    pub fn seal(&mut self, changes: Vec<BlobChange>, rng: &mut dyn RngCore) -> Result<Vec<BlobWrite>, SealError> {
        let got = changes.len().saturating_add(if self.root_is_due { 2 } else { 1 });
        if got > MAX_BATCH_WRITES {
            return Err(SealError::TooManyWrites { max: MAX_BATCH_WRITES, got });
        }
        let epoch = self.epoch.saturating_add(1);
        let mut set = self.set;
        let mut members: BTreeMap<BlobName, Option<Member>> = BTreeMap::new();
        let mut writes = Vec::with_capacity(got);
        if self.root_is_due {
            writes.push(BlobWrite { name: ROOT_NAME.into_text(), value: Some(self.root.encode()) });
        }
        for (id, record) in &changes {
            let name = id.name();
            if members.contains_key(&name) {
                return Err(SealError::Twice { name });
            }
            let known = self.members.get(&name);
            if record.is_none() && known.is_none() {
                continue;
            }
            if let Some(known) = known {
                set = set.without(&self.set_key.element(&name, known));
            }
            let value = match record {
                Some(record) => Some(self.seal_one(&Place::Blob(*id), epoch, record, rng)?),
                None => None,
            };
            let member = value.as_ref().map(|sealed| Member::new(epoch, sealed));
            if let Some(member) = &member {
                set = set.with(&self.set_key.element(&name, member));
            }
            members.insert(name.clone(), member);
            writes.push(BlobWrite { name, value });
        }
        let added = members.iter().filter(|(name, new)| new.is_some() && !self.members.contains_key(*name)).count();
        let deleted = members.values().filter(|new| new.is_none()).count();
        let count = self.members.len().saturating_add(added).saturating_sub(deleted);
        let head = Head::new(epoch, count, set, &self.root);
        let sealed = self.seal_one(&Place::Head, epoch, &head.encode(), rng)?;
        writes.push(BlobWrite { name: HEAD_NAME.into_text(), value: Some(sealed) });
        self.epoch = epoch;
        self.set = set;
        self.root_is_due = false;
        for (name, member) in members {
            match member {
                Some(member) => self.members.insert(name, member),
                None => self.members.remove(&name),
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
        let sealed = blob::seal(self.keys.newest(), &self.root.instance, &Header::new(place, epoch, salt), record);
        sealed.and_then(|sealed| Bytes::new(sealed).ok()).ok_or(SealError::Cipher { name })
    }

    /// Opens everything that is stored: each blob, and then that together they are exactly what the head says. `root` and
    /// `blobs` are as [`Root::read`] had them; `root_key` is what the key service made of the root's wrapped key.
    pub fn open(
        root_key: &[u8; 32],
        root: Root,
        blobs: &BTreeMap<BlobName, Vec<u8>>,
    ) -> Result<(Self, Records), StateError> {
        let keys = DataKeys::open(root_key, &root).ok_or(StateError::Corrupt { name: ROOT_NAME.into_text() })?;
        let mut sealer = Self::empty(keys, root);
        let (root, head_name) = (ROOT_NAME.into_text(), HEAD_NAME.into_text());
        let head = blobs.get(&head_name).ok_or_else(|| StateError::Missing { what: "the head".into() })?;
        let (_, epoch, head) = sealer.open_one(&head_name, head)?;
        let head = Head::decode(&head).filter(|head| head.epoch == epoch);
        let head = head.ok_or(StateError::Corrupt { name: head_name.clone() })?;
        if !head.is_over(&sealer.root) {
            return Err(StateError::Corrupt { name: root });
        }
        // A head from before the last rotation: whoever has the earlier data key could have made it.
        if head.epoch < sealer.keys.newest_from() {
            return Err(StateError::Stale);
        }
        let mut records = Vec::new();
        for (name, sealed) in blobs.iter().filter(|(name, _)| **name != root && **name != head_name) {
            let (place, epoch, record) = sealer.open_one(name, sealed)?;
            let Place::Blob(id) = place else { return Err(StateError::Corrupt { name: name.clone() }) };
            if epoch > head.epoch {
                return Err(StateError::Stale);
            }
            let member = Member::new(epoch, sealed);
            sealer.set = sealer.set.with(&sealer.set_key.element(name, &member));
            sealer.members.insert(name.clone(), member);
            records.push((id, record));
        }
        let stored = sealer.members.len() as u64;
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
        let key = self.keys.of(header.epoch).ok_or_else(corrupt)?;
        let record = blob::open(key, &self.root.instance, &header, rest).ok_or_else(corrupt)?;
        Ok((place, header.epoch, record))
    }
}

#[cfg(test)]
mod tests;
