//! What an API user's calls brought since the boot: for the status, the log and the metrics.

use countersign_wire::callback::{Attempt, AttemptResult, CallbackSubject};
use countersign_wire::limits::MAX_LISTED_ATTEMPTS;
use countersign_wire::refusal::Code;
use std::collections::{BTreeMap, VecDeque};

/// Upper bounds of the distribution of calls' times, in milliseconds.
pub(crate) const LATENCY_BOUNDS_MS: [u32; 14] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000];

/// What an API user's calls brought since the boot.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    /// How many ended in which way.
    pub(crate) approved: u64,
    pub(crate) rejected: u64,
    pub(crate) retried: u64,
    pub(crate) failed: u64,
    /// How many ended with which reason code; approvals have none.
    pub(crate) by_code: BTreeMap<Option<Code>, u64>,
    /// The last calls, the newest first.
    pub(crate) attempts: VecDeque<(CallbackSubject, Attempt)>,
    /// Calls by the bound of [`LATENCY_BOUNDS_MS`] that they kept first.
    pub(crate) latency: [u64; LATENCY_BOUNDS_MS.len()],
    /// All of them.
    pub(crate) count: u64,
    /// Their times together, in microseconds.
    sum_us: u64,
    /// When the handler's certificate expires (Unix ms), as last seen.
    pub(crate) certificate_expires_at_ms: Option<u64>,
    /// When its end was last warned of (Unix ms).
    pub(crate) warned_at_ms: u64,
}

impl History {
    /// Takes a call in. An operator's test is listed, and counts for nothing.
    pub(crate) fn add(&mut self, subject: CallbackSubject, attempt: &Attempt) {
        self.attempts.truncate(MAX_LISTED_ATTEMPTS.saturating_sub(1));
        self.attempts.push_front((subject, attempt.clone()));
        if subject == CallbackSubject::Test {
            return;
        }
        let counter = match attempt.result {
            AttemptResult::Approved => &mut self.approved,
            AttemptResult::Rejected => &mut self.rejected,
            AttemptResult::Retry => &mut self.retried,
            AttemptResult::Failed | AttemptResult::Ignored => &mut self.failed,
        };
        *counter = counter.saturating_add(1);
        let by_code = self.by_code.entry(attempt.code).or_default();
        *by_code = by_code.saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.sum_us = self.sum_us.saturating_add(attempt.took_us.into());
        let bucket = LATENCY_BOUNDS_MS
            .iter()
            .zip(&mut self.latency)
            .find(|(bound, _)| attempt.took_us <= bound.saturating_mul(1_000));
        if let Some((_, bucket)) = bucket {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// The times of all calls together, in milliseconds.
    pub(crate) fn sum_ms(&self) -> u64 {
        self.sum_us / 1_000
    }

    /// The last call that was not a test.
    pub(crate) fn last(&self) -> Option<&Attempt> {
        self.attempts.iter().find(|(subject, _)| *subject != CallbackSubject::Test).map(|(_, attempt)| attempt)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use countersign_wire::Text;
    use countersign_wire::callback::StepTimes;
    use countersign_wire::ids::TransactionId;

    fn attempt(result: AttemptResult, took_ms: u32) -> Attempt {
        Attempt {
            number: 1,
            started_at_ms: u64::from(took_ms),
            waited_ms: 0,
            took_us: took_ms * 1_000,
            steps: StepTimes::default(),
            reused: false,
            result,
            code: (result == AttemptResult::Rejected).then_some(Code::Rejected),
            detail: Text::default(),
            next_at_ms: None,
        }
    }

    #[test]
    fn calls_are_counted_by_result_reason_and_time() {
        let mut history = History::default();
        for (result, took_ms) in [
            (AttemptResult::Approved, 3),
            (AttemptResult::Approved, 9),
            (AttemptResult::Rejected, 5),
            (AttemptResult::Retry, 600_000),
        ] {
            history.add(CallbackSubject::Transaction(TransactionId([1; 16])), &attempt(result, took_ms));
        }
        history.add(CallbackSubject::Test, &attempt(AttemptResult::Failed, 1));
        assert_eq!(history.attempts.len(), 5);
        assert_eq!((history.approved, history.rejected, history.retried, history.failed), (2, 1, 1, 0));
        assert_eq!(history.by_code.get(&Some(Code::Rejected)), Some(&1));
        assert_eq!((history.latency[0], history.latency[1]), (2, 1), "a bound belongs to its bucket");
        assert_eq!((history.count, history.latency.iter().sum::<u64>()), (4, 3), "the slowest is above all bounds");
        assert_eq!(history.sum_ms(), 600_017);
        assert_eq!(
            history.last().map(|attempt| attempt.result),
            Some(AttemptResult::Retry),
            "tests are none of the user's requests"
        );
    }

    #[test]
    fn only_the_newest_calls_are_kept() {
        let mut history = History::default();
        for took_ms in 0..100 {
            history.add(CallbackSubject::Test, &attempt(AttemptResult::Approved, took_ms));
        }
        assert_eq!(history.attempts.len(), MAX_LISTED_ATTEMPTS);
        assert_eq!(history.attempts.front().unwrap().1.started_at_ms, 99);
    }
}
