//! One sealed blob: `version ‖ header ‖ ciphertext ‖ tag`.
//!
//! The key of each blob is HKDF-SHA256 (RFC 5869) of the data key, with a fresh random salt and with instance and header
//! in the info: a key seals one blob and no other, so that AES-256-GCM runs with a nonce of zeros. The header stands in
//! the clear and is authenticated, with the instance, as associated data.

use super::StateError;
use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_wire::host_link::BlobName;
use countersign_wire::ids::PairingId;
use countersign_wire::limits::MAX_BLOB_BYTES;
use countersign_wire::message::digest_of;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Version of the format of sealed blobs.
pub(super) const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"countersign/sealed-blob/v1";
const TAG_BYTES: usize = 16;
/// Version byte, longest header, tag.
const MAX_OVERHEAD_BYTES: usize = 1 + (1 + 1 + 16 + 32 + 8 + 32) + TAG_BYTES;
/// Longest record that fits into a blob.
pub const MAX_PLAINTEXT_BYTES: usize = MAX_BLOB_BYTES - MAX_OVERHEAD_BYTES;

/// What a blob holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Kind {
    /// The instance: identity, operators.
    Settings = 1,
    /// A pairing.
    Pairing = 2,
    /// Safe primes.
    Primes = 3,
    /// A group's auxiliary information.
    Aux = 4,
    /// A key's share set.
    Key = 5,
    /// A decided request.
    Request = 6,
    /// Which key serves a vault account's asset.
    Vault = 7,
    /// A pairing token that was used.
    UsedToken = 8,
    /// A signing group.
    Group = 9,
    /// A request that a handler is asked about again.
    Asking = 10,
    /// A decision about a configuration change.
    Change = 11,
}

/// The head's place among the kinds.
const HEAD_KIND: u8 = 0;

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::Settings,
        Kind::Pairing,
        Kind::Primes,
        Kind::Aux,
        Kind::Key,
        Kind::Request,
        Kind::Vault,
        Kind::UsedToken,
        Kind::Group,
        Kind::Asking,
        Kind::Change,
    ];

    /// Its name in blob names.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Settings => "settings",
            Kind::Pairing => "pairing",
            Kind::Primes => "primes",
            Kind::Aux => "aux",
            Kind::Key => "key",
            Kind::Request => "request",
            Kind::Vault => "vault",
            Kind::UsedToken => "used-token",
            Kind::Group => "group",
            Kind::Asking => "asking",
            Kind::Change => "change",
        }
    }
}

/// Which blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobId {
    /// What it holds.
    pub kind: Kind,
    /// The pairing that it belongs to, if to one.
    pub pairing: Option<PairingId>,
    /// Which of its kind.
    pub id: [u8; 32],
}

impl BlobId {
    /// Its name in the host's storage: the kind, and a hash of the rest.
    pub fn name(&self) -> BlobName {
        // An encoding of two fixed-size fields: the tag of the option keeps them apart.
        let mut place = Vec::with_capacity(49);
        match &self.pairing {
            Some(pairing) => {
                place.push(1);
                place.extend_from_slice(&pairing.0);
            }
            None => place.push(0),
        }
        place.extend_from_slice(&self.id);
        let hash = digest_of("countersign/blob-name/v1", &place);
        BlobName::cut(format!("{}-{}", self.kind.as_str(), hex::encode(hash)))
    }
}

/// A name that is a constant.
pub(super) struct FixedName(&'static str);

impl FixedName {
    pub(super) fn into_text(self) -> BlobName {
        BlobName::cut(self.0)
    }
}

/// Where the root stands.
pub(super) const ROOT_NAME: FixedName = FixedName("root");
/// Where the head stands.
pub(super) const HEAD_NAME: FixedName = FixedName("head");

/// What a sealed blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Head,
    Blob(BlobId),
}

impl Place {
    pub(super) fn name(&self) -> BlobName {
        match self {
            Place::Head => HEAD_NAME.into_text(),
            Place::Blob(id) => id.name(),
        }
    }
}

/// The authenticated header.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Header {
    kind: u8,
    pairing: Option<PairingId>,
    id: [u8; 32],
    /// The batch that wrote it.
    pub(super) epoch: u64,
    salt: [u8; 32],
}

impl Header {
    pub(super) fn new(place: &Place, epoch: u64, salt: [u8; 32]) -> Self {
        match place {
            Place::Head => Self { kind: HEAD_KIND, pairing: None, id: [0; 32], epoch, salt },
            Place::Blob(id) => Self { kind: id.kind as u8, pairing: id.pairing, id: id.id, epoch, salt },
        }
    }

    /// None for a kind that nobody writes.
    pub(super) fn place(&self) -> Option<Place> {
        if self.kind == HEAD_KIND {
            return (self.pairing.is_none() && self.id == [0; 32]).then_some(Place::Head);
        }
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == self.kind)?;
        Some(Place::Blob(BlobId { kind, pairing: self.pairing, id: self.id }))
    }

    /// Version byte and header, as they stand in front of the ciphertext.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        // Writing fixed-size fields to memory cannot fail.
        let _ = self.serialize(&mut bytes);
        bytes
    }
}

/// Why bytes have no header.
pub(super) enum Fault {
    Corrupt,
    Version(u8),
}

impl Fault {
    pub(super) fn of(self, name: &BlobName) -> StateError {
        let name = name.clone();
        match self {
            Fault::Corrupt => StateError::Corrupt { name },
            Fault::Version(got) => StateError::Version { name, expected: VERSION, got },
        }
    }
}

/// Seals `record`. `None` does not happen for records within [`MAX_PLAINTEXT_BYTES`].
pub(super) fn seal(data_key: &[u8; 32], instance: &[u8; 32], header: &Header, record: &[u8]) -> Option<Vec<u8>> {
    let front = header.encode();
    let mut sealed = Vec::with_capacity(front.len().saturating_add(record.len()).saturating_add(TAG_BYTES));
    sealed.extend_from_slice(&front);
    sealed.extend_from_slice(record);
    let (_, body) = sealed.split_at_mut_checked(front.len())?;
    let tag = cipher(data_key, instance, header, &front)?
        .encrypt_in_place_detached(&Nonce::default(), &associated(instance, &front), body)
        .ok()?;
    sealed.extend_from_slice(&tag);
    Some(sealed)
}

/// The header, and ciphertext with tag.
pub(super) fn split(sealed: &[u8]) -> Result<(Header, &[u8]), Fault> {
    let (version, mut rest) = sealed.split_first().ok_or(Fault::Corrupt)?;
    if *version != VERSION {
        return Err(Fault::Version(*version));
    }
    let header = Header::deserialize(&mut rest).map_err(|_| Fault::Corrupt)?;
    Ok((header, rest))
}

/// Opens what [`split`] left. `None` is any difference from what was sealed.
pub(super) fn open(
    data_key: &[u8; 32],
    instance: &[u8; 32],
    header: &Header,
    rest: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let front = header.encode();
    let (body, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
    let mut record = Zeroizing::new(body.to_vec());
    cipher(data_key, instance, header, &front)?
        .decrypt_in_place_detached(&Nonce::default(), &associated(instance, &front), &mut record, Tag::from_slice(tag))
        .ok()?;
    Some(record)
}

fn cipher(data_key: &[u8; 32], instance: &[u8; 32], header: &Header, front: &[u8]) -> Option<Aes256Gcm> {
    let mut key = Zeroizing::new([0u8; 32]);
    Hkdf::<Sha256>::new(Some(&header.salt), data_key).expand_multi_info(&[DOMAIN, instance, front], &mut *key).ok()?;
    Aes256Gcm::new_from_slice(&*key).ok()
}

fn associated(instance: &[u8; 32], front: &[u8]) -> Vec<u8> {
    [DOMAIN, instance, front].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_tell_kinds_pairings_and_ids_apart_and_fit() {
        let mut names = BTreeSet::new();
        for kind in Kind::ALL {
            for pairing in [None, Some(PairingId([0; 16])), Some(PairingId([1; 16]))] {
                for id in [[0; 32], [1; 32]] {
                    let name = BlobId { kind, pairing, id }.name();
                    assert!(name.starts_with(kind.as_str()) && name.len() == kind.as_str().len() + 65, "{name}");
                    names.insert(name);
                }
            }
        }
        assert_eq!(names.len(), 11 * 3 * 2);
    }

    #[test]
    fn the_longest_record_makes_a_blob_of_the_limit() {
        let place = Place::Blob(BlobId { kind: Kind::Key, pairing: Some(PairingId([1; 16])), id: [2; 32] });
        let header = Header::new(&place, u64::MAX, [3; 32]);
        let sealed = seal(&[4; 32], &[5; 32], &header, &vec![0; MAX_PLAINTEXT_BYTES]).unwrap();
        assert_eq!(sealed.len(), MAX_BLOB_BYTES);
    }

    #[test]
    fn a_blob_of_another_salt_epoch_or_instance_has_another_key() {
        let place = Place::Head;
        let base = Header::new(&place, 1, [1; 32]);
        let sealed = |key: u8, instance: u8, header: &Header| {
            let sealed = seal(&[key; 32], &[instance; 32], header, &[0; 64]).unwrap();
            sealed[header.encode().len()..].to_vec()
        };
        let all = [
            sealed(1, 1, &base),
            sealed(2, 1, &base),
            sealed(1, 2, &base),
            sealed(1, 1, &Header::new(&place, 2, [1; 32])),
            sealed(1, 1, &Header::new(&place, 1, [2; 32])),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn a_kind_that_nobody_writes_has_no_place() {
        let mut header = Header::new(&Place::Head, 1, [0; 32]);
        header.kind = 12;
        assert_eq!(header.place(), None);
        header.kind = HEAD_KIND;
        header.id = [1; 32];
        assert_eq!(header.place(), None);
    }
}
