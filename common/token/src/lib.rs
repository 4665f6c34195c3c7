//! The one profile of signed tokens (JWS compact serialisation, RFC 7515) that Countersign speaks: clients' requests,
//! pairing tokens, and both directions of the callback handler's protocol.
//!
//! The profile is strict where the general format is generous, because every generosity was somebody's vulnerability:
//! the algorithm comes from the key and from nothing else, the header may not bring or name keys, base64 and JSON have
//! one reading, and claims are typed. The signatures themselves are those of `aws-lc-rs`; everything around them
//! is here. No clock: who checks a time brings it.

mod claims;
pub mod der;
mod jws;
mod key;
mod pem;
pub mod strict_json;

pub use claims::{ClaimError, Claims, MAX_NUMERIC_DATE};
pub use jws::{
    MAX_TOKEN_BYTES, TokenError, unverified_header_kid, unverified_payload, unverified_payload_within, verify,
    verify_within,
};
pub use key::{Algorithm, KeyError, PublicKey, SigningKey, generate_p256, generate_rsa_2048, public_spki_der_of};
