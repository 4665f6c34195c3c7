//! What the workspace counts. Labels take values from small fixed sets.

use countersign_wire::callback::Attempt;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ceremony {
    kind: &'static str,
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    kind: &'static str,
    result: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Event {
    event: &'static str,
}

/// Upper ends of the histogram of callback handlers' times, in seconds.
const CALL_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Every metric.
pub struct Metrics {
    registry: Registry,
    requests: Family<Status, Counter>,
    refusals: Family<Reason, Counter>,
    ceremonies: Family<Ceremony, Counter>,
    calls: Family<Call, Counter>,
    call_seconds: Histogram,
    changes: Family<Event, Counter>,
    frames: Family<Direction, Counter>,
    dropped: Family<Reason, Counter>,
    bad_messages: Counter,
    links: Gauge,
    connections_refused: Counter,
    connections_ended: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("countersign_workspace");
        let requests = Family::default();
        registry.register("http_requests", "HTTP requests by status", requests.clone());
        let refusals = Family::default();
        registry.register("http_refusals", "Refused HTTP requests by reason", refusals.clone());
        let ceremonies = Family::default();
        registry.register(
            "ceremonies",
            "Sessions that began and failed, ceremonies that succeeded",
            ceremonies.clone(),
        );
        let calls = Family::default();
        registry.register(
            "callback_attempts",
            "Calls of callback handlers that co-signers told of, by result and reason",
            calls.clone(),
        );
        let call_seconds = Histogram::new(CALL_SECONDS);
        registry.register("callback_seconds", "How long such a call took", call_seconds.clone());
        let changes = Family::default();
        registry.register(
            "config_changes",
            "Configuration changes by what became of them, and words about them that did not count",
            changes.clone(),
        );
        let frames = Family::default();
        registry.register("relay_frames", "Frames of co-signers' links", frames.clone());
        let dropped = Family::default();
        registry.register("relay_dropped_frames", "Frames that were not delivered", dropped.clone());
        let bad_messages = Counter::default();
        registry.register("bad_messages", "Messages of co-signers that were refused", bad_messages.clone());
        let links = Gauge::default();
        registry.register("links", "Co-signers' links that are up", links.clone());
        let connections_refused = Counter::default();
        registry.register("connections_refused", "Connections over the limit", connections_refused.clone());
        let connections_ended = Counter::default();
        let help = "Connections without an authenticated request that gave way to others";
        registry.register("connections_ended", help, connections_ended.clone());
        Self {
            registry,
            requests,
            refusals,
            ceremonies,
            calls,
            call_seconds,
            changes,
            frames,
            dropped,
            bad_messages,
            links,
            connections_refused,
            connections_ended,
        }
    }
}

impl Metrics {
    /// A request was answered.
    pub fn request(&self, status: u16) {
        self.requests.get_or_create(&Status { status }).inc();
    }

    /// A request was refused.
    pub fn refusal(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// A session began or failed, or a ceremony succeeded.
    pub fn ceremony(&self, kind: &'static str, event: &'static str) {
        self.ceremonies.get_or_create(&Ceremony { kind, event }).inc();
    }

    /// A co-signer told of a call of a callback handler.
    pub fn attempt(&self, kind: &'static str, attempt: &Attempt) {
        let reason = attempt.code.map_or("none", |code| code.as_str());
        self.calls.get_or_create(&Call { kind, result: attempt.result.as_str(), reason }).inc();
        self.call_seconds.observe(f64::from(attempt.took_us) / 1e6);
    }

    /// A configuration change has this status, or something happened to it.
    pub fn change(&self, event: &'static str) {
        self.changes.get_or_create(&Event { event }).inc();
    }

    /// A frame came (`up`) or left (`down`).
    pub fn frame(&self, direction: &'static str) {
        self.frames.get_or_create(&Direction { direction }).inc();
    }

    /// A frame was not delivered.
    pub fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&Reason { reason }).inc();
    }

    /// A co-signer's message was refused.
    pub fn bad_message(&self) {
        self.bad_messages.inc();
    }

    /// So many links are up.
    pub fn links(&self, up: usize) {
        self.links.set(i64::try_from(up).unwrap_or(i64::MAX));
    }

    /// A connection was over the limit.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// A connection gave way to another one.
    pub fn connection_ended(&self) {
        self.connections_ended.inc();
    }

    /// Everything, as Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
