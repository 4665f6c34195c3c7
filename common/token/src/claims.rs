//! Typed claims: a claim of another JSON type than its own is an error, never an absent one (threat T35).

use crate::strict_json::{self, StrictJsonError};
use serde_json::{Map, Value};

/// Latest NumericDate taken: the end of the year 9999. A millisecond count of it fits every integer used.
pub const MAX_NUMERIC_DATE: u64 = 253_402_300_799;

/// Why claims were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The payload is not an object of unique members.
    #[error("the payload is not a set of claims: {0}")]
    Payload(#[from] StrictJsonError),
    /// A claim that the profile demands is not there.
    #[error("the claim {0:?} is missing")]
    Missing(&'static str),
    /// A claim of another type.
    #[error("the claim {name:?} is not {expected}")]
    Type {
        /// Which.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// The claims of a payload whose signature somebody verified.
#[derive(Debug, Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a payload.
    pub fn parse(payload: &[u8]) -> Result<Self, ClaimError> {
        Ok(Self(strict_json::object(payload)?))
    }

    /// A string that is not empty.
    pub fn string(&self, name: &'static str) -> Result<&str, ClaimError> {
        self.optional_string(name)?.ok_or(ClaimError::Missing(name))
    }

    /// A string that is not empty, or no such claim.
    pub fn optional_string(&self, name: &'static str) -> Result<Option<&str>, ClaimError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(ClaimError::Type { name, expected: "a string that is not empty" }),
        }
    }

    /// A NumericDate (RFC 7519, section 2) in whole seconds; fractions, strings and negative numbers are refused.
    pub fn numeric_date(&self, name: &'static str) -> Result<u64, ClaimError> {
        self.optional_numeric_date(name)?.ok_or(ClaimError::Missing(name))
    }

    /// A NumericDate as [`Claims::numeric_date`] takes it, or no such claim.
    pub fn optional_numeric_date(&self, name: &'static str) -> Result<Option<u64>, ClaimError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(seconds) if seconds <= MAX_NUMERIC_DATE => Ok(Some(seconds)),
                _ => Err(ClaimError::Type { name, expected: "a time in whole seconds" }),
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn t35_a_claim_of_another_type_is_an_error_and_never_an_absent_one() {
        for bad in ["1.0", "1.5", "1e3", "\"1700000000\"", "-1", "null", "true", "[1]", "{}", "253402300800"] {
            let claims = Claims::parse(format!("{{\"exp\":{bad}}}").as_bytes()).unwrap();
            assert!(matches!(claims.numeric_date("exp"), Err(ClaimError::Type { name: "exp", .. })), "{bad}");
            assert!(claims.optional_numeric_date("exp").is_err(), "{bad}");
        }
        for bad in ["1", "null", "\"\"", "[\"a\"]", "{}"] {
            let claims = Claims::parse(format!("{{\"sub\":{bad}}}").as_bytes()).unwrap();
            assert!(matches!(claims.string("sub"), Err(ClaimError::Type { name: "sub", .. })), "{bad}");
            assert!(claims.optional_string("sub").is_err(), "{bad}");
        }
    }

    #[test]
    fn t35_a_missing_claim_is_named() {
        let claims = Claims::parse(b"{}").unwrap();
        assert_eq!(claims.string("jti"), Err(ClaimError::Missing("jti")));
        assert_eq!(claims.numeric_date("iat"), Err(ClaimError::Missing("iat")));
        assert_eq!(claims.optional_string("jti"), Ok(None));
    }

    #[test]
    fn typed_claims_are_read() {
        let claims = Claims::parse(br#"{"sub":"a","iat":0,"exp":253402300799}"#).unwrap();
        assert_eq!(
            (claims.string("sub"), claims.numeric_date("iat"), claims.numeric_date("exp")),
            (Ok("a"), Ok(0), Ok(MAX_NUMERIC_DATE))
        );
    }
}
