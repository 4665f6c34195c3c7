use countersign_attest::{AttestationError, Document, Expectation, Measurements, NonceCheck, TrustAnchor, verify};
use countersign_wire::command::Measurements as WireMeasurements;
use countersign_wire::limits::MAX_DOCUMENT_BYTES;

const _: () = assert!(MAX_DOCUMENT_BYTES == countersign_attest::MAX_DOCUMENT_BYTES);

/// The security module gave no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an attestation document from the security module, got: {detail}")]
pub struct AttestorError {
    /// What it said.
    pub detail: String,
}

/// Asks the own security module for an attestation document.
pub trait Attestor {
    /// A fresh document with these values in its fields `nonce`, `user_data` and `public_key`. An empty slice leaves the
    /// field out.
    fn document(&mut self, nonce: &[u8], user_data: &[u8], public_key: &[u8]) -> Result<Vec<u8>, AttestorError>;
}

/// Decides whether a peer's document is genuine, fresh and of accepted software.
pub trait DocumentVerifier {
    /// Verifies `document`, which has to carry `nonce`.
    fn verify(&self, document: &[u8], nonce: &[u8; 32]) -> Result<Document, AttestationError>;
}

/// The usual [`DocumentVerifier`]: [`countersign_attest::verify`] with these expectations.
#[derive(Debug, Clone, Copy)]
pub struct AttestationPolicy<'a> {
    /// Where the chain must lead.
    pub anchor: &'a TrustAnchor,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
    /// Oldest age accepted, in milliseconds.
    pub max_age_ms: u64,
    /// Accepted software: any of these.
    pub measurements: &'a [Measurements],
}

impl DocumentVerifier for AttestationPolicy<'_> {
    fn verify(&self, document: &[u8], nonce: &[u8; 32]) -> Result<Document, AttestationError> {
        let expectation = Expectation {
            anchor: self.anchor,
            now_ms: self.now_ms,
            max_age_ms: self.max_age_ms,
            nonce: NonceCheck::Equals(nonce),
            measurements: self.measurements,
        };
        verify(document, &expectation)
    }
}

/// Measurements of the wire protocol as the verifier takes them.
pub fn accepted_measurements(measurements: &[WireMeasurements]) -> Vec<Measurements> {
    measurements.iter().map(|m| Measurements { pcr0: m.pcr0, pcr1: m.pcr1, pcr2: m.pcr2, pcr8: m.pcr8 }).collect()
}

/// The measurements that a document reports, in the form of the wire protocol.
pub fn reported_measurements(document: &Document) -> Result<WireMeasurements, AttestationError> {
    let Measurements { pcr0, pcr1, pcr2, pcr8 } = Measurements::of(document)?;
    Ok(WireMeasurements { pcr0, pcr1, pcr2, pcr8 })
}
