//! JSON (RFC 8259) that has one reading: a member given twice is an error at every depth (threat T37).
//!
//! Parsers differ in which of two equal members they take; what one program checked, another would then not have seen.

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Why bytes were refused. No variant carries a value out of them, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrictJsonError {
    /// Not JSON, nested too deep, or something behind it.
    #[error("expected one JSON value, at line {line} column {column}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A member given twice.
    #[error("{0}")]
    Duplicate(String),
    /// JSON of another shape than expected.
    #[error("{0}")]
    Shape(String),
}

/// Longest name of a member that an error repeats.
const MAX_SHOWN_NAME_CHARS: usize = 64;

/// Parses exactly one value and reads it as a `T`.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StrictJsonError> {
    from_value(value(bytes)?)
}

/// Parses exactly one value.
pub fn value(bytes: &[u8]) -> Result<Value, StrictJsonError> {
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(value)) => Ok(value),
        // Any value is taken, so that the only complaint about data is the visitor's own.
        Err(e) if e.is_data() => Err(StrictJsonError::Duplicate(e.to_string())),
        Err(e) => Err(StrictJsonError::Syntax { line: e.line(), column: e.column() }),
    }
}

/// Parses exactly one object.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, StrictJsonError> {
    match value(bytes)? {
        Value::Object(object) => Ok(object),
        _ => Err(StrictJsonError::Shape("expected an object".into())),
    }
}

/// Reads a parsed value as a `T`.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, StrictJsonError> {
    T::deserialize(value).map_err(|e| StrictJsonError::Shape(without_values(&e.to_string())))
}

/// `serde` quotes a string that it did not expect: cut it out.
fn without_values(message: &str) -> String {
    for kind in ["invalid type: string ", "invalid value: string "] {
        if let Some(rest) = message.strip_prefix(kind) {
            let expected = rest.rfind(", expected ").and_then(|at| rest.get(at..)).unwrap_or_default();
            return format!("{}{expected}", kind.trim_end());
        }
    }
    message.to_owned()
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reading.deserialize(deserializer).map(Self)
    }
}

#[derive(Clone, Copy)]
struct Reading;

impl<'de> DeserializeSeed<'de> for Reading {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                let shown: String = name.chars().take(MAX_SHOWN_NAME_CHARS).collect();
                return Err(A::Error::custom(format_args!("the member {shown:?} is given twice")));
            }
            let value = map.next_value_seed(self)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn t37_a_member_given_twice_is_refused_at_every_depth() {
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":null}"#,
            r#"{"o":{"a":1,"a":2}}"#,
            r#"[[{"x":[{"a":1,"a":2}]}]]"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            assert!(matches!(value(twice.as_bytes()), Err(StrictJsonError::Duplicate(_))), "{twice}");
        }
        assert!(value(br#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).is_ok());
    }

    #[test]
    fn only_one_whole_value_is_taken() {
        for bad in ["", "{", "{} {}", "{}x", "\u{feff}{}", "{\"a\":1,}", "nul", "NaN", "'a'", "\"\\ud800\"", "01"] {
            assert!(matches!(value(bad.as_bytes()), Err(StrictJsonError::Syntax { .. })), "{bad:?}");
        }
        assert!(value(b"\"\xff\"").is_err());
        assert!(value("[".repeat(100_000).as_bytes()).is_err(), "depth is limited");
    }

    #[test]
    fn values_are_what_the_library_itself_would_read() {
        let text =
            r#"{"s":"a\n\u00e9","i":-7,"u":18446744073709551615,"f":1.5,"big":1e30,"t":true,"n":null,"l":[1,"2"]}"#;
        assert_eq!(value(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn t48_an_error_repeats_no_value() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)]
        struct Shape {
            number: u64,
        }
        let error = from_slice::<Shape>(br#"{"number":"canary, expected nothing"}"#).unwrap_err();
        assert_eq!(error, StrictJsonError::Shape("invalid type: string, expected u64".into()));
        let error = from_slice::<Shape>(br#"{"number":"canary"#).unwrap_err();
        assert!(!error.to_string().contains("canary"));
    }

    #[test]
    fn an_object_is_not_another_value() {
        assert!(object(b"{}").is_ok());
        assert!(matches!(object(b"[]"), Err(StrictJsonError::Shape(_))));
    }
}
