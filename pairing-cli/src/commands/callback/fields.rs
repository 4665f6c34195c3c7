//! A setting field by field, as operators read and compare it.

use crate::console::{Tone, paint};
use crate::public_key::{algorithm, fingerprint};
use crate::text_forms::{network_text, printable};
use countersign_wire::command::{ApprovalSetting, Handler, HandlerTls, RetrySchedule};
use std::fmt::Write as _;

/// Width of the names before the values.
const NAME_COLUMNS: usize = 12;

/// One field: its name, and its value, one line or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub lines: Vec<String>,
}

/// One field that is not the same in two settings. A side that lacks it has no lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field's name.
    pub name: &'static str,
    /// What it was.
    pub before: Vec<String>,
    /// What it will be.
    pub after: Vec<String>,
}

/// Everything that a setting says. Two settings have the same fields only if they are the same.
pub fn fields(setting: &ApprovalSetting) -> Vec<Field> {
    let approval = match setting {
        ApprovalSetting::None => "NONE: everything is refused",
        ApprovalSetting::Handler(_) => "by its handler",
        ApprovalSetting::Auto => "AUTO-APPROVE: nobody is asked",
    };
    let mut all = vec![one("approval", approval)];
    if let ApprovalSetting::Handler(handler) = setting {
        all.extend(handler_fields(handler));
    }
    all
}

fn handler_fields(handler: &Handler) -> Vec<Field> {
    // Named one by one: a new member does not compile before it is shown.
    let Handler { url, keys, tls, networks, deadline_ms, retry, dated_requests, own_request_key } = handler;
    let mut all = vec![
        one("URL", printable(url)),
        one("mode", handler.mode().map_or("NONE: nothing says who answers", |m| m.as_str())),
    ];
    let keys: Vec<String> = keys.iter().map(|k| format!("{} {}", algorithm(k), fingerprint(k))).collect();
    all.push(Field { name: "keys", lines: newest_last(keys, "none: plain JSON") });
    all.push(match tls {
        HandlerTls::PublicRoots => one("TLS", "public certificate authorities"),
        HandlerTls::Root(root) => one("TLS", format!("only under the root {}", fingerprint(root))),
        HandlerTls::Pinned(pins) => {
            let pins = pins.iter().map(|pin| format!("pin {}", hex::encode(pin))).collect();
            Field { name: "TLS", lines: newest_last(pins, "pinned, to no certificate") }
        }
    });
    let networks: Vec<String> = networks.iter().map(network_text).collect();
    all.push(match networks.as_slice() {
        [] => one("networks", "public ones only"),
        _ => Field { name: "networks", lines: networks },
    });
    let RetrySchedule { every_s, times } = retry;
    all.extend([
        one("one call", format!("{deadline_ms} ms at most")),
        one("after RETRY", format!("every {every_s} s, {times} times")),
        one("dates", if *dated_requests { "requests carry iat, nbf, exp and jti" } else { "requests carry none" }),
        one("signs with", if *own_request_key { "a key of this API user alone" } else { "the pairing's key" }),
    ]);
    all
}

fn one(name: &'static str, value: impl Into<String>) -> Field {
    Field { name, lines: vec![value.into()] }
}

fn newest_last(mut lines: Vec<String>, none: &str) -> Vec<String> {
    match lines.as_mut_slice() {
        [] => return vec![none.to_owned()],
        [_] => {}
        [.., newest] => newest.push_str(" (newest)"),
    }
    lines
}

/// The fields that are not the same.
pub fn differences(before: &ApprovalSetting, after: &ApprovalSetting) -> Vec<Difference> {
    let (before, after) = (fields(before), fields(after));
    let lines_of = |all: &[Field], name: &str| all.iter().find(|f| f.name == name).map(|f| f.lines.clone());
    let mut names: Vec<&'static str> = before.iter().map(|f| f.name).collect();
    names.extend(after.iter().map(|f| f.name).filter(|name| !before.iter().any(|f| f.name == *name)));
    let pairs = names.into_iter().map(|name| Difference {
        name,
        before: lines_of(&before, name).unwrap_or_default(),
        after: lines_of(&after, name).unwrap_or_default(),
    });
    pairs.filter(|d| d.before != d.after).collect()
}

/// Names and values below one another.
pub fn show(fields: &[Field], colour: bool) -> String {
    let mut text = String::new();
    for field in fields {
        for (index, line) in field.lines.iter().enumerate() {
            let name = if index == 0 { field.name } else { "" };
            let _ = writeln!(text, "{name:NAME_COLUMNS$} {}", paint(tone(line), line, colour));
        }
    }
    text
}

/// Old lines with `-`, new ones with `+`.
pub fn show_differences(differences: &[Difference], colour: bool) -> String {
    let mut text = String::new();
    for difference in differences {
        let old = difference.before.iter().map(|line| ("-", line));
        let new = difference.after.iter().map(|line| ("+", line));
        for (index, (sign, line)) in old.chain(new).enumerate() {
            let name = if index == 0 { difference.name } else { "" };
            let weak = if sign == "+" { tone(line) } else { Tone::Plain };
            let _ = writeln!(text, "  {name:NAME_COLUMNS$} {sign} {}", paint(weak, line, colour));
        }
    }
    text
}

/// What weakens or stops a co-signer begins in capitals, and is red.
fn tone(line: &str) -> Tone {
    if line.starts_with("AUTO-APPROVE") || line.starts_with("NONE:") { Tone::Red } else { Tone::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_forms::parse_network;
    use countersign_wire::{Bytes, List, Text};

    fn handler() -> Handler {
        Handler {
            url: Text::new("https://h.example").unwrap(),
            keys: List::new(vec![Bytes::new([1; 4]).unwrap(), Bytes::new([2; 4]).unwrap()]).unwrap(),
            tls: HandlerTls::Pinned(List::new(vec![[3; 32], [4; 32]]).unwrap()),
            networks: List::new(vec![parse_network("10.0.0.0/8").unwrap()]).unwrap(),
            deadline_ms: 30_000,
            retry: RetrySchedule::default(),
            dated_requests: false,
            own_request_key: false,
        }
    }

    #[test]
    fn no_difference_is_hidden() {
        let before = handler();
        let turned = |list: &[Bytes<{ countersign_wire::limits::MAX_DER_BYTES }>]| {
            List::new(list.iter().rev().cloned().collect()).unwrap()
        };
        let changed = [
            ("URL", Handler { url: Text::new("https://h.example/").unwrap(), ..handler() }),
            ("keys", Handler { keys: turned(&before.keys), ..handler() }),
            ("keys", Handler { keys: List::new(vec![Bytes::new([1; 4]).unwrap()]).unwrap(), ..handler() }),
            ("TLS", Handler { tls: HandlerTls::Pinned(List::new(vec![[4; 32], [3; 32]]).unwrap()), ..handler() }),
            ("mode", Handler { tls: HandlerTls::Root(Bytes::new([3; 4]).unwrap()), ..handler() }),
            ("mode", Handler { tls: HandlerTls::PublicRoots, ..handler() }),
            ("mode", Handler { keys: List::default(), ..handler() }),
            (
                "networks",
                Handler { networks: List::new(vec![parse_network("10.0.0.0/9").unwrap()]).unwrap(), ..handler() },
            ),
            ("networks", Handler { networks: List::default(), ..handler() }),
            ("one call", Handler { deadline_ms: 30_001, ..handler() }),
            ("after RETRY", Handler { retry: RetrySchedule { every_s: 181, times: 20 }, ..handler() }),
            ("after RETRY", Handler { retry: RetrySchedule { every_s: 180, times: 21 }, ..handler() }),
            ("dates", Handler { dated_requests: true, ..handler() }),
            ("signs with", Handler { own_request_key: true, ..handler() }),
        ];
        let before = ApprovalSetting::Handler(before);
        assert_eq!(differences(&before, &before.clone()), []);
        for (name, after) in changed {
            let found = differences(&before, &ApprovalSetting::Handler(after));
            assert_eq!(found.first().map(|d| d.name), Some(name), "{found:?}");
        }
        assert_eq!(differences(&ApprovalSetting::None, &ApprovalSetting::Auto).len(), 1);
        assert_eq!(differences(&before, &ApprovalSetting::Auto).len(), fields(&before).len());
    }

    #[test]
    fn what_a_workspace_proposes_cannot_write_to_the_terminal() {
        let url = Text::new("https://h\u{1b}[2J.example").unwrap();
        let shown = show(&fields(&ApprovalSetting::Handler(Handler { url, ..handler() })), false);
        assert!(!shown.contains('\u{1b}') && shown.contains("https://h\u{fffd}[2J.example"), "{shown}");
    }

    #[test]
    fn weakening_is_red_and_only_where_colours_are() {
        let differences = differences(&ApprovalSetting::None, &ApprovalSetting::Auto);
        assert!(show_differences(&differences, true).contains("\u{1b}[1;31mAUTO-APPROVE"));
        assert_eq!(
            show_differences(&differences, false),
            "  approval     - NONE: everything is refused\n               + AUTO-APPROVE: nobody is asked\n"
        );
    }
}
