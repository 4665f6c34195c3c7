//! As much DER (X.690) as public keys and certificates need: definite, minimal lengths of at most 64 KiB, and nothing left
//! over.

/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;

/// Reads elements one after the other. `None` is any deviation from DER.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins with the first element of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether the next element has this tag.
    pub fn is_next(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The next element with its tag and length; it must have this tag.
    pub fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.take(tag)?;
        before.get(..before.len().checked_sub(self.0.len())?)
    }

    /// The content of the next element, which must have this tag.
    pub fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        if *found != tag {
            return None;
        }
        let (len, rest) = read_length(rest)?;
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(content)
    }

    /// `Some` if nothing is left.
    pub fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The content of the only element in `bytes`, which must have this tag.
pub fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    let content = reader.take(tag)?;
    reader.end()?;
    Some(content)
}

/// A positive INTEGER's magnitude without its sign byte.
pub(crate) fn positive(content: &[u8]) -> Option<&[u8]> {
    match content {
        [0, rest @ ..] if rest.first().is_some_and(|b| *b >= 0x80) => Some(rest),
        [first, ..] if (1..0x80).contains(first) => Some(content),
        _ => None,
    }
}

fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    match *first {
        short @ 0..=0x7f => Some((usize::from(short), rest)),
        0x81 => {
            let (len, rest) = rest.split_first()?;
            (*len >= 0x80).then_some((usize::from(*len), rest))
        }
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            let len = u16::from_be_bytes(*len);
            (len >= 0x100).then_some((usize::from(len), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal_and_nothing_is_left_over() {
        assert_eq!(only(&[2, 1, 5], INTEGER), Some(&[5u8][..]));
        assert_eq!(only(&[2, 1, 5, 0], INTEGER), None, "left over");
        assert_eq!(only(&[2, 0x81, 1, 5], INTEGER), None, "long form of a short length");
        assert_eq!(only(&[2, 0x82, 0, 1, 5], INTEGER), None, "leading zero in a length");
        assert_eq!(only(&[2, 0x80, 5, 0, 0], INTEGER), None, "indefinite");
        assert_eq!(only(&[2, 2, 5], INTEGER), None, "cut");
        assert_eq!(only(&[3, 1, 5], INTEGER), None, "other tag");
        let long = [&[3u8, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(only(&long, BIT_STRING).map(<[u8]>::len), Some(0x80));
        let longer = [&[3u8, 0x82, 1, 0][..], &[7; 0x100]].concat();
        assert_eq!(only(&longer, BIT_STRING).map(<[u8]>::len), Some(0x100));
    }

    #[test]
    fn a_whole_element_has_its_tag_and_length() {
        let mut reader = Reader::new(&[2, 1, 5, 3, 1, 0]);
        assert!(reader.is_next(INTEGER) && !reader.is_next(BIT_STRING));
        assert_eq!(reader.whole(BIT_STRING), None, "another tag");
        assert_eq!(reader.whole(INTEGER), Some(&[2u8, 1, 5][..]));
        assert_eq!(reader.take(BIT_STRING), Some(&[0u8][..]));
        assert_eq!((reader.end(), reader.take(INTEGER)), (Some(()), None));
    }

    #[test]
    fn integers_are_positive_and_minimal() {
        assert_eq!(positive(&[0, 0x80]), Some(&[0x80u8][..]));
        assert_eq!(positive(&[0x7f]), Some(&[0x7fu8][..]));
        for bad in [&[][..], &[0], &[0x80], &[0, 0x7f]] {
            assert_eq!(positive(bad), None, "{bad:?}");
        }
    }
}
