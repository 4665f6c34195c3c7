//! The part of CBOR (RFC 8949) that attestation documents use: definite lengths, no floats, no nesting beyond what the
//! caller asks for. Nothing is allocated, nothing recurses: every value is a slice of the input.

use crate::AttestationError;

/// Head of one data item; strings with their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Unsigned(u64),
    /// Stands for `-1 - n`.
    Negative(u64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// Number of items that follow.
    Array(u64),
    /// Number of pairs that follow.
    Map(u64),
    Tag(u64),
    Null,
}

impl Item<'_> {
    fn describe(&self) -> String {
        match self {
            Item::Unsigned(n) => format!("the integer {n}"),
            Item::Negative(n) => format!("the integer {}", -1 - i128::from(*n)),
            Item::Bytes(b) => format!("{} bytes", b.len()),
            Item::Text(t) => format!("the text {:?}", t.chars().take(40).collect::<String>()),
            Item::Array(n) => format!("an array of {n}"),
            Item::Map(n) => format!("a map of {n}"),
            Item::Tag(n) => format!("tag {n}"),
            Item::Null => "null".into(),
        }
    }
}

/// Reads items one after the other.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

fn malformed(field: &'static str, expected: impl Into<String>, got: impl Into<String>) -> AttestationError {
    AttestationError::Malformed { field, expected: expected.into(), got: got.into() }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, field: &'static str, len: u64) -> Result<&'a [u8], AttestationError> {
        let taken = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let Some((head, rest)) = taken else {
            return Err(malformed(field, format!("{len} more bytes"), format!("{}", self.rest.len())));
        };
        self.rest = rest;
        Ok(head)
    }

    fn argument(&mut self, field: &'static str, additional: u8) -> Result<u64, AttestationError> {
        let width = match additional {
            0..=23 => return Ok(u64::from(additional)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 => return Err(malformed(field, "a definite length", "an indefinite one")),
            _ => return Err(malformed(field, "a CBOR head", format!("additional information {additional}"))),
        };
        Ok(self.take(field, width)?.iter().fold(0u64, |n, byte| (n << 8) | u64::from(*byte)))
    }

    /// The next item, whatever it is.
    pub(crate) fn item(&mut self, field: &'static str) -> Result<Item<'a>, AttestationError> {
        let head = self.take(field, 1)?.first().copied().unwrap_or_default();
        if head == 0xf6 {
            return Ok(Item::Null);
        }
        let (major, additional) = (head >> 5, head & 0x1f);
        if major == 7 {
            return Err(malformed(field, "an integer, string, array, map, tag or null", format!("head {head:#04x}")));
        }
        let argument = self.argument(field, additional)?;
        Ok(match major {
            0 => Item::Unsigned(argument),
            1 => Item::Negative(argument),
            2 => Item::Bytes(self.take(field, argument)?),
            3 => {
                let text = std::str::from_utf8(self.take(field, argument)?);
                Item::Text(text.map_err(|_| malformed(field, "UTF-8 text", "other bytes"))?)
            }
            4 => Item::Array(argument),
            5 => Item::Map(argument),
            _ => Item::Tag(argument),
        })
    }

    /// Skips `tag` if it is next.
    pub(crate) fn skip_tag(&mut self, field: &'static str, tag: u64) -> Result<(), AttestationError> {
        let before = self.rest;
        if self.item(field)? != Item::Tag(tag) {
            self.rest = before;
        }
        Ok(())
    }

    pub(crate) fn array(&mut self, field: &'static str, min: u64, max: u64) -> Result<u64, AttestationError> {
        match self.item(field)? {
            Item::Array(n) if (min..=max).contains(&n) => Ok(n),
            other => Err(malformed(field, format!("an array of {min} to {max}"), other.describe())),
        }
    }

    pub(crate) fn map(&mut self, field: &'static str, min: u64, max: u64) -> Result<u64, AttestationError> {
        match self.item(field)? {
            Item::Map(n) if (min..=max).contains(&n) => Ok(n),
            other => Err(malformed(field, format!("a map of {min} to {max}"), other.describe())),
        }
    }

    pub(crate) fn bytes(&mut self, field: &'static str, min: usize, max: usize) -> Result<&'a [u8], AttestationError> {
        match self.item(field)? {
            Item::Bytes(b) if (min..=max).contains(&b.len()) => Ok(b),
            other => Err(malformed(field, format!("{min} to {max} bytes"), other.describe())),
        }
    }

    pub(crate) fn bytes_or_null(
        &mut self,
        field: &'static str,
        min: usize,
        max: usize,
    ) -> Result<Option<&'a [u8]>, AttestationError> {
        match self.item(field)? {
            Item::Null => Ok(None),
            Item::Bytes(b) if (min..=max).contains(&b.len()) => Ok(Some(b)),
            other => Err(malformed(field, format!("null or {min} to {max} bytes"), other.describe())),
        }
    }

    pub(crate) fn text(&mut self, field: &'static str, max: usize) -> Result<&'a str, AttestationError> {
        match self.item(field)? {
            Item::Text(t) if (1..=max).contains(&t.len()) => Ok(t),
            other => Err(malformed(field, format!("text of 1 to {max} bytes"), other.describe())),
        }
    }

    pub(crate) fn unsigned(&mut self, field: &'static str, max: u64) -> Result<u64, AttestationError> {
        match self.item(field)? {
            Item::Unsigned(n) if n <= max => Ok(n),
            other => Err(malformed(field, format!("an integer from 0 to {max}"), other.describe())),
        }
    }

    pub(crate) fn integer(&mut self, field: &'static str) -> Result<i64, AttestationError> {
        let item = self.item(field)?;
        let value = match item {
            Item::Unsigned(n) => i64::try_from(n).ok(),
            Item::Negative(n) => i64::try_from(n).ok().map(|n| -1 - n),
            _ => None,
        };
        value.ok_or_else(|| malformed(field, "a 64-bit integer", item.describe()))
    }

    /// Everything was read.
    pub(crate) fn end(&self, field: &'static str) -> Result<(), AttestationError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(malformed(field, "nothing after it", format!("{} more bytes", self.rest.len())))
    }
}

/// Appends a byte string, with the shortest head.
pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_string(out, 0x40, bytes);
}

/// Appends a text, with the shortest head.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_string(out, 0x60, text.as_bytes());
}

fn write_string(out: &mut Vec<u8>, major: u8, content: &[u8]) {
    match (u8::try_from(content.len()), u16::try_from(content.len())) {
        (Ok(len @ 0..=23), _) => out.push(major | len),
        (Ok(len), _) => out.extend_from_slice(&[major | 24, len]),
        (_, Ok(len)) => {
            out.push(major | 25);
            out.extend_from_slice(&len.to_be_bytes());
        }
        // A usize has at most 64 bits.
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&u64::try_from(content.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_examples_of_rfc_8949() {
        let item = |hex: &str| {
            let bytes = hex::decode(hex).unwrap();
            let mut reader = Reader::new(&bytes);
            let shown = reader.item("test").map(|i| i.describe());
            shown.and_then(|s| reader.end("test").map(|()| s))
        };
        assert_eq!(item("00").unwrap(), "the integer 0");
        assert_eq!(item("1818").unwrap(), "the integer 24");
        assert_eq!(item("1bffffffffffffffff").unwrap(), "the integer 18446744073709551615");
        assert_eq!(item("3bffffffffffffffff").unwrap(), "the integer -18446744073709551616");
        assert_eq!(item("3903e7").unwrap(), "the integer -1000");
        assert_eq!(item("4401020304").unwrap(), "4 bytes");
        assert_eq!(item("62c3bc").unwrap(), "the text \"ü\"");
        assert_eq!(item("f6").unwrap(), "null");
        for bad in ["", "18", "5f42010243030405ff", "fb3ff199999999999a", "f5", "1c", "62c328", "4401"] {
            assert!(item(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn t45_a_declared_length_over_the_input_is_refused_without_allocating() {
        for head in ["5bffffffffffffffff", "7bffffffffffffffff", "5affffffff"] {
            assert!(Reader::new(&hex::decode(head).unwrap()).item("test").is_err(), "{head}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for len in [0usize, 1, 23, 24, 255, 256, 4673, 65535, 65536] {
            let mut out = Vec::new();
            write_bytes(&mut out, &vec![7; len]);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.bytes("test", 0, len).unwrap().len(), len);
            reader.end("test").unwrap();
        }
    }
}
