//! When a handler that answered RETRY is asked again. Pure.

use countersign_wire::command::RetrySchedule;
use countersign_wire::limits::{MAX_RETRY_EVERY_S, MAX_RETRY_SERIES_S, MIN_RETRY_EVERY_S};
use countersign_wire::refusal::{Code, Refusal};

/// Checks a schedule as an operator's command brings it.
pub(super) fn check_schedule(schedule: &RetrySchedule) -> Result<(), Refusal> {
    let refused = |detail: String| Err(Refusal::new(Code::Malformed, detail));
    if !(MIN_RETRY_EVERY_S..=MAX_RETRY_EVERY_S).contains(&schedule.every_s) {
        return refused(format!("expected {MIN_RETRY_EVERY_S} to {MAX_RETRY_EVERY_S} s between retries"));
    }
    let whole_s = u64::from(schedule.every_s).saturating_mul(schedule.times.into());
    if whole_s > MAX_RETRY_SERIES_S {
        return refused(format!("expected retries over {MAX_RETRY_SERIES_S} s at most, got {whole_s} s"));
    }
    Ok(())
}

/// When the next attempt is due (Unix ms), after `made` attempts of which the last ended at `now_ms` in a RETRY. `None`: that
/// was the last one (threat T32).
pub(crate) fn next_attempt(schedule: &RetrySchedule, made: u16, now_ms: u64) -> Option<u64> {
    (made <= schedule.times).then(|| now_ms.saturating_add(u64::from(schedule.every_s).saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t32_a_series_has_its_number_of_attempts_and_then_ends() {
        let schedule = RetrySchedule { every_s: 180, times: 20 };
        let mut now = 1_000;
        let mut made = 1;
        while let Some(next) = next_attempt(&schedule, made, now) {
            assert_eq!(next, now + 180_000);
            (now, made) = (next, made + 1);
        }
        assert_eq!(made, 21, "the first one, and twenty more");
        assert_eq!(next_attempt(&RetrySchedule { every_s: 180, times: 0 }, 1, 0), None);
    }

    #[test]
    fn t32_a_schedule_has_bounds() {
        let code = |every_s, times| check_schedule(&RetrySchedule { every_s, times }).map_err(|r| r.code);
        assert_eq!(check_schedule(&RetrySchedule::default()), Ok(()));
        assert_eq!(code(30, 5_760), Ok(()));
        assert_eq!(code(3_600, 48), Ok(()));
        for (every_s, times) in [(29, 1), (3_601, 1), (30, 5_761), (3_600, 49), (0, 0), (u32::MAX, u16::MAX)] {
            assert_eq!(code(every_s, times), Err(Code::Malformed), "{every_s} {times}");
        }
    }
}
