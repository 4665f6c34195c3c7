//! Starting everything in the right order, and stopping it.

use crate::admin_socket::{self, Numbers};
use crate::aws::{CredentialsSource, Signer};
use crate::config::{Config, ConfigError};
use crate::control::{Control, VERSION};
use crate::dial::Dialler;
use crate::enclave_listener::{self, EnclaveListener, ListenError, Services};
use crate::health::HealthReports;
use crate::http;
use crate::links::LinkSettings;
use crate::metrics::Metrics;
use crate::open_files;
use crate::proxy::ProxyError;
pub use crate::ready_file::Addresses;
use crate::ready_file::ReadyFile;
use crate::socket_file::{SocketFile, SocketFileError};
use crate::storage::{Storage, StorageEnd, StorageError};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Mode of the admin socket: owner and group.
const ADMIN_SOCKET_MODE: u32 = 0o660;

/// Why the daemon did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A setting is out of range.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The proxy is not understood.
    #[error("links.proxy or dial.proxy: expected {0}")]
    Proxy(#[from] ProxyError),
    /// The store cannot be opened, or failed later in a way after which it cannot be trusted.
    #[error("storage: {0}")]
    Storage(#[from] StorageError),
    /// The enclave cannot connect.
    #[error("enclave.listen: {0}")]
    Enclave(#[from] ListenError),
    /// The command line cannot connect.
    #[error("admin.socket: {0}")]
    Admin(#[from] SocketFileError),
    /// The HTTP address cannot be bound.
    #[error("http.listen: {address}: {source}")]
    Http {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The ready file cannot be written.
    #[error("process.ready_file: {path}: {source}")]
    ReadyFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Stopping took too long; what was acknowledged is durable nevertheless.
    #[error("not stopped within {0} ms")]
    StopTimeout(u64),
    /// A task ended by a panic.
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A daemon that listens.
pub struct Daemon {
    addresses: Addresses,
    stop_timeout_ms: u64,
    storage: Storage,
    storage_end: StorageEnd,
    stop: CancellationToken,
    tasks: TaskTracker,
    ready_file: Option<ReadyFile>,
}

impl Daemon {
    /// Opens the store, then listens. The store comes first: its lock keeps a second host from taking the sockets over.
    pub async fn start(config: Config) -> Result<Self, DaemonError> {
        config.check()?;
        let config = Arc::new(config);
        let links = Arc::new(LinkSettings::new(&config.links, &config.dial.deny)?);
        let metrics = Arc::new(Metrics::new());
        let dialler = Dialler::new(&config.dial, metrics.clone())?;
        open_files::ensure(&config);
        let (storage, storage_end) = Storage::open(&config.storage, metrics.clone()).await?;
        let enclave = EnclaveListener::bind(&config.enclave).await?;
        let admin = SocketFile::bind(&config.admin.socket, ADMIN_SOCKET_MODE).await?;
        let at_http = |source| DaemonError::Http { address: config.http.listen, source };
        let http = TcpListener::bind(config.http.listen).await.map_err(at_http)?;
        let addresses = Addresses {
            version: VERSION,
            pid: std::process::id(),
            enclave: config.enclave.listen.to_string(),
            admin: config.admin.socket.clone(),
            http: http.local_addr().map_err(at_http)?.to_string(),
            storage: config.storage.directory.clone(),
        };

        let stop = CancellationToken::new();
        let proxied = dialler.is_proxied() || links.is_proxied();
        let health = HealthReports::new(config.storage.directory.clone(), metrics.clone(), proxied);
        let control =
            Arc::new(Control::new(config.clone(), links, storage.clone(), metrics.clone(), health, stop.clone()));
        let current = control.current();
        let signer = Signer::new(CredentialsSource::from(&config.kms));
        let services = Arc::new(Services::new(&config.enclave, control.clone(), dialler, signer, metrics.clone()));
        let tasks = TaskTracker::new();
        let stopping = stop.clone();
        tasks.spawn(async move {
            enclave_listener::serve(&enclave, services, stopping).await;
            control.ended().await;
        });
        let (admin_config, stopping) = (Arc::new(config.admin.clone()), stop.clone());
        let (numbers, admin_metrics) = (Numbers::new(storage.starts()), metrics.clone());
        tasks.spawn(async move {
            admin_socket::serve(&admin.listener, admin_config, numbers, current, admin_metrics, stopping).await;
        });
        tasks.spawn(http::serve(http, config.http.clone(), metrics, stop.clone()));

        let ready_file = match &config.process.ready_file {
            Some(path) => Some(
                ReadyFile::write(path, &addresses)
                    .map_err(|source| DaemonError::ReadyFile { path: path.clone(), source })?,
            ),
            None => None,
        };
        let stop_timeout_ms = config.process.stop_timeout_ms.0;
        Ok(Self { addresses, stop_timeout_ms, storage, storage_end, stop, tasks, ready_file })
    }

    /// The addresses really in use.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Runs until `asked_to_stop`, then finishes the commit under way and closes everything. Ends with an error as
    /// soon as the store can no longer be trusted: the enclave would wait for it in vain.
    pub async fn run_until(mut self, asked_to_stop: impl Future<Output = ()>) -> Result<(), DaemonError> {
        let failed = tokio::select! {
            () = asked_to_stop => None,
            ended = &mut self.storage_end => Some(ended),
        };
        self.stop.cancel();
        self.tasks.close();
        let limit = Duration::from_millis(self.stop_timeout_ms);
        let stopped = timeout(limit, async {
            self.tasks.wait().await;
            match failed {
                Some(ended) => ended,
                None => {
                    self.storage.stop().await;
                    self.storage_end.await
                }
            }
        });
        let result = match stopped.await {
            Ok(ended) => ended?.map_err(DaemonError::Storage),
            Err(_) => Err(DaemonError::StopTimeout(self.stop_timeout_ms)),
        };
        drop(self.ready_file);
        result
    }
}
