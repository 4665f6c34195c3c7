//! Who wraps the instance's root key: a key-management service in production, a file in development.

use cosigner_core::kms::KmsError;
use cosigner_core::{ExchangeFailure, SealingKeyAnswer};
use std::future::Future;

/// Why the key service gave no root key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyServiceError {
    /// KMS gave none.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// KMS was not reached.
    #[error("{host}: {failure}")]
    Call {
        /// Its host name.
        host: String,
        /// Why.
        failure: ExchangeFailure,
    },
    /// The host did not sign the call.
    #[error("the host did not sign the call of KMS: {0}")]
    Unsigned(String),
    /// The service was asked for another key than it has.
    #[error("expected the wrapping key {expected}, got {got}")]
    WrongKey {
        /// What it has.
        expected: String,
        /// What it was asked for.
        got: String,
    },
    /// The wrapped root key is not one that the service wrapped for this instance.
    #[error("the wrapped root key cannot be opened: {0}")]
    Unwrap(String),
    /// The service failed.
    #[error("the key service failed: {0}")]
    Service(String),
}

/// Makes and unwraps the instance's root key.
pub trait KeyService: Send + Sync + 'static {
    /// Makes a root key for `instance`, wrapped by the key that `wrapping_key` names.
    fn generate(
        &self,
        instance: [u8; 32],
        wrapping_key: &str,
    ) -> impl Future<Output = Result<SealingKeyAnswer, KeyServiceError>> + Send;

    /// Unwraps the root key of `instance`, which the key that `wrapping_key` names wrapped.
    fn unwrap(
        &self,
        instance: [u8; 32],
        wrapping_key: &str,
        wrapped: Vec<u8>,
    ) -> impl Future<Output = Result<SealingKeyAnswer, KeyServiceError>> + Send;
}
