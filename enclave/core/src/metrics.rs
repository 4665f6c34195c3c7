//! Counters for the host's `/metrics`. Nothing here is secret: the host reads it.

use crate::core::{Core, Phase};
use countersign_wire::host_link::{Counter, CounterValue};
use countersign_wire::{List, Text};

fn counter(name: &str, label: Option<(&str, &str)>, value: u64, monotonic: bool) -> Counter {
    let labels = label.into_iter().map(|(name, value)| (Text::cut(name), Text::cut(value))).collect();
    let value = if monotonic { CounterValue::Total(value) } else { CounterValue::Gauge(value) };
    Counter { name: Text::cut(name), labels: List::cut(labels), value }
}

fn size(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Whether the co-signer serves, and its counters.
pub(crate) fn counters(core: &Core) -> (bool, Vec<Counter>) {
    let counts = &core.counts;
    let mut all = vec![
        counter("signatures_total", None, counts.signatures, true),
        counter("authorised_total", None, counts.authorised, true),
        counter("authorisation_refused_total", None, counts.refused, true),
        counter("sessions_aborted_total", None, counts.aborted, true),
        counter("channel_errors_total", None, counts.channel_errors, true),
        counter("link_frames_dropped_total", None, counts.links_dropped, true),
        counter("admin_refused_total", None, counts.admin_refused, true),
        counter("persist_backlog", None, size(core.outbox.backlog()), false),
        counter("jobs", None, size(core.running.jobs.len()), false),
        counter("boot_time_ms", None, core.booted_at_ms, false),
    ];
    all.extend(
        counts
            .callbacks
            .iter()
            .map(|(result, value)| counter("callbacks_total", Some(("result", result)), *value, true)),
    );
    let ready = match &core.phase {
        Phase::Serving(serving) => {
            let pairings = serving.pairings.values();
            all.push(counter("pairings", None, size(serving.pairings.len()), false));
            all.push(counter("links_up", None, size(pairings.clone().filter(|p| p.link.is_up).count()), false));
            all.push(counter("keys", None, size(pairings.clone().map(|p| p.keys.len()).sum()), false));
            all.push(counter("ledger_records", None, size(pairings.clone().map(|p| p.ledger.len()).sum()), false));
            all.push(counter("sessions", None, size(pairings.map(|p| p.ceremonies.sessions.len()).sum()), false));
            true
        }
        Phase::Failed(_) => {
            all.push(counter("failed", None, 1, false));
            false
        }
        _ => false,
    };
    (ready, all)
}
