//! What the workspace counts. Labels take values from small fixed sets.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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

/// Every metric.
pub struct Metrics {
    registry: Registry,
    requests: Family<Status, Counter>,
    refusals: Family<Reason, Counter>,
    ceremonies: Family<Ceremony, Counter>,
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
