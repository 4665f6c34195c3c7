//! What is said to the AWS Key Management Service, and what its answers must be. Pure: the runtime makes the recipient's
//! key and the connection.
//!
//! The instance's data key never exists outside: the service is asked with an attestation document (`Recipient`) whose
//! public key was made for this one call, and encrypts the data key to it. It does so for measured images alone, as the
//! key's policy says; see `deploy/aws/kms-policy.json`. The instance is the encryption context: a data key of one
//! instance opens for no other.
//!
//! Source: AWS KMS API Reference, *GenerateDataKey*, *Decrypt*, *RecipientInfo*.

mod ber;
mod call;
mod envelope;
mod key;

pub use call::{Call, KmsError, KmsHeaders, MAX_ANSWER_BYTES};
pub use envelope::EnvelopeError;
pub use key::KmsKey;

/// Name of the one member of the encryption context; its value is the instance in hexadecimal digits.
pub const CONTEXT_INSTANCE: &str = "countersign:instance";
