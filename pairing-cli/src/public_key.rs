//! Public keys (SubjectPublicKeyInfo DER) as people compare them.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pem;

/// AlgorithmIdentifier of RSA keys (RFC 8017), with its NULL parameters.
const RSA: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// AlgorithmIdentifier of keys on P-256 (RFC 5480).
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];
/// The longest header of the outer SEQUENCE.
const MAX_HEADER_BYTES: usize = 4;

/// SHA-256 in lower-case hex.
pub fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}

/// How such a key signs tokens; for display, the enclave decides what it accepts.
pub fn algorithm(der: &[u8]) -> &'static str {
    let starts_with =
        |identifier: &[u8]| (2..=MAX_HEADER_BYTES).any(|at| der.get(at..).is_some_and(|d| d.starts_with(identifier)));
    if starts_with(RSA) {
        "RS256"
    } else if starts_with(P256) {
        "ES256"
    } else {
        "unknown kind"
    }
}

/// For scripts.
pub fn json(der: &[u8]) -> Value {
    json!({ "sha256": fingerprint(der), "algorithm": algorithm(der), "public_key_pem": pem::public_key(der) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_key_is_read_from_its_identifier() {
        let der = |header: &[u8], identifier: &[u8]| [header, identifier, &[0x03, 0x42]].concat();
        assert_eq!(algorithm(&der(&[0x30, 0x59], P256)), "ES256");
        assert_eq!(algorithm(&der(&[0x30, 0x82, 0x01, 0x22], RSA)), "RS256");
        for other in [&b""[..], b"ABCDEFGH", &der(&[0x30], P256), &der(&[0x30, 0x59], &P256[1..])] {
            assert_eq!(algorithm(other), "unknown kind");
        }
    }
}
