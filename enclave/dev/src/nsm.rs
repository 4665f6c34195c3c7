use crate::DevError;
use crate::document::{DocumentContent, DocumentSigner};
use crate::root::DevelopmentRoot;
use countersign_attest::{MAX_NONCE_BYTES, MAX_PUBLIC_KEY_BYTES, MAX_USER_DATA_BYTES, Measurements, Pcr};
use countersign_channel::{Attestor, AttestorError};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Registers that the real security module reports.
const PCRS: u8 = 16;
/// A certificate with less left than this is replaced, so that whoever gets a document has time to verify it.
const RENEW_BEFORE_MS: u64 = 3600 * 1000;

/// A security module in software: signs real attestation documents under a [`DevelopmentRoot`], and says of the
/// enclave's measurements what it was told.
pub struct SoftwareNsm {
    root: Arc<DevelopmentRoot>,
    module_id: String,
    pcrs: BTreeMap<u8, Pcr>,
    clock: Box<dyn FnMut() -> u64 + Send>,
    signer: Option<DocumentSigner>,
}

impl SoftwareNsm {
    /// A module named `module_id` (1 to 128 bytes) for an enclave with these measurements. `clock` says the time in
    /// milliseconds since 1970.
    pub fn new(
        root: Arc<DevelopmentRoot>,
        module_id: impl Into<String>,
        measurements: Measurements,
        clock: impl FnMut() -> u64 + Send + 'static,
    ) -> Self {
        let mut pcrs: BTreeMap<u8, Pcr> = (0..PCRS).map(|pcr| (pcr, [0; 48])).collect();
        pcrs.extend([(0, measurements.pcr0), (1, measurements.pcr1), (2, measurements.pcr2)]);
        pcrs.extend(measurements.pcr8.map(|value| (8, value)));
        Self { root, module_id: module_id.into(), pcrs, clock: Box::new(clock), signer: None }
    }

    /// A document; an empty slice leaves its field out. The same limits as the real module's.
    pub fn attest(&mut self, nonce: &[u8], user_data: &[u8], public_key: &[u8]) -> Result<Vec<u8>, DevError> {
        let content = DocumentContent {
            module_id: self.module_id.clone(),
            timestamp_ms: (self.clock)(),
            pcrs: self.pcrs.clone(),
            public_key: field("public_key", public_key, MAX_PUBLIC_KEY_BYTES)?,
            user_data: field("user_data", user_data, MAX_USER_DATA_BYTES)?,
            nonce: field("nonce", nonce, MAX_NONCE_BYTES)?,
        };
        let signer = match self.signer.take().filter(|s| s.is_valid(content.timestamp_ms, RENEW_BEFORE_MS)) {
            Some(signer) => signer,
            None => DocumentSigner::issue(&self.root, &self.module_id, content.timestamp_ms)?,
        };
        self.signer.insert(signer).document(&content)
    }
}

impl Attestor for SoftwareNsm {
    fn document(&mut self, nonce: &[u8], user_data: &[u8], public_key: &[u8]) -> Result<Vec<u8>, AttestorError> {
        self.attest(nonce, user_data, public_key).map_err(|e| AttestorError { detail: e.to_string() })
    }
}

impl fmt::Debug for SoftwareNsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareNsm({})", self.module_id)
    }
}

fn field(field: &'static str, value: &[u8], max: usize) -> Result<Option<Vec<u8>>, DevError> {
    match value.len() {
        0 => Ok(None),
        got if got > max => Err(DevError::TooLong { field, max, got }),
        _ => Ok(Some(value.to_vec())),
    }
}
