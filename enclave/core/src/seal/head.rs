//! The head: one hash over everything that is stored.
//!
//! It is the keyed, additive multiset hash MSet-Add-Hash of Clarke, Devadas, van Dijk, Gassend and Suh (ASIACRYPT 2003):
//! the sum, modulo 2^256, of a pseudo-random function over each member. A change costs what it changes, not what is
//! stored. The scheme's random nonce hides equal sums from those who see them; here the sum is itself encrypted and
//! authenticated, and members differ by their names, so that none is needed. The count goes with the sum.

use super::root::Root;
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_wire::host_link::BlobName;
use countersign_wire::message::digest_of;
use hkdf::Hkdf;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, Zeroizing};

const DOMAIN: &[u8] = b"countersign/stored-set/v1";

/// The key of the set hash: 32 bytes, in the block of 64 to which HMAC pads its key (RFC 2104, section 2).
pub(super) struct SetKey(Zeroizing<[u8; 64]>);

/// One stored blob, as the sum counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// The batch that wrote it.
    pub(super) epoch: u64,
    sealed: [u8; 32],
}

impl Member {
    pub(super) fn new(epoch: u64, sealed: &[u8]) -> Self {
        Self { epoch, sealed: Sha256::digest(sealed).into() }
    }
}

/// What a member adds to the sum: little-endian limbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element([u64; 4]);

/// The sum over all stored blobs: little-endian limbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct SetHash([u64; 4]);

impl SetKey {
    pub(super) fn derive(data_key: &[u8; 32], instance: &[u8; 32]) -> Self {
        // HKDF-Extract (RFC 5869, section 2.2): domain and instance are the salt.
        let salt = [DOMAIN, instance].concat();
        let (mut key, _) = Hkdf::<Sha256>::extract(Some(&salt), data_key);
        let mut block = Zeroizing::new([0u8; 64]);
        block.iter_mut().zip(&key).for_each(|(to, from)| *to = *from);
        key.as_mut_slice().zeroize();
        Self(block)
    }

    /// HMAC-SHA256 over (name, epoch, SHA-256 of the sealed bytes).
    pub(super) fn element(&self, name: &BlobName, member: &Member) -> Element {
        let mut mac = <Hmac<Sha256> as KeyInit>::new((&*self.0).into());
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(&member.epoch.to_le_bytes());
        mac.update(&member.sealed);
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let mut limbs = [0u64; 4];
        for (limb, bytes) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*bytes);
        }
        Element(limbs)
    }
}

impl SetHash {
    pub(super) const EMPTY: Self = Self([0; 4]);

    pub(super) fn with(self, element: &Element) -> Self {
        let mut carry = false;
        let mut limbs = self.0;
        for (limb, add) in limbs.iter_mut().zip(element.0) {
            let (sum, over) = limb.overflowing_add(add);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || again);
        }
        Self(limbs)
    }

    pub(super) fn without(self, element: &Element) -> Self {
        let mut borrow = false;
        let mut limbs = self.0;
        for (limb, sub) in limbs.iter_mut().zip(element.0) {
            let (rest, under) = limb.overflowing_sub(sub);
            let (rest, again) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, under || again);
        }
        Self(limbs)
    }
}

/// What the head blob holds.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Head {
    /// Number of the batch.
    pub(super) epoch: u64,
    /// How many blobs are stored, without root and head.
    pub(super) count: u64,
    /// The sum over them.
    pub(super) set: SetHash,
    root: [u8; 32],
}

impl Head {
    pub(super) fn new(epoch: u64, count: usize, set: SetHash, root: &Root) -> Self {
        Self { epoch, count: count as u64, set, root: hash_of(root) }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Fixed-size fields into memory: this cannot fail, and an empty head would never open.
        borsh::to_vec(self).unwrap_or_default()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        borsh::from_slice(bytes).ok()
    }

    /// Whether it was written beside this root.
    pub(super) fn is_over(&self, root: &Root) -> bool {
        self.root == hash_of(root)
    }
}

fn hash_of(root: &Root) -> [u8; 32] {
    digest_of("countersign/root/v1", &root.encode())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key() -> SetKey {
        SetKey::derive(&[1; 32], &[2; 32])
    }

    fn name(text: &str) -> BlobName {
        BlobName::new(text).unwrap()
    }

    #[test]
    fn sums_carry_over_all_limbs_and_differences_undo_them() {
        let max = SetHash([u64::MAX; 4]);
        let one = Element([1, 0, 0, 0]);
        assert_eq!(max.with(&one), SetHash::EMPTY, "modulo 2^256");
        assert_eq!(SetHash::EMPTY.without(&one), max);
        assert_eq!(SetHash([u64::MAX, 0, 0, 0]).with(&one), SetHash([0, 1, 0, 0]));
        assert_eq!(
            SetHash([u64::MAX, u64::MAX, 5, 0]).with(&Element([1, u64::MAX, 0, 0])),
            SetHash([0, u64::MAX, 6, 0])
        );
        let key = key();
        let (a, b) = (key.element(&name("a"), &Member::new(1, b"x")), key.element(&name("b"), &Member::new(2, b"y")));
        assert_eq!(SetHash::EMPTY.with(&a).with(&b), SetHash::EMPTY.with(&b).with(&a), "order does not count");
        assert_eq!(SetHash::EMPTY.with(&a).with(&b).without(&a), SetHash::EMPTY.with(&b));
    }

    #[test]
    fn an_element_binds_name_epoch_content_and_key() {
        let base = key().element(&name("a"), &Member::new(1, b"x"));
        assert_eq!(base, key().element(&name("a"), &Member::new(1, b"x")));
        assert_ne!(base, key().element(&name("b"), &Member::new(1, b"x")));
        assert_ne!(base, key().element(&name("a"), &Member::new(2, b"x")));
        assert_ne!(base, key().element(&name("a"), &Member::new(1, b"y")));
        assert_ne!(base, SetKey::derive(&[1; 32], &[3; 32]).element(&name("a"), &Member::new(1, b"x")));
        assert_ne!(base, SetKey::derive(&[3; 32], &[2; 32]).element(&name("a"), &Member::new(1, b"x")));
    }
}
