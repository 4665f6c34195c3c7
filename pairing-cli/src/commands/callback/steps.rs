//! What a call with a probe brought, step by step.

use crate::certificate::{Expiry, until};
use crate::commands::views;
use crate::console::{Tone, paint};
use crate::hints;
use crate::public_key::algorithm;
use crate::text_forms::printable;
use crate::timestamps::millis;
use countersign_wire::admin::{CallbackTest, TestStep};
use countersign_wire::callback::AttemptResult;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::ids::ApiUserId;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const STEPS: [TestStep; 6] =
    [TestStep::Resolve, TestStep::Connect, TestStep::Tls, TestStep::Http, TestStep::Signature, TestStep::Payload];

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    NotReached,
}

impl Outcome {
    fn shown(self) -> (&'static str, Tone) {
        match self {
            Self::Passed => ("passed", Tone::Green),
            Self::Failed => ("FAILED", Tone::Red),
            Self::NotReached => ("not reached", Tone::Plain),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotReached => "not_reached",
        }
    }
}

/// One line.
struct Line {
    name: &'static str,
    outcome: Outcome,
    took_us: Option<u32>,
    says: String,
    tone: Tone,
}

impl Line {
    fn took(&self) -> String {
        self.took_us.map(millis).unwrap_or_default()
    }
}

/// A test, and what is known about the handler.
pub struct Steps<'a> {
    user: &'a ApiUserId,
    setting: &'a ApprovalSetting,
    test: &'a CallbackTest,
}

impl<'a> Steps<'a> {
    /// Of a test of this API user's handler, which is set so.
    pub fn new(user: &'a ApiUserId, setting: &'a ApprovalSetting, test: &'a CallbackTest) -> Self {
        Self { user, setting, test }
    }

    /// Whether the handler answered as it has to, whatever it answered.
    pub fn passed(&self) -> bool {
        self.test.failed.is_none() && self.test.attempt.result != AttemptResult::Failed
    }

    /// The last line: what it means.
    pub fn verdict(&self) -> String {
        let attempt = &self.test.attempt;
        match (self.passed(), attempt.code) {
            (true, _) => format!(
                "all steps passed: the handler answered {} in {}. That approves nothing",
                printable(&self.test.action),
                millis(attempt.took_us)
            ),
            (false, Some(code)) => format!("the test failed: {code}"),
            (false, None) => "the test failed".to_owned(),
        }
    }

    /// What to do next.
    pub fn next(&self) -> String {
        let user = self.user;
        match (self.passed(), self.test.attempt.code) {
            (true, _) => "nothing: the handler can be asked".to_owned(),
            (false, None) => format!("look into the co-signer's log: `cosigner logs --user {user}`"),
            (false, Some(code)) => hints::for_handler(code).replace("USER", user.as_str()),
        }
    }

    /// For people. A test that failed is told with the command's own failure, verdict and next step.
    pub fn text(&self, colour: bool) -> String {
        let test = self.test;
        let (url, mode) = (printable(&test.url), printable(&test.mode));
        let mut text = format!("callback test of {} at {url} ({mode})\n", self.user);
        let lines = self.lines();
        let words = lines.iter().map(|line| line.outcome.shown().0.len()).max().unwrap_or_default();
        let times = lines.iter().map(|line| line.took().len()).max().unwrap_or_default();
        for line in &lines {
            let (word, tone) = line.outcome.shown();
            // Padded before it is painted: codes have no width.
            let word = paint(tone, &format!("{word:<words$}"), colour);
            let says = paint(line.tone, &line.says, colour);
            let shown = format!("  {:<9}  {word}  {:>times$}  {says}", line.name, line.took());
            let _ = writeln!(text, "{}", shown.trim_end());
        }
        if self.passed() {
            let _ = writeln!(text, "{}", paint(Tone::Green, &self.verdict(), colour));
        }
        text
    }

    /// For scripts.
    pub fn json(&self) -> Value {
        let test = self.test;
        let steps = self.lines().into_iter().map(|line| {
            json!({
                "step": line.name.to_lowercase(),
                "outcome": line.outcome.as_str(),
                "took_us": line.took_us,
                "says": line.says,
            })
        });
        let text = |t: &str| if t.is_empty() { None } else { Some(t.to_owned()) };
        json!({
            "user": self.user.as_str(),
            "passed": self.passed(),
            "url": &*test.url,
            "mode": &*test.mode,
            "steps": steps.collect::<Vec<_>>(),
            "attempt": views::attempt(&test.attempt),
            "address": text(&test.address),
            "certificate_expires_at_ms": test.certificate_expires_at_ms,
            "certificate_pin": test.certificate_pin.map(hex::encode),
            "protocol": text(&test.protocol),
            "action": text(&test.action),
            "verdict": self.verdict(),
            "next": self.next(),
        })
    }

    fn lines(&self) -> Vec<Line> {
        let needed = STEPS.into_iter().filter(|step| *step != TestStep::Signature || self.has_tokens());
        needed.map(|step| self.line(step)).collect()
    }

    fn has_tokens(&self) -> bool {
        match self.setting {
            ApprovalSetting::Handler(handler) => !handler.keys.is_empty(),
            ApprovalSetting::None | ApprovalSetting::Auto => false,
        }
    }

    fn outcome(&self, step: TestStep) -> Outcome {
        match self.test.failed {
            Some(failed) if step == failed => Outcome::Failed,
            Some(failed) if step > failed => Outcome::NotReached,
            // A failure that no step owns is one of the last.
            None if !self.passed() && step == TestStep::Payload => Outcome::Failed,
            _ => Outcome::Passed,
        }
    }

    fn line(&self, step: TestStep) -> Line {
        let attempt = &self.test.attempt;
        let outcome = self.outcome(step);
        let (name, took_us) = match step {
            TestStep::Resolve => ("resolve", attempt.steps.resolve_us),
            TestStep::Connect => ("connect", attempt.steps.connect_us),
            TestStep::Tls => ("TLS", attempt.steps.tls_us),
            TestStep::Http => ("HTTP", attempt.steps.answer_us),
            TestStep::Signature => ("signature", None),
            TestStep::Payload => ("payload", None),
        };
        let (says, tone) = match outcome {
            Outcome::NotReached => (String::new(), Tone::Plain),
            Outcome::Failed => (self.why(step), Tone::Plain),
            Outcome::Passed if attempt.reused && step < TestStep::Http => {
                ("an open connection was used again".to_owned(), Tone::Plain)
            }
            Outcome::Passed => self.seen(step),
        };
        Line { name, outcome, took_us: took_us.filter(|_| outcome != Outcome::NotReached), says, tone }
    }

    fn seen(&self, step: TestStep) -> (String, Tone) {
        let test = self.test;
        let says = match step {
            TestStep::Resolve => printable(&test.address),
            TestStep::Connect => String::new(),
            TestStep::Tls => {
                let now_ms = test.attempt.started_at_ms;
                let Some(expires) = test.certificate_expires_at_ms else { return (String::new(), Tone::Plain) };
                return (format!("certificate {}", until(expires, now_ms)), Expiry::of(expires, now_ms).tone());
            }
            TestStep::Http => format!("{} 200", printable(&test.protocol)),
            TestStep::Signature => self.algorithms(),
            TestStep::Payload => printable(&test.action),
        };
        (says, Tone::Plain)
    }

    /// How the handler's active keys sign.
    fn algorithms(&self) -> String {
        let ApprovalSetting::Handler(handler) = self.setting else { return String::new() };
        let all: BTreeSet<&str> = handler.keys.iter().map(|k| algorithm(k)).collect();
        all.into_iter().collect::<Vec<_>>().join(" or ")
    }

    fn why(&self, step: TestStep) -> String {
        let attempt = &self.test.attempt;
        let code = attempt.code.map_or("failed", |c| c.as_str());
        let mut why = format!("{code}: {}", printable(&attempt.detail));
        if let (TestStep::Tls, Some(pin)) = (step, self.test.certificate_pin) {
            let _ = write!(why, " (the certificate's pin is {})", hex::encode(pin));
        }
        why
    }
}
