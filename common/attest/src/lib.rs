//! Attestation documents of AWS Nitro Enclaves: parse, verify, compare measurements.
//!
//! A document is a COSE_Sign1 (RFC 9052) with ES384 whose payload names the enclave's measurements (PCRs), a certificate
//! chain, and what the enclave bound to it: public key, user data, nonce. [`verify`] checks all of it or returns an
//! [`AttestationError`] that says what was expected and what came:
//!
//! 1. the COSE structure is strict, and its algorithm is ES384;
//! 2. the document is fresh;
//! 3. the certificate chain leads to the [`TrustAnchor`] and is valid now (or at the document's own time, where the
//!    verifier's clock is a little behind);
//! 4. the leaf certificate's key signed the payload, and the payload carries the nonce that the verifier chose;
//! 5. PCR0, PCR1, PCR2 (and PCR8 where given) equal one of the accepted [`Measurements`]; all zeros, the mark of an
//!    enclave in debug mode, are refused even if somebody "expects" them.
//!
//! The verifier is the same for production and development; only the trust anchor differs. No I/O, no clock: the caller
//! says what time it is.

mod anchor;
mod cbor;
mod chain;
mod cose;
mod document;
mod error;
mod measurements;
mod verify;

pub use anchor::{AWS_ROOT_G1_SHA256, TrustAnchor};
pub use document::{
    Document, MAX_CABUNDLE, MAX_CERTIFICATE_BYTES, MAX_DOCUMENT_BYTES, MAX_NONCE_BYTES, MAX_PUBLIC_KEY_BYTES,
    MAX_USER_DATA_BYTES, Pcr, UnverifiedDocument, parse_unverified,
};
pub use error::AttestationError;
pub use measurements::Measurements;
pub use verify::{Expectation, MAX_CLOCK_AHEAD_MS, MIN_NONCE_BYTES, NonceCheck, verify};
