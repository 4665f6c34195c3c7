//! The end-to-end channel between co-signers, and between an operator's CLI and an enclave: a Noise handshake with keys
//! that attestation documents vouch for, then sealed messages with explicit counters.
//!
//! No I/O, no clock: byte strings in, byte strings out. Whoever carries them (host, workspace, broker) may drop, repeat,
//! reorder and alter them; a [`ChannelError`] is the worst that this leads to. After an error nothing has changed: the
//! genuine bytes, should they come later, are still accepted. So no error of this crate is ever a proof against a peer.
//!
//! | who | pattern | module |
//! |---|---|---|
//! | co-signer and co-signer | `Noise_XX_25519_AESGCM_SHA256`, three messages | [`peer`] |
//! | CLI and enclave | `Noise_NX_25519_AESGCM_SHA256`, two messages | [`admin`] |
//!
//! # What the documents bind
//!
//! Each attested side sends one document with
//! - `nonce`: the 32 fresh random bytes that the *other* side chose for this handshake;
//! - `public_key`: its Noise static public key, made at its boot and kept in memory only;
//! - `user_data`: the [`IdentityBinding`] hash of its identity and boot.
//!
//! A document proves what software runs, not whose identity it holds: so each attested side also signs these three values
//! and the prologue with its identity key. Co-signers with equal software cannot pass for each other.
//!
//! The Noise prologue binds the protocol and, between peers, the workspace and both identities. Verifying a document is
//! the caller's affair through [`DocumentVerifier`]; that it belongs to *this* handshake is checked here.

pub mod admin;
mod assembly;
mod attestation;
mod binding;
mod error;
mod noise;
pub mod peer;
mod transport;
mod window;

pub use assembly::{FRAGMENT_BYTES, MAX_ASSEMBLIES, MAX_ASSEMBLY_BYTES, MAX_FRAGMENTS, MAX_MESSAGE_BYTES};
pub use attestation::{
    AttestationPolicy, Attestor, AttestorError, DocumentVerifier, accepted_measurements, reported_measurements,
};
pub use binding::{IdentityBinding, IdentityKind, check_binding};
pub use error::ChannelError;
pub use noise::StaticKey;
pub use transport::{MAX_COUNTER, Transport};
pub use window::WINDOW;
