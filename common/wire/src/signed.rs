//! A message with an Ed25519 signature over exactly the bytes that came (RFC 8032, verified strictly).
//!
//! What is signed: `len(NAME) as u8 ‖ NAME ‖ encoding`, where the encoding starts with the version byte. The name
//! separates domains: a signature over one kind of message is never one over another.

use crate::limits::MAX_RELAY_BYTES;
use crate::{Bytes, DecodeError, Message};
use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::fmt;
use std::marker::PhantomData;

/// Why a signed message was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key is not a valid Ed25519 point, or the signature is not one of this key over these bytes.
    #[error("{name}: the signature is not one of key {key} over these bytes")]
    Invalid {
        /// The message's name.
        name: &'static str,
        /// The key that should have signed, in hex.
        key: String,
    },
    /// The signature is good, the content is not a message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// A signed `T`. Who should have signed is said by whoever opens it, never by the message.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signed<T> {
    body: Bytes<MAX_RELAY_BYTES>,
    signature: [u8; 64],
    marker: PhantomData<T>,
}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed<{} bytes>", self.body.len())
    }
}

fn signing_input(name: &'static str, body: &[u8]) -> Vec<u8> {
    let mut input = Vec::with_capacity(name.len().saturating_add(body.len()).saturating_add(1));
    input.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    input.extend_from_slice(name.as_bytes());
    input.extend_from_slice(body);
    input
}

/// Signs an encoded message under its [`Message::NAME`], for messages whose signatures travel beside them, such as
/// [`crate::command::SignedCommand`].
pub fn sign_bytes(name: &'static str, body: &[u8], identity: &SigningIdentity) -> [u8; 64] {
    identity.0.sign(&signing_input(name, body)).to_bytes()
}

/// Verifies that `key` signed exactly these bytes under `name`.
pub fn verify_bytes(
    name: &'static str,
    body: &[u8],
    signature: &[u8; 64],
    key: &[u8; 32],
) -> Result<(), SignatureError> {
    VerifyingKey::from_bytes(key)
        .and_then(|k| k.verify_strict(&signing_input(name, body), &Signature::from_bytes(signature)))
        .map_err(|_| SignatureError::Invalid { name, key: hex::encode(key) })
}

impl<T: Message> Signed<T> {
    /// Signs `message` with `identity`.
    pub fn sign(message: &T, identity: &SigningIdentity) -> Self {
        let body = message.encode();
        let signature = sign_bytes(T::NAME, &body, identity);
        // Every message's own limit is below that of a relay frame; a longer one is cut to nothing and never verifies.
        Self { body: Bytes::new(body).unwrap_or_default(), signature, marker: PhantomData }
    }

    /// Verifies that `key` signed exactly these bytes and decodes them.
    pub fn open(&self, key: &[u8; 32]) -> Result<T, SignatureError> {
        verify_bytes(T::NAME, &self.body, &self.signature, key)?;
        Ok(T::decode(&self.body)?)
    }

    /// Decodes without verifying: to learn whose key to verify with, never to act on.
    pub fn peek_unverified(&self) -> Result<T, DecodeError> {
        T::decode(&self.body)
    }

    /// SHA-256 over the signed bytes (not over the signature): see [`crate::message::digest_of`].
    pub fn body_digest(&self) -> [u8; 32] {
        crate::message::digest_of(T::NAME, &self.body)
    }
}

/// An Ed25519 signing key. Zeroized on drop; `Debug` shows the public key only.
pub struct SigningIdentity(SigningKey);

impl SigningIdentity {
    /// From 32 secret bytes (RFC 8032, section 5.1.5).
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The secret, for sealing it. Handle with care: the copy is the caller's to zeroize.
    pub fn secret(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

impl fmt::Debug for SigningIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningIdentity(public {}, secret <redacted>)", hex::encode(self.public()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;

    #[derive(Debug, PartialEq, BorshSerialize, BorshDeserialize)]
    struct A(u32);
    message!(A, "test/a", 1, 16);
    #[derive(Debug, PartialEq, BorshSerialize, BorshDeserialize)]
    struct B(u32);
    message!(B, "test/b", 1, 16);

    #[test]
    fn a_signature_holds_for_its_key_its_bytes_and_its_kind_only() {
        let me = SigningIdentity::from_secret(&[1; 32]);
        let other = SigningIdentity::from_secret(&[2; 32]);
        let signed = Signed::sign(&A(7), &me);
        assert_eq!(signed.open(&me.public()), Ok(A(7)));
        assert!(matches!(signed.open(&other.public()), Err(SignatureError::Invalid { .. })));
        let as_b: Signed<B> = borsh::from_slice(&borsh::to_vec(&signed).unwrap()).unwrap();
        assert!(matches!(as_b.open(&me.public()), Err(SignatureError::Invalid { .. })));
        let mut bytes = borsh::to_vec(&signed).unwrap();
        bytes[5] ^= 1;
        let tampered: Signed<A> = borsh::from_slice(&bytes).unwrap();
        assert!(tampered.open(&me.public()).is_err());
    }

    #[test]
    fn a_signature_beside_its_message_holds_for_its_key_its_bytes_and_its_name_only() {
        let me = SigningIdentity::from_secret(&[1; 32]);
        let signature = sign_bytes(A::NAME, b"body", &me);
        assert_eq!(verify_bytes(A::NAME, b"body", &signature, &me.public()), Ok(()));
        assert!(verify_bytes(B::NAME, b"body", &signature, &me.public()).is_err());
        assert!(verify_bytes(A::NAME, b"bodY", &signature, &me.public()).is_err());
        assert!(verify_bytes(A::NAME, b"body", &signature, &[2; 32]).is_err());
        assert!(Signed::sign(&A(7), &me).signature == sign_bytes(A::NAME, &A(7).encode(), &me));
    }

    #[test]
    fn debug_never_shows_the_secret() {
        let shown = format!("{:?}", SigningIdentity::from_secret(&[0x5a; 32]));
        assert!(!shown.contains(&hex::encode([0x5a; 32])) && shown.contains("redacted"));
    }
}
