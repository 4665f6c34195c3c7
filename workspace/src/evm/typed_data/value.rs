//! Whether values have exactly the members and the forms that their types say: what libraries could read in two ways is
//! refused.

use super::error::TypedDataError;
use super::field::Base;
use super::types::{Member, Types};
use alloy_primitives::U256;
use countersign_wire::evm::MAX_ARRAY_ITEMS;
use countersign_wire::limits::MAX_EXACT_NUMBER;
use serde_json::{Map, Value};

/// Bytes of types that are hashed: all of them may be, once for every structure in the message.
const MAX_HASHED_TYPE_BYTES: usize = 16 * 1024 * 1024;
/// Digits of the greatest number of 256 bits.
const MAX_DECIMAL_DIGITS: usize = 78;
const MAX_HEX_DIGITS: usize = 64;

/// Reads the values of one document.
pub struct Reader<'t> {
    types: &'t Types<'t>,
    hashed_bytes: usize,
}

fn expected<T>(expected: impl Into<String>) -> Result<T, TypedDataError> {
    Err(TypedDataError::Value { at: String::new(), expected: expected.into() })
}

impl<'t> Reader<'t> {
    /// None read yet.
    pub fn new(types: &'t Types<'t>) -> Self {
        Self { types, hashed_bytes: 0 }
    }

    /// A structure with these members, of which none is missing and none is more.
    pub fn structure(&mut self, members: &[Member<'_>], value: &Map<String, Value>) -> Result<(), TypedDataError> {
        self.hashed_bytes = self.hashed_bytes.saturating_add(self.types.text_bytes());
        if self.hashed_bytes > MAX_HASHED_TYPE_BYTES {
            let what = "bytes of types, counted once for every structure in the message";
            return Err(TypedDataError::Limit(what, MAX_HASHED_TYPE_BYTES));
        }
        if let Some(more) = value.keys().find(|key| members.iter().all(|member| member.name != **key)) {
            return Err(TypedDataError::Undefined { at: super::shown(more) });
        }
        for member in members {
            let missing = || TypedDataError::Missing { at: member.name.to_owned() };
            let value = value.get(member.name).ok_or_else(missing)?;
            let field = &member.field;
            self.value(field.base, &field.dimensions, value).map_err(|e| e.within(member.name))?;
        }
        Ok(())
    }

    fn value(&mut self, base: Base<'_>, dimensions: &[Option<usize>], value: &Value) -> Result<(), TypedDataError> {
        if let Some((length, inner)) = dimensions.split_last() {
            return self.array(base, *length, inner, value);
        }
        match base {
            Base::Bool if !value.is_boolean() => expected("true or false"),
            Base::Text if !value.is_string() => expected("a text"),
            Base::Bool | Base::Text => Ok(()),
            Base::Address => match value.as_str().map(crate::evm::address) {
                Some(Ok(_)) => Ok(()),
                Some(Err(e)) => expected(format!("an address: {e}")),
                None => expected("an address as a text"),
            },
            Base::Bytes if byte_count(value).is_none() => expected("0x and an even count of hexadecimal digits"),
            Base::FixedBytes(length) if byte_count(value) != Some(length) => {
                expected(format!("0x and the hexadecimal digits of {length} bytes"))
            }
            Base::Bytes | Base::FixedBytes(_) => Ok(()),
            Base::Uint(bits) if unsigned(value).is_none_or(|number| number.bit_len() > bits) => expected(format!(
                "a whole number of {bits} bits, not negative, as a text where it is above {MAX_EXACT_NUMBER} (2^53 - 1)"
            )),
            Base::Int(bits) if !is_signed(value, bits) => expected(format!(
                "a whole number of {bits} bits with its sign, as a text where it is beyond {MAX_EXACT_NUMBER} (2^53 - 1)"
            )),
            Base::Uint(_) | Base::Int(_) => Ok(()),
            Base::Struct(name) => match value {
                Value::Object(value) => {
                    let types = self.types;
                    self.structure(types.members(name)?, value)
                }
                _ => expected(format!("an object of the type {name}")),
            },
        }
    }

    fn array(
        &mut self,
        base: Base<'_>,
        length: Option<usize>,
        inner: &[Option<usize>],
        value: &Value,
    ) -> Result<(), TypedDataError> {
        let Some(items) = value.as_array() else { return expected("a list") };
        match length {
            Some(length) if items.len() != length => {
                return expected(format!("a list of exactly {length} items, got {}", items.len()));
            }
            _ if items.len() > MAX_ARRAY_ITEMS => {
                return expected(format!("a list of at most {MAX_ARRAY_ITEMS} items, got {}", items.len()));
            }
            _ => {}
        }
        for (at, item) in items.iter().enumerate() {
            self.value(base, inner, item).map_err(|e| e.within(&at.to_string()))?;
        }
        Ok(())
    }
}

/// Bytes behind `0x`, counted.
fn byte_count(value: &Value) -> Option<usize> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let whole = digits.len().is_multiple_of(2) && digits.bytes().all(|c| c.is_ascii_hexdigit());
    whole.then_some(digits.len() / 2)
}

fn decimal(digits: &str) -> Option<U256> {
    let canonical = !digits.starts_with('0') || digits == "0";
    let fits = (1..=MAX_DECIMAL_DIGITS).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    if canonical && fits { U256::from_str_radix(digits, 10).ok() } else { None }
}

/// A whole JSON number that every reader has exactly, decimal digits, or `0x` and hexadecimal digits.
pub fn unsigned(value: &Value) -> Option<U256> {
    match value {
        Value::Number(number) => number.as_u64().filter(|number| *number <= MAX_EXACT_NUMBER).map(U256::from),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => {
                let fits =
                    (1..=MAX_HEX_DIGITS).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
                if fits { U256::from_str_radix(digits, 16).ok() } else { None }
            }
            None => decimal(text),
        },
        _ => None,
    }
}

/// How far below zero a value is, where it is written with a minus.
fn below_zero(value: &Value) -> Option<U256> {
    match value {
        Value::Number(number) => {
            let number = number.as_i64().filter(|number| *number < 0)?.unsigned_abs();
            (number <= MAX_EXACT_NUMBER).then(|| U256::from(number))
        }
        Value::String(text) => decimal(text.strip_prefix('-')?).filter(|number| !number.is_zero()),
        _ => None,
    }
}

fn is_signed(value: &Value, bits: usize) -> bool {
    match below_zero(value) {
        Some(magnitude) => magnitude.saturating_sub(U256::from(1)).bit_len() < bits,
        None => unsigned(value).is_some_and(|number| number.bit_len() < bits),
    }
}
