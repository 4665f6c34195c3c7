//! `cosigner logs`: the enclave's own log, through the attested channel, so that no host can alter it or leave lines out
//! unseen. The enclave keeps its last lines in memory; what is not there any more is said aloud.

mod place;

use super::App;
use crate::console::{Report, Tone, paint};
use crate::failure::Failure;
use crate::session::Session;
use crate::text_forms::{printable, printable_json};
use crate::timestamps::utc;
use countersign_wire::ids::ApiUserId;
use countersign_wire::status::{Event, Severity};
use place::{Place, Read};
use serde_json::{Value, json};
use std::time::Duration;

/// How often `-f` asks.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Flags of `logs`.
#[derive(clap::Args)]
pub struct Args {
    /// Go on with new lines until Ctrl-C; with --json one object a line
    #[arg(short, long)]
    follow: bool,
    /// Only lines about this API user
    #[arg(long, value_name = "ID")]
    user: Option<ApiUserId>,
    /// Only lines that are at least as bad
    #[arg(long, value_enum, default_value = "info")]
    severity: Wanted,
}

/// A severity as a flag names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Wanted {
    /// All lines.
    Info,
    /// What did not work, or soon will not.
    Warning,
    /// What somebody has to act on.
    Error,
}

impl From<Wanted> for Severity {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Info => Self::Info,
            Wanted::Warning => Self::Warning,
            Wanted::Error => Self::Error,
        }
    }
}

/// Shows, and with `-f` goes on.
pub async fn run(app: &App, args: &Args) -> Result<Report, Failure> {
    let mut session = Session::open_to_read(app).await?;
    let mut place = Place { boot: session.description.boot, after: 0 };
    if args.follow {
        return follow(app, args, session, place).await;
    }
    let read = place.read(&mut session).await?;
    let lines: Vec<&Event> = read.lines.iter().filter(|line| args.wants(line)).collect();
    let mut text = String::new();
    if let Some(gap) = gap(read.lost, read.reads_from_start) {
        app.console.note(&gap);
    }
    for line in &lines {
        text.push_str(&shown(line, app.console.colour));
        text.push('\n');
    }
    if lines.is_empty() {
        text.push_str("no such lines");
    }
    Ok(Report::new(
        text,
        json!({
            "boot": place.boot.to_string(),
            "newest": place.after,
            "lost": read.lost,
            "lines": lines.into_iter().map(as_json).collect::<Vec<_>>(),
        }),
    ))
}

async fn follow<'a>(app: &'a App, args: &Args, session: Session<'a>, mut place: Place) -> Result<Report, Failure> {
    let nothing_more = || Ok(Report::new("", Value::Null));
    let mut open = Some(session);
    let mut told_trouble = false;
    loop {
        let outcome = match open.as_mut() {
            Some(session) => place.read(session).await,
            None => match Session::open_to_read(app).await {
                Ok(mut session) => {
                    let read = place.read(&mut session).await;
                    open = Some(session);
                    read
                }
                Err(failure) => Err(failure),
            },
        };
        match outcome {
            Ok(read) => {
                told_trouble = false;
                if !show_read(app, args, &read, &place)? {
                    return nothing_more();
                }
            }
            // A host that is away, or an enclave that starts anew, may come back. What is not to be trusted may not.
            Err(failure @ (Failure::NoAnswer { .. } | Failure::Connect { .. })) => {
                open = None;
                if !told_trouble && !aside(app, "trouble", &format!("{failure}; trying again every second"))? {
                    return nothing_more();
                }
                told_trouble = true;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Shows what was read. `false` where nobody reads any more.
fn show_read(app: &App, args: &Args, read: &Read, place: &Place) -> Result<bool, Failure> {
    if read.rebooted
        && !aside(app, "reboot", &format!("the enclave started anew (boot {}): its log begins again", place.boot))?
    {
        return Ok(false);
    }
    if let Some(gap) = gap(read.lost, read.reads_from_start)
        && !aside(app, "gap", &gap)?
    {
        return Ok(false);
    }
    for line in read.lines.iter().filter(|line| args.wants(line)) {
        let text = match app.console.json {
            true => printable_json(&as_json(line).to_string()),
            false => shown(line, app.console.colour),
        };
        if !app.console.line(&text)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is no line of the log. People see it on stderr, scripts as an object of its own.
fn aside(app: &App, what: &str, text: &str) -> Result<bool, Failure> {
    if app.console.json {
        return app.console.line(&json!({ "aside": what, "text": printable(text) }).to_string());
    }
    app.console.note(&format!("-- {}", printable(text)));
    Ok(true)
}

fn gap(lost: u64, from_start: bool) -> Option<String> {
    match (lost, from_start) {
        (0, _) => None,
        (lost, true) => Some(format!("the first {lost} lines since the boot are not kept any more")),
        (lost, false) => Some(format!("{lost} LINES ARE LOST: they were not kept until they were asked for")),
    }
}

impl Args {
    fn wants(&self, line: &Event) -> bool {
        let of_user = |user: &ApiUserId| {
            line.fields.iter().any(|(name, value)| name.as_str() == "user" && value.as_str() == user.as_str())
        };
        line.severity >= Severity::from(self.severity) && self.user.as_ref().is_none_or(of_user)
    }
}

fn severity(severity: Severity) -> (&'static str, Tone) {
    match severity {
        Severity::Info => ("info", Tone::Plain),
        Severity::Warning => ("warning", Tone::Yellow),
        Severity::Error => ("error", Tone::Red),
    }
}

fn shown(line: &Event, colour: bool) -> String {
    let (word, tone) = severity(line.severity);
    let word = paint(tone, &format!("{word:<7}"), colour);
    let mut text = format!("{} {word} {}: {}", utc(line.at_ms), printable(&line.kind), printable(&line.text));
    for (name, value) in &line.fields {
        text.push_str(&format!(" {}={}", printable(name), printable(value)));
    }
    text
}

fn as_json(line: &Event) -> Value {
    let fields = line.fields.iter().map(|(name, value)| (name.to_string(), Value::from(value.as_str())));
    json!({
        "number": line.number,
        "at_ms": line.at_ms,
        "severity": severity(line.severity).0,
        "kind": &*line.kind,
        "text": &*line.text,
        "fields": fields.collect::<serde_json::Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::{List, Text};

    #[test]
    fn what_a_handler_said_cannot_write_to_the_terminal() {
        let event = Event {
            number: 1,
            at_ms: 0,
            severity: Severity::Info,
            kind: Text::default(),
            fields: List::new(vec![(Text::new("user").unwrap(), Text::new("\u{202e}x").unwrap())]).unwrap(),
            text: Text::new("no\u{1b}[2J").unwrap(),
        };
        let text = shown(&event, false);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    }
}
