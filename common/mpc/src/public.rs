//! What needs no machine: what a share says about its key, derivation of child keys, verification of signatures.

use crate::cggmp24::material;
pub use crate::cggmp24::material::ShareError;
use crate::secret::{AuxInfoBytes, KeyShareBytes};
use borsh::BorshSerialize;
use countersign_wire::key::{DerivationPath, EcdsaSignature, PublicKey};
use countersign_wire::message::digest_of;
use generic_ec::curves::Secp256k1;
use generic_ec::{NonZero, Point, Scalar};
use hd_wallet::{ExtendedPublicKey, HdWallet, NonHardenedIndex, Slip10};

/// The public part of a key, as one party's share has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOutcome {
    /// The key itself, above all derivation.
    pub public_key: PublicKey,
    /// Its BIP-32 chain code.
    pub chain_code: [u8; 32],
    /// Number of parties that hold a share.
    pub parties: u16,
    /// How many sign.
    pub threshold: u16,
    /// The index of the party whose share it is.
    pub index: u16,
    /// Hash of all of the public part, the parties' public shares and evaluation points included, without the index:
    /// equal at all parties.
    pub commitment: [u8; 32],
}

/// A public key or a path from which nothing can be derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// Not a compressed point of secp256k1.
    #[error("expected a compressed public key on secp256k1")]
    PublicKey,
    /// The child key would be the point at infinity; nobody can find such a path.
    #[error("the path leads to no key")]
    NoChild,
}

#[derive(BorshSerialize)]
struct PublicPart<'a> {
    public_key: &'a PublicKey,
    chain_code: &'a [u8; 32],
    threshold: u16,
    points: Vec<[u8; 32]>,
    public_shares: Vec<PublicKey>,
}

#[derive(BorshSerialize)]
struct PublicParameters {
    paillier_n: Vec<u8>,
    pedersen_n: Vec<u8>,
    pedersen_s: Vec<u8>,
    pedersen_t: Vec<u8>,
}

/// The public part of the key that `share` belongs to.
///
/// # Errors
/// The bytes are no valid share.
pub fn outcome(share: &KeyShareBytes) -> Result<KeyOutcome, ShareError> {
    let share = material::Share::decode(share)?;
    let info = &share.core.key_info;
    let public_key = compress(&info.shared_public_key).ok_or(ShareError::Invalid("public key at infinity"))?;
    let public_shares = info.public_shares.iter().map(|point| compress(point)).collect::<Option<Vec<_>>>();
    let part = PublicPart {
        public_key: &public_key,
        chain_code: &share.chain_code,
        threshold: share.threshold,
        points: share.points.iter().map(|point| scalar_bytes(point)).collect(),
        public_shares: public_shares.ok_or(ShareError::Invalid("public share at infinity"))?,
    };
    let encoding = borsh::to_vec(&part).map_err(|_| ShareError::Invalid("public part cannot be encoded"))?;
    Ok(KeyOutcome {
        public_key,
        chain_code: share.chain_code,
        parties: share.parties,
        threshold: share.threshold,
        index: share.core.i,
        commitment: digest_of("countersign/key-outcome", &encoding),
    })
}

/// Hash of the public parameters of all parties of a group: equal at all parties.
///
/// # Errors
/// The bytes are no valid auxiliary information.
pub fn aux_commitment(aux: &AuxInfoBytes) -> Result<[u8; 32], ShareError> {
    let aux = material::decode_aux(aux)?;
    let parties: Vec<PublicParameters> = aux
        .N
        .iter()
        .zip(&aux.pedersen_params)
        .map(|(n, pedersen)| PublicParameters {
            paillier_n: n.to_bytes_msf(),
            pedersen_n: pedersen.hat_N.to_bytes_msf(),
            pedersen_s: pedersen.s.to_bytes_msf(),
            pedersen_t: pedersen.t.to_bytes_msf(),
        })
        .collect();
    let encoding = borsh::to_vec(&parties).map_err(|_| ShareError::Invalid("parameters cannot be encoded"))?;
    Ok(digest_of("countersign/aux-info", &encoding))
}

/// The public key of the child at `path` (SLIP-10, the same as BIP-32 for non-hardened paths on secp256k1): the key that
/// a signature with this path verifies against.
///
/// # Errors
/// `public_key` is no public key.
pub fn derive(public_key: &PublicKey, chain_code: &[u8; 32], path: &DerivationPath) -> Result<PublicKey, DeriveError> {
    let parent = ExtendedPublicKey::<Secp256k1> {
        public_key: decompress(public_key).ok_or(DeriveError::PublicKey)?.into_inner(),
        chain_code: *chain_code,
    };
    let path = path.elements().iter().map(|index| NonHardenedIndex::try_from(*index));
    let child =
        Slip10::try_derive_child_public_key_with_path(&parent, path).map_err(|_| DeriveError::NoChild)?.public_key;
    compress(&child).ok_or(DeriveError::NoChild)
}

/// Whether `signature` is the one that may leave: valid for `public_key` and `digest`, `s` in the lower half (BIP-62), and
/// a recovery id of 0 or 1 that recovers exactly `public_key` (SEC 1, section 4.1.6).
pub fn verify(public_key: &PublicKey, digest: &[u8; 32], signature: &EcdsaSignature) -> bool {
    check_signature(public_key, digest, signature).is_some()
}

fn check_signature(public_key: &PublicKey, digest: &[u8; 32], signature: &EcdsaSignature) -> Option<()> {
    let key = decompress(public_key)?;
    let r = nonzero_scalar(&signature.r)?;
    let s = nonzero_scalar(&signature.s)?;
    if signature.s > scalar_bytes(&-s) {
        return None;
    }
    let z = Scalar::<Secp256k1>::from_be_bytes_mod_order(digest);
    let nonce_point = (Point::generator() * z + key * r) * s.invert();
    let nonce_point = compress(&nonce_point)?;
    // Comparing the whole point checks `r` and the recovery id at once, and refuses the 2^-127 case of an x above the
    // group order, which no recovery id of 0 or 1 can express.
    let prefix = match signature.v {
        0 => 0x02,
        1 => 0x03,
        _ => return None,
    };
    (nonce_point.split_first() == Some((&prefix, signature.r.as_slice()))).then_some(())
}

/// The uncompressed form of a public key (SEC 1, section 2.3.3): `04 ‖ x ‖ y`.
///
/// # Errors
/// `public_key` is no public key.
pub fn uncompressed(public_key: &PublicKey) -> Result<[u8; 65], DeriveError> {
    let point = decompress(public_key).ok_or(DeriveError::PublicKey)?;
    point.to_bytes(false).as_bytes().try_into().map_err(|_| DeriveError::PublicKey)
}

/// Completes (r, s) to the signature that [`verify`] accepts, if there is one.
pub(crate) fn recoverable(
    public_key: &PublicKey,
    digest: &[u8; 32],
    r: [u8; 32],
    s: [u8; 32],
) -> Option<EcdsaSignature> {
    [0, 1].map(|v| EcdsaSignature { r, s, v }).into_iter().find(|signature| verify(public_key, digest, signature))
}

pub(crate) fn scalar_bytes(scalar: &Scalar<Secp256k1>) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(scalar.to_be_bytes().as_bytes());
    bytes
}

fn nonzero_scalar(bytes: &[u8; 32]) -> Option<NonZero<Scalar<Secp256k1>>> {
    NonZero::from_scalar(Scalar::from_be_bytes(bytes).ok()?)
}

fn compress(point: &Point<Secp256k1>) -> Option<PublicKey> {
    NonZero::from_point(*point)?.to_bytes(true).as_bytes().try_into().ok()
}

fn decompress(public_key: &PublicKey) -> Option<NonZero<Point<Secp256k1>>> {
    NonZero::from_point(Point::from_bytes(public_key).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secp256k1::{Message, Secp256k1 as Library, SecretKey};

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// BIP-32, test vector 1: a parent's public key and chain code, a path, and the child's public key.
    const VECTORS: [(&str, &str, &[u32], &str); 2] = [
        (
            "035a784662a4a20a65bf6aab9ae98a6c068a81c52e4b032c0fb5400c706cfccc56",
            "47fdacbd0f1097043b78c63c20c34ef4ed9a111d980047ad16282c7ae6236141",
            &[1],
            "03501e454bf00751f24b1b489aa925215d66af2234e3891c3b21a52bedb3cd711c",
        ),
        (
            "0357bfe1e341d01c69fe5654309956cbea516822fba8a601743a012a7896ee8dc2",
            "04466b9cc8e161e966409ca52986c584f07e9dc81f735db683c3ff6ec7b1503f",
            &[2, 1_000_000_000],
            "022a471424da5e657499d1ff51cb43c47481a03b1e77f951fe64cec9f5a48f7011",
        ),
    ];

    #[test]
    fn child_keys_are_those_of_bip_32() {
        for (parent, chain_code, path, child) in VECTORS {
            let path = DerivationPath::new(path.to_vec()).unwrap();
            assert_eq!(derive(&bytes(parent), &bytes(chain_code), &path), Ok(bytes(child)));
        }
    }

    #[test]
    fn what_is_no_public_key_has_no_children_and_no_other_form() {
        let path = DerivationPath::new(vec![0]).unwrap();
        let mut off_curve = [0xFF; 33];
        off_curve[0] = 2;
        let mut hybrid: PublicKey = bytes(VECTORS[0].0);
        hybrid[0] = 7;
        for wrong in [[0; 33], off_curve, hybrid] {
            assert_eq!(derive(&wrong, &[0; 32], &path), Err(DeriveError::PublicKey));
            assert_eq!(uncompressed(&wrong), Err(DeriveError::PublicKey));
        }
    }

    #[test]
    fn the_uncompressed_form_is_the_same_point() {
        let compressed: PublicKey = bytes(VECTORS[0].0);
        let long = uncompressed(&compressed).unwrap();
        let point = secp256k1::PublicKey::from_slice(&long).unwrap();
        assert_eq!((long[0], point.serialize()), (4, compressed));
    }

    fn signed() -> (PublicKey, [u8; 32], EcdsaSignature) {
        let library = Library::new();
        let secret = SecretKey::from_slice(&[0x42; 32]).unwrap();
        let digest = [0x17; 32];
        let signature = library.sign_ecdsa_recoverable(&Message::from_digest(digest), &secret);
        let (id, compact) = signature.serialize_compact();
        let signature = EcdsaSignature {
            r: compact[..32].try_into().unwrap(),
            s: compact[32..].try_into().unwrap(),
            v: u8::try_from(i32::from(id)).unwrap(),
        };
        (secret.public_key(&library).serialize(), digest, signature)
    }

    #[test]
    fn a_signature_of_libsecp256k1_verifies() {
        let (key, digest, signature) = signed();
        assert!(verify(&key, &digest, &signature));
        assert_eq!(recoverable(&key, &digest, signature.r, signature.s), Some(signature));
    }

    #[test]
    fn only_the_one_strict_form_of_a_signature_verifies() {
        let (key, digest, good) = signed();
        let negated = NonZero::from_scalar(Scalar::<Secp256k1>::from_be_bytes(good.s).unwrap()).unwrap();
        let high_s = scalar_bytes(&-negated);
        let order: [u8; 32] = bytes("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
        let wrong = [
            ("other recovery id", EcdsaSignature { v: good.v ^ 1, ..good }),
            ("recovery id above 1", EcdsaSignature { v: good.v + 2, ..good }),
            ("recovery id as Bitcoin has it", EcdsaSignature { v: good.v + 27, ..good }),
            ("high s", EcdsaSignature { s: high_s, ..good }),
            ("high s with its recovery id", EcdsaSignature { s: high_s, v: good.v ^ 1, ..good }),
            ("zero r", EcdsaSignature { r: [0; 32], ..good }),
            ("zero s", EcdsaSignature { s: [0; 32], ..good }),
            ("r of the group order", EcdsaSignature { r: order, ..good }),
            ("s of the group order", EcdsaSignature { s: order, ..good }),
            ("r and s swapped", EcdsaSignature { r: good.s, s: good.r, ..good }),
        ];
        for (why, signature) in wrong {
            assert!(!verify(&key, &digest, &signature), "{why}");
        }
        assert!(!verify(&bytes(VECTORS[0].0), &digest, &good), "another key");
        assert!(!verify(&key, &[0x18; 32], &good), "another digest");
        assert!(!verify(&[0; 33], &digest, &good), "no key");
    }
}
