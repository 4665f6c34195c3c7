//! Texts, byte strings and lists that cannot exceed a limit: it is checked before memory is allocated for them.

use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use std::ops::Deref;

/// A value was longer than its type allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {max}, got {got}")]
pub struct OutOfBounds {
    /// Most bytes or items allowed.
    pub max: usize,
    /// Bytes or items given.
    pub got: usize,
}

fn read_len<R: Read>(reader: &mut R, max: usize) -> IoResult<usize> {
    let declared = u32::deserialize_reader(reader)?;
    let len = usize::try_from(declared).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    if len > max {
        return Err(Error::new(ErrorKind::InvalidData, OutOfBounds { max, got: len }.to_string()));
    }
    Ok(len)
}

fn write_len<W: Write>(writer: &mut W, len: usize) -> IoResult<()> {
    let len = u32::try_from(len).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    len.serialize(writer)
}

/// UTF-8 text of at most `MAX` bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Wraps `value` if it fits.
    pub fn new(value: impl Into<String>) -> Result<Self, OutOfBounds> {
        let value = value.into();
        if value.len() > MAX {
            return Err(OutOfBounds { max: MAX, got: value.len() });
        }
        Ok(Self(value))
    }

    /// Wraps `value`, cut at the last character border that fits. For details shown to people, never for data.
    pub fn cut(value: impl Into<String>) -> Self {
        let mut value = value.into();
        if value.len() > MAX {
            let mut end = MAX;
            while !value.is_char_boundary(end) {
                end -= 1;
            }
            value.truncate(end);
        }
        Self(value)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> BorshSerialize for Text<MAX> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        write_len(writer, self.0.len())?;
        writer.write_all(self.0.as_bytes())
    }
}

impl<const MAX: usize> BorshDeserialize for Text<MAX> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let mut bytes = vec![0u8; read_len(reader, MAX)?];
        reader.read_exact(&mut bytes)?;
        String::from_utf8(bytes).map(Self).map_err(|_| Error::new(ErrorKind::InvalidData, "expected UTF-8 text"))
    }
}

/// A byte string of at most `MAX` bytes. `Debug` prints its length only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Bytes<MAX> {
    /// Wraps `value` if it fits.
    pub fn new(value: impl Into<Vec<u8>>) -> Result<Self, OutOfBounds> {
        let value = value.into();
        if value.len() > MAX {
            return Err(OutOfBounds { max: MAX, got: value.len() });
        }
        Ok(Self(value))
    }

    /// The bytes, owned.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> Deref for Bytes<MAX> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Bytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl<const MAX: usize> BorshSerialize for Bytes<MAX> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        write_len(writer, self.0.len())?;
        writer.write_all(&self.0)
    }
}

impl<const MAX: usize> BorshDeserialize for Bytes<MAX> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let mut bytes = vec![0u8; read_len(reader, MAX)?];
        reader.read_exact(&mut bytes)?;
        Ok(Self(bytes))
    }
}

/// A list of at most `MAX` items.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    /// Wraps `items` if they are not too many.
    pub fn new(items: Vec<T>) -> Result<Self, OutOfBounds> {
        if items.len() > MAX {
            return Err(OutOfBounds { max: MAX, got: items.len() });
        }
        Ok(Self(items))
    }

    /// Wraps the first `MAX` of `items`. For what is shown to people, never for data.
    pub fn cut(mut items: Vec<T>) -> Self {
        items.truncate(MAX);
        Self(items)
    }

    /// Adds one item if there is room.
    pub fn push(&mut self, item: T) -> Result<(), OutOfBounds> {
        if self.0.len() >= MAX {
            return Err(OutOfBounds { max: MAX, got: self.0.len().saturating_add(1) });
        }
        self.0.push(item);
        Ok(())
    }

    /// Keeps the items for which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.0.retain(keep);
    }

    /// The items, owned.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// Mutable access to items; their number cannot change this way.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a List<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: BorshSerialize, const MAX: usize> BorshSerialize for List<T, MAX> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        write_len(writer, self.0.len())?;
        self.0.iter().try_for_each(|item| item.serialize(writer))
    }
}

impl<T: BorshDeserialize, const MAX: usize> BorshDeserialize for List<T, MAX> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let len = read_len(reader, MAX)?;
        // Not `with_capacity(len)`: an item may be large, and the declared length is the sender's claim.
        let mut items = Vec::new();
        for _ in 0..len {
            items.push(T::deserialize_reader(reader)?);
        }
        Ok(Self(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_length_over_the_limit_is_refused_before_allocation() {
        let huge = u32::MAX.to_le_bytes();
        assert!(borsh::from_slice::<Bytes<16>>(&huge).is_err());
        assert!(borsh::from_slice::<Text<16>>(&huge).is_err());
        assert!(borsh::from_slice::<List<u8, 16>>(&huge).is_err());
    }

    #[test]
    fn text_is_cut_at_a_character_border() {
        assert_eq!(Text::<4>::cut("abcé").as_str(), "abc");
        assert_eq!(Text::<5>::cut("abcé").as_str(), "abcé");
    }

    #[test]
    fn what_fits_round_trips() {
        let list = List::<Text<8>, 2>::new(vec![Text::new("a").unwrap(), Text::new("b").unwrap()]).unwrap();
        assert_eq!(borsh::from_slice::<List<Text<8>, 2>>(&borsh::to_vec(&list).unwrap()).unwrap(), list);
        assert!(borsh::from_slice::<List<Text<8>, 1>>(&borsh::to_vec(&list).unwrap()).is_err());
    }
}
