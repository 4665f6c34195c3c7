//! One call of a handler, as it is told to everybody. Pure.

use crate::callback::Verdict;
use crate::input::ExchangeReport;
use countersign_wire::Text;
use countersign_wire::callback::{Attempt, AttemptResult, StepTimes};
use countersign_wire::refusal::Code;

/// When a call began and ended, and how long the request had waited before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub began_ms: u64,
    pub ended_ms: u64,
    pub waited_ms: u32,
}

/// The attempt with this number.
pub(super) fn attempt(number: u16, times: Times, report: &ExchangeReport, verdict: &Verdict) -> Attempt {
    let (result, code, detail) = match verdict {
        Verdict::Approved => (AttemptResult::Approved, None, String::new()),
        Verdict::Rejected { reason } => (AttemptResult::Rejected, Some(Code::Rejected), reason.clone()),
        Verdict::Retry => (AttemptResult::Retry, Some(Code::Retry), "the handler asks for another try".into()),
        Verdict::Ignored { reason } => (AttemptResult::Ignored, Some(Code::Ignored), reason.clone()),
        Verdict::Failed(refusal) => (AttemptResult::Failed, Some(refusal.code), refusal.detail.to_string()),
    };
    Attempt {
        number,
        started_at_ms: times.began_ms,
        waited_ms: times.waited_ms,
        took_us: took_us(times, &report.steps, report.outcome.is_ok()),
        steps: report.steps,
        reused: report.server.as_ref().is_some_and(|server| server.reused),
        result,
        code,
        detail: Text::cut(detail),
        next_at_ms: None,
    }
}

/// The steps know it best, where all of them ended; otherwise the clock knows.
fn took_us(times: Times, steps: &StepTimes, all_ended: bool) -> u32 {
    let steps = [steps.resolve_us, steps.connect_us, steps.tls_us, steps.answer_us].into_iter().flatten();
    let sum = steps.fold(0u32, u32::saturating_add);
    let by_clock = times.ended_ms.saturating_sub(times.began_ms).saturating_mul(1_000);
    if all_ended && sum > 0 { sum } else { u32::try_from(by_clock).unwrap_or(u32::MAX).max(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{ExchangeFailure, HttpAnswer};
    use countersign_wire::refusal::Refusal;

    const TIMES: Times = Times { began_ms: 1_000, ended_ms: 1_250, waited_ms: 7 };

    fn answered() -> ExchangeReport {
        let mut report = ExchangeReport::from(Ok(HttpAnswer { status: 200, body: vec![] }));
        report.steps = StepTimes { resolve_us: None, connect_us: Some(1), tls_us: Some(20), answer_us: Some(300) };
        report
    }

    #[test]
    fn every_way_to_end_has_its_result_and_its_reason_code() {
        let no = |code| Verdict::Failed(Refusal::new(code, "why"));
        for (verdict, result, code, detail) in [
            (Verdict::Approved, AttemptResult::Approved, None, ""),
            (Verdict::Rejected { reason: "no".into() }, AttemptResult::Rejected, Some(Code::Rejected), "no"),
            (Verdict::Ignored { reason: "?".into() }, AttemptResult::Ignored, Some(Code::Ignored), "?"),
            (no(Code::Dns), AttemptResult::Failed, Some(Code::Dns), "why"),
        ] {
            let attempt = attempt(3, TIMES, &answered(), &verdict);
            assert_eq!((attempt.result, attempt.code, attempt.detail.as_str()), (result, code, detail));
            assert_eq!((attempt.number, attempt.started_at_ms, attempt.waited_ms), (3, 1_000, 7));
        }
    }

    #[test]
    fn an_answered_call_took_its_steps_and_another_one_what_the_clock_says() {
        assert_eq!(attempt(1, TIMES, &answered(), &Verdict::Approved).took_us, 321);
        let timeout = ExchangeReport { outcome: Err(ExchangeFailure::Timeout(250)), ..answered() };
        assert_eq!(attempt(1, TIMES, &timeout, &Verdict::Retry).took_us, 250_000);
    }
}
