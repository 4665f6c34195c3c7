use crate::document::{DocumentContent, DocumentSigner};
use crate::root::DevelopmentRoot;
use countersign_attest::parse_unverified;
use countersign_channel::{Attestor, AttestorError};
use std::sync::Arc;

/// A certificate with less left than this is replaced.
const RENEW_BEFORE_MS: u64 = 3600 * 1000;

/// A security module whose documents nobody would believe, because an emulator made them and signs nothing. What they say
/// is signed again under a [`DevelopmentRoot`]: module, time, registers, nonce, user data and key are the emulator's.
pub struct ResigningNsm<A> {
    module: A,
    root: Arc<DevelopmentRoot>,
    signer: Option<DocumentSigner>,
}

impl<A: Attestor> ResigningNsm<A> {
    /// Around `module`.
    pub fn new(module: A, root: Arc<DevelopmentRoot>) -> Self {
        Self { module, root, signer: None }
    }
}

impl<A: Attestor> Attestor for ResigningNsm<A> {
    fn document(&mut self, nonce: &[u8], user_data: &[u8], public_key: &[u8]) -> Result<Vec<u8>, AttestorError> {
        let unsigned = self.module.document(nonce, user_data, public_key)?;
        let refused = |detail: String| AttestorError { detail };
        let parsed = parse_unverified(&unsigned).map_err(|error| refused(error.to_string()))?;
        let says = parsed.for_display();
        let content = DocumentContent {
            module_id: says.module_id.clone(),
            timestamp_ms: says.timestamp_ms,
            pcrs: says.pcrs.clone(),
            public_key: says.public_key.clone(),
            user_data: says.user_data.clone(),
            nonce: says.nonce.clone(),
        };
        let signer = match self.signer.take().filter(|s| s.is_valid(content.timestamp_ms, RENEW_BEFORE_MS)) {
            Some(signer) => signer,
            None => DocumentSigner::issue(&self.root, &content.module_id, content.timestamp_ms)
                .map_err(|error| refused(error.to_string()))?,
        };
        self.signer.insert(signer).document(&content).map_err(|error| refused(error.to_string()))
    }
}
