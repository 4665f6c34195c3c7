//! CBOR with limits. The crates' own formats are CBOR or JSON; a value has exactly one encoding that is taken.

use ciborium::Value;
use countersign_wire::OutOfBounds;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use zeroize::Zeroizing;

/// Hexadecimal digits of one big integer in a message. The largest that honest parties send are the proofs of
/// "no small factor": about 6,900 bits.
pub(crate) const MAX_INTEGER_DIGITS: usize = 2048;

/// Levels of nesting of a message; honest ones have at most seven.
const MAX_DEPTH: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("too large: {0}")]
    TooLarge(OutOfBounds),
    #[error("{0}")]
    Malformed(&'static str),
    #[error("cannot be encoded: {0}")]
    Encode(String),
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encodes into a buffer that is allocated once: growing would leave copies behind that nobody wipes.
pub(crate) fn encode_secret<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, CodecError> {
    let mut counter = Counter(0);
    ciborium::into_writer(value, &mut counter).map_err(|e| CodecError::Encode(e.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(counter.0));
    ciborium::into_writer(value, &mut *bytes).map_err(|e| CodecError::Encode(e.to_string()))?;
    Ok(bytes)
}

/// Encodes a message of at most `max` bytes.
pub(crate) fn encode<T: Serialize>(value: &T, max: usize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|e| CodecError::Encode(e.to_string()))?;
    if bytes.len() > max {
        return Err(CodecError::TooLarge(OutOfBounds { max, got: bytes.len() }));
    }
    Ok(bytes)
}

/// Decodes what we stored ourselves.
pub(crate) fn decode_own<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    guarded(|| {
        let mut rest = bytes;
        let value = ciborium::from_reader(&mut rest).map_err(|_| CodecError::Malformed("not the expected CBOR"))?;
        if rest.is_empty() { Ok(value) } else { Err(CodecError::Malformed("trailing bytes")) }
    })
}

/// Decodes a message of somebody else: at most `max` bytes, big integers of bounded size, and in the one encoding that
/// [`encode`] produces, so that nothing is taken that two parties could read differently.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, CodecError> {
    if bytes.len() > max {
        return Err(CodecError::TooLarge(OutOfBounds { max, got: bytes.len() }));
    }
    check_sizes(&decode_own::<Value>(bytes)?, 0)?;
    let value: T = decode_own(bytes)?;
    if encode(&value, max)? != bytes {
        return Err(CodecError::Malformed("not the canonical encoding"));
    }
    Ok(value)
}

fn check_sizes(value: &Value, depth: usize) -> Result<(), CodecError> {
    if depth > MAX_DEPTH {
        return Err(CodecError::Malformed("nested too deeply"));
    }
    match value {
        Value::Text(text) if text.len() > MAX_INTEGER_DIGITS => Err(CodecError::Malformed("a number is too large")),
        Value::Bytes(bytes) if bytes.len() > MAX_INTEGER_DIGITS => Err(CodecError::Malformed("a string is too long")),
        Value::Array(items) => items.iter().try_for_each(|item| check_sizes(item, depth + 1)),
        Value::Map(entries) => entries.iter().try_for_each(|(key, item)| {
            check_sizes(key, depth + 1)?;
            check_sizes(item, depth + 1)
        }),
        Value::Tag(_, item) => check_sizes(item, depth + 1),
        _ => Ok(()),
    }
}

/// The crates' decoders panic on some inputs, for instance on a radix that they do not know.
fn guarded<T>(decode: impl FnOnce() -> Result<T, CodecError>) -> Result<T, CodecError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(CodecError::Malformed("a value out of range")))
}
