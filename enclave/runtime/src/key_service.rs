//! Who wraps the instance's data key: a key-management service in production, a file in development.

use cosigner_core::SealingKeyAnswer;
use std::future::Future;

/// Why the key service gave no data key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyServiceError {
    /// This version cannot speak to that service.
    #[error(
        "the AWS Key Management Service is not built into this version, so this co-signer cannot be claimed and keeps no \
         state; until it is, use the development binary, which must not guard real keys"
    )]
    KmsNotBuilt,
    /// The service was asked for another key than it has.
    #[error("expected the wrapping key {expected}, got {got}")]
    WrongKey {
        /// What it has.
        expected: String,
        /// What it was asked for.
        got: String,
    },
    /// The wrapped data key is not one that the service wrapped for this instance.
    #[error("the wrapped data key cannot be opened: {0}")]
    Unwrap(String),
    /// The service failed.
    #[error("the key service failed: {0}")]
    Service(String),
}

/// Makes and unwraps the instance's data key.
pub trait KeyService: Send + Sync + 'static {
    /// Makes a data key for `instance`, wrapped by the key that `wrapping_key` names.
    fn generate(
        &self,
        instance: [u8; 32],
        wrapping_key: &str,
    ) -> impl Future<Output = Result<SealingKeyAnswer, KeyServiceError>> + Send;

    /// Unwraps the data key of `instance`.
    fn unwrap(
        &self,
        instance: [u8; 32],
        wrapped: Vec<u8>,
    ) -> impl Future<Output = Result<SealingKeyAnswer, KeyServiceError>> + Send;
}

/// The production service of this version: it has none, and refuses.
#[derive(Debug, Clone, Copy)]
pub struct KmsNotBuilt;

impl KeyService for KmsNotBuilt {
    async fn generate(&self, _: [u8; 32], _: &str) -> Result<SealingKeyAnswer, KeyServiceError> {
        Err(KeyServiceError::KmsNotBuilt)
    }

    async fn unwrap(&self, _: [u8; 32], _: Vec<u8>) -> Result<SealingKeyAnswer, KeyServiceError> {
        Err(KeyServiceError::KmsNotBuilt)
    }
}
