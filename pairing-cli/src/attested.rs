//! What an enclave has to prove before it is spoken to, and what it proved.

use crate::failure::Failure;
use crate::measurements::Measurements;
use crate::timestamps;
use countersign_attest::{AttestationError, Document, TrustAnchor, parse_unverified};
use countersign_channel::{AttestationPolicy, DocumentVerifier, accepted_measurements};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// Oldest attestation document accepted, in milliseconds. It was asked for seconds ago; the rest is for clocks.
pub const MAX_DOCUMENT_AGE_MS: u64 = 300_000;

/// Whose documents are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorKind {
    /// The root of AWS Nitro Enclaves.
    Aws,
    /// A root made for development: it proves nothing about hardware.
    Development,
}

impl AnchorKind {
    /// Of an anchor.
    pub fn of(anchor: &TrustAnchor) -> Self {
        if anchor.is_development() { Self::Development } else { Self::Aws }
    }

    /// As tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "AWS Nitro root",
            Self::Development => "DEVELOPMENT ROOT",
        }
    }
}

/// What an enclave's document must be. It keeps the document's bytes for whoever wants to look at them.
pub struct Demand<'a> {
    anchor: &'a TrustAnchor,
    expected: Vec<Measurements>,
    bytes: RefCell<Vec<u8>>,
}

impl<'a> Demand<'a> {
    /// Documents under `anchor` whose measurements equal every one of `expected`; none: whatever they are, but for
    /// those of an enclave in debug mode.
    pub fn new(anchor: &'a TrustAnchor, expected: Vec<Measurements>) -> Self {
        Self { anchor, expected, bytes: RefCell::default() }
    }

    /// Whether measurements are compared.
    pub fn compares_measurements(&self) -> bool {
        !self.expected.is_empty()
    }

    /// The last document's bytes.
    pub fn document_bytes(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    fn verify_once(
        &self,
        document: &[u8],
        nonce: &[u8; 32],
        accepted: &Measurements,
    ) -> Result<Document, AttestationError> {
        let policy = AttestationPolicy {
            anchor: self.anchor,
            now_ms: timestamps::now_ms(),
            max_age_ms: MAX_DOCUMENT_AGE_MS,
            measurements: &accepted_measurements(&[accepted.to_wire()]),
        };
        policy.verify(document, nonce)
    }
}

impl DocumentVerifier for Demand<'_> {
    fn verify(&self, document: &[u8], nonce: &[u8; 32]) -> Result<Document, AttestationError> {
        *self.bytes.borrow_mut() = document.to_vec();
        let Some((first, others)) = self.expected.split_first() else {
            let parsed = parse_unverified(document)?;
            let own = Measurements::from(&countersign_channel::reported_measurements(parsed.for_display())?);
            // Zeros cannot be "expected"; here nobody expects them, the enclave reports them.
            if let Some((pcr, _)) = own.registers().find(|(_, value)| **value == [0; 48]) {
                return Err(AttestationError::DebugMode { pcr });
            }
            return self.verify_once(document, nonce, &own);
        };
        for accepted in others {
            self.verify_once(document, nonce, accepted)?;
        }
        self.verify_once(document, nonce, first)
    }
}

/// The failure for a document that was not accepted.
pub fn refused(error: &AttestationError, anchor: &TrustAnchor) -> Failure {
    use AttestationError as E;
    let hint = match error {
        E::Chain { .. } | E::Signature { .. } | E::Algorithm { .. } if anchor.is_development() => {
            "--development-root must be the root of exactly this development enclave"
        }
        E::Chain { .. } | E::Signature { .. } | E::Algorithm { .. } => {
            "this is no genuine Nitro enclave; a development enclave is spoken to only with --development-root FILE"
        }
        E::PcrMismatch { .. } | E::PcrMissing { .. } => {
            "the enclave runs other software than expected: do not use it, unless you upgraded it yourself: then \
             `cosigner attestation accept --measurements FILE`"
        }
        E::DebugMode { .. } | E::ZerosExpected { .. } => "start the enclave without debug mode",
        E::TooOld { .. } | E::FromTheFuture { .. } | E::CertificateTime { .. } => {
            "compare this machine's clock with the true time; the host may also be replaying an old document"
        }
        _ => "what came is not the document of a genuine enclave for this connection: do not use this host",
    };
    Failure::untrusted(format!("attestation refused: {error}"), hint)
}
