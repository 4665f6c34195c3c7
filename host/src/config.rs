//! The configuration: TOML, one struct a table, unknown keys refused. `cosigner-host.example.toml` beside this crate
//! writes every default out; a test compares the two. Durations are in milliseconds, sizes in bytes.

mod check;
mod dial;
mod kms;
mod links;
mod listen;
mod log;
mod proxy;

pub use check::ConfigError;
pub use dial::Dial;
pub use kms::{Kms, KmsCredentials};
pub use links::Links;
pub use listen::EnclaveAddress;
pub use log::{Log, LogFormat, LogLevel};
pub use proxy::ProxySetting;

use countersign_wire::limits::{MAX_BLOBS, MAX_STORED_BYTES};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest configuration file, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 256 * 1024;

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the enclave connects.
    pub enclave: Enclave,
    /// The store of sealed blobs.
    pub storage: Storage,
    /// Streams dialled for the enclave.
    pub dial: Dial,
    /// The enclave's calls of the AWS key service.
    pub kms: Kms,
    /// WebSockets to workspaces.
    pub links: Links,
    /// The socket for the operator's command line.
    pub admin: Admin,
    /// `/metrics` and `/healthz`.
    pub http: Http,
    /// What is logged, to standard error.
    pub log: Log,
    /// The process itself.
    pub process: Process,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let bytes = std::fs::metadata(path).map_err(read)?.len();
        if bytes > MAX_CONFIG_BYTES {
            return Err(ConfigError::TooLarge { path: path.to_owned(), max: MAX_CONFIG_BYTES, got: bytes });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text)
    }

    /// Parses and checks a configuration.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }
}

/// A duration in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl From<Millis> for Duration {
    fn from(millis: Millis) -> Self {
        Self::from_millis(millis.0)
    }
}

/// Table `[enclave]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Enclave {
    /// `unix:PATH` or `vsock:PORT`.
    pub listen: EnclaveAddress,
    /// With vsock: the context ids that may connect.
    pub allowed_cids: Vec<u32>,
    /// Most connections that have not yet said what they are for.
    pub max_openings: usize,
    /// Most control connections a second, and in a burst; more are closed at once.
    pub max_control_openings_per_second: u32,
    /// How long a connection may take to say it.
    pub opening_timeout_ms: Millis,
    /// How long a frame may take once it began.
    pub frame_timeout_ms: Millis,
    /// How long the enclave may take to accept a frame; then the connection is closed.
    pub write_timeout_ms: Millis,
}

impl Default for Enclave {
    fn default() -> Self {
        Self {
            listen: EnclaveAddress::Unix("/run/countersign/enclave.sock".into()),
            allowed_cids: Vec::new(),
            max_openings: 64,
            max_control_openings_per_second: 50,
            opening_timeout_ms: Millis(5_000),
            frame_timeout_ms: Millis(30_000),
            write_timeout_ms: Millis(30_000),
        }
    }
}

/// Table `[storage]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Directory of the database; made with mode 0700 if it is not there. One host at a time may use it.
    pub directory: PathBuf,
    /// Most blobs in the store.
    pub max_blobs: u64,
    /// Most bytes of names and values in the store.
    pub max_total_bytes: u64,
    /// Most batches that wait for the disk before the enclave is made to wait.
    pub max_waiting_batches: usize,
    /// Most bytes in them.
    pub max_waiting_bytes: u32,
    /// Most waiting batches that one commit makes durable together.
    pub max_group_batches: usize,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            directory: "/var/lib/countersign/host".into(),
            max_blobs: MAX_BLOBS as u64,
            max_total_bytes: MAX_STORED_BYTES,
            max_waiting_batches: 256,
            max_waiting_bytes: 64 * 1024 * 1024,
            max_group_batches: 64,
        }
    }
}

/// Table `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Path of the Unix socket, made with mode 0660.
    pub socket: PathBuf,
    /// Most connections at once; more are closed at once.
    pub max_connections: usize,
    /// Most new connections a second, and in a burst; more are closed at once.
    pub max_opens_per_second: u32,
    /// Most packets a second on one connection; more have to wait.
    pub max_packets_per_second: u32,
    /// Most packets to one connection that wait for its reader; a connection that falls behind is closed.
    pub queue_packets: usize,
    /// How long a connection may stand still.
    pub idle_timeout_ms: Millis,
    /// How long a frame may take once it began.
    pub frame_timeout_ms: Millis,
    /// How long the reader may take to accept a frame.
    pub write_timeout_ms: Millis,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            socket: "/run/countersign/admin.sock".into(),
            max_connections: 16,
            max_opens_per_second: 20,
            max_packets_per_second: 100,
            queue_packets: 32,
            idle_timeout_ms: Millis(300_000),
            frame_timeout_ms: Millis(10_000),
            write_timeout_ms: Millis(10_000),
        }
    }
}

/// Table `[http]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// A loopback address; port 0 takes a free one (see `process.ready_file`).
    pub listen: SocketAddr,
    /// Most connections at once; more are closed at once.
    pub max_connections: usize,
    /// How long one connection may live; each carries one request.
    pub connection_timeout_ms: Millis,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            max_connections: 16,
            connection_timeout_ms: Millis(5_000),
        }
    }
}

/// Table `[process]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Process {
    /// A JSON file with the addresses really in use, written when everything listens, removed at a clean stop.
    pub ready_file: Option<PathBuf>,
    /// How long a stop may take; then the process ends with an error. What was acknowledged is durable either way.
    pub stop_timeout_ms: Millis,
}

impl Default for Process {
    fn default() -> Self {
        Self { ready_file: None, stop_timeout_ms: Millis(10_000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../cosigner-host.example.toml");

    #[test]
    fn the_example_writes_every_default_out() {
        assert_eq!(Config::parse(EXAMPLE).unwrap(), Config::default());
        let example: toml::Table = EXAMPLE.parse().unwrap();
        let written: usize = example.values().map(|t| t.as_table().map_or(0, toml::Table::len)).sum();
        // Every field but `process.ready_file`, which has no default and stands there as a comment.
        assert_eq!(written, 7 + 6 + 12 + 2 + 11 + 8 + 3 + 2 + 1);
        assert!(EXAMPLE.contains("\n# ready_file ="));
    }

    #[test]
    fn by_default_there_is_room_for_all_that_an_enclave_stores_and_dials() {
        let config = Config::default();
        assert!(config.storage.max_blobs >= MAX_BLOBS as u64);
        assert!(config.storage.max_total_bytes >= MAX_STORED_BYTES);
        assert!(config.dial.max_streams >= countersign_wire::limits::MAX_STREAMS);
        assert!(config.links.max_links >= countersign_wire::limits::MAX_PAIRINGS);
    }

    #[test]
    fn an_unknown_key_or_table_is_refused() {
        assert!(Config::parse("[dial]\nmax_stream = 1\n").unwrap_err().to_string().contains("max_stream"));
        assert!(Config::parse("[dail]\n").is_err());
    }

    #[test]
    fn the_proxy_is_not_shown() {
        for table in ["links", "dial"] {
            let config = Config::parse(&format!("[{table}]\nproxy = \"http://user:canary@127.0.0.1:1\"\n")).unwrap();
            assert!(!format!("{config:?}").contains("canary"));
        }
    }
}
