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

/// Lines of this kind come as often as handlers are called.
pub(crate) const CALL: &str = "callback";

/// The last lines since the boot. Calls of handlers never push out what operators did, nor warnings about anything else.
#[derive(Default)]
pub(crate) struct EventLog {
    calls: VecDeque<Event>,
    others: VecDeque<Event>,
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
        let lines = if kind == CALL { &mut self.calls } else { &mut self.others };
        if lines.len() >= MAX_EVENTS / 2 {
            lines.pop_front();
        }
        lines.push_back(event);
    }

    /// Lines after that number, the oldest first, as many as one answer holds.
    pub(crate) fn after(&self, boot: BootId, number: u64) -> Events {
        let newer = |lines: &VecDeque<Event>| -> Vec<Event> {
            lines.iter().filter(|line| line.number > number).take(MAX_LISTED_EVENTS).cloned().collect()
        };
        let mut lines = [newer(&self.calls), newer(&self.others)].concat();
        lines.sort_by_key(|line| line.number);
        Events { boot, lines: List::cut(lines), newest: self.newest }
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

    fn write(log: &mut EventLog, lines: usize, kind: &str) {
        for n in 0..lines {
            let mut fields = Fields::default();
            fields.add("n", n);
            log.write(n as u64, Severity::Info, kind, fields, "a\nline");
        }
    }

    fn log(lines: usize) -> EventLog {
        let mut log = EventLog::default();
        write(&mut log, lines, "test");
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
        let log = log(MAX_EVENTS / 2 + 7);
        assert_eq!(log.others.len(), MAX_EVENTS / 2);
        assert_eq!(log.after(BootId([1; 16]), 0).lines.first().map(|line| line.number), Some(8));
    }

    #[test]
    fn t31_calls_however_many_push_out_nothing_else() {
        let mut log = log(3);
        write(&mut log, MAX_EVENTS * 2, CALL);
        write(&mut log, 1, "test");
        let first = log.after(BootId([1; 16]), 0);
        assert_eq!(first.lines.iter().filter(|line| line.kind.as_str() == "test").count(), 3);
        let numbers: Vec<u64> = first.lines.iter().map(|line| line.number).collect();
        assert!(numbers.is_sorted());
        let mut read = 0;
        let mut at = 0;
        loop {
            let next = log.after(BootId([1; 16]), at);
            let Some(last) = next.lines.last() else { break };
            (at, read) = (last.number, read + next.lines.len());
        }
        assert_eq!(read, MAX_EVENTS / 2 + 4, "read page by page, each line once");
    }
}
