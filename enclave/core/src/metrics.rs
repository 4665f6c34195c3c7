//! Counters for the host's `/metrics`. Nothing here is secret: the host reads it.

use crate::callback::LATENCY_BOUNDS_MS;
use crate::core::{Core, Phase};
use crate::serving::Serving;
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
    let ready = match &core.phase {
        Phase::Serving(serving) => {
            let pairings = serving.pairings.values();
            all.extend(callbacks(serving));
            all.push(counter("callbacks_running", None, size(core.running.places.running()), false));
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

/// Calls of handlers, by API user, and for each by reason.
fn callbacks(serving: &Serving) -> Vec<Counter> {
    let mut all = Vec::new();
    for pairing in serving.pairings.values() {
        let id = pairing.record.id.to_string();
        for user in &pairing.record.users {
            let waiting = pairing.askings.of_user(&user.id).count();
            let retrying = pairing.askings.of_user(&user.id).filter(|asking| asking.is_retrying()).count();
            let of_user = [("user", user.id.as_str()), ("pairing", &id)];
            if waiting > 0 {
                all.push(labelled("callbacks_waiting", &of_user, CounterValue::Gauge(size(waiting - retrying))));
                all.push(labelled("callbacks_retrying", &of_user, CounterValue::Gauge(size(retrying))));
            }
            let Some(seen) = pairing.callbacks.get(&user.id) else { continue };
            let bounds = LATENCY_BOUNDS_MS.iter().copied().zip(seen.latency);
            let times = CounterValue::Histogram {
                buckets: List::cut(bounds.collect()),
                count: seen.count,
                sum_ms: seen.sum_ms(),
            };
            all.push(labelled("callback_seconds", &of_user, times));
            for (code, calls) in &seen.by_code {
                let reason = code.map_or("approved", |code| code.as_str());
                let labels = [of_user[0], of_user[1], ("reason", reason)];
                all.push(labelled("callbacks_total", &labels, CounterValue::Total(*calls)));
            }
            if let Some(at_ms) = seen.certificate_expires_at_ms {
                let at = CounterValue::Gauge(at_ms / 1_000);
                all.push(labelled("handler_certificate_expires_at_seconds", &of_user, at));
            }
        }
    }
    all
}

fn labelled(name: &str, labels: &[(&str, &str)], value: CounterValue) -> Counter {
    let labels = labels.iter().map(|(name, value)| (Text::cut(*name), Text::cut(*value)));
    Counter { name: Text::cut(name), labels: List::cut(labels.collect()), value }
}
