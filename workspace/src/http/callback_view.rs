//! How the calls of a callback handler are shown, with a transaction and with a configuration change.

use crate::ceremony::Attempts;
use countersign_wire::callback::Attempt;
use serde_json::{Value, json};

fn ms(us: u32) -> f64 {
    f64::from(us) / 1000.0
}

fn attempt(attempt: &Attempt) -> Value {
    let steps = &attempt.steps;
    json!({
        "attempt": attempt.number,
        "startedAt": attempt.started_at_ms,
        "waitedMs": attempt.waited_ms,
        "tookMs": ms(attempt.took_us),
        "steps": {
            "resolveMs": steps.resolve_us.map(ms), "connectMs": steps.connect_us.map(ms),
            "tlsMs": steps.tls_us.map(ms), "answerMs": steps.answer_us.map(ms),
        },
        "connectionReused": attempt.reused,
        "result": attempt.result.as_str(),
        "code": attempt.code.map(|code| code.as_str()),
        "detail": attempt.detail.as_str(),
        "nextAt": attempt.next_at_ms,
    })
}

/// All calls, and when the next one is due, unless it is over.
pub fn shown(attempts: &Attempts, over: bool) -> Value {
    let next_at_ms = attempts.next_at_ms().filter(|_| !over);
    json!({"attempts": attempts.all().iter().map(attempt).collect::<Vec<_>>(), "nextAt": next_at_ms})
}

/// A sentence about a handler that answered RETRY.
pub fn asked_again(attempts: &Attempts) -> Option<String> {
    let (last, next_at_ms) = (attempts.all().last()?, attempts.next_at_ms()?);
    Some(format!(
        "the callback handler answered RETRY to call {}; it is asked again at Unix time {} s",
        last.number,
        next_at_ms / 1000
    ))
}
