//! Handshake between an operator's CLI and an enclave. The CLI is anonymous here: what it may command is decided by the
//! operators' signatures inside the channel.
//!
//! ```text
//! 1  ->  e                 Hello   { nonce }
//! 2  <-  e, ee, s, es      Welcome { instance, boot, document(nonce of 1, key s, instance and boot),
//!                                   signature(the same, prologue) }
//! ```

use crate::ChannelError;
use crate::attestation::{Attestor, DocumentVerifier};
use crate::binding::{IdentityBinding, IdentityClaim};
use crate::noise::{Pattern, Recipe, StaticKey, random_nonce, random_secret};
use crate::transport::Transport;
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_attest::Document;
use countersign_wire::ids::{BootId, InstanceId};
use countersign_wire::limits::MAX_DOCUMENT_BYTES;
use countersign_wire::{Bytes, Message, SigningIdentity, message};
use rand_core::{CryptoRng, RngCore};
use std::fmt;

/// The Noise prologue.
const PROLOGUE: &[u8] = b"countersign/admin-channel/v1";

/// Payload of message 1.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Hello {
    nonce: [u8; 32],
}
message!(Hello, "countersign/admin-hello", 1, 64);

/// Payload of message 2.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Welcome {
    instance: InstanceId,
    boot: BootId,
    document: Bytes<MAX_DOCUMENT_BYTES>,
    signature: [u8; 64],
}
message!(Welcome, "countersign/admin-welcome", 2, MAX_DOCUMENT_BYTES + 128);

/// An open channel to an enclave, and what its document proved.
#[derive(Debug)]
pub struct AdminChannel {
    /// The channel.
    pub transport: Transport,
    /// The instance that answered: compare it with the pinned one.
    pub instance: InstanceId,
    /// Its boot.
    pub boot: BootId,
    /// Its verified document.
    pub document: Document,
    /// Names the channel; the same on both sides, and never the same twice.
    pub handshake_hash: [u8; 32],
}

/// The CLI's side.
pub struct AdminInitiator {
    hello: Hello,
    recipe: Option<Recipe>,
}

impl AdminInitiator {
    /// Starts a handshake and returns message 1.
    pub fn start<R: RngCore + CryptoRng + ?Sized>(rng: &mut R) -> Result<(Self, Vec<u8>), ChannelError> {
        let hello = Hello { nonce: random_nonce(rng) };
        let recipe = Recipe {
            pattern: Pattern::Nx,
            initiator: true,
            prologue: PROLOGUE.to_vec(),
            static_key: None,
            ephemeral: random_secret(rng),
        };
        let message1 = recipe.start()?.write(&hello.encode())?;
        Ok((Self { hello, recipe: Some(recipe) }, message1))
    }

    /// Takes message 2, has the enclave's document verified, and returns the channel. After an error the handshake waits
    /// as before; after success it takes no more messages.
    pub fn finish(&mut self, message2: &[u8], verifier: &dyn DocumentVerifier) -> Result<AdminChannel, ChannelError> {
        let recipe = self.recipe.as_ref().ok_or(ChannelError::Finished)?;
        let mut running = recipe.start()?;
        running.write(&self.hello.encode())?;
        let welcome = Welcome::decode(&running.read("handshake message 2", message2)?)?;
        let document = verifier.verify(&welcome.document, &self.hello.nonce)?;
        let enclave = IdentityBinding::instance(welcome.instance, welcome.boot);
        let enclave_key = running.remote_static()?;
        let nonce = &self.hello.nonce;
        IdentityClaim { binding: &enclave, channel_key: &enclave_key, nonce, prologue: PROLOGUE }
            .check(&document, &welcome.signature)?;
        let (transport, handshake_hash) = running.finish()?;
        self.recipe = None;
        Ok(AdminChannel { transport, instance: welcome.instance, boot: welcome.boot, document, handshake_hash })
    }
}

impl fmt::Debug for AdminInitiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminInitiator")
    }
}

/// The enclave's side: answers message 1 with message 2, and has the channel at once. Message 1 can be replayed by
/// anybody; whoever does so cannot read or write on the channel.
pub fn respond<R: RngCore + CryptoRng + ?Sized>(
    identity: &SigningIdentity,
    key: &StaticKey,
    boot: BootId,
    rng: &mut R,
    attestor: &mut dyn Attestor,
    message1: &[u8],
) -> Result<(Transport, Vec<u8>), ChannelError> {
    let recipe = Recipe {
        pattern: Pattern::Nx,
        initiator: false,
        prologue: PROLOGUE.to_vec(),
        static_key: Some(key.copy()),
        ephemeral: random_secret(rng),
    };
    let mut running = recipe.start()?;
    let hello = Hello::decode(&running.read("handshake message 1", message1)?)?;
    let instance = InstanceId(identity.public());
    let own = IdentityBinding::instance(instance, boot);
    let claim = IdentityClaim { binding: &own, channel_key: &key.public(), nonce: &hello.nonce, prologue: PROLOGUE };
    let (document, signature) = claim.prove(identity, attestor)?;
    let message2 = running.write(&Welcome { instance, boot, document, signature }.encode())?;
    let (transport, _) = running.finish()?;
    Ok((transport, message2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::AttestationPolicy;
    use cosigner_dev::{DevelopmentRoot, SoftwareNsm};
    use countersign_attest::Measurements;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use std::sync::Arc;

    const NOW_MS: u64 = 1_800_000_000_000;

    /// What the CLI says to an enclave whose document fits, and which signs with this key.
    fn answered(by: &SigningIdentity) -> Result<AdminChannel, ChannelError> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let pinned = InstanceId(SigningIdentity::from_secret(&[2; 32]).public());
        let (mut cli, message1) = AdminInitiator::start(&mut rng).unwrap();
        let (key, boot) = (StaticKey::generate(&mut rng), BootId([3; 16]));
        let recipe = Recipe {
            pattern: Pattern::Nx,
            initiator: false,
            prologue: PROLOGUE.to_vec(),
            static_key: Some(key.copy()),
            ephemeral: random_secret(&mut rng),
        };
        let mut running = recipe.start().unwrap();
        let hello = Hello::decode(&running.read("handshake message 1", &message1).unwrap()).unwrap();
        let binding = IdentityBinding::instance(pinned, boot);
        let channel_key = key.public();
        let claim =
            IdentityClaim { binding: &binding, channel_key: &channel_key, nonce: &hello.nonce, prologue: PROLOGUE };
        let signature = claim.sign(by);
        let root = Arc::new(DevelopmentRoot::generate().unwrap());
        let image = Measurements { pcr0: [1; 48], pcr1: [2; 48], pcr2: [3; 48], pcr8: None };
        let mut nsm = SoftwareNsm::new(root.clone(), "i-1-enc1", image, || NOW_MS);
        let document = Bytes::new(nsm.attest(&hello.nonce, &binding.hash(), &channel_key).unwrap()).unwrap();
        let welcome = Welcome { instance: pinned, boot, document, signature };
        let message2 = running.write(&welcome.encode()).unwrap();
        let (anchor, measurements) = (root.trust_anchor().unwrap(), [image]);
        let policy =
            AttestationPolicy { anchor: &anchor, now_ms: NOW_MS, max_age_ms: 60_000, measurements: &measurements };
        cli.finish(&message2, &policy)
    }

    #[test]
    fn t51_an_enclave_with_the_same_software_cannot_pass_for_another_instance() {
        assert!(answered(&SigningIdentity::from_secret(&[2; 32])).is_ok());
        let other = answered(&SigningIdentity::from_secret(&[4; 32])).map(drop);
        assert!(matches!(other, Err(ChannelError::Identity { .. })), "{other:?}");
    }
}
