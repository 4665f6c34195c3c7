//! The Noise handshake (revision 34) by `snow`, over randomness that the caller gave.
//!
//! `snow`'s handshake state cannot take back a message whose last part turns out to be forged: what an earlier part
//! mixed into its key stays. So a handshake is kept as what it was made of, and replayed for each message that comes.

use crate::ChannelError;
use crate::transport::Transport;
use curve25519_dalek::montgomery::MontgomeryPoint;
use rand_core::{CryptoRng, RngCore};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use std::fmt;
use zeroize::Zeroizing;

/// Longest Noise message (section 3 of the specification).
pub(crate) const MAX_NOISE_BYTES: usize = 65_535;
/// Keys, tags and ephemeral keys that a handshake message of ours carries beside its payload.
const HANDSHAKE_OVERHEAD_BYTES: usize = 32 + 32 + 16 + 16;

/// X25519 secret with which an enclave answers for its channels during one boot. Zeroized on drop.
pub struct StaticKey(Zeroizing<[u8; 32]>);

impl StaticKey {
    /// A new one.
    pub fn generate<R: RngCore + CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(random_secret(rng))
    }

    /// The public key that goes into documents (RFC 7748).
    pub fn public(&self) -> [u8; 32] {
        MontgomeryPoint::mul_base_clamped(*self.0).to_bytes()
    }

    pub(crate) fn copy(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKey(<redacted>)")
    }
}

/// 32 secret bytes.
pub(crate) fn random_secret<R: RngCore + CryptoRng + ?Sized>(rng: &mut R) -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(secret.as_mut_slice());
    secret
}

/// 32 public random bytes.
pub(crate) fn random_nonce<R: RngCore + CryptoRng + ?Sized>(rng: &mut R) -> [u8; 32] {
    let mut nonce = [0u8; 32];
    rng.fill_bytes(&mut nonce);
    nonce
}

/// The two patterns in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Both sides have a static key and learn the other's: `-> e; <- e, ee, s, es; -> s, se`.
    Xx,
    /// The responder alone has one: `-> e; <- e, ee, s, es`.
    Nx,
}

impl Pattern {
    fn name(self) -> &'static str {
        match self {
            Pattern::Xx => "Noise_XX_25519_AESGCM_SHA256",
            Pattern::Nx => "Noise_NX_25519_AESGCM_SHA256",
        }
    }
}

/// Everything that one side's handshake is made of, but the messages. Debug shows nothing of it.
pub(crate) struct Recipe {
    pub(crate) pattern: Pattern,
    pub(crate) initiator: bool,
    pub(crate) prologue: Vec<u8>,
    pub(crate) static_key: Option<StaticKey>,
    pub(crate) ephemeral: Zeroizing<[u8; 32]>,
}

impl Recipe {
    /// The public half of the own static key.
    pub(crate) fn own_key(&self) -> Result<[u8; 32], ChannelError> {
        self.static_key.as_ref().map(StaticKey::public).ok_or_else(|| ChannelError::Noise("no static key".into()))
    }

    /// A handshake before its first message. Made twice it does exactly the same twice.
    pub(crate) fn start(&self) -> Result<Running, ChannelError> {
        let params = self.pattern.name().parse().map_err(noise)?;
        let resolver = Resolver { ephemeral: self.ephemeral.clone() };
        let mut builder = Builder::with_resolver(params, Box::new(resolver)).prologue(&self.prologue).map_err(noise)?;
        if let Some(key) = &self.static_key {
            builder = builder.local_private_key(key.0.as_slice()).map_err(noise)?;
        }
        let state = if self.initiator { builder.build_initiator() } else { builder.build_responder() };
        Ok(Running(state.map_err(noise)?))
    }
}

/// A handshake that runs.
pub(crate) struct Running(HandshakeState);

impl Running {
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let mut message = vec![0u8; payload.len().saturating_add(HANDSHAKE_OVERHEAD_BYTES)];
        let len = self.0.write_message(payload, &mut message).map_err(noise)?;
        message.truncate(len);
        Ok(message)
    }

    pub(crate) fn read(&mut self, what: &'static str, message: &[u8]) -> Result<Vec<u8>, ChannelError> {
        if message.len() > MAX_NOISE_BYTES {
            return Err(ChannelError::TooLarge { what, max: MAX_NOISE_BYTES, got: message.len() });
        }
        let mut payload = vec![0u8; message.len()];
        let len = self.0.read_message(message, &mut payload).map_err(|_| ChannelError::Tampered { what })?;
        payload.truncate(len);
        Ok(payload)
    }

    /// The other side's static key, as soon as it came.
    pub(crate) fn remote_static(&self) -> Result<[u8; 32], ChannelError> {
        key_of(self.0.get_remote_static().unwrap_or_default())
    }

    /// The channel, and the handshake hash that names it (section 11.2 of the specification).
    pub(crate) fn finish(self) -> Result<(Transport, [u8; 32]), ChannelError> {
        let hash = key_of(self.0.get_handshake_hash())?;
        Ok((Transport::new(self.0.into_stateless_transport_mode().map_err(noise)?), hash))
    }
}

fn key_of(bytes: &[u8]) -> Result<[u8; 32], ChannelError> {
    bytes.try_into().map_err(|_| ChannelError::Noise(format!("expected 32 bytes, got {}", bytes.len())))
}

fn noise(error: snow::Error) -> ChannelError {
    ChannelError::Noise(error.to_string())
}

/// `snow`'s own primitives, with the ephemeral key as its only randomness.
struct Resolver {
    ephemeral: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneKey(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Gives out one key once: a handshake of ours needs no more.
struct OneKey(Option<Zeroizing<[u8; 32]>>);

impl Random for OneKey {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(key) if dest.len() == key.len() => {
                dest.copy_from_slice(key.as_slice());
                Ok(())
            }
            _ => Err(snow::Error::Rng),
        }
    }
}
