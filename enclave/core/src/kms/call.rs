//! One call: its body, and the data key in its answer.

use super::envelope::{self, EnvelopeError};
use super::{CONTEXT_INSTANCE, KmsKey};
use crate::SealingKeyAnswer;
use crate::seal::MAX_WRAPPED_KEY_BYTES;
use aws_lc_rs::rsa::PrivateDecryptingKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_token::strict_json;
use serde_json::{Map, Value, json};

/// Longest answer, in bytes: a wrapped data key, an envelope, names.
pub const MAX_ANSWER_BYTES: usize = 32 * 1024;
/// Longest text of the service that an error repeats, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// Why the service gave no data key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    /// The sealing key is none of the service.
    #[error("expected a KMS key as arn:aws:kms:REGION:ACCOUNT:key/ID (no alias), got {got:?}")]
    Key {
        /// What was named.
        got: String,
    },
    /// The service refused.
    #[error("KMS refused, status {status}: {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        reason: String,
        /// Whether the same call may succeed later.
        transient: bool,
    },
    /// An answer that is none.
    #[error("KMS answered without {expected}")]
    Answer {
        /// What belongs there.
        expected: &'static str,
    },
    /// A data key that others can read.
    #[error("KMS answered with a data key in the clear, though it was asked with an attestation document: refused")]
    Plaintext,
    /// The envelope around the data key.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// The headers that say what is called; the host signs them with the body's hash, and adds those that prove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KmsHeaders {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `X-Amz-Target`.
    pub target: &'static str,
}

/// What is asked of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A new data key.
    GenerateDataKey,
    /// The data key in this wrapped form again.
    Decrypt(Vec<u8>),
}

impl Call {
    /// See [`KmsHeaders`].
    pub fn headers(&self) -> KmsHeaders {
        let target = match self {
            Self::GenerateDataKey => "TrentService.GenerateDataKey",
            Self::Decrypt(_) => "TrentService.Decrypt",
        };
        KmsHeaders { content_type: "application/x-amz-json-1.1", target }
    }

    /// The body of the call for `instance` under `key`. `document` attests the recipient's public key.
    pub fn body(&self, key: &KmsKey, instance: &[u8; 32], document: &[u8]) -> Vec<u8> {
        let mut body = json!({
            "KeyId": key.arn(),
            "EncryptionContext": { CONTEXT_INSTANCE: hex::encode(instance) },
            "Recipient": {
                "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
                "AttestationDocument": STANDARD.encode(document),
            },
        });
        match self {
            Self::GenerateDataKey => body["KeySpec"] = json!("AES_256"),
            Self::Decrypt(wrapped) => {
                body["CiphertextBlob"] = json!(STANDARD.encode(wrapped));
                body["EncryptionAlgorithm"] = json!("SYMMETRIC_DEFAULT");
            }
        }
        body.to_string().into_bytes()
    }

    /// The data key in the answer. Whether the key that wraps it is the right one is for whoever asked: it is in there.
    ///
    /// # Errors
    /// [`KmsError`].
    pub fn answer(
        self,
        status: u16,
        body: &[u8],
        recipient: &PrivateDecryptingKey,
    ) -> Result<SealingKeyAnswer, KmsError> {
        let answer = strict_json::object(body);
        if status != 200 {
            return Err(refused(status, &answer.unwrap_or_default()));
        }
        let answer = answer.map_err(|_| KmsError::Answer { expected: "a JSON object" })?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        if !text("Plaintext").is_empty() {
            return Err(KmsError::Plaintext);
        }
        let bytes = |name: &str| STANDARD.decode(text(name)).ok().filter(|bytes| !bytes.is_empty());
        let wrapping_key = text("KeyId").to_owned();
        if wrapping_key.is_empty() {
            return Err(KmsError::Answer { expected: "the KeyId" });
        }
        let envelope = bytes("CiphertextForRecipient")
            .ok_or(KmsError::Answer { expected: "a CiphertextForRecipient, which an attested call has" })?;
        let wrapped = match self {
            Self::Decrypt(wrapped) => wrapped,
            Self::GenerateDataKey => bytes("CiphertextBlob")
                .filter(|wrapped| wrapped.len() <= MAX_WRAPPED_KEY_BYTES)
                .ok_or(KmsError::Answer { expected: "a CiphertextBlob of 8 KiB at most" })?,
        };
        Ok(SealingKeyAnswer { key: envelope::open(recipient, &envelope)?, wrapped, wrapping_key })
    }
}

fn refused(status: u16, answer: &Map<String, Value>) -> KmsError {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    // `com.amazonaws.kms#AccessDeniedException`, or without the first part.
    let kind = text("__type").rsplit('#').next().unwrap_or_default();
    let message = [text("message"), text("Message")].concat();
    let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect::<String>();
    let transient = status >= 500
        || ["ThrottlingException", "LimitExceededException", "DependencyTimeoutException", "KMSInternalException"]
            .contains(&kind);
    KmsError::Refused { status, reason: format!("{} {}", shown(kind), shown(&message)).trim().to_owned(), transient }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use aws_lc_rs::rsa::KeySize;

    fn key() -> KmsKey {
        KmsKey::parse("arn:aws:kms:eu-central-1:111122223333:key/1234").unwrap()
    }

    #[test]
    fn every_call_carries_the_instance_and_the_document() {
        for call in [Call::GenerateDataKey, Call::Decrypt(vec![1, 2, 3])] {
            let body: Value = serde_json::from_slice(&call.body(&key(), &[7; 32], b"document")).unwrap();
            assert_eq!(body["KeyId"], "arn:aws:kms:eu-central-1:111122223333:key/1234");
            assert_eq!(body["EncryptionContext"], json!({ "countersign:instance": "07".repeat(32) }));
            assert_eq!(body["Recipient"]["KeyEncryptionAlgorithm"], "RSAES_OAEP_SHA_256");
            assert_eq!(body["Recipient"]["AttestationDocument"], STANDARD.encode("document"));
            let (spec, wrapped) = (body.get("KeySpec").is_some(), body.get("CiphertextBlob").is_some());
            assert_eq!((spec, wrapped), (call == Call::GenerateDataKey, call != Call::GenerateDataKey));
        }
    }

    #[test]
    fn t42_answers_without_an_envelope_or_in_the_clear_are_refused() {
        let recipient = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let answer = |status: u16, body: Value| {
            Call::GenerateDataKey.answer(status, body.to_string().as_bytes(), &recipient).err().unwrap()
        };
        let blob = STANDARD.encode([1; 100]);
        let plain = json!({ "KeyId": key().arn(), "CiphertextBlob": blob, "Plaintext": STANDARD.encode([2; 32]) });
        assert_eq!(answer(200, plain), KmsError::Plaintext);
        assert!(matches!(answer(200, json!({ "KeyId": "k", "CiphertextBlob": blob })), KmsError::Answer { .. }));
        assert!(matches!(answer(200, json!({ "CiphertextForRecipient": blob })), KmsError::Answer { .. }));
        let other = json!({ "KeyId": "k", "CiphertextBlob": blob, "CiphertextForRecipient": blob });
        assert_eq!(answer(200, other), KmsError::Envelope(EnvelopeError::Form));
    }

    #[test]
    fn a_refusal_says_why_and_whether_to_try_again() {
        let recipient = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let refused = |status: u16, body: &str| match Call::GenerateDataKey.answer(status, body.as_bytes(), &recipient)
        {
            Err(KmsError::Refused { reason, transient, .. }) => (reason, transient),
            other => unreachable!("{:?}", other.err()),
        };
        let denied = refused(400, r#"{"__type":"com.amazonaws.kms#AccessDeniedException","Message":"no\u0000pe"}"#);
        assert_eq!(denied, ("AccessDeniedException nope".to_owned(), false));
        assert_eq!(refused(400, r#"{"__type":"ThrottlingException"}"#), ("ThrottlingException".to_owned(), true));
        assert_eq!(refused(503, "<html>"), (String::new(), true));
    }
}
