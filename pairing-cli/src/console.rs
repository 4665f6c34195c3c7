//! What people and scripts see. With `--json`, stdout carries exactly one JSON object, whatever happens; what people
//! read meanwhile goes to stderr.

use crate::failure::Failure;
use crate::text_forms::{printable, printable_json};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

/// How a piece of text is shown where colours are shown at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// What weakens the co-signer, and errors.
    Red,
    /// What needs attention.
    Yellow,
    /// Good.
    Green,
    /// Headings.
    Bold,
}

/// `text` in `tone`, with ANSI codes only if `colour`.
pub fn paint(tone: Tone, text: &str, colour: bool) -> String {
    let code = match tone {
        Tone::Red => "1;31",
        Tone::Yellow => "33",
        Tone::Green => "32",
        Tone::Bold => "1",
        Tone::Plain => return text.to_owned(),
    };
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// What a command hands back to be shown.
#[derive(Debug)]
pub struct Report {
    /// For people.
    pub text: String,
    /// For scripts.
    pub json: Value,
    /// Shown after the result; decides the exit code.
    pub failure: Option<Failure>,
}

impl Report {
    /// A result.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, failure: None }
    }
}

/// Where output goes.
pub struct Console {
    /// One JSON object instead of text.
    pub json: bool,
    /// Whether stdout shows colours.
    pub colour: bool,
    colour_stderr: bool,
    warnings: RefCell<Vec<(&'static str, String)>>,
    trust: RefCell<Value>,
}

/// Whether a stream shows colours: a terminal, no `NO_COLOR`, not a dumb one.
fn shows_colour(is_terminal: bool, no_color: Option<&std::ffi::OsStr>, term: Option<&std::ffi::OsStr>) -> bool {
    is_terminal && no_color.is_none_or(|v| v.is_empty()) && term.is_none_or(|t| t != "dumb")
}

impl Console {
    /// For the streams of this process.
    pub fn new(json: bool) -> Self {
        let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
        let shows = |is_terminal| shows_colour(is_terminal, no_color.as_deref(), term.as_deref());
        Self {
            json,
            colour: !json && shows(std::io::stdout().is_terminal()),
            colour_stderr: shows(std::io::stderr().is_terminal()),
            warnings: RefCell::default(),
            trust: RefCell::new(Value::Null),
        }
    }

    /// Something that weakens what the co-signer promises: red at once, and in the JSON object.
    pub fn warn(&self, code: &'static str, text: impl Into<String>) {
        let text = text.into();
        // Who connects again and again need not read the same again and again.
        if self.warnings.borrow().iter().any(|(known, said)| *known == code && *said == text) {
            return;
        }
        self.say(&paint(Tone::Red, &format!("warning: {text}"), self.colour_stderr));
        self.warnings.borrow_mut().push((code, text));
    }

    /// What people may want to know meanwhile; not in the JSON object.
    pub fn note(&self, text: &str) {
        if !self.json {
            self.say(text);
        }
    }

    /// Whether stderr shows colours, for what is shown before a question.
    pub fn colour_stderr(&self) -> bool {
        self.colour_stderr
    }

    /// What the JSON object says under `trust`.
    pub fn set_trust(&self, trust: Value) {
        *self.trust.borrow_mut() = trust;
    }

    /// Writes a line to stdout at once, for commands that show more as it comes. `false` where nobody reads any more.
    pub fn line(&self, text: &str) -> Result<bool, Failure> {
        let mut stdout = std::io::stdout();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(Failure::local(std::path::Path::new("stdout"), e)),
        }
    }

    /// Writes to stderr. A closed stderr is nobody's fault.
    pub fn say(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Shows what a command did and returns the exit code.
    pub fn finish(&self, command: &str, outcome: Result<Report, Failure>) -> u8 {
        let (result, text, failure) = match outcome {
            Ok(report) => (Some(report.json), report.text, report.failure),
            Err(failure) => (None, String::new(), Some(failure)),
        };
        let exit_code = failure.as_ref().map_or(0, Failure::exit_code);
        let out = if self.json { self.envelope(command, result, failure.as_ref()) } else { text };
        let written = if out.is_empty() { Ok(()) } else { writeln!(std::io::stdout(), "{}", out.trim_end()) };
        if !self.json
            && let Some(failure) = &failure
        {
            self.say(&self.describe(failure));
        }
        match written {
            // A reader that stopped reading, such as `head`, got what it wanted.
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => exit_code.max(1),
            _ => exit_code,
        }
    }

    fn describe(&self, failure: &Failure) -> String {
        let mut text = paint(Tone::Red, &format!("error: {failure}"), self.colour_stderr);
        if !failure.hint().is_empty() {
            let _ = write!(text, "\n  {}", failure.hint());
        }
        text
    }

    fn envelope(&self, command: &str, result: Option<Value>, failure: Option<&Failure>) -> String {
        let warnings: Vec<Value> =
            self.warnings.borrow().iter().map(|(code, text)| json!({ "code": code, "text": text })).collect();
        let mut object = json!({
            "schema": 1,
            "command": command,
            "ok": failure.is_none(),
            "exit_code": failure.map_or(0, Failure::exit_code),
            "trust": *self.trust.borrow(),
            "warnings": warnings,
            "result": result,
        });
        if let Some(failure) = failure {
            object["error"] = json!({
                "kind": failure.kind(),
                "message": printable(&failure.to_string()),
                "hint": failure.hint(),
                "refusal_code": failure.refusal_code(),
            });
        }
        printable_json(&serde_json::to_string_pretty(&object).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn colours_need_a_terminal_that_wants_them() {
        assert!(shows_colour(true, None, Some(OsStr::new("xterm"))));
        assert!(shows_colour(true, Some(OsStr::new("")), None));
        assert!(!shows_colour(false, None, None));
        assert!(!shows_colour(true, Some(OsStr::new("1")), None));
        assert!(!shows_colour(true, None, Some(OsStr::new("dumb"))));
    }

    #[test]
    fn red_is_red_only_where_colours_are_shown() {
        assert_eq!(paint(Tone::Red, "x", true), "\u{1b}[1;31mx\u{1b}[0m");
        assert_eq!(paint(Tone::Red, "x", false), "x");
    }
}
