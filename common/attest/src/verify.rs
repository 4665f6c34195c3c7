use crate::anchor::TrustAnchor;
use crate::cose::{ES384, Sign1};
use crate::document::Document;
use crate::measurements::{self, Measurements};
use crate::{AttestationError, chain};

/// How far a document's time may lie ahead of the verifier's clock, in milliseconds.
pub const MAX_CLOCK_AHEAD_MS: u64 = 60_000;
/// Shortest nonce that a verifier may choose.
pub const MIN_NONCE_BYTES: usize = 16;

/// What to do about the document's nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceCheck<'a> {
    /// The document answers this challenge, which the verifier chose at random for this one document.
    Equals(&'a [u8]),
    /// For documents that nobody asked for: static test vectors, and files that a person inspects. It proves that an
    /// enclave once existed, not that one answers now; never use it for a peer.
    UncheckedStaticDocument,
}

/// What a document has to be for [`verify`] to accept it.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// Where its chain must lead.
    pub anchor: &'a TrustAnchor,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
    /// Oldest age accepted, in milliseconds.
    pub max_age_ms: u64,
    /// Its nonce.
    pub nonce: NonceCheck<'a>,
    /// Its measurements: any of these.
    pub measurements: &'a [Measurements],
}

/// Verifies a document (see the crate's documentation for the steps) and returns its content.
pub fn verify(document: &[u8], expectation: &Expectation<'_>) -> Result<Document, AttestationError> {
    measurements::check_accepted(expectation.measurements)?;
    if let NonceCheck::Equals(nonce) = expectation.nonce
        && nonce.len() < MIN_NONCE_BYTES
    {
        return Err(AttestationError::NonceTooShort { min: MIN_NONCE_BYTES, got: nonce.len() });
    }
    let sign1 = Sign1::parse(document)?;
    if sign1.algorithm != ES384 {
        return Err(AttestationError::Algorithm { got: sign1.algorithm });
    }
    let document = Document::parse(sign1.payload)?;
    check_age(&document, expectation)?;
    chain::verify_path(&document, expectation.anchor, expectation.now_ms.max(document.timestamp_ms))?;
    chain::verify_signature(&document, &sign1)?;
    check_nonce(&document, expectation.nonce)?;
    measurements::check(&document, expectation.measurements)?;
    Ok(document)
}

fn check_age(document: &Document, expectation: &Expectation<'_>) -> Result<(), AttestationError> {
    let ahead_ms = document.timestamp_ms.saturating_sub(expectation.now_ms);
    if ahead_ms > MAX_CLOCK_AHEAD_MS {
        return Err(AttestationError::FromTheFuture { max_ahead_ms: MAX_CLOCK_AHEAD_MS, ahead_ms });
    }
    let age_ms = expectation.now_ms.saturating_sub(document.timestamp_ms);
    if age_ms > expectation.max_age_ms {
        return Err(AttestationError::TooOld { max_age_ms: expectation.max_age_ms, age_ms });
    }
    Ok(())
}

fn check_nonce(document: &Document, check: NonceCheck<'_>) -> Result<(), AttestationError> {
    let NonceCheck::Equals(expected) = check else {
        return Ok(());
    };
    match &document.nonce {
        None => Err(AttestationError::NonceMissing { expected: hex::encode(expected) }),
        Some(got) if got == expected => Ok(()),
        Some(got) => Err(AttestationError::NonceMismatch { expected: hex::encode(expected), got: hex::encode(got) }),
    }
}
