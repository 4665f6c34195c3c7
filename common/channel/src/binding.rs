use crate::ChannelError;
use crate::attestation::Attestor;
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_attest::Document;
use countersign_wire::ids::{BootId, InstanceId, PartyId};
use countersign_wire::limits::MAX_DOCUMENT_BYTES;
use countersign_wire::message::digest_of;
use countersign_wire::signed::{sign_bytes, verify_bytes};
use countersign_wire::{Bytes, SigningIdentity};
use sha2::{Digest, Sha256};

/// What kind of identity a document vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum IdentityKind {
    /// A co-signer within one pairing.
    Party = 0,
    /// A co-signer instance.
    Instance = 1,
}

/// What an enclave claims to be when it opens a channel. Its hash is the document's `user_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IdentityBinding {
    /// Party or instance.
    pub kind: IdentityKind,
    /// The identity: an Ed25519 public key.
    pub identity: [u8; 32],
    /// The boot in which the channel key was made.
    pub boot: BootId,
}

impl IdentityBinding {
    /// Of a co-signer within one pairing.
    pub fn party(party: PartyId, boot: BootId) -> Self {
        Self { kind: IdentityKind::Party, identity: party.0, boot }
    }

    /// Of an instance.
    pub fn instance(instance: InstanceId, boot: BootId) -> Self {
        Self { kind: IdentityKind::Instance, identity: instance.0, boot }
    }

    /// SHA-256 over the domain `countersign/identity-binding/v1` and the 49 bytes `kind ‖ identity ‖ boot`.
    pub fn hash(&self) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(49);
        bytes.push(match self.kind {
            IdentityKind::Party => 0,
            IdentityKind::Instance => 1,
        });
        bytes.extend_from_slice(&self.identity);
        bytes.extend_from_slice(&self.boot.0);
        digest_of("countersign/identity-binding/v1", &bytes)
    }
}

/// Domain of the signature by which an identity vouches for a channel key.
const IDENTITY_PROOF: &str = "countersign/identity-proof/v1";

/// What an identity vouches for when it opens a channel: that the channel key of this boot is its own, to whoever chose
/// `nonce`, under this prologue. A document proves what software answers and nothing of whose identity key it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdentityClaim<'a> {
    pub binding: &'a IdentityBinding,
    pub channel_key: &'a [u8; 32],
    pub nonce: &'a [u8; 32],
    pub prologue: &'a [u8],
}

impl IdentityClaim<'_> {
    /// `binding hash ‖ channel key ‖ nonce ‖ SHA-256 of the prologue`.
    fn bytes(&self) -> Vec<u8> {
        [self.binding.hash(), *self.channel_key, *self.nonce, Sha256::digest(self.prologue).into()].concat()
    }

    /// The own side's proof: a document for these values, and the identity's signature.
    pub fn prove(
        &self,
        identity: &SigningIdentity,
        attestor: &mut dyn Attestor,
    ) -> Result<(Bytes<MAX_DOCUMENT_BYTES>, [u8; 64]), ChannelError> {
        let document = attestor.document(self.nonce, &self.binding.hash(), self.channel_key)?;
        Ok((Bytes::new(document)?, self.sign(identity)))
    }

    /// Checks the other side's proof: its document, which was verified, and its signature.
    pub fn check(&self, document: &Document, signature: &[u8; 64]) -> Result<(), ChannelError> {
        check_binding(document, self.binding, self.channel_key)?;
        self.verify(signature)
    }

    /// The signature (Ed25519) of the identity that the binding names.
    pub fn sign(&self, identity: &SigningIdentity) -> [u8; 64] {
        sign_bytes(IDENTITY_PROOF, &self.bytes(), identity)
    }

    fn verify(&self, signature: &[u8; 64]) -> Result<(), ChannelError> {
        verify_bytes(IDENTITY_PROOF, &self.bytes(), signature, &self.binding.identity)
            .map_err(|_| ChannelError::Identity { identity: hex::encode(self.binding.identity) })
    }
}

/// The document vouches for `binding` and for the Noise static key `public_key`.
pub fn check_binding(
    document: &Document,
    binding: &IdentityBinding,
    public_key: &[u8; 32],
) -> Result<(), ChannelError> {
    check_field("public_key", document.public_key.as_deref(), public_key)?;
    check_field("user_data", document.user_data.as_deref(), &binding.hash())
}

fn check_field(field: &'static str, got: Option<&[u8]>, expected: &[u8; 32]) -> Result<(), ChannelError> {
    if got == Some(expected) {
        return Ok(());
    }
    let got = got.map_or_else(|| "nothing".to_owned(), hex::encode);
    Err(ChannelError::Binding { field, expected: hex::encode(expected), got })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_hash() {
        let binding = IdentityBinding::party(PartyId([1; 32]), BootId([2; 16]));
        let encoded = borsh::to_vec(&binding).unwrap();
        assert_eq!(encoded.len(), 49);
        assert_eq!(binding.hash(), digest_of("countersign/identity-binding/v1", &encoded));
        assert_eq!(hex::encode(binding.hash()), "2eadd9d5f0214a59f2789b4786bdd036e84a1c49118c6c45a261b02ead29e7ec");
    }

    #[test]
    fn the_hash_depends_on_kind_identity_and_boot() {
        let one = IdentityBinding::party(PartyId([1; 32]), BootId([2; 16]));
        assert_ne!(one.hash(), IdentityBinding::instance(InstanceId([1; 32]), BootId([2; 16])).hash());
        assert_ne!(one.hash(), IdentityBinding::party(PartyId([3; 32]), BootId([2; 16])).hash());
        assert_ne!(one.hash(), IdentityBinding::party(PartyId([1; 32]), BootId([3; 16])).hash());
    }

    #[test]
    fn an_identity_vouches_for_one_key_one_nonce_and_one_prologue() {
        let identity = SigningIdentity::from_secret(&[4; 32]);
        let binding = IdentityBinding::party(PartyId(identity.public()), BootId([2; 16]));
        let claim =
            IdentityClaim { binding: &binding, channel_key: &[5; 32], nonce: &[6; 32], prologue: b"between us" };
        let expected = [&binding.hash()[..], &[5; 32], &[6; 32], &Sha256::digest(b"between us")].concat();
        assert_eq!(claim.bytes(), expected);
        let signature = claim.sign(&identity);
        assert_eq!(claim.verify(&signature), Ok(()));
        let rebooted = IdentityBinding { boot: BootId([3; 16]), ..binding };
        let other = IdentityBinding { identity: SigningIdentity::from_secret(&[9; 32]).public(), ..binding };
        for altered in [
            IdentityClaim { channel_key: &[7; 32], ..claim },
            IdentityClaim { nonce: &[7; 32], ..claim },
            IdentityClaim { prologue: b"between them", ..claim },
            IdentityClaim { binding: &rebooted, ..claim },
            IdentityClaim { binding: &other, ..claim },
        ] {
            assert!(matches!(altered.verify(&signature), Err(ChannelError::Identity { .. })), "{altered:?}");
        }
    }
}
