//! One thing that was checked, and all of them as people and scripts read them.

use crate::console::{Tone, paint};
use crate::failure::Failure;
use crate::text_forms::printable;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What is checked, in the order in which it is shown. Without the ones before, the later ones cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// Somebody listens at the admin socket.
    Socket,
    /// An enclave is there and proves what it is.
    Enclave,
    /// It is the one that is pinned here.
    Pin,
    /// It has operators.
    Claim,
    /// Its clock and this machine's.
    Clock,
    /// How its host is.
    Host,
    /// The host's clock and the enclave's.
    HostClock,
    /// Sealed state becomes durable.
    Storage,
    /// There is room for it.
    Disk,
    /// The outbound links to workspaces.
    Links,
    /// Signing groups.
    Groups,
    /// Keys.
    Keys,
    /// How API users' requests are approved.
    Approval,
    /// What handlers did lately.
    Handlers,
    /// Handlers' certificates.
    Certificates,
    /// Handlers called with a probe.
    Callbacks,
}

impl Area {
    /// All that are checked without commands.
    pub const READ: [Self; 15] = [
        Self::Socket,
        Self::Enclave,
        Self::Pin,
        Self::Claim,
        Self::Clock,
        Self::Host,
        Self::HostClock,
        Self::Storage,
        Self::Disk,
        Self::Links,
        Self::Groups,
        Self::Keys,
        Self::Approval,
        Self::Handlers,
        Self::Certificates,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Enclave => "enclave",
            Self::Pin => "pin",
            Self::Claim => "claim",
            Self::Clock => "clock",
            Self::Host => "host",
            Self::HostClock => "host clock",
            Self::Storage => "storage",
            Self::Disk => "disk",
            Self::Links => "links",
            Self::Groups => "groups",
            Self::Keys => "keys",
            Self::Approval => "approval",
            Self::Handlers => "handlers",
            Self::Certificates => "certificates",
            Self::Callbacks => "callbacks",
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work, or soon will not.
    Failed,
    /// Something before it failed.
    NotChecked,
}

impl Verdict {
    fn shown(self) -> (&'static str, Tone) {
        match self {
            Self::Passed => ("passed", Tone::Green),
            Self::Warning => ("warning", Tone::Yellow),
            Self::Failed => ("FAILED", Tone::Red),
            Self::NotChecked => ("not checked", Tone::Plain),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::NotChecked => "not_checked",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Of what.
    pub area: Area,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found: a sentence.
    pub says: String,
    /// What to do, or empty.
    pub next: String,
    /// Whether what was found weakens the co-signer: it is red then, although it works.
    pub weakens: bool,
}

impl Check {
    /// As it should be.
    pub fn passed(area: Area, says: impl Into<String>) -> Self {
        Self { area, verdict: Verdict::Passed, says: says.into(), next: String::new(), weakens: false }
    }

    /// Worth a look.
    pub fn warning(area: Area, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self { area, verdict: Verdict::Warning, says: says.into(), next: next.into(), weakens: false }
    }

    /// A warning in red.
    pub fn weakness(area: Area, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self { weakens: true, ..Self::warning(area, says, next) }
    }

    /// Not as it should be.
    pub fn failed(area: Area, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self { area, verdict: Verdict::Failed, says: says.into(), next: next.into(), weakens: false }
    }

    /// What could not be read.
    pub fn failure(area: Area, failure: &Failure) -> Self {
        Self::failed(area, failure.to_string(), failure.hint())
    }
}

/// All checks.
pub struct Examination(Vec<Check>);

impl Examination {
    /// The checks in order, and every one of `areas` that has none as not checked.
    pub fn new(mut checks: Vec<Check>, areas: &[Area]) -> Self {
        for area in areas {
            if !checks.iter().any(|check| check.area == *area) {
                checks.push(Check { verdict: Verdict::NotChecked, ..Check::passed(*area, "") });
            }
        }
        checks.sort_by_key(|check| check.area);
        Self(checks)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|check| check.verdict == verdict).count()
    }

    /// How many of which.
    pub fn summary(&self) -> String {
        let [failed, warnings, passed, unchecked] =
            [Verdict::Failed, Verdict::Warning, Verdict::Passed, Verdict::NotChecked].map(|v| self.count(v));
        format!("{failed} failed, {warnings} warnings, {passed} passed, {unchecked} not checked")
    }

    /// The failure, if any check failed.
    pub fn verdict(&self) -> Option<Failure> {
        match self.count(Verdict::Failed) {
            0 => None,
            _ => Some(Failure::check_failed(
                "not all is well",
                "begin with the first FAILED line: later ones may follow from it",
            )),
        }
    }

    /// For people.
    pub fn text(&self, colour: bool) -> String {
        let mut text = String::new();
        for check in &self.0 {
            let (word, tone) = check.verdict.shown();
            let word = paint(tone, &format!("{word:<11}"), colour);
            let says = if check.weakens { Tone::Red } else { Tone::Plain };
            let says = paint(says, &printable(&check.says), colour);
            let _ = writeln!(text, "{}", format!("  {:<12}  {word}  {says}", check.area.as_str()).trim_end());
            if !check.next.is_empty() {
                let _ = writeln!(text, "{:29}next: {}", "", printable(&check.next));
            }
        }
        text
    }

    /// For scripts.
    pub fn json(&self) -> Value {
        let checks = self.0.iter().map(|check| {
            json!({
                "check": check.area.as_str(),
                "verdict": check.verdict.as_str(),
                "says": check.says,
                "next": check.next,
                "weakens": check.weakens,
            })
        });
        json!({
            "checks": checks.collect::<Vec<_>>(),
            "failed": self.count(Verdict::Failed),
            "warnings": self.count(Verdict::Warning),
            "passed": self.count(Verdict::Passed),
            "not_checked": self.count(Verdict::NotChecked),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_verdict_is_shown_as_not_checked_and_in_its_place() {
        let checks = vec![Check::failed(Area::Enclave, "none", "look"), Check::passed(Area::Socket, "there")];
        let examination = Examination::new(checks, &[Area::Socket, Area::Enclave, Area::Pin]);
        assert_eq!(
            examination.text(false),
            "  socket        passed       there\n  enclave       FAILED       none\n\
             \x20                            next: look\n  pin           not checked\n"
        );
        assert_eq!(examination.summary(), "1 failed, 0 warnings, 1 passed, 1 not checked");
    }

    #[test]
    fn only_a_failed_check_fails() {
        let verdict = |check| Examination::new(vec![check], &[Area::Pin]).verdict();
        assert_eq!(verdict(Check::passed(Area::Socket, "")), None);
        assert_eq!(verdict(Check::weakness(Area::Socket, "", "")), None);
        assert_eq!(verdict(Check::failed(Area::Socket, "", "")).map(|f| f.exit_code()), Some(1));
    }

    #[test]
    fn what_a_host_says_cannot_write_to_the_terminal() {
        let check = Check::failed(Area::Links, "down: \u{1b}[2J", "\u{202e}");
        let text = Examination::new(vec![check], &[]).text(false);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    }
}
