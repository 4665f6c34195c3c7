use crate::{DevError, private_file};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// `version: u8 ‖ nonce: 12 ‖ ciphertext: 32 ‖ tag: 16`.
pub const WRAPPED_KEY_BYTES: usize = 1 + 12 + 32 + 16;
const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"countersign/file-key-provider/v1";

/// Wraps an instance's root key with a key in a file, in the place of a key-management service. Whoever reads the file
/// reads everything.
pub struct FileKeyProvider {
    wrapping: RandomizedNonceKey,
    key_id: String,
}

/// A root key in the clear, the same key wrapped ([`WRAPPED_KEY_BYTES`]), and the wrapping key's name.
pub type NewDataKey = (Zeroizing<[u8; 32]>, Vec<u8>, String);

impl FileKeyProvider {
    /// Loads the wrapping key from `path` (64 hexadecimal digits, mode 600), or makes one there. Processes that do so at
    /// once get the same one.
    pub fn load_or_create(path: &Path) -> Result<Self, DevError> {
        if !path.exists() {
            let text = Zeroizing::new(format!("{}\n", Zeroizing::new(hex::encode(random_key()?.as_slice())).as_str()));
            private_file::create(path, text.as_bytes())?;
        }
        Self::load(path)
    }

    /// Loads the wrapping key from `path`; a file that is not there is an error.
    pub fn load(path: &Path) -> Result<Self, DevError> {
        let text = private_file::read(path)?;
        let mut key = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text.trim_ascii(), key.as_mut_slice())
            .map_err(|_| DevError::Content { path: path.to_owned(), expected: "64 hexadecimal digits" })?;
        Self::from_key(&key)
    }

    /// With this wrapping key.
    pub fn from_key(key: &[u8; 32]) -> Result<Self, DevError> {
        let wrapping = RandomizedNonceKey::new(&AES_256_GCM, key)
            .map_err(|_| DevError::Crypto { what: "loading the wrapping key" })?;
        let digest = Sha256::digest(key);
        let key_id = format!("file:{}", hex::encode(digest.first_chunk::<8>().copied().unwrap_or_default()));
        Ok(Self { wrapping, key_id })
    }

    /// Names the wrapping key: `file:` and 16 hexadecimal digits of its SHA-256.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// A new root key for `instance`.
    pub fn generate(&self, instance: &[u8; 32]) -> Result<NewDataKey, DevError> {
        let key = random_key()?;
        let mut sealed = Zeroizing::new(key.to_vec());
        let nonce = self
            .wrapping
            .seal_in_place_append_tag(Aad::from(associated_data(instance)), &mut *sealed)
            .map_err(|_| DevError::Crypto { what: "wrapping a root key" })?;
        let mut wrapped = Vec::with_capacity(WRAPPED_KEY_BYTES);
        wrapped.push(VERSION);
        wrapped.extend_from_slice(nonce.as_ref());
        wrapped.extend_from_slice(&sealed);
        Ok((key, wrapped, self.key_id.clone()))
    }

    /// The root key again. Errors if it was wrapped for another instance or by another key, or was altered.
    pub fn unwrap(&self, instance: &[u8; 32], wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, DevError> {
        let refused = || DevError::WrappedKey { key_id: self.key_id.clone() };
        let Some((&[VERSION], rest)) = wrapped.split_first_chunk::<1>() else {
            return Err(refused());
        };
        let (nonce, sealed) = rest.split_first_chunk::<12>().ok_or_else(refused)?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let key = self
            .wrapping
            .open_in_place(Nonce::from(nonce), Aad::from(associated_data(instance)), &mut sealed)
            .map_err(|_| refused())?;
        Ok(Zeroizing::new(<[u8; 32]>::try_from(&*key).map_err(|_| refused())?))
    }
}

impl fmt::Debug for FileKeyProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKeyProvider({})", self.key_id)
    }
}

fn associated_data(instance: &[u8; 32]) -> Vec<u8> {
    [DOMAIN, instance.as_slice()].concat()
}

fn random_key() -> Result<Zeroizing<[u8; 32]>, DevError> {
    let mut key = Zeroizing::new([0u8; 32]);
    aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| DevError::Crypto { what: "drawing random bytes" })?;
    Ok(key)
}
