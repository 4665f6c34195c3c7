//! The co-signer's own log: what an admin reads over the attested channel. The same lines go to `tracing`, which in an enclave
//! ends nowhere.

use crate::limits::MAX_EVENTS;
use countersign_wire::limits::MAX_LISTED_EVENTS;
use countersign_wire::status::{Event, Events, Severity};
use countersign_wire::{List, Text, ids::BootId};
use std::collections::VecDeque;
use std::fmt::Display;

/// Fields of a line, in the order in which they were added. Never a secret.
#[derive(Default)]
pub(crate) struct Fields(Vec<(Text<32>, Text<128>)>);

impl Fields {
    /// Adds a field.
    pub(crate) fn add(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.0.push((Text::cut(name), Text::cut(value.to_string())));
        self
    }
}

/// The last lines since the boot.
#[derive(Default)]
pub(crate) struct EventLog {
    lines: VecDeque<Event>,
    newest: u64,
}

impl EventLog {
    /// Writes a line.
    pub(crate) fn write(&mut self, at_ms: u64, severity: Severity, kind: &str, fields: Fields, text: &str) {
        self.newest = self.newest.saturating_add(1);
        let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let event = Event {
            number: self.newest,
            at_ms,
            severity,
            kind: Text::cut(kind),
            fields: List::cut(fields.0),
            text: Text::cut(text),
        };
        trace(&event);
        if self.lines.len() >= MAX_EVENTS {
            self.lines.pop_front();
        }
        self.lines.push_back(event);
    }

    /// Lines after that number, the oldest first, as many as one answer holds.
    pub(crate) fn after(&self, boot: BootId, number: u64) -> Events {
        let lines = self.lines.iter().filter(|line| line.number > number).take(MAX_LISTED_EVENTS).cloned();
        Events { boot, lines: List::cut(lines.collect()), newest: self.newest }
    }
}

fn trace(event: &Event) {
    let fields = event.fields.iter().map(|(name, value)| format!("{}={}", name.as_str(), value.as_str()));
    let fields = fields.collect::<Vec<_>>().join(" ");
    let (kind, text) = (event.kind.as_str(), event.text.as_str());
    match event.severity {
        Severity::Info => tracing::info!(kind, fields, "{text}"),
        Severity::Warning => tracing::warn!(kind, fields, "{text}"),
        Severity::Error => tracing::error!(kind, fields, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: usize) -> EventLog {
        let mut log = EventLog::default();
        for n in 0..lines {
            let mut fields = Fields::default();
            fields.add("n", n);
            log.write(n as u64, Severity::Info, "test", fields, "a\nline");
        }
        log
    }

    #[test]
    fn lines_are_numbered_and_read_on_from_anywhere() {
        let log = log(300);
        let first = log.after(BootId([1; 16]), 0);
        assert_eq!((first.lines.len(), first.newest), (MAX_LISTED_EVENTS, 300));
        let rest = log.after(BootId([1; 16]), first.lines.last().map_or(0, |line| line.number));
        assert_eq!(rest.lines.len(), 100);
        assert_eq!(log.after(BootId([1; 16]), 300).lines.len(), 0);
        assert_eq!(rest.lines.first().map(|line| line.text.as_str()), Some("a line"), "one line is one line");
    }

    #[test]
    fn the_oldest_lines_make_room() {
        let log = log(MAX_EVENTS + 7);
        assert_eq!(log.lines.len(), MAX_EVENTS);
        assert_eq!(log.after(BootId([1; 16]), 0).lines.first().map(|line| line.number), Some(8));
    }
}
