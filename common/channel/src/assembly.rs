use crate::ChannelError;
use countersign_wire::limits::{MAX_ADMIN_BYTES, MAX_SCHEME_MESSAGE_BYTES};
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// Content of every fragment but a message's last.
pub const FRAGMENT_BYTES: usize = 65_000;
/// Longest message of a channel: the longest that peers or administration send, and room for what is around it.
pub const MAX_MESSAGE_BYTES: usize = MAX_SCHEME_MESSAGE_BYTES + 4096;
/// Most fragments of a message.
pub const MAX_FRAGMENTS: usize = MAX_MESSAGE_BYTES.div_ceil(FRAGMENT_BYTES);
/// Most messages of which some but not all fragments came. Beyond it, and beyond [`MAX_ASSEMBLY_BYTES`], the oldest is lost.
pub const MAX_ASSEMBLIES: usize = 16;
/// Most bytes of such messages together.
pub const MAX_ASSEMBLY_BYTES: usize = 4 * 1024 * 1024;
/// `index: u16 ‖ count: u16`, big endian.
pub(crate) const HEADER_BYTES: usize = 4;

const _: () = assert!(FRAGMENT_BYTES + HEADER_BYTES + 16 <= crate::noise::MAX_NOISE_BYTES);
const _: () = assert!(4 * MAX_ADMIN_BYTES <= MAX_MESSAGE_BYTES);
const _: () = assert!(MAX_MESSAGE_BYTES <= MAX_ASSEMBLY_BYTES);
const _: () = assert!((MAX_FRAGMENTS as u64) < crate::WINDOW);

/// Splits a message into fragments, headers included. There is always at least one.
pub(crate) fn split(message: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, ChannelError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(ChannelError::TooLarge { what: "message", max: MAX_MESSAGE_BYTES, got: message.len() });
    }
    let count = message.len().div_ceil(FRAGMENT_BYTES).max(1);
    let header = |index: usize| -> Result<[u8; HEADER_BYTES], ChannelError> {
        let too_many = |_| ChannelError::TooLarge { what: "fragments", max: MAX_FRAGMENTS, got: count };
        let [a, b] = u16::try_from(index).map_err(too_many)?.to_be_bytes();
        let [c, d] = u16::try_from(count).map_err(too_many)?.to_be_bytes();
        Ok([a, b, c, d])
    };
    let mut fragments = Vec::with_capacity(count);
    for index in 0..count {
        let content = message.chunks(FRAGMENT_BYTES).nth(index).unwrap_or_default();
        let mut fragment = Zeroizing::new(Vec::with_capacity(HEADER_BYTES.saturating_add(content.len())));
        fragment.extend_from_slice(&header(index)?);
        fragment.extend_from_slice(content);
        fragments.push(fragment);
    }
    Ok(fragments)
}

/// One fragment, taken apart.
struct Fragment<'a> {
    /// Counter of its message's first fragment: fragments of one message have consecutive counters.
    first: u64,
    index: u16,
    count: u16,
    content: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn parse(counter: u64, bytes: &'a [u8]) -> Result<Self, ChannelError> {
        let wrong = |expected: &str, got: String| ChannelError::Fragment { expected: expected.into(), got };
        let Some(([a, b, c, d], content)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(wrong("a header of 4 bytes", format!("{} bytes", bytes.len())));
        };
        let (index, count) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        if index >= count || usize::from(count) > MAX_FRAGMENTS {
            return Err(wrong("an index below a count of at most MAX_FRAGMENTS", format!("{index} of {count}")));
        }
        let last = index.saturating_add(1) == count;
        let fits = match (last, count) {
            (false, _) => content.len() == FRAGMENT_BYTES,
            (true, 1) => content.len() <= FRAGMENT_BYTES,
            (true, _) => (1..=FRAGMENT_BYTES).contains(&content.len()),
        };
        if !fits {
            return Err(wrong("full fragments and a rest", format!("{} bytes at {index} of {count}", content.len())));
        }
        let Some(first) = counter.checked_sub(u64::from(index)) else {
            return Err(wrong("consecutive counters", format!("index {index} at counter {counter}")));
        };
        Ok(Self { first, index, count, content })
    }
}

struct Message {
    count: u16,
    parts: BTreeMap<u16, Zeroizing<Vec<u8>>>,
}

impl Message {
    fn bytes(&self) -> usize {
        self.parts.values().map(|p| p.len()).sum()
    }
}

/// Messages of which some fragments are missing, by the counter of their first fragment. Where there is no room, the oldest
/// one is given up: a carrier that withholds fragments loses the messages that they belong to, and keeps no later one out.
#[derive(Default)]
pub(crate) struct Assembly {
    waiting: BTreeMap<u64, Message>,
    /// Messages that were given up while fragments of them can still come.
    given_up: BTreeSet<u64>,
}

impl Assembly {
    /// Adds an authenticated fragment whose counter was not seen before. Returns the message if it is complete now.
    /// After an error nothing has changed.
    pub(crate) fn add(&mut self, counter: u64, bytes: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, ChannelError> {
        let fragment = Fragment::parse(counter, bytes)?;
        if fragment.count == 1 {
            return Ok(Some(Zeroizing::new(fragment.content.to_vec())));
        }
        if let Some(message) = self.waiting.get(&fragment.first)
            && message.count != fragment.count
        {
            return Err(ChannelError::Fragment {
                expected: format!("a count of {}", message.count),
                got: fragment.count.to_string(),
            });
        }
        if self.given_up.contains(&fragment.first) {
            return Ok(None);
        }
        self.make_room(&fragment);
        let message = self
            .waiting
            .entry(fragment.first)
            .or_insert_with(|| Message { count: fragment.count, parts: BTreeMap::new() });
        message.parts.insert(fragment.index, Zeroizing::new(fragment.content.to_vec()));
        if message.parts.len() < usize::from(message.count) {
            return Ok(None);
        }
        let complete = self.waiting.remove(&fragment.first);
        Ok(complete.map(|m| Zeroizing::new(m.parts.values().flat_map(|p| p.iter().copied()).collect())))
    }

    /// Gives up the oldest other messages until this fragment has room.
    fn make_room(&mut self, fragment: &Fragment<'_>) {
        loop {
            let is_new = !self.waiting.contains_key(&fragment.first);
            let held: usize = self.waiting.values().map(Message::bytes).sum();
            let fits = held.saturating_add(fragment.content.len()) <= MAX_ASSEMBLY_BYTES;
            if fits && !(is_new && self.waiting.len() >= MAX_ASSEMBLIES) {
                return;
            }
            // One message alone always has room.
            let Some(oldest) = self.waiting.keys().copied().find(|first| *first != fragment.first) else { return };
            self.waiting.remove(&oldest);
            self.given_up.insert(oldest);
        }
    }

    /// Forgets messages that can never be completed, because a fragment that is missing would be older than `oldest`.
    pub(crate) fn forget_before(&mut self, oldest: u64) {
        let longest = u64::try_from(MAX_FRAGMENTS).unwrap_or(u64::MAX);
        self.given_up.retain(|first| first.saturating_add(longest) >= oldest);
        self.waiting.retain(|first, message| {
            (0..message.count)
                .filter(|index| !message.parts.contains_key(index))
                .all(|index| first.saturating_add(u64::from(index)) >= oldest)
        });
    }

    /// Messages that wait for fragments.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fragment(index: u16, count: u16, content: &[u8]) -> Vec<u8> {
        [&index.to_be_bytes()[..], &count.to_be_bytes(), content].concat()
    }

    #[test]
    fn golden_fragments() {
        let fragments = split(&vec![7; FRAGMENT_BYTES + 2]).unwrap();
        assert_eq!(fragments.len(), 2);
        assert_eq!(&fragments[0][..5], &[0, 0, 0, 2, 7]);
        assert_eq!(&fragments[1][..], &[0, 1, 0, 2, 7, 7]);
        assert_eq!(&split(b"").unwrap()[0][..], &[0, 0, 0, 1]);
    }

    #[test]
    fn fragments_that_do_not_fit_are_refused_and_change_nothing() {
        let full = vec![1; FRAGMENT_BYTES];
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(10, &fragment(0, 3, &full)), Ok(None));
        let too_many = u16::try_from(MAX_FRAGMENTS + 1).unwrap();
        for (counter, bytes) in [
            (11, vec![]),
            (11, vec![0, 1, 0]),
            (11, fragment(0, 0, b"")),
            (11, fragment(3, 3, b"x")),
            (11, fragment(0, too_many, &full)),
            (11, fragment(1, 3, b"short")),
            (11, fragment(1, 3, &[&full[..], &[0]].concat())),
            (12, fragment(2, 3, b"")),
            (12, fragment(0, 1, &[&full[..], &[0]].concat())),
            (11, fragment(1, 4, &full)),
            (0, fragment(1, 3, &full)),
        ] {
            let refused = assembly.add(counter, &bytes);
            assert!(matches!(refused, Err(ChannelError::Fragment { .. })), "{counter}: {refused:?}");
        }
        assert_eq!(assembly.len(), 1);
        assert_eq!(assembly.add(11, &fragment(1, 3, &full)), Ok(None));
        let whole = assembly.add(12, &fragment(2, 3, b"end")).unwrap().unwrap();
        assert_eq!(whole.len(), 2 * FRAGMENT_BYTES + 3);
    }

    proptest! {
        #[test]
        fn arbitrary_fragments_stay_within_the_limits(
            packets in prop::collection::vec((0u64..40, 0u16..20, 0u16..20, 0usize..3), 1..200),
        ) {
            let mut assembly = Assembly::default();
            for (counter, index, count, kind) in packets {
                let content = vec![0; [0, 5, FRAGMENT_BYTES][kind]];
                let _ = assembly.add(counter, &fragment(index, count, &content));
                prop_assert!(assembly.len() <= MAX_ASSEMBLIES);
                let held: usize = assembly.waiting.values().map(Message::bytes).sum();
                prop_assert!(held <= MAX_ASSEMBLY_BYTES);
                prop_assert!(assembly.given_up.iter().all(|first| !assembly.waiting.contains_key(first)));
            }
        }
    }
}
