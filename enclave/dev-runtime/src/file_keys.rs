//! The file key provider in the place of a key-management service.

use cosigner_core::SealingKeyAnswer;
use cosigner_dev::FileKeyProvider;
use cosigner_enclave::key_service::{KeyService, KeyServiceError};

/// See the module.
#[derive(Debug)]
pub struct FileKeys(pub FileKeyProvider);

impl FileKeys {
    fn check(&self, wrapping_key: &str) -> Result<(), KeyServiceError> {
        if wrapping_key == self.0.key_id() {
            return Ok(());
        }
        Err(KeyServiceError::WrongKey { expected: self.0.key_id().to_owned(), got: wrapping_key.to_owned() })
    }
}

impl KeyService for FileKeys {
    async fn generate(&self, instance: [u8; 32], wrapping_key: &str) -> Result<SealingKeyAnswer, KeyServiceError> {
        self.check(wrapping_key)?;
        let (key, wrapped, wrapping_key) =
            self.0.generate(&instance).map_err(|error| KeyServiceError::Service(error.to_string()))?;
        Ok(SealingKeyAnswer { key, wrapped, wrapping_key })
    }

    async fn unwrap(
        &self,
        instance: [u8; 32],
        wrapping_key: &str,
        wrapped: Vec<u8>,
    ) -> Result<SealingKeyAnswer, KeyServiceError> {
        self.check(wrapping_key)?;
        let key = self.0.unwrap(&instance, &wrapped).map_err(|error| KeyServiceError::Unwrap(error.to_string()))?;
        Ok(SealingKeyAnswer { key, wrapped, wrapping_key: self.0.key_id().to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn keys() -> (tempfile::TempDir, FileKeys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = FileKeys(FileKeyProvider::load_or_create(&folder.path().join("key")).unwrap());
        (folder, keys)
    }

    #[tokio::test]
    async fn a_data_key_comes_back_for_its_instance_only() {
        let (_folder, keys) = keys();
        let id = keys.0.key_id().to_owned();
        let made = keys.generate([1; 32], &id).await.ok().unwrap();
        let back = keys.unwrap([1; 32], &id, made.wrapped.clone()).await.ok().unwrap();
        assert_eq!(*back.key, *made.key);
        assert_eq!(back.wrapping_key, id);
        assert!(matches!(keys.unwrap([2; 32], &id, made.wrapped).await.err(), Some(KeyServiceError::Unwrap(_))));
    }

    #[tokio::test]
    async fn another_wrapping_key_than_the_claimed_one_is_refused() {
        let (_folder, keys) = keys();
        let refused = keys.generate([1; 32], "file:0000000000000000").await.err();
        assert!(matches!(refused, Some(KeyServiceError::WrongKey { .. })));
    }
}
