//! What a co-signer told about its calls of a callback handler.

use borsh::{BorshDeserialize, BorshSerialize};
use countersign_wire::callback::{Attempt, AttemptResult};

/// Calls about one request that are remembered: the last ones.
pub const MAX_ATTEMPTS: usize = 20;

/// The calls about one transaction or change, each once, in order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Attempts(Vec<Attempt>);

/// What was new about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Nothing: it was known.
    Known,
    /// More about a known call.
    More,
    /// The call itself.
    New,
}

impl Attempts {
    /// Takes a call down. The same number is the same call; calls older than all that are remembered are not.
    pub fn note(&mut self, attempt: &Attempt) -> Noted {
        let full = self.0.len() >= MAX_ATTEMPTS;
        let at = self.0.partition_point(|known| known.number < attempt.number);
        match self.0.get_mut(at) {
            Some(known) if known == attempt => return Noted::Known,
            Some(known) if known.number == attempt.number => {
                known.clone_from(attempt);
                return Noted::More;
            }
            _ if at == 0 && full => return Noted::Known,
            _ => self.0.insert(at, attempt.clone()),
        }
        if self.0.len() > MAX_ATTEMPTS {
            self.0.remove(0);
        }
        Noted::New
    }

    /// All that are remembered, the oldest first.
    pub fn all(&self) -> &[Attempt] {
        &self.0
    }

    /// When the handler is asked again (Unix ms), where its last word was RETRY.
    pub fn next_at_ms(&self) -> Option<u64> {
        self.0.last().filter(|last| last.result == AttemptResult::Retry).and_then(|last| last.next_at_ms)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use countersign_wire::Text;
    use countersign_wire::callback::StepTimes;
    use countersign_wire::refusal::Code;

    /// A call that began at `number` seconds and was answered as said.
    pub fn attempt(number: u16, result: AttemptResult, code: Option<Code>, next_at_ms: Option<u64>) -> Attempt {
        Attempt {
            number,
            started_at_ms: u64::from(number) * 1_000,
            waited_ms: 1,
            took_us: 2_500,
            steps: StepTimes { answer_us: Some(2_000), ..StepTimes::default() },
            reused: false,
            result,
            code,
            detail: Text::cut("as the handler said"),
            next_at_ms,
        }
    }

    fn retry(number: u16) -> Attempt {
        attempt(number, AttemptResult::Retry, Some(Code::Retry), Some(u64::from(number) * 1_000 + 60_000))
    }

    #[test]
    fn each_call_is_remembered_once_and_the_last_twenty_of_them() {
        let mut attempts = Attempts::default();
        for number in [2, 1, 2, 3] {
            attempts.note(&retry(number));
        }
        assert_eq!(attempts.all().iter().map(|a| a.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(attempts.note(&retry(3)), Noted::Known);
        let later = Attempt { next_at_ms: Some(99_000), ..retry(3) };
        assert_eq!((attempts.note(&later), attempts.next_at_ms()), (Noted::More, Some(99_000)));
        for number in 4..=50 {
            assert_eq!(attempts.note(&retry(number)), Noted::New);
        }
        assert_eq!(attempts.all().iter().map(|a| a.number).collect::<Vec<_>>(), (31..=50).collect::<Vec<_>>());
        assert_eq!(attempts.note(&retry(7)), Noted::Known, "too old to be remembered");
        assert_eq!(attempts.all().len(), MAX_ATTEMPTS);
    }

    #[test]
    fn only_a_retry_has_a_next_time() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.next_at_ms(), None);
        attempts.note(&retry(1));
        assert_eq!(attempts.next_at_ms(), Some(61_000));
        attempts.note(&attempt(2, AttemptResult::Failed, Some(Code::CallbackTimeout), None));
        assert_eq!(attempts.next_at_ms(), None);
    }
}
