//! The configuration file: one struct a table, unknown keys refused. `cosigner-workspace.example.toml` shows every key.

use crate::ceremony::Settings;
use crate::store::with_suffix;
use countersign_attest::{Measurements, TrustAnchor};
use countersign_wire::evm::Asset;
use countersign_wire::ids::ApiUserId;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Least bytes of open transactions: the longest request with its token fits.
const MIN_OPEN_TRANSACTION_BYTES: u64 = 128 * 1024;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not the expected TOML.
    #[error("{path}: {source}")]
    Toml {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A value that cannot be used.
    #[error("{key}: {detail}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What was expected, and what came.
        detail: String,
    },
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port of the HTTPS API; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Base URL under which clients and co-signers reach the API; a port 0 stands for the port really in use.
    pub public_url: String,
    /// The database file.
    pub database: PathBuf,
    /// The key file; by default the database's name with `.keys` appended.
    pub keys: Option<PathBuf>,
    /// Written with the addresses in use when everything listens.
    pub ready_file: Option<PathBuf>,
    /// Whether pairings need an owner's approval.
    #[serde(default)]
    pub approve_pairings: ApprovePairings,
    /// The API user that signs for vault accounts that name none.
    pub default_signer: Option<String>,
    /// The API's certificate.
    pub tls: Tls,
    /// The listener for metrics.
    #[serde(default)]
    pub metrics: MetricsListener,
    /// What co-signers must be to be paired.
    #[serde(default)]
    pub trust: Trust,
    /// Who approves configuration changes.
    #[serde(default)]
    pub approvals: Approvals,
    /// What transfers of an asset pay where their request does not say.
    #[serde(default)]
    pub assets: Vec<AssetSettings>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// Deadlines.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// Logging.
    #[serde(default)]
    pub log: Log,
}

/// When a pairing counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovePairings {
    /// At once.
    AtOnce,
    /// After an owner has seen the operators' fingerprints and the measurements.
    #[default]
    Owner,
}

/// `[tls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub private_key: PathBuf,
}

/// `[metrics]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsListener {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for MetricsListener {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9466)) }
    }
}

/// `[trust]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// PEM file of the root of development attestation documents, instead of the AWS root.
    pub development_root: Option<PathBuf>,
    /// Accepted measurements; empty accepts any but those of debug mode.
    pub measurements: Vec<AcceptedMeasurements>,
}

/// One accepted image; hex of 48 bytes each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedMeasurements {
    /// The whole image.
    pub pcr0: String,
    /// Kernel and boot.
    pub pcr1: String,
    /// Application.
    pub pcr2: String,
    /// Signing certificate, where images are signed.
    pub pcr8: Option<String>,
}

/// `[approvals]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approvals {
    /// The API user whose callback handler approves configuration changes; none: they are in force at once.
    pub config_change_signer: Option<String>,
}

/// One of `[[assets]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetSettings {
    /// The asset.
    pub id: String,
    /// Highest fee of a unit of gas, in Gwei, as a decimal number.
    pub max_fee_gwei: Option<String>,
    /// Of it for whoever makes the block, in Gwei, as a decimal number.
    pub priority_fee_gwei: Option<String>,
    /// The nonce of the first transfer of each vault account.
    #[serde(default)]
    pub first_nonce: u64,
}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

table! {
    /// `[limits]`.
    Limits {
        /// Connections to the API at one time, and those of them from one address. Over either, the first one without an
        /// authenticated request gives way.
        max_connections: usize = 1024;
        /// Of them from one address (of IPv6: from one /64).
        max_connections_per_address: usize = 256;
        /// Co-signers' links at one time; they are not counted above.
        max_links: usize = 256;
        /// API users.
        max_api_users: u64 = 1024;
        /// Keys.
        max_keys: u64 = 100_000;
        /// Vault accounts.
        max_vault_accounts: u64 = 1_000_000;
        /// Configuration changes that wait for approval or for operators; more are refused until some are decided.
        max_pending_changes: u64 = 100;
        /// Unmanaged wallets.
        max_unmanaged_wallets: u64 = 10_000;
        /// Bytes of the requests of transactions that have not ended, which are in memory; more are refused until some have.
        max_open_transaction_bytes: u64 = 64 * 1024 * 1024;
        /// Transactions that have not ended; more are refused until some have.
        max_open_transactions: u64 = 10_000;
        /// Signing sessions at one time; more wait in order. For co-signers with two cores.
        max_sign_sessions: usize = 8;
        /// Bytes that wait for one co-signer's link; what is more is dropped.
        max_link_queue_bytes: usize = 16 * 1024 * 1024;
        /// Answered challenges of pairings that are remembered, for five minutes; more pairings wait.
        max_challenges: usize = 1024;
    }
}

table! {
    /// `[deadlines]`, in seconds where not said otherwise.
    Deadlines {
        /// A TLS handshake; after it, the first bytes of a request; then its whole head. A connection without a request is
        /// closed after so long.
        request_head: u64 = 10;
        /// Until the peer takes some of what is written to it; then its connection is closed.
        connection_write: u64 = 30;
        /// A whole HTTP request body.
        request_body: u64 = 10;
        /// An address asked for: key generation and key certificate together.
        activation: u64 = 50;
        /// The customer's Authorisation of a transaction.
        authorisation: u64 = 600;
        /// One signing session.
        sign_session: u64 = 30;
        /// One key generation session.
        keygen_session: u64 = 60;
        /// One auxiliary information session.
        aux_session: u64 = 600;
        /// How long a key generation is tried before the key is in ERROR.
        keygen_give_up: u64 = 300;
        /// A key certificate.
        certificate: u64 = 30;
        /// How often a link is pinged; one that is silent three times as long is closed.
        link_ping: u64 = 15;
    }
}

/// `[log]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `plain` or `json`.
    pub format: LogFormat,
    /// Level of this program's lines.
    pub level: LogLevel,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Plain,
    /// One object a line.
    Json,
}

/// Level of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And everything.
    Trace,
}

impl Config {
    /// Reads and checks a file. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// It cannot be read, has unknown keys, or values that cannot be used.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = [&mut config.database, &mut config.tls.certificate, &mut config.tls.private_key];
        let optional = [&mut config.keys, &mut config.ready_file, &mut config.trust.development_root];
        for relative in paths.into_iter().chain(optional.into_iter().flatten()) {
            *relative = folder.join(&*relative);
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let value = |key, detail: &str| Err(ConfigError::Value { key, detail: detail.to_owned() });
        let authority = self.public_url.strip_prefix("https://").unwrap_or_default();
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
            return value("public_url", "expected https://HOST or https://HOST:PORT without a path");
        }
        if !self.metrics.listen.ip().is_loopback() {
            return value("metrics.listen", "expected a loopback address; metrics have no access control");
        }
        let limits = &self.limits;
        let counts = [limits.max_connections, limits.max_connections_per_address, limits.max_links];
        if counts.contains(&0) || limits.max_challenges == 0 || limits.max_sign_sessions == 0 {
            return value("limits", "expected every limit to be 1 or more");
        }
        if limits.max_open_transaction_bytes < MIN_OPEN_TRANSACTION_BYTES {
            return value("limits.max_open_transaction_bytes", "expected 131072 or more, one request with its token");
        }
        if limits.max_link_queue_bytes < 1024 * 1024 {
            return value("limits.max_link_queue_bytes", "expected 1048576 or more, the messages of one round");
        }
        if limits.max_vault_accounts > 1 << 31 {
            return value(
                "limits.max_vault_accounts",
                "expected at most 2147483648, the elements of a derivation path",
            );
        }
        let d = &self.deadlines;
        let all = [d.request_body, d.activation, d.authorisation, d.sign_session, d.keygen_session, d.aux_session];
        let more = [d.keygen_give_up, d.certificate, d.link_ping, d.request_head, d.connection_write];
        if all.into_iter().chain(more).any(|seconds| !(1..=86_400).contains(&seconds)) {
            return value("deadlines", "expected every deadline to be 1 to 86400 seconds");
        }
        self.accepted_measurements()?;
        self.check_assets()?;
        let signer = self.approvals.config_change_signer.as_deref().map(str::parse::<ApiUserId>);
        if let Some(Err(error)) = signer {
            return value("approvals.config_change_signer", &error.to_string());
        }
        Ok(())
    }

    fn check_assets(&self) -> Result<(), ConfigError> {
        let value = |detail: String| Err(ConfigError::Value { key: "assets", detail });
        let mut seen = BTreeSet::new();
        for asset in &self.assets {
            if Asset::find(&asset.id).is_none() || !seen.insert(&asset.id) {
                return value(format!("expected a supported asset, each once, got {:?}", asset.id));
            }
            let fees = [&asset.max_fee_gwei, &asset.priority_fee_gwei].into_iter().flatten();
            for fee in fees {
                if let Err(error) = crate::evm::amount::wei_of_gwei(fee) {
                    return value(format!("{}: {error}", asset.id));
                }
            }
            if asset.first_nonce > crate::store::evm_nonces::MAX_NONCE {
                return value(format!("{}: expected a first_nonce below 2^53", asset.id));
            }
        }
        Ok(())
    }

    /// The key file.
    pub fn keys_path(&self) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| with_suffix(&self.database, ".keys"))
    }

    /// `public_url` with the port really in use.
    pub fn url(&self, bound: SocketAddr) -> String {
        match self.public_url.strip_suffix(":0") {
            Some(host) => format!("{host}:{}", bound.port()),
            None => self.public_url.clone(),
        }
    }

    /// The accepted measurements.
    ///
    /// # Errors
    /// One is not 48 bytes of hex.
    pub fn accepted_measurements(&self) -> Result<Vec<Measurements>, ConfigError> {
        let pcr = |text: &str| {
            let bytes = hex::decode(text).ok().and_then(|b| <[u8; 48]>::try_from(b).ok());
            let detail =
                || format!("expected 96 hexadecimal digits, got {:?}", text.chars().take(100).collect::<String>());
            bytes.ok_or_else(|| ConfigError::Value { key: "trust.measurements", detail: detail() })
        };
        let one = |m: &AcceptedMeasurements| {
            Ok(Measurements {
                pcr0: pcr(&m.pcr0)?,
                pcr1: pcr(&m.pcr1)?,
                pcr2: pcr(&m.pcr2)?,
                pcr8: m.pcr8.as_deref().map(pcr).transpose()?,
            })
        };
        self.trust.measurements.iter().map(one).collect()
    }

    /// Where attestation documents must lead.
    ///
    /// # Errors
    /// The development root cannot be read.
    pub fn trust_anchor(&self) -> Result<TrustAnchor, ConfigError> {
        let Some(path) = &self.trust.development_root else { return Ok(TrustAnchor::aws()) };
        let pem = std::fs::read(path).map_err(|source| ConfigError::Io { path: path.clone(), source })?;
        TrustAnchor::development_pem(&pem)
            .map_err(|e| ConfigError::Value { key: "trust.development_root", detail: e.to_string() })
    }

    /// The coordinator's settings.
    pub fn settings(&self) -> Settings {
        let ms = |seconds: u64| seconds.saturating_mul(1000);
        let d = &self.deadlines;
        Settings {
            authorise_ms: ms(d.authorisation),
            sign_session_ms: ms(d.sign_session),
            keygen_session_ms: ms(d.keygen_session),
            aux_session_ms: ms(d.aux_session),
            certify_ms: ms(d.certificate),
            keygen_give_up_ms: ms(d.keygen_give_up),
            max_sign_sessions: self.limits.max_sign_sessions,
            ..Settings::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../cosigner-workspace.example.toml");

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("workspace.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    /// Every key that is written out, as `# key = value` where it has no default.
    fn all_keys(text: &str) -> String {
        let is_key = |line: &str| {
            line.strip_prefix("# ").is_some_and(|l| {
                l.split_once(" = ")
                    .is_some_and(|(k, _)| k.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()))
                    || l.starts_with("[[")
            })
        };
        text.lines().map(|l| if is_key(l) { &l[2..] } else { l }).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_is_read_and_shows_the_defaults() {
        let config = load(EXAMPLE).unwrap();
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.deadlines, Deadlines::default());
        assert_eq!(config.approve_pairings, ApprovePairings::default());
        assert_eq!(config.metrics.listen, MetricsListener::default().listen);
        assert!(config.trust.development_root.is_none() && config.trust.measurements.is_empty());
    }

    #[test]
    fn the_example_names_every_key() {
        let config = load(&all_keys(EXAMPLE)).unwrap();
        assert!(config.keys.is_some() && config.ready_file.is_some() && config.default_signer.is_some());
        assert!(config.trust.development_root.is_some());
        assert!(config.trust.measurements[0].pcr8.is_some());
        assert!(config.approvals.config_change_signer.is_some());
        let asset = &config.assets[0];
        assert!(asset.id == "ETH" && asset.max_fee_gwei.is_some() && asset.priority_fee_gwei.is_some());
        for name in [
            "max_challenges",
            "max_links",
            "request_head",
            "max_open_transaction_bytes",
            "max_link_queue_bytes",
            "max_pending_changes",
            "max_unmanaged_wallets",
            "link_ping",
            "keygen_give_up",
            "level",
            "format",
        ] {
            assert!(EXAMPLE.contains(&format!("\n{name} = ")), "{name}");
        }
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        assert!(matches!(load(&format!("unknown = 1\n{EXAMPLE}")), Err(ConfigError::Toml { .. })));
        for bad in [
            "assets = [{id = 'BTC'}]",
            "assets = [{id = 'ETH'}, {id = 'ETH'}]",
            "assets = [{id = 'ETH', max_fee_gwei = '1e3'}]",
            "assets = [{id = 'ETH', first_nonce = 9007199254740992}]",
            "approvals.config_change_signer = 'a b'",
        ] {
            // As top-level keys they come before every table.
            let text = EXAMPLE.replace("[approvals]\n", "");
            assert!(matches!(load(&format!("{bad}\n{text}")), Err(ConfigError::Value { .. })), "{bad}");
        }
        for (from, to) in [
            ("https://workspace.example:8443", "http://workspace.example"),
            ("https://workspace.example:8443", "https://workspace.example/v1"),
            ("127.0.0.1:9466", "0.0.0.0:9466"),
            ("sign_session = 30", "sign_session = 0"),
            ("max_connections = 1024", "max_connections = 0"),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            assert!(matches!(load(&EXAMPLE.replace(from, to)), Err(ConfigError::Value { .. })), "{to}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_file_and_port_0_is_replaced() {
        let config = load(&EXAMPLE.replace("/var/lib/countersign/workspace.db", "w.db")).unwrap();
        assert!(config.database.is_absolute() && config.keys_path().ends_with("w.db.keys"));
        let config = Config { public_url: "https://localhost:0".into(), ..config };
        assert_eq!(config.url("127.0.0.1:4711".parse().unwrap()), "https://localhost:4711");
    }
}
