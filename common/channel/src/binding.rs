use crate::ChannelError;
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_attest::Document;
use countersign_wire::ids::{BootId, InstanceId, PartyId};
use countersign_wire::message::digest_of;

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
}
