//! Table `[links]`.

use super::{Millis, ProxySetting};
use serde::Deserialize;

/// Table `[links]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// Most links at once.
    pub max_links: usize,
    /// How long connecting may take, from name resolution to the WebSocket upgrade.
    pub connect_timeout_ms: Millis,
    /// How often a ping is sent.
    pub ping_interval_ms: Millis,
    /// After how long without any byte from the workspace a link counts as broken.
    pub silence_timeout_ms: Millis,
    /// How long the workspace may take to accept a message.
    pub write_timeout_ms: Millis,
    /// First pause before connecting again; it doubles with every failure, and half of it is random.
    pub backoff_initial_ms: Millis,
    /// Longest pause.
    pub backoff_max_ms: Millis,
    /// After how long a connection counts as good, so that the pauses start small again.
    pub stable_after_ms: Millis,
    /// Most messages of one link that wait, in each direction; more are dropped and counted.
    pub queue_messages: usize,
    /// Most bytes in them, in each direction.
    pub queue_bytes: u32,
    /// `environment` (HTTPS_PROXY and NO_PROXY), `none`, or `http://[user:password@]host:port`.
    pub proxy: ProxySetting,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            max_links: 16,
            connect_timeout_ms: Millis(15_000),
            ping_interval_ms: Millis(15_000),
            silence_timeout_ms: Millis(45_000),
            write_timeout_ms: Millis(15_000),
            backoff_initial_ms: Millis(500),
            backoff_max_ms: Millis(30_000),
            stable_after_ms: Millis(10_000),
            queue_messages: 512,
            queue_bytes: 8 * 1024 * 1024,
            proxy: ProxySetting::Environment,
        }
    }
}
