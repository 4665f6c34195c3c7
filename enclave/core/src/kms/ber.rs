//! As much BER (X.690) as the service's envelopes need: definite and indefinite lengths, strings in one piece or several.
//! Every length is checked against what is there, and nothing nests deeper than [`MAX_DEPTH`].

/// CONSTRUCTED bit of a tag.
const CONSTRUCTED: u8 = 0x20;
/// OCTET STRING in one piece.
pub(super) const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER.
pub(super) const OBJECT_ID: u8 = 0x06;
/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// SET.
pub(super) const SET: u8 = 0x31;
/// Context-specific 0, constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;
/// Context-specific 0, primitive.
pub(super) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
/// Deepest nesting of indefinite lengths.
const MAX_DEPTH: usize = 12;

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// Its tag.
    pub(super) tag: u8,
    /// What is in it.
    pub(super) content: &'a [u8],
}

/// Reads elements one after the other. `None` is anything that is not BER within the limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let (element, rest) = element(self.0, 0)?;
        self.0 = rest;
        Some(element)
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|element| element.tag == tag).map(|element| element.content)
    }

    /// `Some` if nothing is left.
    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The content of the only element in `bytes`, which must have this tag.
pub(super) fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    let content = reader.take(tag)?;
    reader.end()?;
    Some(content)
}

/// The bytes of a string with this primitive tag, whether it came in one piece or in several.
pub(super) fn octets(element: Element<'_>, primitive: u8) -> Option<Vec<u8>> {
    if element.tag == primitive {
        return Some(element.content.to_vec());
    }
    if element.tag != primitive | CONSTRUCTED {
        return None;
    }
    let (mut pieces, mut bytes) = (Reader::new(element.content), Vec::new());
    while pieces.end().is_none() {
        // The pieces of a string are strings in one piece, whatever tag the whole has.
        bytes.extend_from_slice(pieces.take(OCTET_STRING)?);
    }
    Some(bytes)
}

fn element(bytes: &[u8], depth: usize) -> Option<(Element<'_>, &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    // Tags of more than one byte, and the end-of-contents mark on its own, are nothing that is expected.
    if tag & 0x1f == 0x1f || tag == 0 {
        return None;
    }
    if first == 0x80 {
        if tag & CONSTRUCTED == 0 || depth >= MAX_DEPTH {
            return None;
        }
        let mut inside = rest;
        loop {
            if let Some(after) = inside.strip_prefix(&[0, 0]) {
                let content = rest.get(..rest.len().checked_sub(inside.len())?)?;
                return Some((Element { tag, content }, after));
            }
            inside = element(inside, depth.saturating_add(1))?.1;
        }
    }
    let (length, rest) = length(first, rest)?;
    let (content, rest) = rest.split_at_checked(length)?;
    Some((Element { tag, content }, rest))
}

fn length(first: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match first {
        0..=0x7f => Some((usize::from(first), rest)),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length =
                digits.iter().try_fold(0usize, |sum, digit| sum.checked_mul(256)?.checked_add((*digit).into()))?;
            Some((length, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn definite_and_indefinite_lengths_give_the_same_content() {
        let definite = only(&[0x30, 3, 0x02, 1, 5], SEQUENCE).unwrap();
        let long = only(&[0x30, 0x82, 0, 3, 0x02, 1, 5], SEQUENCE).unwrap();
        let indefinite = only(&[0x30, 0x80, 0x02, 1, 5, 0, 0], SEQUENCE).unwrap();
        assert_eq!((definite, long), (indefinite, indefinite));
        assert_eq!(only(definite, INTEGER), Some(&[5][..]));
    }

    #[test]
    fn a_string_in_pieces_is_one_string() {
        let whole = Reader::new(&[0x04, 2, 7, 8]).next().unwrap();
        let pieces = Reader::new(&[0x24, 0x80, 0x04, 1, 7, 0x04, 1, 8, 0, 0]).next().unwrap();
        let tagged = Reader::new(&[0xa0, 0x80, 0x04, 1, 7, 0x04, 1, 8, 0, 0]).next().unwrap();
        assert_eq!(octets(whole, OCTET_STRING).unwrap(), [7, 8]);
        assert_eq!(octets(pieces, OCTET_STRING).unwrap(), [7, 8]);
        assert_eq!(octets(tagged, CONTEXT_0_PRIMITIVE).unwrap(), [7, 8]);
        assert_eq!(octets(tagged, OCTET_STRING), None);
    }

    #[test]
    fn what_is_cut_too_deep_or_left_over_is_refused() {
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 2, 1],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
            &[0x30, 0x80, 0x02, 1, 5],
            &[0x04, 0x80, 0, 0],
            &[0x30, 0, 0],
            &[0x1f, 1, 1],
        ] {
            assert_eq!(only(bad, SEQUENCE), None, "{bad:?}");
        }
        let mut deep = [0x30, 0x80].repeat(MAX_DEPTH + 1);
        deep.extend([0; 2].repeat(MAX_DEPTH + 1));
        assert_eq!(only(&deep, SEQUENCE), None);
        assert!(only(&deep[2..deep.len() - 2], SEQUENCE).is_some());
    }
}
