//! What is said to the AWS Key Management Service, and what its answers must be. Pure: the runtime makes the recipient's
//! key and the connection.
//!
//! What the service calls a data key is the root key of the instance's state. It never exists outside: the service is
//! asked with an attestation document (`Recipient`) whose public key was made for this one call, and encrypts the key to
//! it. It does so for measured images alone, as the policy of its own key says; see `deploy/aws/kms-policy.json`. The
//! instance is the encryption context: a data key of one instance opens for no other.
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
