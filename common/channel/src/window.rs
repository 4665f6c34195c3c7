use crate::ChannelError;

/// Counters before the highest one seen that are still accepted, once each.
pub const WINDOW: u64 = 1024;
const WORDS: usize = 16;
const _: () = assert!(WINDOW == 64 * WORDS as u64);

/// Which of the last [`WINDOW`] counters were seen (RFC 6479, without its ring).
#[derive(Debug, Clone)]
pub(crate) struct ReceiveWindow {
    /// One more than the highest counter seen.
    next: u64,
    /// Bit `c % WINDOW` for each counter `c` in `oldest..next`.
    seen: [u64; WORDS],
}

impl ReceiveWindow {
    pub(crate) fn new() -> Self {
        Self { next: 0, seen: [0; WORDS] }
    }

    /// The oldest counter that can still be accepted.
    pub(crate) fn oldest(&self) -> u64 {
        self.next.saturating_sub(WINDOW)
    }

    /// Errors if `counter` was seen or is too old.
    pub(crate) fn check(&self, counter: u64) -> Result<(), ChannelError> {
        if counter >= self.next {
            return Ok(());
        }
        if counter < self.oldest() || self.bit(counter) {
            return Err(ChannelError::Replayed { counter, oldest: self.oldest() });
        }
        Ok(())
    }

    /// Marks `counter`, which [`Self::check`] let pass, as seen.
    pub(crate) fn mark(&mut self, counter: u64) {
        if counter >= self.next {
            let skipped = counter.saturating_sub(self.next);
            if skipped >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                for passed in self.next..counter {
                    self.set(passed, false);
                }
            }
            self.next = counter.saturating_add(1);
        }
        self.set(counter, true);
    }

    fn bit(&self, counter: u64) -> bool {
        let (word, mask) = place(counter);
        self.seen.get(word).is_some_and(|w| w & mask != 0)
    }

    fn set(&mut self, counter: u64, value: bool) {
        let (word, mask) = place(counter);
        if let Some(w) = self.seen.get_mut(word) {
            *w = if value { *w | mask } else { *w & !mask };
        }
    }
}

fn place(counter: u64) -> (usize, u64) {
    let position = counter % WINDOW;
    (usize::try_from(position / 64).unwrap_or(usize::MAX), 1 << (position % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_counter_is_accepted_once_and_in_any_order_within_the_window() {
        let mut window = ReceiveWindow::new();
        for counter in [5, 0, 1023, 3, 1024] {
            window.check(counter).unwrap();
            window.mark(counter);
            assert!(window.check(counter).is_err(), "{counter} twice");
        }
        assert!(window.check(1).is_ok(), "the oldest one in the window");
        window.mark(1025);
        assert_eq!(window.check(1), Err(ChannelError::Replayed { counter: 1, oldest: 2 }));
        window.mark(1 << 40);
        assert!(window.check((1 << 40) - WINDOW).is_err());
        assert!(window.check((1 << 40) - WINDOW + 1).is_ok());
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_all_counters(jumps in prop::collection::vec((0u64..3000, any::<bool>()), 1..400)) {
            let (mut window, mut model) = (ReceiveWindow::new(), BTreeSet::new());
            for (jump, back) in jumps {
                let highest: u64 = model.last().copied().unwrap_or(0);
                let counter = if back { highest.saturating_sub(jump) } else { highest + jump % 1500 };
                let oldest = model.last().map_or(0, |h| (h + 1u64).saturating_sub(WINDOW));
                let fresh = counter >= oldest && !model.contains(&counter);
                prop_assert_eq!(window.check(counter).is_ok(), fresh);
                if fresh {
                    window.mark(counter);
                    model.insert(counter);
                }
            }
        }
    }
}
