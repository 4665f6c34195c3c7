//! The ranges of every setting. A value out of range is an error at the start, never adjusted silently.

use super::{Config, EnclaveAddress, Millis, ProxySetting};
use crate::proxy::Proxies;
use std::io;
use std::path::{Path, PathBuf};

/// Most connections, streams, links or queued items of one kind.
const MAX_COUNT: usize = 4096;
/// Most networks to which nothing is dialled.
const MAX_DENIED_NETWORKS: usize = 256;
/// Longest time limit: one day.
const MAX_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// Longest path of a Unix socket: `sun_path` has 108 bytes, one is the terminator, and binding takes place under a
/// temporary name that is at most this much longer.
const MAX_SOCKET_PATH_BYTES: usize = 107 - crate::socket_file::TEMPORARY_SUFFIX_BYTES;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large to be one of ours.
    #[error("{path}: expected at most {max} bytes, got {got}")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Most bytes.
        max: u64,
        /// Its bytes.
        got: u64,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A value is out of range.
    #[error("{key}: expected {expected}, got {got}")]
    OutOfRange {
        /// Table and key.
        key: &'static str,
        /// What is allowed.
        expected: String,
        /// What came.
        got: String,
    },
}

impl Config {
    /// Checks every value.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_enclave()?;
        self.check_storage()?;
        self.check_dial()?;
        self.check_links()?;
        self.check_admin()?;
        if !self.http.listen.ip().is_loopback() {
            return Err(out_of_range("http.listen", "a loopback address", self.http.listen));
        }
        count("http.max_connections", self.http.max_connections)?;
        millis("http.connection_timeout_ms", self.http.connection_timeout_ms)?;
        millis("process.stop_timeout_ms", self.process.stop_timeout_ms)
    }

    fn check_enclave(&self) -> Result<(), ConfigError> {
        let enclave = &self.enclave;
        match &enclave.listen {
            EnclaveAddress::Unix(path) => socket_path("enclave.listen", path)?,
            EnclaveAddress::Vsock(port) => range("enclave.listen", *port, 1, u32::MAX - 1)?,
        }
        if !enclave.allowed_cids.is_empty() && matches!(enclave.listen, EnclaveAddress::Unix(_)) {
            return Err(out_of_range("enclave.allowed_cids", "none with a Unix socket", enclave.allowed_cids.len()));
        }
        if enclave.allowed_cids.is_empty() && matches!(enclave.listen, EnclaveAddress::Vsock(_)) {
            let expected = "the context id of the enclave: whoever may connect can take the enclave's place";
            return Err(out_of_range("enclave.allowed_cids", expected, "none"));
        }
        count("enclave.max_openings", enclave.max_openings)?;
        range("enclave.max_control_openings_per_second", enclave.max_control_openings_per_second, 1, 10_000)?;
        millis("enclave.opening_timeout_ms", enclave.opening_timeout_ms)?;
        millis("enclave.frame_timeout_ms", enclave.frame_timeout_ms)?;
        millis("enclave.write_timeout_ms", enclave.write_timeout_ms)
    }

    fn check_storage(&self) -> Result<(), ConfigError> {
        let storage = &self.storage;
        if storage.directory.as_os_str().is_empty() {
            return Err(out_of_range("storage.directory", "a path", "nothing"));
        }
        range("storage.max_blobs", storage.max_blobs, 1, 10_000_000)?;
        range("storage.max_total_bytes", storage.max_total_bytes, 1024 * 1024, 1 << 40)?;
        count("storage.max_waiting_batches", storage.max_waiting_batches)?;
        range("storage.max_waiting_bytes", storage.max_waiting_bytes, 4 * 1024 * 1024, 1 << 30)?;
        count("storage.max_group_batches", storage.max_group_batches)
    }

    fn check_dial(&self) -> Result<(), ConfigError> {
        let dial = &self.dial;
        count("dial.max_streams", dial.max_streams)?;
        range("dial.max_resolutions", dial.max_resolutions, 1, 256)?;
        range("dial.max_requests", dial.max_requests, 1, 256)?;
        millis("dial.request_timeout_ms", dial.request_timeout_ms)?;
        millis("dial.resolve_timeout_ms", dial.resolve_timeout_ms)?;
        millis("dial.connect_timeout_ms", dial.connect_timeout_ms)?;
        millis("dial.idle_timeout_ms", dial.idle_timeout_ms)?;
        millis("dial.half_closed_timeout_ms", dial.half_closed_timeout_ms)?;
        millis("dial.total_timeout_ms", dial.total_timeout_ms)?;
        range("dial.max_bytes", dial.max_bytes, 1024, 1 << 40)?;
        range("dial.deny", dial.deny.len(), 0, MAX_DENIED_NETWORKS)?;
        proxy("dial.proxy", &dial.proxy)
    }

    fn check_links(&self) -> Result<(), ConfigError> {
        let links = &self.links;
        range("links.max_links", links.max_links, 1, 256)?;
        millis("links.connect_timeout_ms", links.connect_timeout_ms)?;
        millis("links.ping_interval_ms", links.ping_interval_ms)?;
        millis("links.silence_timeout_ms", links.silence_timeout_ms)?;
        if links.silence_timeout_ms <= links.ping_interval_ms {
            return Err(out_of_range(
                "links.silence_timeout_ms",
                "more than links.ping_interval_ms",
                links.silence_timeout_ms.0,
            ));
        }
        millis("links.write_timeout_ms", links.write_timeout_ms)?;
        millis("links.backoff_initial_ms", links.backoff_initial_ms)?;
        millis("links.backoff_max_ms", links.backoff_max_ms)?;
        if links.backoff_max_ms < links.backoff_initial_ms {
            return Err(out_of_range(
                "links.backoff_max_ms",
                "at least links.backoff_initial_ms",
                links.backoff_max_ms.0,
            ));
        }
        millis("links.stable_after_ms", links.stable_after_ms)?;
        count("links.queue_messages", links.queue_messages)?;
        range("links.queue_bytes", links.queue_bytes, 512 * 1024, 1 << 30)?;
        proxy("links.proxy", &links.proxy)
    }

    fn check_admin(&self) -> Result<(), ConfigError> {
        let admin = &self.admin;
        socket_path("admin.socket", &admin.socket)?;
        if self.enclave.listen == EnclaveAddress::Unix(admin.socket.clone()) {
            return Err(out_of_range("admin.socket", "another path than enclave.listen", admin.socket.display()));
        }
        count("admin.max_connections", admin.max_connections)?;
        range("admin.max_opens_per_second", admin.max_opens_per_second, 1, 10_000)?;
        range("admin.max_packets_per_second", admin.max_packets_per_second, 1, 100_000)?;
        count("admin.queue_packets", admin.queue_packets)?;
        millis("admin.idle_timeout_ms", admin.idle_timeout_ms)?;
        millis("admin.frame_timeout_ms", admin.frame_timeout_ms)?;
        millis("admin.write_timeout_ms", admin.write_timeout_ms)
    }
}

fn out_of_range(key: &'static str, expected: impl Into<String>, got: impl ToString) -> ConfigError {
    ConfigError::OutOfRange { key, expected: expected.into(), got: got.to_string() }
}

fn range<T>(key: &'static str, value: T, min: T, max: T) -> Result<(), ConfigError>
where
    T: PartialOrd + ToString + std::fmt::Display,
{
    if value < min || value > max {
        return Err(out_of_range(key, format!("{min} to {max}"), value));
    }
    Ok(())
}

fn count(key: &'static str, value: usize) -> Result<(), ConfigError> {
    range(key, value, 1, MAX_COUNT)
}

fn millis(key: &'static str, value: Millis) -> Result<(), ConfigError> {
    range(key, value.0, 1, MAX_MILLIS)
}

fn proxy(key: &'static str, setting: &ProxySetting) -> Result<(), ConfigError> {
    // What it says is not repeated: it may hold a password.
    Proxies::from_setting(setting).map_err(|e| out_of_range(key, e.to_string(), "another value"))?;
    Ok(())
}

fn socket_path(key: &'static str, path: &Path) -> Result<(), ConfigError> {
    let bytes = path.as_os_str().len();
    if bytes == 0 || bytes > MAX_SOCKET_PATH_BYTES {
        return Err(out_of_range(key, format!("a path of 1 to {MAX_SOCKET_PATH_BYTES} bytes"), bytes));
    }
    if path.file_name().is_none() {
        return Err(out_of_range(key, "a path that ends in a file name", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        Config::default().check().unwrap();
    }

    #[test]
    fn a_value_out_of_range_is_refused_and_named() {
        for (text, key) in [
            ("[http]\nlisten = \"0.0.0.0:9464\"", "http.listen"),
            ("[dial]\nmax_streams = 0", "dial.max_streams"),
            ("[dial]\nidle_timeout_ms = 86400001", "dial.idle_timeout_ms"),
            ("[links]\nsilence_timeout_ms = 15000", "links.silence_timeout_ms"),
            ("[links]\nbackoff_max_ms = 1", "links.backoff_max_ms"),
            ("[links]\nproxy = \"socks5://127.0.0.1:1\"", "links.proxy"),
            ("[dial]\nproxy = \"https://127.0.0.1:1\"", "dial.proxy"),
            ("[enclave]\nallowed_cids = [4]", "enclave.allowed_cids"),
            ("[enclave]\nlisten = \"vsock:5016\"", "enclave.allowed_cids"),
            ("[enclave]\nmax_control_openings_per_second = 0", "enclave.max_control_openings_per_second"),
            ("[admin]\nsocket = \"/run/countersign/enclave.sock\"", "admin.socket"),
            ("[storage]\ndirectory = \"\"", "storage.directory"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
        let long = format!("[admin]\nsocket = \"/{}\"", "x".repeat(120));
        assert!(Config::parse(&long).unwrap_err().to_string().starts_with("admin.socket"));
    }
}
