//! Recursive length prefix (Ethereum yellow paper, appendix B), read strictly: whatever has a shorter encoding is refused,
//! so that one value has one encoding. The reader follows what it expects: it never recurses into what came.

use super::u256::U256;

/// Why bytes were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RlpError {
    /// They end before an item does.
    #[error("the bytes end within an item")]
    Truncated,
    /// A length, a byte or an integer that has a shorter encoding.
    #[error("the encoding is not the shortest one")]
    NotCanonical,
    /// A list came.
    #[error("expected bytes, got a list")]
    ExpectedBytes,
    /// Bytes came.
    #[error("expected a list, got bytes")]
    ExpectedList,
    /// More bytes than the item may have.
    #[error("expected at most {max} bytes")]
    TooLong {
        /// How many it may have.
        max: usize,
    },
    /// Something behind the last item.
    #[error("there is something behind the last item")]
    Trailing,
}

/// What is left to read of a list, or of the whole.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

#[derive(PartialEq, Eq)]
enum Kind {
    Bytes,
    List,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), RlpError> {
        if self.is_empty() { Ok(()) } else { Err(RlpError::Trailing) }
    }

    /// The next item's bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], RlpError> {
        match self.item()? {
            (Kind::Bytes, bytes) => Ok(bytes),
            (Kind::List, _) => Err(RlpError::ExpectedBytes),
        }
    }

    /// The next item's items.
    pub fn list(&mut self) -> Result<Reader<'a>, RlpError> {
        match self.item()? {
            (Kind::List, items) => Ok(Reader(items)),
            (Kind::Bytes, _) => Err(RlpError::ExpectedList),
        }
    }

    /// The next item as an unsigned integer: big-endian, no zero in front, and no byte for zero itself.
    pub fn u256(&mut self) -> Result<U256, RlpError> {
        let bytes = self.bytes()?;
        if bytes.first() == Some(&0) {
            return Err(RlpError::NotCanonical);
        }
        U256::from_be_slice(bytes).ok_or(RlpError::TooLong { max: 32 })
    }

    /// The same below 2^64.
    pub fn u64(&mut self) -> Result<u64, RlpError> {
        let bytes = self.u256()?.to_be_bytes();
        let [high @ .., a, b, c, d, e, f, g, h] = bytes;
        if high != [0; 24] {
            return Err(RlpError::TooLong { max: 8 });
        }
        Ok(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    fn item(&mut self) -> Result<(Kind, &'a [u8]), RlpError> {
        let first = *self.0.first().ok_or(RlpError::Truncated)?;
        let (kind, length) = match first {
            0x00..=0x7f => return Ok((Kind::Bytes, self.take(1)?)),
            0x80..=0xb7 => (Kind::Bytes, self.short(first - 0x80)?),
            0xb8..=0xbf => (Kind::Bytes, self.long(first - 0xb7)?),
            0xc0..=0xf7 => (Kind::List, self.short(first - 0xc0)?),
            0xf8..=0xff => (Kind::List, self.long(first - 0xf7)?),
        };
        let payload = self.take(length)?;
        if kind == Kind::Bytes && matches!(payload, [byte] if *byte < 0x80) {
            return Err(RlpError::NotCanonical);
        }
        Ok((kind, payload))
    }

    /// A length that stands in the first byte.
    fn short(&mut self, length: u8) -> Result<usize, RlpError> {
        self.take(1)?;
        Ok(usize::from(length))
    }

    /// A length that stands in `bytes` bytes behind the first: more than 55, and no zero in front.
    fn long(&mut self, bytes: u8) -> Result<usize, RlpError> {
        self.take(1)?;
        let length = self.take(usize::from(bytes))?;
        if length.first() == Some(&0) {
            return Err(RlpError::NotCanonical);
        }
        let length = length.iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
        if length <= 55 {
            return Err(RlpError::NotCanonical);
        }
        usize::try_from(length).map_err(|_| RlpError::Truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], RlpError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(RlpError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Anything that has an encoding.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum Item {
        Bytes(Vec<u8>),
        List(Vec<Item>),
    }

    /// The encoding as the yellow paper gives it.
    pub(crate) fn encoded(item: &Item) -> Vec<u8> {
        let framed = |short: u8, long: u8, payload: Vec<u8>| {
            let mut out = match u8::try_from(payload.len()) {
                Ok(length) if length <= 55 => vec![short + length],
                _ => {
                    let length = payload.len().to_be_bytes();
                    let digits = length.iter().skip_while(|b| **b == 0).copied().collect::<Vec<_>>();
                    [vec![long + u8::try_from(digits.len()).unwrap()], digits].concat()
                }
            };
            out.extend(payload);
            out
        };
        match item {
            Item::Bytes(bytes) if matches!(bytes[..], [byte] if byte < 0x80) => bytes.clone(),
            Item::Bytes(bytes) => framed(0x80, 0xb7, bytes.clone()),
            Item::List(items) => framed(0xc0, 0xf7, items.iter().flat_map(encoded).collect()),
        }
    }

    /// Reads whatever is there: only a test does that.
    fn decoded(reader: &mut Reader<'_>) -> Result<Item, RlpError> {
        match reader.item()? {
            (Kind::Bytes, bytes) => Ok(Item::Bytes(bytes.to_vec())),
            (Kind::List, items) => {
                let mut items = Reader(items);
                let mut list = Vec::new();
                while !items.is_empty() {
                    list.push(decoded(&mut items)?);
                }
                Ok(Item::List(list))
            }
        }
    }

    fn item() -> impl Strategy<Value = Item> {
        let leaf = proptest::collection::vec(any::<u8>(), 0..80).prop_map(Item::Bytes);
        leaf.prop_recursive(4, 64, 8, |inner| proptest::collection::vec(inner, 0..8).prop_map(Item::List))
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_back(item in item()) {
            let bytes = encoded(&item);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(decoded(&mut reader), Ok(item));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn whatever_is_read_has_exactly_that_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(item) = decoded(&mut reader) {
                let read = bytes.len() - reader.0.len();
                prop_assert_eq!(encoded(&item), &bytes[..read]);
            }
        }
    }

    #[test]
    fn examples_of_the_specification_are_read() {
        let mut reader = Reader::new(b"\x83dog");
        assert_eq!(reader.bytes(), Ok(&b"dog"[..]));
        let mut list = Reader::new(b"\xc8\x83cat\x83dog").list().unwrap();
        assert_eq!((list.bytes(), list.bytes()), (Ok(&b"cat"[..]), Ok(&b"dog"[..])));
        assert_eq!(list.end(), Ok(()));
        assert_eq!(Reader::new(b"\x80").u64(), Ok(0));
        assert_eq!(Reader::new(b"\x0f").u64(), Ok(15));
        assert_eq!(Reader::new(b"\x82\x04\x00").u64(), Ok(1024));
    }

    #[test]
    fn whatever_has_a_shorter_encoding_is_refused() {
        assert_eq!(Reader::new(b"\x81\x7f").bytes(), Err(RlpError::NotCanonical));
        assert_eq!(Reader::new(b"\xb8\x01\xff").bytes(), Err(RlpError::NotCanonical));
        assert_eq!(Reader::new(&[&b"\xb8\x37"[..], &[1; 55]].concat()).bytes(), Err(RlpError::NotCanonical));
        assert_eq!(Reader::new(&[&b"\xb8\x38"[..], &[1; 56]].concat()).bytes(), Ok(&[1; 56][..]));
        assert_eq!(Reader::new(&[&b"\xb9\x00\x38"[..], &[1; 56]].concat()).bytes(), Err(RlpError::NotCanonical));
        assert_eq!(Reader::new(b"\xf8\x01\x01").list().map(|_| ()), Err(RlpError::NotCanonical));
        assert_eq!(Reader::new(b"\x00").u64(), Err(RlpError::NotCanonical));
        assert_eq!(Reader::new(b"\x82\x00\x01").u64(), Err(RlpError::NotCanonical));
    }

    #[test]
    fn t46_lengths_beyond_the_bytes_are_refused() {
        for bad in
            [&b""[..], b"\x81", b"\x83ab", b"\xb8", b"\xb8\x38a", b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xc1"]
        {
            let mut reader = Reader::new(bad);
            assert_eq!(reader.item().map(|_| ()), Err(RlpError::Truncated), "{bad:x?}");
        }
        assert_eq!(Reader::new(&[&[0x89u8][..], &[1; 9]].concat()).u64(), Err(RlpError::TooLong { max: 8 }));
        assert_eq!(Reader::new(&[&[0xa1u8][..], &[1; 33]].concat()).u256(), Err(RlpError::TooLong { max: 32 }));
        assert_eq!(Reader::new(b"\xc0").bytes(), Err(RlpError::ExpectedBytes));
        assert_eq!(Reader::new(b"\x80").list().map(|_| ()), Err(RlpError::ExpectedList));
        assert_eq!(Reader::new(b"\x80").end(), Err(RlpError::Trailing));
    }
}
