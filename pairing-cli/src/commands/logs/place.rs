//! How far a log was read, and what of it is missing.

use crate::failure::Failure;
use crate::session::Session;
use countersign_wire::ids::BootId;
use countersign_wire::status::{Event, Events};

/// Answers that one reading of the log takes at most: many more than any co-signer keeps lines for.
const MAX_ANSWERS: usize = 1_000;

/// How far the log was read.
pub struct Place {
    /// Of which boot.
    pub boot: BootId,
    /// The last line that was read.
    pub after: u64,
}

/// What one reading brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// What is still kept.
    pub lines: Vec<Event>,
    /// Lines that are not kept any more.
    pub lost: u64,
    /// Whether it began with the boot's first line.
    pub reads_from_start: bool,
    /// Whether the log is of another boot than before.
    pub rebooted: bool,
}

impl Place {
    /// Everything after the place, which moves to the end.
    pub async fn read(&mut self, session: &mut Session<'_>) -> Result<Read, Failure> {
        let mut whole = Read::default();
        if session.description.boot != self.boot {
            *self = Self { boot: session.description.boot, after: 0 };
            whole.rebooted = true;
        }
        whole.reads_from_start = self.after == 0;
        for _ in 0..MAX_ANSWERS {
            let events = session.events(self.after).await?;
            if !self.take(events, &mut whole)? {
                break;
            }
        }
        Ok(whole)
    }

    /// Takes one answer. Whether there is more to ask for.
    fn take(&mut self, events: Events, whole: &mut Read) -> Result<bool, Failure> {
        if events.boot != self.boot {
            return Err(odd("the log is of another boot than the one that is attested"));
        }
        let newest = events.newest;
        let before = self.after;
        for line in events.lines.into_vec() {
            if line.number <= self.after || line.number > newest {
                return Err(odd("the log's lines are not in order"));
            }
            whole.lost = whole.lost.saturating_add(line.number - self.after - 1);
            self.after = line.number;
            whole.lines.push(line);
        }
        if self.after == before {
            // None of what is missing is kept any more.
            whole.lost = whole.lost.saturating_add(newest.saturating_sub(self.after));
            self.after = self.after.max(newest);
        }
        Ok(self.after < newest)
    }
}

fn odd(message: &str) -> Failure {
    Failure::no_answer(message, "this command and the co-signer may be of different versions")
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::status::Severity;
    use countersign_wire::{List, Text};

    const BOOT: BootId = BootId([7; 16]);

    fn line(number: u64) -> Event {
        Event {
            number,
            at_ms: 0,
            severity: Severity::Info,
            kind: Text::default(),
            fields: List::default(),
            text: Text::default(),
        }
    }

    fn answer(numbers: &[u64], newest: u64) -> Events {
        let lines = List::new(numbers.iter().map(|n| line(*n)).collect()).unwrap();
        Events { boot: BOOT, lines, newest }
    }

    #[test]
    fn lines_that_are_not_kept_any_more_are_counted() {
        let mut place = Place { boot: BOOT, after: 3 };
        let mut read = Read::default();
        assert_eq!(place.take(answer(&[4, 5], 9), &mut read), Ok(true));
        assert_eq!((read.lost, place.after), (0, 5));
        assert_eq!(place.take(answer(&[8, 9], 9), &mut read), Ok(false));
        assert_eq!((read.lost, place.after, read.lines.len()), (2, 9, 4));
        assert_eq!(place.take(answer(&[], 9), &mut read), Ok(false));
        assert_eq!(read.lost, 2);
        assert_eq!(place.take(answer(&[], 12), &mut read), Ok(false));
        assert_eq!((read.lost, place.after), (5, 12));
    }

    #[test]
    fn a_log_that_makes_no_sense_is_an_error() {
        for (numbers, newest) in [(&[3][..], 9), (&[5, 4], 9), (&[5, 5], 9), (&[5], 4)] {
            let mut place = Place { boot: BOOT, after: 3 };
            assert!(place.take(answer(numbers, newest), &mut Read::default()).is_err(), "{numbers:?}");
        }
        let mut place = Place { boot: BootId([8; 16]), after: 0 };
        assert!(place.take(answer(&[1], 1), &mut Read::default()).is_err());
    }
}
