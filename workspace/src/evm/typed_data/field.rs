//! The type of a member, as documents write it.

use super::error::{TypedDataError, shown};
use countersign_wire::evm::{DOMAIN, MAX_ARRAY_ITEMS, MAX_DIMENSIONS, MAX_IDENTIFIER_BYTES};

/// What a member holds, or the items of its arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base<'t> {
    /// `bool`
    Bool,
    /// `address`
    Address,
    /// `string`
    Text,
    /// `bytes`
    Bytes,
    /// `bytes1` to `bytes32`
    FixedBytes(usize),
    /// `uint8` to `uint256`, in bits
    Uint(usize),
    /// `int8` to `int256`, in bits
    Int(usize),
    /// A type of the document.
    Struct(&'t str),
}

/// A member's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'t> {
    /// What is in it.
    pub base: Base<'t>,
    /// Its arrays from the inside, each with its length where it has one.
    pub dimensions: Vec<Option<usize>>,
}

impl<'t> Field<'t> {
    /// Reads a type as `encodeType` writes it.
    pub fn read(written: &'t str) -> Result<Self, TypedDataError> {
        let unknown = || TypedDataError::Type(shown(written));
        let at = written.find('[').unwrap_or(written.len());
        let (name, mut rest) = written.split_at_checked(at).ok_or_else(unknown)?;
        let base = match elementary(name) {
            Some(base) => base,
            None if !is_type_name(name) || name == DOMAIN => return Err(unknown()),
            None => Base::Struct(name),
        };
        let mut dimensions = Vec::new();
        while !rest.is_empty() {
            if dimensions.len() == MAX_DIMENSIONS {
                return Err(TypedDataError::Limit("dimensions of an array", MAX_DIMENSIONS));
            }
            let (length, behind) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(unknown)?;
            dimensions.push(match length {
                "" => None,
                length => Some(array_length(length).ok_or_else(unknown)?),
            });
            rest = behind;
        }
        Ok(Self { base, dimensions })
    }
}

/// A name of Solidity: nothing in it can be read as a part of `encodeType`.
pub fn is_member_name(name: &str) -> bool {
    let letter = |c: u8| c.is_ascii_alphabetic() || c == b'_' || c == b'$';
    name.len() <= MAX_IDENTIFIER_BYTES
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|c| letter(c) || c.is_ascii_digit())
}

/// The same for a type: none that Solidity has itself, and without `$`, which libraries sort differently.
pub fn is_type_name(name: &str) -> bool {
    is_member_name(name) && !name.contains('$') && !is_reserved(name)
}

fn digits_off(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn is_reserved(name: &str) -> bool {
    let is_fixed = name.starts_with("fixed") || name.starts_with("ufixed");
    let base =
        if is_fixed { name.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'x') } else { digits_off(name) };
    matches!(base, "int" | "uint" | "bytes" | "fixed" | "ufixed")
        || matches!(name, "bool" | "address" | "string" | "byte" | "function")
}

/// A number from 1 to `most`, written in one way.
fn number(digits: &str, most: usize) -> Option<usize> {
    digits.parse::<usize>().ok().filter(|n| (1..=most).contains(n) && n.to_string() == digits)
}

fn array_length(digits: &str) -> Option<usize> {
    number(digits, MAX_ARRAY_ITEMS)
}

fn elementary(name: &str) -> Option<Base<'static>> {
    match name {
        "bool" => return Some(Base::Bool),
        "address" => return Some(Base::Address),
        "string" => return Some(Base::Text),
        "bytes" => return Some(Base::Bytes),
        _ => {}
    }
    let kind = digits_off(name);
    let digits = name.strip_prefix(kind)?;
    let bits = || number(digits, 256).filter(|bits| bits.is_multiple_of(8));
    match kind {
        "bytes" => number(digits, 32).map(Base::FixedBytes),
        "uint" => bits().map(Base::Uint),
        "int" => bits().map(Base::Int),
        _ => None,
    }
}
