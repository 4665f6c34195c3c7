//! The values of typed data: one 32-byte word each (EIP-712, "Definition of encodeData").

use super::TypedDataError;
use super::field::FieldType;
use super::types::Types;
use crate::intent::evm::address::address;
use crate::intent::evm::u256::U256;
use countersign_wire::evm::MAX_ARRAY_ITEMS;
use countersign_wire::limits::MAX_EXACT_NUMBER;
use serde_json::{Map, Value};
use sha3::{Digest as _, Keccak256};

/// One word of encoded data.
pub type Word = [u8; 32];

/// `hashStruct`: the Keccak-256 of the type's hash and the words of its members, of which none is missing and none is more.
pub fn hash_struct(types: &Types, name: &str, value: &Map<String, Value>) -> Result<Word, TypedDataError> {
    let members = types.members(name)?;
    if let Some(more) = value.keys().find(|key| members.iter().all(|member| member.name != **key)) {
        return Err(TypedDataError::Undefined { at: more.clone() });
    }
    let mut hash = Keccak256::new_with_prefix(types.hash(name)?);
    for member in members {
        let value = value.get(&member.name).ok_or_else(|| TypedDataError::Missing { at: member.name.clone() })?;
        hash.update(word(types, &member.field, value).map_err(|e| e.within(&member.name))?);
    }
    Ok(hash.finalize().into())
}

fn word(types: &Types, field: &FieldType, value: &Value) -> Result<Word, TypedDataError> {
    let expected = |expected: &str| TypedDataError::Value { at: String::new(), expected: expected.to_owned() };
    match (field, value) {
        (FieldType::Bool, Value::Bool(value)) => Ok(number(U256::from(u64::from(*value)))),
        (FieldType::Bool, _) => Err(expected("true or false")),
        (FieldType::Address, Value::String(text)) => {
            let address = address(text).map_err(|e| expected(&e.to_string()))?;
            U256::from_be_slice(&address).map(number).ok_or_else(|| expected("an address"))
        }
        (FieldType::Address, _) => Err(expected("an address as a text")),
        (FieldType::String, Value::String(text)) => Ok(Keccak256::digest(text).into()),
        (FieldType::String, _) => Err(expected("a text")),
        (FieldType::Bytes, value) => bytes(value)
            .map(|bytes| Keccak256::digest(bytes).into())
            .ok_or_else(|| expected("0x and an even count of hexadecimal digits")),
        (FieldType::FixedBytes(length), value) => fixed_bytes(value, *length)
            .ok_or_else(|| expected(&format!("0x and the hexadecimal digits of {length} bytes"))),
        (FieldType::Uint(bits), value) => unsigned(value)
            .filter(|number| number.bit_length() <= *bits)
            .map(number)
            .ok_or_else(|| expected(&format!("a whole number of {bits} bits, as a text where it is a large one"))),
        (FieldType::Int(bits), value) => signed(value, *bits).ok_or_else(|| {
            expected(&format!("a whole number of {bits} bits with its sign, as a text where it is a large one"))
        }),
        (FieldType::Struct(name), Value::Object(value)) => hash_struct(types, name, value),
        (FieldType::Struct(name), _) => Err(expected(&format!("an object of the type {name}"))),
        (FieldType::Array(item, length), Value::Array(values)) => array(types, item, *length, values),
        (FieldType::Array(..), _) => Err(expected("an array")),
    }
}

fn array(types: &Types, item: &FieldType, length: Option<usize>, values: &[Value]) -> Result<Word, TypedDataError> {
    let wrong = |expected: String| TypedDataError::Value { at: String::new(), expected };
    if let Some(length) = length.filter(|length| *length != values.len()) {
        return Err(wrong(format!("an array of exactly {length} items, got {}", values.len())));
    }
    if values.len() > MAX_ARRAY_ITEMS {
        return Err(wrong(format!("an array of at most {MAX_ARRAY_ITEMS} items, got {}", values.len())));
    }
    let mut hash = Keccak256::new();
    for (at, value) in values.iter().enumerate() {
        hash.update(word(types, item, value).map_err(|e| e.within(&at.to_string()))?);
    }
    Ok(hash.finalize().into())
}

fn number(number: U256) -> Word {
    number.to_be_bytes()
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    hex::decode(value.as_str()?.strip_prefix("0x")?).ok()
}

/// Bytes stand at the left of their word.
fn fixed_bytes(value: &Value, length: usize) -> Option<Word> {
    let bytes = bytes(value).filter(|bytes| bytes.len() == length)?;
    let mut word = Word::default();
    word.get_mut(..length)?.copy_from_slice(&bytes);
    Some(word)
}

/// A whole JSON number that is exact everywhere, decimal digits, or `0x` and hexadecimal digits.
pub fn unsigned(value: &Value) -> Option<U256> {
    match value {
        Value::Number(number) => number.as_u64().filter(|number| *number <= MAX_EXACT_NUMBER).map(U256::from),
        Value::String(text) => unsigned_text(text),
        _ => None,
    }
}

fn unsigned_text(text: &str) -> Option<U256> {
    match text.strip_prefix("0x") {
        Some("") => None,
        Some(digits) if digits.len() <= 64 => U256::from_be_slice(&hex::decode(format!("{digits:0>64}")).ok()?),
        Some(_) => None,
        None if text.len() > 1 && text.starts_with('0') => None,
        None => U256::from_decimal(text),
    }
}

/// The same with a minus in front of decimal digits, in two's complement.
fn signed(value: &Value, bits: u32) -> Option<Word> {
    let magnitude = match value {
        Value::Number(number) if number.is_i64() && !number.is_u64() => {
            let magnitude = number.as_i64().map(i64::unsigned_abs);
            Some(U256::from(magnitude.filter(|magnitude| *magnitude <= MAX_EXACT_NUMBER)?))
        }
        Value::String(text) => match text.strip_prefix('-') {
            Some(digits) if digits.starts_with("0") => return None,
            Some(digits) => Some(U256::from_decimal(digits)?),
            None => None,
        },
        _ => None,
    };
    match magnitude {
        Some(magnitude) => {
            magnitude.minus_one().filter(|below| below.bit_length() < bits).map(|_| number(magnitude.negated()))
        }
        None => unsigned(value).filter(|value| value.bit_length() < bits).map(number),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn encoded(field: &FieldType, value: &Value) -> Option<String> {
        let types = Types::new(BTreeMap::new()).unwrap();
        word(&types, field, value).ok().map(hex::encode)
    }

    fn padded(digits: &str) -> Option<String> {
        Some(format!("{digits:0>64}"))
    }

    #[test]
    fn unsigned_numbers_have_their_range_in_every_notation() {
        let uint8 = |value: Value| encoded(&FieldType::Uint(8), &value);
        for value in [json!(255), json!("255"), json!("0xff"), json!("0xFF"), json!("0x00ff")] {
            assert_eq!(uint8(value), padded("ff"));
        }
        for value in [
            json!(256),
            json!("256"),
            json!("0x100"),
            json!(-1),
            json!("-1"),
            json!(1.0),
            json!(1.5),
            json!("1.5"),
            json!("1e1"),
            json!(""),
            json!("0x"),
            json!("01"),
            json!("+1"),
            json!(" 1"),
            json!("ff"),
            json!("0Xff"),
            json!(true),
            json!(null),
            json!([1]),
            json!(1e30),
        ] {
            assert_eq!(uint8(value.clone()), None, "{value}");
        }
        let max = format!("0x{}", "f".repeat(64));
        assert_eq!(encoded(&FieldType::Uint(256), &json!(max)), padded(&"f".repeat(64)));
        assert_eq!(encoded(&FieldType::Uint(256), &json!(format!("0x0{}", "f".repeat(64)))), None);
        assert_eq!(encoded(&FieldType::Uint(248), &json!(max)), None);
        assert_eq!(encoded(&FieldType::Uint(64), &json!(u64::MAX.to_string())), padded("ffffffffffffffff"));
        assert_eq!(encoded(&FieldType::Uint(64), &json!(9_007_199_254_740_991_u64)), padded("1fffffffffffff"));
        assert_eq!(encoded(&FieldType::Uint(64), &json!(9_007_199_254_740_992_u64)), None, "readers would round it");
    }

    #[test]
    fn signed_numbers_have_their_range_in_twos_complement() {
        let int8 = |value: Value| encoded(&FieldType::Int(8), &value);
        let minus = |low: &str| Some(format!("{low:f>64}"));
        assert_eq!(int8(json!(127)), padded("7f"));
        assert_eq!(int8(json!("0x7f")), padded("7f"));
        assert_eq!(int8(json!(0)), padded("0"));
        assert_eq!(int8(json!(-1)), minus("ff"));
        assert_eq!(int8(json!("-1")), minus("ff"));
        assert_eq!(int8(json!(-128)), minus("80"));
        assert_eq!(int8(json!("-128")), minus("80"));
        for value in [
            json!(128),
            json!("0x80"),
            json!(-129),
            json!("-129"),
            json!("-0"),
            json!("--1"),
            json!("-"),
            json!("-0x1"),
            json!("-01"),
            json!(-1.0),
        ] {
            assert_eq!(int8(value.clone()), None, "{value}");
        }
        assert_eq!(encoded(&FieldType::Int(64), &json!(i64::MIN.to_string())), minus("8000000000000000"));
        assert_eq!(encoded(&FieldType::Int(64), &json!(-9_007_199_254_740_991_i64)), minus("e0000000000001"));
        for inexact in [json!(i64::MIN), json!(-9_007_199_254_740_992_i64), json!(9_007_199_254_740_992_i64)] {
            assert_eq!(encoded(&FieldType::Int(64), &inexact), None, "{inexact}");
        }
        let lowest = "-57896044618658097711785492504343953926634992332820282019728792003956564819968";
        assert_eq!(encoded(&FieldType::Int(256), &json!(lowest)), Some(format!("8{}", "0".repeat(63))));
        let below = "-57896044618658097711785492504343953926634992332820282019728792003956564819969";
        assert_eq!(encoded(&FieldType::Int(256), &json!(below)), None);
    }

    #[test]
    fn bytes_have_exactly_their_length_and_stand_at_the_left() {
        let bytes4 = |value: &str| encoded(&FieldType::FixedBytes(4), &json!(value));
        assert_eq!(bytes4("0xdeadBEEF"), Some(format!("{:0<64}", "deadbeef")));
        for value in ["0x", "0xdeadbe", "0xdeadbeef00", "deadbeef", "0xdeadbee", "0Xdeadbeef", "0xdeadbeeg"] {
            assert_eq!(bytes4(value), None, "{value}");
        }
        let empty = hex::encode(Keccak256::digest([]));
        assert_eq!(encoded(&FieldType::Bytes, &json!("0x")), Some(empty.clone()));
        assert_eq!(encoded(&FieldType::String, &json!("")), Some(empty));
        assert_eq!(encoded(&FieldType::Bytes, &json!("")), None);
        assert_eq!(encoded(&FieldType::Bytes, &json!([1, 2])), None);
        assert_eq!(encoded(&FieldType::String, &json!(5)), None);
    }

    #[test]
    fn other_values_are_of_their_one_form() {
        assert_eq!(encoded(&FieldType::Bool, &json!(true)), padded("1"));
        assert_eq!(encoded(&FieldType::Bool, &json!(false)), padded("0"));
        for value in [json!(1), json!("true"), json!(null)] {
            assert_eq!(encoded(&FieldType::Bool, &value), None, "{value}");
        }
        let digits = "52908400098527886e0f7030069857d2e4169ee7";
        assert_eq!(encoded(&FieldType::Address, &json!(format!("0x{digits}"))), padded(digits));
        assert_eq!(encoded(&FieldType::Address, &json!(digits)), None);
        assert_eq!(encoded(&FieldType::Address, &json!("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")), None);
        let pair = FieldType::Array(Box::new(FieldType::Bool), Some(2));
        assert!(encoded(&pair, &json!([true, false])).is_some());
        for value in [json!([true]), json!([true, true, true]), json!({"0": true}), json!([true, 1])] {
            assert_eq!(encoded(&pair, &value), None, "{value}");
        }
        let any = FieldType::Array(Box::new(FieldType::Bool), None);
        assert_eq!(encoded(&any, &json!([])), Some(hex::encode(Keccak256::digest([]))));
        assert_eq!(encoded(&any, &json!(vec![true; MAX_ARRAY_ITEMS + 1])), None);
    }
}
