//! The data keys: one for each time between two rotations. They stand in the root, sealed under the root key, which the key
//! service makes, and unwraps for the measured image alone.
//!
//! A rotation brings a new root key and a new data key. What is sealed from then on says nothing to whoever has an earlier
//! root and the use of the key that wrapped it.

use super::root::{MAX_SEALED_KEYS_BYTES, Root};
use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use countersign_wire::Bytes;
use hkdf::Hkdf;
use rand_core::RngCore;
use sha2::Sha256;
use zeroize::Zeroizing;

const DOMAIN: &[u8] = b"countersign/data-keys/v1";
/// Most data keys of one state: a rotation a week for ten years, and of each time between two something is still stored.
pub(super) const MAX_DATA_KEYS: usize = 512;
const ENTRY_BYTES: usize = 8 + 32;
pub(super) const TAG_BYTES: usize = 16;

/// A data key, and the first batch under it.
struct DataKey {
    from_epoch: u64,
    key: Zeroizing<[u8; 32]>,
}

/// The data keys of a state, by their first batches. There is at least one.
pub(super) struct DataKeys {
    earlier: Vec<DataKey>,
    newest: DataKey,
}

impl DataKeys {
    /// The first data key of an instance.
    pub(super) fn first(rng: &mut dyn RngCore) -> Self {
        Self { earlier: Vec::new(), newest: DataKey::random(1, rng) }
    }

    /// The newest data key: it seals.
    pub(super) fn newest(&self) -> &[u8; 32] {
        &self.newest.key
    }

    /// The first batch under the newest data key.
    pub(super) fn newest_from(&self) -> u64 {
        self.newest.from_epoch
    }

    /// The data key under which a batch was sealed.
    pub(super) fn of(&self, epoch: u64) -> Option<&[u8; 32]> {
        let mut newest_first = std::iter::once(&self.newest).chain(self.earlier.iter().rev());
        newest_first.find(|key| key.from_epoch <= epoch).map(|key| &*key.key)
    }

    /// With a new data key for the batches from `epoch` on, and without those that seal none of the blobs that batches
    /// `in_use` wrote. Where [`MAX_DATA_KEYS`] are needed already they stay as they are: then the root key alone changes.
    pub(super) fn rotated(&self, epoch: u64, in_use: &[u64], rng: &mut dyn RngCore) -> Self {
        let all: Vec<&DataKey> = self.earlier.iter().chain([&self.newest]).collect();
        let ends = all.iter().skip(1).map(|next| next.from_epoch).chain([epoch]);
        let needed = all.iter().zip(ends).filter(|(key, end)| {
            let first = in_use.partition_point(|used| *used < key.from_epoch);
            in_use.get(first).is_some_and(|used| used < end)
        });
        let mut earlier: Vec<DataKey> = needed.map(|(key, _)| key.copy()).collect();
        if earlier.len() < MAX_DATA_KEYS {
            return Self { earlier, newest: DataKey::random(epoch, rng) };
        }
        earlier.pop();
        Self { earlier, newest: self.newest.copy() }
    }

    /// Sealed for a root, whose other fields are bound to it. A root key seals once, so that the nonce is zero.
    pub(super) fn seal(&self, root_key: &[u8; 32], root: &Root) -> Option<Bytes<MAX_SEALED_KEYS_BYTES>> {
        let mut sealed = Zeroizing::new(Vec::with_capacity(MAX_SEALED_KEYS_BYTES));
        for DataKey { from_epoch, key } in self.earlier.iter().chain([&self.newest]) {
            sealed.extend_from_slice(&from_epoch.to_le_bytes());
            sealed.extend_from_slice(&**key);
        }
        let tag = cipher(root_key, root)?
            .encrypt_in_place_detached(&Nonce::default(), &root.bound(DOMAIN), &mut sealed)
            .ok()?;
        sealed.extend_from_slice(&tag);
        Bytes::new(sealed.to_vec()).ok()
    }

    /// The data keys of a root. `None` is any difference from what was sealed.
    pub(super) fn open(root_key: &[u8; 32], root: &Root) -> Option<Self> {
        let (body, tag) = root.sealed_keys.split_at_checked(root.sealed_keys.len().checked_sub(TAG_BYTES)?)?;
        let mut body = Zeroizing::new(body.to_vec());
        cipher(root_key, root)?
            .decrypt_in_place_detached(&Nonce::default(), &root.bound(DOMAIN), &mut body, Tag::from_slice(tag))
            .ok()?;
        let mut earlier = Vec::new();
        for entry in body.chunks(ENTRY_BYTES) {
            let (epoch, key) = entry.split_first_chunk::<8>()?;
            let key = Zeroizing::new(<[u8; 32]>::try_from(key).ok()?);
            earlier.push(DataKey { from_epoch: u64::from_le_bytes(*epoch), key });
        }
        let newest = earlier.pop()?;
        Some(Self { earlier, newest })
    }
}

impl DataKey {
    fn random(from_epoch: u64, rng: &mut dyn RngCore) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *key);
        Self { from_epoch, key }
    }

    fn copy(&self) -> Self {
        Self { from_epoch: self.from_epoch, key: self.key.clone() }
    }
}

fn cipher(root_key: &[u8; 32], root: &Root) -> Option<Aes256Gcm> {
    let mut key = Zeroizing::new([0u8; 32]);
    Hkdf::<Sha256>::new(None, root_key).expand_multi_info(&[DOMAIN, &root.instance], &mut *key).ok()?;
    Aes256Gcm::new_from_slice(&*key).ok()
}

pub(super) const MAX_ENTRIES_BYTES: usize = MAX_DATA_KEYS * ENTRY_BYTES;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use countersign_wire::Text;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn root() -> Root {
        Root {
            instance: [1; 32],
            wrapping_key: Text::new("key").unwrap(),
            wrapped: Bytes::new(b"wrapped").unwrap(),
            sealed_keys: Bytes::default(),
        }
    }

    fn epochs(keys: &DataKeys) -> Vec<u64> {
        keys.earlier.iter().chain([&keys.newest]).map(|key| key.from_epoch).collect()
    }

    #[test]
    fn each_batch_has_the_data_key_of_its_time() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let first = DataKeys::first(&mut rng);
        let keys = first.rotated(10, &[3, 9], &mut rng).rotated(20, &[3, 10], &mut rng);
        assert_eq!(epochs(&keys), [1, 10, 20]);
        assert_eq!(keys.of(0), None);
        assert_eq!((keys.of(1), keys.of(9)), (Some(first.newest()), Some(first.newest())));
        assert_eq!(keys.of(10), keys.of(19));
        assert_eq!(keys.of(20), Some(keys.newest()));
        assert_ne!(keys.of(10), keys.of(20));
        let mut rooted = root();
        rooted.sealed_keys = keys.seal(&[2; 32], &root()).unwrap();
        let opened = DataKeys::open(&[2; 32], &rooted).unwrap();
        assert_eq!(epochs(&opened), [1, 10, 20]);
        assert_eq!((opened.of(5), opened.of(15), opened.of(25)), (keys.of(5), keys.of(15), keys.of(25)));
    }

    #[test]
    fn a_data_key_that_seals_nothing_any_more_is_forgotten() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let keys = DataKeys::first(&mut rng).rotated(10, &[1], &mut rng);
        assert_eq!(epochs(&keys.rotated(20, &[12], &mut rng)), [10, 20]);
        assert_eq!(epochs(&keys.rotated(20, &[9], &mut rng)), [1, 20]);
        assert_eq!(epochs(&keys.rotated(20, &[], &mut rng)), [20]);
    }

    #[test]
    fn as_many_as_are_allowed_fit_into_the_root_and_then_no_more_are_made() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut keys = DataKeys::first(&mut rng);
        let all: Vec<u64> = (1..=MAX_DATA_KEYS as u64 + 1).collect();
        for epoch in 2..=MAX_DATA_KEYS as u64 {
            keys = keys.rotated(epoch, &all, &mut rng);
        }
        assert_eq!(keys.seal(&[2; 32], &root()).unwrap().len(), MAX_SEALED_KEYS_BYTES);
        let same = keys.rotated(MAX_DATA_KEYS as u64 + 1, &all, &mut rng);
        assert_eq!((epochs(&same), same.newest()), (epochs(&keys), keys.newest()));
        let freed = keys.rotated(MAX_DATA_KEYS as u64 + 1, &all[1..], &mut rng);
        assert_eq!((epochs(&freed).len(), epochs(&freed)[0]), (MAX_DATA_KEYS, 2));
    }

    #[test]
    fn only_the_very_root_key_and_the_very_root_open_them() {
        let keys = DataKeys::first(&mut ChaCha20Rng::seed_from_u64(1));
        let mut good = root();
        good.sealed_keys = keys.seal(&[2; 32], &good).unwrap();
        assert!(DataKeys::open(&[2; 32], &good).is_some());
        assert!(DataKeys::open(&[3; 32], &good).is_none());
        let changes: [fn(&mut Root); 4] = [
            |root| root.instance = [9; 32],
            |root| root.wrapping_key = Text::new("other").unwrap(),
            |root| root.wrapped = Bytes::new(b"other").unwrap(),
            |root| root.sealed_keys = Bytes::default(),
        ];
        for change in changes {
            let mut changed = good.clone();
            change(&mut changed);
            assert!(DataKeys::open(&[2; 32], &changed).is_none(), "{changed:?}");
        }
    }
}
