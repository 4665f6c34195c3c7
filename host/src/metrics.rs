//! What the host counts, for `/metrics`. Labels take values from small fixed sets, or are ids of pairings whose number
//! is limited.

use crate::enclave_report::EnclaveReport;
use crate::links::LINK_FAILURES;
use crate::lock::lock;
use countersign_wire::host_link::Counter as EnclaveCounter;
use countersign_wire::ids::PairingId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Link {
    pairing: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LinkDirection {
    pairing: String,
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LinkReason {
    pairing: String,
    reason: &'static str,
}

/// To the workspace.
pub const UP: &str = "up";
/// From the workspace.
pub const DOWN: &str = "down";

/// Every metric of the host, and the enclave's last report.
pub struct Metrics {
    registry: Registry,
    report: Mutex<EnclaveReport>,
    last_stop: Mutex<Option<String>>,
    enclave_connected: Gauge,
    enclave_ready: Gauge,
    control_connections: Counter,
    enclave_refused: Family<Reason, Counter>,
    blobs: Gauge,
    blob_bytes: Gauge,
    persist_batches: Counter,
    persist_failures: Counter,
    commit_seconds: Histogram,
    longest_commit_us: AtomicU64,
    dial_streams: Gauge,
    dial_connected: Counter,
    dial_failures: Family<Step, Counter>,
    dial_bytes: Family<Direction, Counter>,
    link_up: Family<Link, Gauge>,
    link_connects: Family<Link, Counter>,
    link_failures: Family<LinkReason, Counter>,
    link_refused: Family<Reason, Counter>,
    link_messages: Family<LinkDirection, Counter>,
    link_dropped: Family<LinkDirection, Counter>,
    admin_connections: Gauge,
    admin_packets: Family<Direction, Counter>,
    admin_closed: Family<Reason, Counter>,
}

impl Metrics {
    /// All zero.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("countersign_host"),
            report: Mutex::default(),
            last_stop: Mutex::default(),
            enclave_connected: Gauge::default(),
            enclave_ready: Gauge::default(),
            control_connections: Counter::default(),
            enclave_refused: Family::default(),
            blobs: Gauge::default(),
            blob_bytes: Gauge::default(),
            persist_batches: Counter::default(),
            persist_failures: Counter::default(),
            commit_seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            longest_commit_us: AtomicU64::new(0),
            dial_streams: Gauge::default(),
            dial_connected: Counter::default(),
            dial_failures: Family::default(),
            dial_bytes: Family::default(),
            link_up: Family::default(),
            link_connects: Family::default(),
            link_failures: Family::default(),
            link_refused: Family::default(),
            link_messages: Family::default(),
            link_dropped: Family::default(),
            admin_connections: Gauge::default(),
            admin_packets: Family::default(),
            admin_closed: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        r.register(
            "enclave_connected",
            "Whether an enclave's control connection is open",
            self.enclave_connected.clone(),
        );
        r.register("enclave_ready", "Whether the enclave says that it serves", self.enclave_ready.clone());
        r.register("control_connections", "Control connections opened", self.control_connections.clone());
        r.register("enclave_refused", "Connections from the enclave's side refused", self.enclave_refused.clone());
        r.register("blobs", "Sealed blobs stored", self.blobs.clone());
        r.register("blob_bytes", "Bytes of their names and values", self.blob_bytes.clone());
        r.register("persist_batches", "Batches made durable", self.persist_batches.clone());
        r.register("persist_failures", "Batches refused or failed", self.persist_failures.clone());
        r.register("commit_seconds", "Time to make a group of batches durable", self.commit_seconds.clone());
        r.register("dial_streams", "Streams open for the enclave", self.dial_streams.clone());
        r.register("dial_connected", "Streams connected", self.dial_connected.clone());
        r.register("dial_failures", "Streams that failed, by step", self.dial_failures.clone());
        r.register("dial_bytes", "Bytes copied, out of and into the enclave", self.dial_bytes.clone());
        r.register("link_up", "Whether the link of a pairing is up", self.link_up.clone());
        r.register("link_connects", "Links connected", self.link_connects.clone());
        r.register("link_failures", "Links that could not connect or broke", self.link_failures.clone());
        r.register("link_refused", "Links that the enclave asked for and did not get", self.link_refused.clone());
        r.register("link_messages", "Messages carried, up to and down from the workspace", self.link_messages.clone());
        r.register("link_dropped", "Messages dropped: link down or queue full", self.link_dropped.clone());
        r.register("admin_connections", "Admin connections open", self.admin_connections.clone());
        r.register("admin_packets", "Admin packets, into and out of the enclave", self.admin_packets.clone());
        r.register("admin_closed", "Admin connections closed or refused, by reason", self.admin_closed.clone());
        self
    }

    /// The text for `/metrics`.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        lock(&self.report).encode(&mut text)?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// A control connection opened.
    pub fn enclave_connected(&self) {
        self.control_connections.inc();
        self.enclave_connected.set(1);
    }

    /// The control connection closed: what the enclave reported is history.
    pub fn enclave_gone(&self) {
        self.enclave_connected.set(0);
        self.enclave_ready.set(0);
        *lock(&self.report) = EnclaveReport::default();
    }

    /// Whether a control connection is open.
    pub fn is_enclave_connected(&self) -> bool {
        self.enclave_connected.get() == 1
    }

    /// Whether the enclave says that it serves.
    pub fn is_enclave_ready(&self) -> bool {
        self.enclave_ready.get() == 1
    }

    /// The enclave reported; replaces the last report.
    pub fn reported(&self, ready: bool, counters: &[EnclaveCounter]) {
        self.enclave_ready.set(i64::from(ready));
        if ready {
            *lock(&self.last_stop) = None;
        }
        *lock(&self.report) = EnclaveReport::new(counters);
    }

    /// The enclave said why it ends.
    pub fn enclave_stopped(&self, why: &str) {
        *lock(&self.last_stop) = Some(why.to_owned());
    }

    /// Why the enclave ended last, if it has not served since.
    pub fn last_stop(&self) -> Option<String> {
        lock(&self.last_stop).clone()
    }

    /// A connection from the enclave's side was refused.
    pub fn enclave_refused(&self, reason: &'static str) {
        self.enclave_refused.get_or_create(&Reason { reason }).inc();
    }

    /// What the store holds now.
    pub fn stored(&self, blobs: u64, bytes: u64) {
        self.blobs.set(i64::try_from(blobs).unwrap_or(i64::MAX));
        self.blob_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What the store held last: blobs, and bytes of their names and values.
    pub fn stored_now(&self) -> (u64, u64) {
        let now = |gauge: &Gauge| u64::try_from(gauge.get()).unwrap_or(0);
        (now(&self.blobs), now(&self.blob_bytes))
    }

    /// How long the longest commit took since this was asked last, in microseconds.
    pub fn take_longest_commit_us(&self) -> u64 {
        self.longest_commit_us.swap(0, Ordering::Relaxed)
    }

    /// A commit made so many batches durable.
    pub fn committed(&self, took: Duration, batches: usize) {
        self.commit_seconds.observe(took.as_secs_f64());
        self.longest_commit_us.fetch_max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.persist_batches.inc_by(u64::try_from(batches).unwrap_or(u64::MAX));
    }

    /// A batch was refused or failed.
    pub fn persist_failed(&self) {
        self.persist_failures.inc();
    }

    /// A stream for the enclave is open until the guard is dropped.
    pub fn dial_stream(&self) -> Open {
        Open::count(&self.dial_streams)
    }

    /// A stream was connected.
    pub fn dial_connected(&self) {
        self.dial_connected.inc();
    }

    /// A step of dialling failed.
    pub fn dial_failed(&self, step: &'static str) {
        self.dial_failures.get_or_create(&Step { step }).inc();
    }

    /// Bytes were copied: `out` of the enclave or into it.
    pub fn dial_copied(&self, out: bool, bytes: u64) {
        self.dial_bytes.get_or_create(&Direction { direction: if out { "out" } else { "in" } }).inc_by(bytes);
    }

    /// A link came up or went down.
    pub fn link_state(&self, pairing: PairingId, up: bool) {
        let link = Link { pairing: pairing.to_string() };
        self.link_up.get_or_create(&link).set(i64::from(up));
        if up {
            self.link_connects.get_or_create(&link).inc();
        }
    }

    /// A link could not connect, or broke.
    pub fn link_failed(&self, pairing: PairingId, reason: &'static str) {
        self.link_failures.get_or_create(&LinkReason { pairing: pairing.to_string(), reason }).inc();
    }

    /// A link was not opened at all.
    pub fn link_refused(&self, reason: &'static str) {
        self.link_refused.get_or_create(&Reason { reason }).inc();
    }

    /// A message was carried.
    pub fn link_carried(&self, pairing: PairingId, direction: &'static str) {
        self.link_messages.get_or_create(&LinkDirection { pairing: pairing.to_string(), direction }).inc();
    }

    /// Messages were dropped.
    pub fn link_dropped(&self, pairing: PairingId, direction: &'static str, messages: u64) {
        self.link_dropped.get_or_create(&LinkDirection { pairing: pairing.to_string(), direction }).inc_by(messages);
    }

    /// A link was closed: its pairing may never come back, so its metrics go too.
    pub fn link_gone(&self, pairing: PairingId) {
        let pairing = pairing.to_string();
        let link = Link { pairing: pairing.clone() };
        self.link_up.remove(&link);
        self.link_connects.remove(&link);
        for reason in LINK_FAILURES {
            self.link_failures.remove(&LinkReason { pairing: pairing.clone(), reason });
        }
        for direction in [UP, DOWN] {
            let labels = LinkDirection { pairing: pairing.clone(), direction };
            self.link_messages.remove(&labels);
            self.link_dropped.remove(&labels);
        }
    }

    /// All links are gone.
    pub fn links_gone(&self) {
        self.link_up.clear();
        self.link_connects.clear();
        self.link_failures.clear();
        self.link_messages.clear();
        self.link_dropped.clear();
    }

    /// An admin connection is open until the guard is dropped.
    pub fn admin_connection(&self) -> Open {
        Open::count(&self.admin_connections)
    }

    /// An admin packet was carried: `into` the enclave or out of it.
    pub fn admin_packet(&self, into: bool) {
        self.admin_packets.get_or_create(&Direction { direction: if into { "in" } else { "out" } }).inc();
    }

    /// An admin connection was closed or refused.
    pub fn admin_closed(&self, reason: &'static str) {
        self.admin_closed.get_or_create(&Reason { reason }).inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Something that counts as open until it is dropped.
pub struct Open(Gauge);

impl Open {
    fn count(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
