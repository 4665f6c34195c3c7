//! Signing and verifying. A header may say less than the format allows, never more than the key.

use crate::key::{PublicKey, SigningKey};
use crate::strict_json::{self, StrictJsonError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Longest token that [`verify`] takes, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Header members that bring keys, or change how the rest is to be read: a token with one is refused.
const REFUSED_HEADER_MEMBERS: [&str; 7] = ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip"];

/// Why a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than allowed.
    #[error("expected a token of at most {max} bytes, got {got}")]
    TooLarge {
        /// Most bytes allowed.
        max: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Not three parts.
    #[error("expected three parts with dots between them")]
    Parts,
    /// A part that is not canonical base64url without padding.
    #[error("the {0} is not base64url without padding")]
    Base64(&'static str),
    /// A part that is not a JSON object of unique members.
    #[error("the {part} is not a JSON object: {error}")]
    Json {
        /// Header or payload.
        part: &'static str,
        /// Why.
        error: StrictJsonError,
    },
    /// Another algorithm than the key's.
    #[error("expected the algorithm {expected}, which is the key's; the header names another")]
    Algorithm {
        /// The key's algorithm.
        expected: &'static str,
    },
    /// A `typ` other than `JWT`.
    #[error("expected \"typ\" to be \"JWT\" or absent")]
    Type,
    /// A header member that this profile refuses, or of a wrong type.
    #[error("the header member {0:?} is not allowed")]
    HeaderMember(&'static str),
    /// The signature is not one of the key over these bytes.
    #[error("the signature is not one of the expected key over this token")]
    Signature,
    /// The cryptographic library could not sign.
    #[error("signing failed")]
    Signing,
}

/// Verifies a token of at most [`MAX_TOKEN_BYTES`] with `key` and returns its payload: a JSON object without duplicates.
/// Claims, times among them, are the caller's to check: see [`crate::Claims`].
pub fn verify(token: &str, key: &PublicKey) -> Result<Vec<u8>, TokenError> {
    verify_within(token, key, MAX_TOKEN_BYTES)
}

/// [`verify`] with another limit.
pub fn verify_within(token: &str, key: &PublicKey, max_bytes: usize) -> Result<Vec<u8>, TokenError> {
    let parts = Parts::split(token, max_bytes)?;
    let header = parts.header()?;
    let expected = key.algorithm().as_str();
    if header.get("alg").and_then(Value::as_str) != Some(expected) {
        return Err(TokenError::Algorithm { expected });
    }
    let signature = decode(parts.signature, "signature")?;
    if !key.verifies(parts.signed.as_bytes(), &signature) {
        return Err(TokenError::Signature);
    }
    parts.payload()
}

/// The payload, with nobody's word for it: to learn whose key to verify with, never to act on.
pub fn unverified_payload(token: &str) -> Result<Vec<u8>, TokenError> {
    unverified_payload_within(token, MAX_TOKEN_BYTES)
}

/// [`unverified_payload`] with another limit.
pub fn unverified_payload_within(token: &str, max_bytes: usize) -> Result<Vec<u8>, TokenError> {
    Parts::split(token, max_bytes)?.payload()
}

/// The header's `kid`, with nobody's word for it: to choose among pinned keys, never a path or an address.
pub fn unverified_header_kid(token: &str) -> Result<Option<String>, TokenError> {
    match Parts::split(token, MAX_TOKEN_BYTES)?.header()?.remove("kid") {
        None => Ok(None),
        Some(Value::String(kid)) => Ok(Some(kid)),
        Some(_) => Err(TokenError::HeaderMember("kid")),
    }
}

impl SigningKey {
    /// Signs a payload. The header is exactly `alg`, `typ` and, if given, `kid`. RS256 is deterministic; ES256 takes
    /// fresh randomness of the cryptographic library.
    pub fn sign(&self, payload_json: &[u8], kid: Option<&str>) -> Result<String, TokenError> {
        let alg = self.public().algorithm();
        let kid = kid.map(|kid| format!(",\"kid\":{}", Value::from(kid))).unwrap_or_default();
        let header = format!("{{\"alg\":\"{}\",\"typ\":\"JWT\"{kid}}}", alg.as_str());
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload_json));
        let signature = self.signature(signed.as_bytes()).ok_or(TokenError::Signing)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str, max_bytes: usize) -> Result<Self, TokenError> {
        if token.len() > max_bytes {
            return Err(TokenError::TooLarge { max: max_bytes, got: token.len() });
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Parts)?;
        if payload.contains('.') {
            return Err(TokenError::Parts);
        }
        Ok(Self { header, payload, signature, signed })
    }

    fn header(&self) -> Result<Map<String, Value>, TokenError> {
        let header = strict_json::object(&decode(self.header, "header")?)
            .map_err(|error| TokenError::Json { part: "header", error })?;
        for name in REFUSED_HEADER_MEMBERS {
            if header.contains_key(name) {
                return Err(TokenError::HeaderMember(name));
            }
        }
        match header.get("typ") {
            None => Ok(header),
            Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") => Ok(header),
            Some(_) => Err(TokenError::Type),
        }
    }

    fn payload(&self) -> Result<Vec<u8>, TokenError> {
        let payload = decode(self.payload, "payload")?;
        strict_json::object(&payload).map_err(|error| TokenError::Json { part: "payload", error })?;
        Ok(payload)
    }
}

/// The engine refuses padding and trailing bits that are not zero.
fn decode(part: &str, name: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Base64(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::key::{generate_p256, generate_rsa_2048};
    use aws_lc_rs::hmac;
    use std::sync::LazyLock;

    static RSA: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::from_pkcs8_der(&generate_rsa_2048().unwrap()).unwrap());
    static P256: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap());

    fn signed_with_header(key: &SigningKey, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.signature(signed.as_bytes()).unwrap()))
    }

    #[test]
    fn what_a_key_signs_it_verifies_and_another_does_not() {
        for key in [&*RSA, &*P256] {
            let token = key.sign(br#"{"a":1}"#, Some("k\"1")).unwrap();
            assert_eq!(verify(&token, key.public()).unwrap(), br#"{"a":1}"#);
            assert_eq!(unverified_header_kid(&token).unwrap().as_deref(), Some("k\"1"));
            let other = SigningKey::from_pkcs8_der(&if key.public() == RSA.public() {
                generate_rsa_2048().unwrap()
            } else {
                generate_p256().unwrap()
            })
            .unwrap();
            assert_eq!(verify(&token, other.public()), Err(TokenError::Signature));
        }
    }

    #[test]
    fn headers_are_exactly_as_documented() {
        let header = |token: String| {
            String::from_utf8(URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
        };
        assert_eq!(header(RSA.sign(b"{}", None).unwrap()), r#"{"alg":"RS256","typ":"JWT"}"#);
        assert_eq!(header(P256.sign(b"{}", Some("a")).unwrap()), r#"{"alg":"ES256","typ":"JWT","kid":"a"}"#);
    }

    #[test]
    fn rs256_is_deterministic() {
        assert_eq!(RSA.sign(b"{}", None), RSA.sign(b"{}", None));
    }

    /// RFC 7515, appendix A.3.
    #[test]
    fn the_standards_es256_example_verifies() {
        let x = URL_SAFE_NO_PAD.decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU").unwrap();
        let y = URL_SAFE_NO_PAD.decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0").unwrap();
        let mut spki = P256.public().spki_der()[..27].to_vec();
        spki.extend(x);
        spki.extend(y);
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNv\
                     bS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJ\
                     qPP3-Kg6NU1Q";
        let payload = verify(token, &PublicKey::from_spki_der(&spki).unwrap()).unwrap();
        assert!(payload.starts_with(b"{\"iss\":\"joe\""));
    }

    #[test]
    fn t33_the_algorithm_comes_from_the_key_and_never_from_the_header() {
        for alg in ["none", "None", "HS256", "ES256", "RS384", "RS512", "PS256", "EdDSA", "rs256", ""] {
            let token = signed_with_header(&RSA, &format!(r#"{{"alg":"{alg}"}}"#), "{}");
            assert_eq!(verify(&token, RSA.public()), Err(TokenError::Algorithm { expected: "RS256" }), "{alg}");
        }
        for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["RS256"]}"#] {
            let token = signed_with_header(&RSA, header, "{}");
            assert_eq!(verify(&token, RSA.public()), Err(TokenError::Algorithm { expected: "RS256" }), "{header}");
        }
        let token = signed_with_header(&P256, r#"{"alg":"ES256"}"#, "{}");
        assert!(verify(&token, P256.public()).is_ok());
        assert_eq!(verify(&token, RSA.public()), Err(TokenError::Algorithm { expected: "RS256" }));
    }

    #[test]
    fn t33_an_hmac_under_the_public_key_and_an_empty_signature_are_refused() {
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, RSA.public().to_pem().as_bytes());
        let forge = |header: &str| {
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}"));
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&hmac, signed.as_bytes())))
        };
        let expected = Err(TokenError::Algorithm { expected: "RS256" });
        assert_eq!(verify(&forge(r#"{"alg":"HS256"}"#), RSA.public()), expected);
        assert_eq!(verify(&forge(r#"{"alg":"RS256"}"#), RSA.public()), Err(TokenError::Signature));
        let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}"));
        assert_eq!(verify(&unsigned, RSA.public()), expected);
        let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), URL_SAFE_NO_PAD.encode("{}"));
        assert_eq!(verify(&unsigned, RSA.public()), Err(TokenError::Signature));
    }

    #[test]
    fn t33_an_unexpected_type_is_refused() {
        for typ in ["\"JOSE\"", "\"at+jwt\"", "null", "1", "\"\""] {
            let token = signed_with_header(&RSA, &format!(r#"{{"alg":"RS256","typ":{typ}}}"#), "{}");
            assert_eq!(verify(&token, RSA.public()), Err(TokenError::Type), "{typ}");
        }
        let token = signed_with_header(&RSA, r#"{"alg":"RS256","typ":"jwt"}"#, "{}");
        assert!(verify(&token, RSA.public()).is_ok());
    }

    #[test]
    fn t34_a_header_that_brings_or_names_keys_is_refused_and_kid_is_ignored() {
        for name in REFUSED_HEADER_MEMBERS {
            for value in ["null", "\"https://attacker.example/keys\"", "{}"] {
                let token = signed_with_header(&RSA, &format!(r#"{{"alg":"RS256","{name}":{value}}}"#), "{}");
                assert_eq!(verify(&token, RSA.public()), Err(TokenError::HeaderMember(name)), "{name} {value}");
            }
        }
        let token = signed_with_header(&RSA, r#"{"alg":"RS256","kid":"../../etc/passwd"}"#, "{}");
        assert!(verify(&token, RSA.public()).is_ok());
        let token = signed_with_header(&RSA, r#"{"alg":"RS256","kid":7}"#, "{}");
        assert_eq!(unverified_header_kid(&token), Err(TokenError::HeaderMember("kid")));
    }

    #[test]
    fn t37_duplicate_members_are_refused_in_header_and_payload() {
        let token = signed_with_header(&RSA, r#"{"alg":"none","alg":"RS256"}"#, "{}");
        assert!(matches!(verify(&token, RSA.public()), Err(TokenError::Json { part: "header", .. })));
        for payload in [r#"{"sub":"a","sub":"b"}"#, r#"{"o":{"a":1,"a":1}}"#] {
            let token = signed_with_header(&RSA, r#"{"alg":"RS256"}"#, payload);
            assert!(matches!(verify(&token, RSA.public()), Err(TokenError::Json { part: "payload", .. })), "{payload}");
        }
        for payload in ["[]", "1", "", "{} "] {
            let token = signed_with_header(&RSA, r#"{"alg":"RS256"}"#, payload);
            assert_eq!(verify(&token, RSA.public()).is_ok(), payload == "{} ", "{payload:?}");
        }
    }

    #[test]
    fn t37_only_canonical_base64url_is_taken() {
        // A payload of 3n+1 bytes leaves four trailing bits that must be zero.
        let token = RSA.sign(br#"{"ab":12}    "#, None).unwrap();
        assert!(verify(&token, RSA.public()).is_ok());
        let (header, rest) = token.split_once('.').unwrap();
        let (payload, signature) = rest.split_once('.').unwrap();
        let twist = |part: &str| {
            let (start, last) = part.split_at(part.len() - 1);
            const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let at = ALPHABET.find(last).unwrap();
            format!("{start}{}", &ALPHABET[at + 1..=at + 1])
        };
        let signature_twisted = format!("{header}.{payload}.{}", twist(signature));
        assert_eq!(verify(&signature_twisted, RSA.public()), Err(TokenError::Base64("signature")));
        let payload_twisted = format!("{header}.{}.{signature}", twist(payload));
        assert_eq!(unverified_payload(&payload_twisted), Err(TokenError::Base64("payload")));
        for padded in [format!("{token}=="), format!("{header}=.{rest}"), format!("{token}\n"), format!(" {token}")] {
            assert!(matches!(verify(&padded, RSA.public()), Err(TokenError::Base64(_))), "{padded}");
        }
        assert!(verify(&token.replace('_', "/").replace('-', "+"), RSA.public()).is_err());
    }

    #[test]
    fn a_token_has_three_parts_and_a_limit() {
        let token = RSA.sign(b"{}", None).unwrap();
        for bad in ["", ".", "a.b", &format!("{token}.a"), &format!("a.{token}")] {
            assert_eq!(verify(bad, RSA.public()), Err(TokenError::Parts), "{bad}");
        }
        let got = token.len();
        assert_eq!(verify_within(&token, RSA.public(), got - 1), Err(TokenError::TooLarge { max: got - 1, got }));
        assert!(verify_within(&token, RSA.public(), got).is_ok());
        let long = "a".repeat(MAX_TOKEN_BYTES + 1);
        assert!(matches!(verify(&long, RSA.public()), Err(TokenError::TooLarge { .. })));
    }

    #[test]
    fn a_changed_payload_is_refused() {
        let token = RSA.sign(br#"{"sub":"a"}"#, None).unwrap();
        let changed =
            token.replace(&URL_SAFE_NO_PAD.encode(r#"{"sub":"a"}"#), &URL_SAFE_NO_PAD.encode(r#"{"sub":"b"}"#));
        assert_ne!(token, changed);
        assert_eq!(verify(&changed, RSA.public()), Err(TokenError::Signature));
        assert_eq!(unverified_payload(&changed).unwrap(), br#"{"sub":"b"}"#);
    }
}
