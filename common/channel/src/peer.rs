//! Handshake between two co-signers. Both are enclaves; each proves its software by a document, and its identity within one
//! workspace by a signature.
//!
//! ```text
//! 1  ->  e                 Hello   { boot, nonce }
//! 2  <-  e, ee, s, es      Welcome { boot, nonce, document(nonce of 1, key s, party and boot),
//!                                   signature(the same, prologue) }
//! 3  ->  s, se             Proof   { document(nonce of 2, key s, party and boot), signature(the same, prologue) }
//! ```
//!
//! Both sides know beforehand whom they talk to: workspace and parties are in the prologue.

use crate::attestation::{Attestor, DocumentVerifier};
use crate::binding::{IdentityBinding, IdentityClaim};
use crate::noise::{Pattern, Recipe, StaticKey, random_nonce, random_secret};
use crate::transport::Transport;
use crate::{ChannelError, noise::Running};
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_attest::Document;
use countersign_wire::ids::{BootId, PartyId, WorkspaceId};
use countersign_wire::limits::MAX_DOCUMENT_BYTES;
use countersign_wire::{Bytes, Message, SigningIdentity, message};
use rand_core::{CryptoRng, RngCore};
use std::fmt;

/// Payload of message 1.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Hello {
    boot: BootId,
    nonce: [u8; 32],
}
message!(Hello, "countersign/peer-hello", 1, 64);

/// Payload of message 2.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Welcome {
    boot: BootId,
    nonce: [u8; 32],
    document: Bytes<MAX_DOCUMENT_BYTES>,
    signature: [u8; 64],
}
message!(Welcome, "countersign/peer-welcome", 2, MAX_DOCUMENT_BYTES + 128);

/// Payload of message 3.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Proof {
    document: Bytes<MAX_DOCUMENT_BYTES>,
    signature: [u8; 64],
}
message!(Proof, "countersign/peer-proof", 2, MAX_DOCUMENT_BYTES + 80);

/// Who talks to whom, as both sides know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PeerPair {
    /// The workspace that both are paired with.
    pub workspace: WorkspaceId,
    /// The party that sends the first message.
    pub initiator: PartyId,
    /// The party that answers.
    pub responder: PartyId,
}

impl PeerPair {
    /// `"countersign/peer-channel/v1" ‖ workspace ‖ initiator ‖ responder`.
    fn prologue(&self) -> Vec<u8> {
        let mut prologue = b"countersign/peer-channel/v1".to_vec();
        prologue.extend_from_slice(&self.workspace.0);
        prologue.extend_from_slice(&self.initiator.0);
        prologue.extend_from_slice(&self.responder.0);
        prologue
    }
}

/// An open channel and what is known of the peer.
#[derive(Debug)]
pub struct PeerChannel {
    /// The channel.
    pub transport: Transport,
    /// The peer's boot: a new one means that everything the peer held in memory is gone.
    pub peer_boot: BootId,
    /// The peer's verified document.
    pub document: Document,
    /// Names the channel; the same on both sides, and never the same twice.
    pub handshake_hash: [u8; 32],
}

/// The initiator's side, between message 1 and message 2.
pub struct PeerInitiator {
    pair: PeerPair,
    hello: Hello,
    recipe: Option<Recipe>,
}

impl PeerInitiator {
    /// Starts a handshake and returns message 1. `key` is this boot's channel key.
    pub fn start<R: RngCore + CryptoRng + ?Sized>(
        pair: PeerPair,
        key: &StaticKey,
        boot: BootId,
        rng: &mut R,
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let hello = Hello { boot, nonce: random_nonce(rng) };
        let recipe = Recipe {
            pattern: Pattern::Xx,
            initiator: true,
            prologue: pair.prologue(),
            static_key: Some(key.copy()),
            ephemeral: random_secret(rng),
        };
        let message1 = recipe.start()?.write(&hello.encode())?;
        Ok((Self { pair, hello, recipe: Some(recipe) }, message1))
    }

    /// Takes message 2, has the peer's document verified, and returns the channel and message 3. After an error the
    /// handshake waits as before; after success it takes no more messages.
    pub fn finish(
        &mut self,
        message2: &[u8],
        verifier: &dyn DocumentVerifier,
        identity: &SigningIdentity,
        attestor: &mut dyn Attestor,
    ) -> Result<(PeerChannel, Vec<u8>), ChannelError> {
        let recipe = self.recipe.as_ref().ok_or(ChannelError::Finished)?;
        let mut running = recipe.start()?;
        running.write(&self.hello.encode())?;
        let welcome = Welcome::decode(&running.read("handshake message 2", message2)?)?;
        let document = verifier.verify(&welcome.document, &self.hello.nonce)?;
        let peer = IdentityBinding::party(self.pair.responder, welcome.boot);
        claim(recipe, &peer, &running.remote_static()?, &self.hello.nonce).check(&document, &welcome.signature)?;

        let own = IdentityBinding::party(self.pair.initiator, self.hello.boot);
        let own_key = recipe.own_key()?;
        let (own_document, signature) = claim(recipe, &own, &own_key, &welcome.nonce).prove(identity, attestor)?;
        let proof = Proof { document: own_document, signature };
        let message3 = running.write(&proof.encode())?;
        let channel = open(running, welcome.boot, document)?;
        self.recipe = None;
        Ok((channel, message3))
    }
}

/// The responder's side, between message 2 and message 3.
pub struct PeerResponder {
    pair: PeerPair,
    peer_boot: BootId,
    message1: Vec<u8>,
    message2: Vec<u8>,
    welcome: Welcome,
    recipe: Option<Recipe>,
}

impl PeerResponder {
    /// Answers message 1 with message 2. Nothing is known of the initiator yet. Message 1 can be replayed by anybody;
    /// that costs a document and leads to no channel.
    pub fn respond<R: RngCore + CryptoRng + ?Sized>(
        pair: PeerPair,
        key: &StaticKey,
        boot: BootId,
        rng: &mut R,
        identity: &SigningIdentity,
        attestor: &mut dyn Attestor,
        message1: &[u8],
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let recipe = Recipe {
            pattern: Pattern::Xx,
            initiator: false,
            prologue: pair.prologue(),
            static_key: Some(key.copy()),
            ephemeral: random_secret(rng),
        };
        let mut running = recipe.start()?;
        let hello = Hello::decode(&running.read("handshake message 1", message1)?)?;
        let own = IdentityBinding::party(pair.responder, boot);
        let (document, signature) = claim(&recipe, &own, &key.public(), &hello.nonce).prove(identity, attestor)?;
        let welcome = Welcome { boot, nonce: random_nonce(rng), document, signature };
        let message2 = running.write(&welcome.encode())?;
        let responder = Self {
            pair,
            peer_boot: hello.boot,
            message1: message1.to_vec(),
            message2: message2.clone(),
            welcome,
            recipe: Some(recipe),
        };
        Ok((responder, message2))
    }

    /// Message 2 once more, if `message1` is the one that was answered: for delivery that repeats.
    pub fn answer_again(&self, message1: &[u8]) -> Option<&[u8]> {
        (message1 == self.message1).then_some(self.message2.as_slice())
    }

    /// Takes message 3, has the peer's document verified, and returns the channel. After an error the handshake waits as
    /// before; after success it takes no more messages.
    pub fn finish(&mut self, message3: &[u8], verifier: &dyn DocumentVerifier) -> Result<PeerChannel, ChannelError> {
        let recipe = self.recipe.as_ref().ok_or(ChannelError::Finished)?;
        let mut running = recipe.start()?;
        running.read("handshake message 1", &self.message1)?;
        running.write(&self.welcome.encode())?;
        let proof = Proof::decode(&running.read("handshake message 3", message3)?)?;
        let document = verifier.verify(&proof.document, &self.welcome.nonce)?;
        let peer = IdentityBinding::party(self.pair.initiator, self.peer_boot);
        claim(recipe, &peer, &running.remote_static()?, &self.welcome.nonce).check(&document, &proof.signature)?;
        let channel = open(running, self.peer_boot, document)?;
        self.recipe = None;
        Ok(channel)
    }
}

fn claim<'a>(
    recipe: &'a Recipe,
    binding: &'a IdentityBinding,
    channel_key: &'a [u8; 32],
    nonce: &'a [u8; 32],
) -> IdentityClaim<'a> {
    IdentityClaim { binding, channel_key, nonce, prologue: &recipe.prologue }
}

fn open(running: Running, peer_boot: BootId, document: Document) -> Result<PeerChannel, ChannelError> {
    let (transport, handshake_hash) = running.finish()?;
    Ok(PeerChannel { transport, peer_boot, document, handshake_hash })
}

impl fmt::Debug for PeerInitiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerInitiator({:?})", self.pair)
    }
}

impl fmt::Debug for PeerResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerResponder({:?})", self.pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_payloads() {
        let document = Bytes::new(vec![7, 8]).unwrap();
        let hello = Hello { boot: BootId([1; 16]), nonce: [2; 32] };
        assert_eq!(hello.encode(), [&[1][..], &[1; 16], &[2; 32]].concat());
        let welcome = Welcome { boot: BootId([1; 16]), nonce: [2; 32], document: document.clone(), signature: [3; 64] };
        assert_eq!(welcome.encode(), [&[2][..], &[1; 16], &[2; 32], &[2, 0, 0, 0, 7, 8], &[3; 64]].concat());
        let proof = Proof { document, signature: [3; 64] };
        assert_eq!(proof.encode(), [&[2, 2, 0, 0, 0, 7, 8][..], &[3; 64]].concat());
    }

    #[test]
    fn t46_payloads_of_another_version_or_length_are_typed_errors() {
        let good = Hello { boot: BootId([1; 16]), nonce: [2; 32] }.encode();
        let mut newer = good.clone();
        newer[0] = 2;
        assert!(matches!(Hello::decode(&newer), Err(countersign_wire::DecodeError::Version { got: 2, .. })));
        assert!(Hello::decode(&good[..48]).is_err());
        assert!(Hello::decode(&[&good[..], &[0]].concat()).is_err());
    }

    #[test]
    fn the_prologue_tells_every_field_apart() {
        let pair =
            PeerPair { workspace: WorkspaceId([1; 16]), initiator: PartyId([2; 32]), responder: PartyId([3; 32]) };
        let expected = [&b"countersign/peer-channel/v1"[..], &[1; 16], &[2; 32], &[3; 32]].concat();
        assert_eq!(pair.prologue(), expected);
    }
}
