//! The types of typed data's members, as documents write them.

use super::TypedDataError;
use countersign_wire::evm::{DOMAIN, MAX_ARRAY_ITEMS, MAX_DIMENSIONS, MAX_IDENTIFIER_BYTES};

/// What a member holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// `bool`
    Bool,
    /// `address`
    Address,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// `bytes1` to `bytes32`
    FixedBytes(usize),
    /// `uint8` to `uint256`, in bits
    Uint(u32),
    /// `int8` to `int256`, in bits
    Int(u32),
    /// A type of the document.
    Struct(String),
    /// `T[]`, or `T[n]`.
    Array(Box<FieldType>, Option<usize>),
}

impl FieldType {
    /// Reads a type as `encodeType` writes it.
    pub fn parse(written: &str) -> Result<Self, TypedDataError> {
        let unknown = || TypedDataError::Type(written.to_owned());
        let (base, dimensions) = match written.find('[') {
            Some(at) => written.split_at(at),
            None => (written, ""),
        };
        let mut field = match elementary(base) {
            Some(field) => field,
            None if is_reserved(base) || !is_identifier(base) || base == DOMAIN => return Err(unknown()),
            None => FieldType::Struct(base.to_owned()),
        };
        let mut rest = dimensions;
        let mut count = 0;
        while !rest.is_empty() {
            let (length, behind) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(unknown)?;
            let length = match length {
                "" => None,
                length => Some(array_length(length).ok_or_else(unknown)?),
            };
            field = FieldType::Array(Box::new(field), length);
            rest = behind;
            count += 1;
            if count > MAX_DIMENSIONS {
                return Err(TypedDataError::Limit("dimensions of an array", MAX_DIMENSIONS));
            }
        }
        Ok(field)
    }

    /// The type of the document that this one is made of, if any.
    pub fn innermost_struct(&self) -> Option<&str> {
        match self {
            FieldType::Struct(name) => Some(name),
            FieldType::Array(inner, _) => inner.innermost_struct(),
            _ => None,
        }
    }
}

/// A name of Solidity: nothing in it can be read as a part of `encodeType`.
pub fn is_identifier(name: &str) -> bool {
    let letter = |c: u8| c.is_ascii_alphabetic() || c == b'_' || c == b'$';
    name.len() <= MAX_IDENTIFIER_BYTES
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|c| letter(c) || c.is_ascii_digit())
}

/// Names that are types of Solidity, or look like one, and so can be no type of a document.
pub fn is_reserved(name: &str) -> bool {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'x');
    let base = if name.starts_with("fixed") || name.starts_with("ufixed") { base } else { digits_off(name) };
    matches!(base, "int" | "uint" | "bytes" | "fixed" | "ufixed")
        || matches!(name, "bool" | "address" | "string" | "byte" | "function")
}

fn digits_off(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn elementary(name: &str) -> Option<FieldType> {
    match name {
        "bool" => return Some(FieldType::Bool),
        "address" => return Some(FieldType::Address),
        "string" => return Some(FieldType::String),
        "bytes" => return Some(FieldType::Bytes),
        _ => {}
    }
    let digits = name.get(digits_off(name).len()..)?;
    let size = digits.parse::<u32>().ok().filter(|size| size.to_string() == digits)?;
    let bits = (8..=256).contains(&size) && size.is_multiple_of(8);
    match digits_off(name) {
        "bytes" if (1..=32).contains(&size) => Some(FieldType::FixedBytes(usize::try_from(size).ok()?)),
        "uint" if bits => Some(FieldType::Uint(size)),
        "int" if bits => Some(FieldType::Int(size)),
        _ => None,
    }
}

fn array_length(digits: &str) -> Option<usize> {
    let length = digits.parse::<usize>().ok().filter(|length| length.to_string() == digits)?;
    (1..=MAX_ARRAY_ITEMS).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(written: &str) -> Result<FieldType, TypedDataError> {
        FieldType::parse(written)
    }

    #[test]
    fn elementary_types_are_those_of_the_standard() {
        for good in
            ["bool", "address", "bytes", "string", "bytes1", "bytes32", "uint8", "uint256", "int8", "int248", "B"]
        {
            assert!(parse(good).is_ok(), "{good}");
            assert!(parse(&format!("{good}[3][]")).is_ok(), "{good}");
        }
        for bad in [
            "",
            "uint",
            "int",
            "uint0",
            "uint7",
            "uint264",
            "uint08",
            "int512",
            "bytes0",
            "bytes33",
            "bytes01",
            "byte",
            "fixed128x18",
            "ufixed",
            "function",
            "B ",
            " B",
            "B[",
            "B]",
            "B[0]",
            "B[-1]",
            "B[01]",
            "B[4097]",
            "B[x]",
            "B[]x",
            "[]",
            "B(",
            "B,C",
            "Ä",
            "EIP712Domain",
            "uint256 a,uint256",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse("B[][][][][]"), Err(TypedDataError::Limit("dimensions of an array", MAX_DIMENSIONS)));
    }

    #[test]
    fn dimensions_are_read_from_the_inside() {
        let pairs = FieldType::Array(Box::new(FieldType::Uint(8)), Some(2));
        assert_eq!(parse("uint8[2][]"), Ok(FieldType::Array(Box::new(pairs), None)));
        assert_eq!(parse("B[]").map(|field| field.innermost_struct() == Some("B")), Ok(true));
    }
}
