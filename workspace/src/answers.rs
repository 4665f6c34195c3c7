//! Answers that are kept for repeated requests hold secrets, such as pairing tokens: the database has them encrypted only.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;

const DOMAIN: &[u8] = b"cosigner-workspace/answers/v1";

/// A kept answer cannot be encrypted, or is not one that this workspace's keys encrypted for this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a kept answer: expected one under this workspace's own keys; was the key file exchanged?")]
pub struct NotSealed;

impl From<Unspecified> for NotSealed {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// Encrypts and decrypts them, each for one request.
#[derive(Debug)]
pub struct AnswerKey(RandomizedNonceKey);

impl AnswerKey {
    /// The key that follows from a secret of the key file.
    ///
    /// # Errors
    /// The cryptographic library refused it.
    pub fn derive(secret: &[u8; 32]) -> Result<Self, NotSealed> {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), DOMAIN);
        Ok(Self(RandomizedNonceKey::new(&AES_256_GCM, key.as_ref())?))
    }

    /// Encrypts an answer to the request `of`.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn seal(&self, of: &[u8], answer: &[u8]) -> Result<Vec<u8>, NotSealed> {
        let mut bytes = answer.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(of), &mut bytes)?;
        Ok([&nonce.as_ref()[..], &bytes].concat())
    }

    /// Decrypts the answer to the request `of`.
    ///
    /// # Errors
    /// It is not one.
    pub fn open(&self, of: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotSealed> {
        let (nonce, bytes) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(NotSealed)?;
        let mut bytes = bytes.to_vec();
        let opened = self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(of), &mut bytes)?;
        Ok(opened.to_vec())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn t48_a_kept_answer_is_readable_for_its_request_and_under_its_key_only() {
        let key = AnswerKey::derive(&[1; 32]).unwrap();
        let sealed = key.seal(b"request", b"canary").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        assert_eq!(key.open(b"request", &sealed).unwrap(), b"canary");
        assert_eq!(key.open(b"another", &sealed), Err(NotSealed));
        assert_eq!(key.open(b"request", &[]), Err(NotSealed));
        assert_eq!(AnswerKey::derive(&[2; 32]).unwrap().open(b"request", &sealed), Err(NotSealed));
        assert_ne!(key.seal(b"request", b"canary").unwrap(), sealed);
    }
}
