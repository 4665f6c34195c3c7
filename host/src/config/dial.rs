//! Table `[dial]`.

use super::{Millis, ProxySetting};
use crate::dial::deny::METADATA;
use crate::network::Network;
use countersign_wire::limits::MAX_STREAMS;
use serde::Deserialize;

/// Table `[dial]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dial {
    /// Most streams at once.
    pub max_streams: usize,
    /// Most name resolutions at once.
    pub max_resolutions: usize,
    /// Most requests on one stream before it is connected.
    pub max_requests: u32,
    /// How long the enclave may take between two requests.
    pub request_timeout_ms: Millis,
    /// How long a resolution may take.
    pub resolve_timeout_ms: Millis,
    /// How long connecting may take.
    pub connect_timeout_ms: Millis,
    /// How long a connected stream may stand still.
    pub idle_timeout_ms: Millis,
    /// The same, once the enclave has sent everything: it may have gone altogether.
    pub half_closed_timeout_ms: Millis,
    /// How long a connected stream may live.
    pub total_timeout_ms: Millis,
    /// Most bytes in each direction of one stream.
    pub max_bytes: u64,
    /// Networks to which nothing is dialled, whatever the enclave asks for. The metadata addresses of clouds are refused
    /// also where they are not named here.
    pub deny: Vec<Network>,
    /// `environment` (HTTPS_PROXY and NO_PROXY), `none`, or `http://[user:password@]host:port`.
    pub proxy: ProxySetting,
}

impl Default for Dial {
    fn default() -> Self {
        Self {
            max_streams: MAX_STREAMS,
            max_resolutions: 16,
            max_requests: 8,
            request_timeout_ms: Millis(15_000),
            resolve_timeout_ms: Millis(10_000),
            connect_timeout_ms: Millis(10_000),
            idle_timeout_ms: Millis(120_000),
            half_closed_timeout_ms: Millis(10_000),
            total_timeout_ms: Millis(600_000),
            max_bytes: 64 * 1024 * 1024,
            deny: METADATA.to_vec(),
            proxy: ProxySetting::Environment,
        }
    }
}
