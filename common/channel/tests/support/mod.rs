//! Two co-signers with software security modules under one development root.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cosigner_dev::{DevelopmentRoot, SoftwareNsm};
use countersign_attest::{Measurements, TrustAnchor};
use countersign_channel::peer::{PeerChannel, PeerInitiator, PeerPair, PeerResponder};
use countersign_channel::{AttestationPolicy, Attestor, AttestorError, StaticKey, Transport};
use countersign_wire::SigningIdentity;
use countersign_wire::ids::{BootId, PartyId, WorkspaceId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::{Arc, LazyLock};

pub const NOW_MS: u64 = 1_800_000_000_000;
pub const IMAGE: Measurements = Measurements { pcr0: [1; 48], pcr1: [2; 48], pcr2: [3; 48], pcr8: None };
pub static ROOT: LazyLock<Arc<DevelopmentRoot>> = LazyLock::new(|| Arc::new(DevelopmentRoot::generate().unwrap()));
pub static ANCHOR: LazyLock<TrustAnchor> = LazyLock::new(|| ROOT.trust_anchor().unwrap());

/// The identity of the enclave with this seed.
pub fn identity(seed: u8) -> SigningIdentity {
    SigningIdentity::from_secret(&[seed; 32])
}

/// Enclave 1 opens a channel to enclave 2.
pub static PAIR: LazyLock<PeerPair> = LazyLock::new(|| PeerPair {
    workspace: WorkspaceId([5; 16]),
    initiator: PartyId(identity(1).public()),
    responder: PartyId(identity(2).public()),
});

pub fn policy() -> AttestationPolicy<'static> {
    AttestationPolicy { anchor: &ANCHOR, now_ms: NOW_MS, max_age_ms: 60_000, measurements: &[IMAGE] }
}

pub fn nsm(image: Measurements) -> SoftwareNsm {
    SoftwareNsm::new(ROOT.clone(), "i-1-enc1", image, || NOW_MS)
}

/// One enclave's boot.
pub struct Enclave {
    pub boot: BootId,
    pub identity: SigningIdentity,
    pub key: StaticKey,
    pub rng: ChaCha20Rng,
    pub nsm: SoftwareNsm,
}

impl Enclave {
    pub fn new(seed: u8) -> Self {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        Self {
            boot: BootId([seed; 16]),
            identity: identity(seed),
            key: StaticKey::generate(&mut rng),
            rng,
            nsm: nsm(IMAGE),
        }
    }

    pub fn start(&mut self, pair: PeerPair) -> (PeerInitiator, Vec<u8>) {
        PeerInitiator::start(pair, &self.key, self.boot, &mut self.rng).unwrap()
    }

    pub fn respond(&mut self, pair: PeerPair, message1: &[u8]) -> (PeerResponder, Vec<u8>) {
        PeerResponder::respond(pair, &self.key, self.boot, &mut self.rng, &self.identity, &mut self.nsm, message1)
            .unwrap()
    }
}

/// A whole handshake; initiator's side first.
pub fn connect() -> (PeerChannel, PeerChannel) {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    let (mut initiator, message1) = a.start(*PAIR);
    let (mut responder, message2) = b.respond(*PAIR, &message1);
    let (channel_a, message3) = initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).unwrap();
    let channel_b = responder.finish(&message3, &policy()).unwrap();
    (channel_a, channel_b)
}

pub fn transports() -> (Transport, Transport) {
    let (a, b) = connect();
    (a.transport, b.transport)
}

/// Alters what a handshake asks its security module for.
pub struct Meddling<F>(pub SoftwareNsm, pub F);

impl<F: FnMut(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<u8>)> Attestor for Meddling<F> {
    fn document(&mut self, nonce: &[u8], user_data: &[u8], public_key: &[u8]) -> Result<Vec<u8>, AttestorError> {
        let (mut nonce, mut user_data, mut public_key) = (nonce.to_vec(), user_data.to_vec(), public_key.to_vec());
        (self.1)(&mut nonce, &mut user_data, &mut public_key);
        self.0.document(&nonce, &user_data, &public_key)
    }
}

/// A security module that fails.
pub struct Broken;

impl Attestor for Broken {
    fn document(&mut self, _: &[u8], _: &[u8], _: &[u8]) -> Result<Vec<u8>, AttestorError> {
        Err(AttestorError { detail: "no entropy".into() })
    }
}

/// A security module that says what it is told.
pub struct Says(pub Vec<u8>);

impl Attestor for Says {
    fn document(&mut self, _: &[u8], _: &[u8], _: &[u8]) -> Result<Vec<u8>, AttestorError> {
        Ok(self.0.clone())
    }
}
