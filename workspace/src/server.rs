//! Puts the parts together: HTTPS listener, metrics listener, coordinator, ready file.

use crate::ceremony::{Coordinator, PublicChecks, UnknownGroup};
use crate::checks::Secp256k1;
use crate::clock::{Clock, now_ms};
use crate::config::{Config, ConfigError, Limits};
use crate::connections::{Bounds, Connections};
use crate::http::challenges::Challenges;
use crate::http::{App, router};
use crate::hub::Hub;
use crate::identity::{Identity, IdentityError};
use crate::metrics::Metrics;
use crate::service::{self, Parts, ServiceError};
use crate::store::nonces::{self, Nonces};
use crate::store::{Store, StoreError, ceremonies, idempotency, pairing};
use crate::streams::{Http1, Places};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long requests that run may take to end at a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most of a connection's unread bytes that are held, and so the longest head of a request: a token with its path, many times
/// over, and far below what hyper takes from anybody by itself.
const MAX_UNREAD_BYTES: usize = 96 * 1024;
/// How often expired rows are deleted, and stored transactions looked for that nobody took up.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its coordinator.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// What was stored.
    #[error(transparent)]
    UnknownGroup(#[from] UnknownGroup),
    /// There is no workspace in the database.
    #[error("{0} holds no workspace; make one with `cosigner-workspace init`")]
    NotInitialised(PathBuf),
    /// The database and the keys are not of one workspace.
    #[error("the database is workspace {database}'s, the key file workspace {keys}'s; restore the matching pair")]
    OtherKeys {
        /// Id in the database.
        database: String,
        /// Id in the key file.
        keys: String,
    },
    /// The API's certificate or key.
    #[error("tls: {0}")]
    Tls(String),
    /// A listener or the ready file.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
}

fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServerError {
    let what = what.into();
    move |source| ServerError::Io { what, source }
}

/// The addresses really in use, as the ready file shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// Version of this program.
    pub version: &'static str,
    /// Process id.
    pub pid: u32,
    /// `IP:PORT` of the HTTPS API.
    pub api: SocketAddr,
    /// `IP:PORT` of `/metrics` and `/healthz`.
    pub metrics: SocketAddr,
    /// Base URL of the API.
    pub url: String,
    /// The workspace's id.
    pub workspace_id: String,
    /// The fingerprint that operators name.
    pub fingerprint: String,
}

/// A running server.
pub struct Server {
    addresses: Addresses,
    handle: Handle<SocketAddr>,
    stopping: tokio::sync::watch::Sender<bool>,
    tasks: JoinSet<Result<(), ServerError>>,
    app: Arc<App>,
    ready_file: Option<PathBuf>,
}

/// Opens database and keys of one workspace.
///
/// # Errors
/// One is not there, or they do not belong together.
pub async fn open(config: &Config) -> Result<(Store, Identity), ServerError> {
    if !config.database.exists() {
        return Err(ServerError::NotInitialised(config.database.clone()));
    }
    let store = Store::open(&config.database, false).await?;
    let Some((database, _)) = store.workspace().await? else {
        return Err(ServerError::NotInitialised(config.database.clone()));
    };
    let identity = Identity::load(&config.keys_path())?;
    let keys = identity.workspace.to_string();
    if database != keys {
        return Err(ServerError::OtherKeys { database, keys });
    }
    Ok((store, identity))
}

fn tls(certificate: &Path, private_key: &Path) -> Result<RustlsConfig, ServerError> {
    let failed = |path: &Path, e: &dyn std::fmt::Display| ServerError::Tls(format!("{}: {e}", path.display()));
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| failed(certificate, &e))?;
    let key = PrivateKeyDer::from_pem_file(private_key).map_err(|e| failed(private_key, &e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ServerError::Tls(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| failed(certificate, &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

impl Server {
    /// Starts everything; it serves when this returns.
    ///
    /// # Errors
    /// Something cannot be opened, read or bound.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        Self::start_with(config, Box::new(Secp256k1), Arc::new(Clock::system())).await
    }

    /// [`Self::start`] with another scheme's checks and another clock: tests sign with one that costs nothing.
    pub(crate) async fn start_with(
        config: Config,
        checks: Box<dyn PublicChecks>,
        clock: Arc<Clock>,
    ) -> Result<Self, ServerError> {
        let (store, identity) = open(&config).await?;
        let identity = Arc::new(identity);
        let anchor = config.trust_anchor()?;
        if anchor.is_development() {
            tracing::warn!("co-signers are accepted under a DEVELOPMENT root: it proves nothing about hardware");
        }
        let tls = tls(&config.tls.certificate, &config.tls.private_key)?;
        let api = std::net::TcpListener::bind(config.listen).map_err(at(config.listen.to_string()))?;
        api.set_nonblocking(true).map_err(at(config.listen.to_string()))?;
        let bound = api.local_addr().map_err(at("listen"))?;
        let metrics_listener = tokio::net::TcpListener::bind(config.metrics.listen)
            .await
            .map_err(at(config.metrics.listen.to_string()))?;

        let metrics = Arc::new(Metrics::default());
        let hub = Arc::new(Hub::new(config.limits.max_link_queue_bytes, Arc::clone(&metrics)));
        let snapshot = ceremonies::snapshot(&store).await?;
        for group in &snapshot.groups {
            hub.allow(&group.group);
        }
        let coordinator = Coordinator::new(config.settings(), identity.workspace, checks, snapshot)?;
        let (service, running) = service::start(Parts {
            coordinator,
            store: store.clone(),
            hub: Arc::clone(&hub),
            metrics: Arc::clone(&metrics),
            identity: Arc::clone(&identity),
            clock: Arc::clone(&clock),
        });
        let addresses = Addresses {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            api: bound,
            metrics: metrics_listener.local_addr().map_err(at("metrics.listen"))?,
            url: config.url(bound),
            workspace_id: identity.workspace.to_string(),
            fingerprint: identity.fingerprint().to_string(),
        };
        let (stopping, stop_links) = tokio::sync::watch::channel(false);
        let app = Arc::new(App {
            stopping: stop_links,
            identity,
            url: addresses.url.clone(),
            store: store.clone(),
            nonces: Nonces::start(store.clone()),
            service,
            hub,
            metrics: Arc::clone(&metrics),
            anchor,
            measurements: config.accepted_measurements()?,
            approve_pairings: config.approve_pairings,
            default_signer: config.default_signer.clone(),
            config_change_signer: config.approvals.config_change_signer.clone(),
            assets: config.assets.clone(),
            challenges: Challenges::new(config.limits.max_challenges)?,
            clock,
            connections: Connections::new(bounds(&config.limits), metrics),
            deadlines: config.deadlines.clone(),
            limits: config.limits.clone(),
        });
        let handle = Handle::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { Ok(running.await?) });
        tasks.spawn(serve_api(api, tls, Arc::clone(&app), handle.clone()));
        let tidied = Arc::clone(&app);
        let served = Arc::clone(&app);
        let local = Router::new()
            .route("/metrics", get(|State(app): State<Arc<App>>| async move { app.metrics.text() }))
            .route("/healthz", get(healthz))
            .with_state(served);
        tasks.spawn(async move { axum::serve(metrics_listener, local).await.map_err(at("metrics listener")) });
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(TIDY_EVERY).await;
                if let Err(error) = prune(&tidied.store).await {
                    tracing::warn!(%error, "expired rows could not be deleted");
                }
                let now_ms = tidied.clock.now_ms();
                if let Err(error) = service::reconcile(&tidied.store, &tidied.service, now_ms).await {
                    tracing::warn!(%error, "stored transactions could not be looked for");
                }
            }
        });
        let server = Self { addresses, handle, stopping, tasks, app, ready_file: config.ready_file.clone() };
        if let Some(path) = &server.ready_file {
            write_ready_file(path, &server.addresses).map_err(at(path.display().to_string()))?;
        }
        Ok(server)
    }

    /// The addresses really in use.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What its handlers work with.
    #[cfg(test)]
    pub(crate) fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// Serves until `stop` is done, then lets running requests end.
    ///
    /// # Errors
    /// A part ended by itself, which none may.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
        let result = tokio::select! {
            () = stop => Ok(()),
            ended = self.tasks.join_next() => match ended {
                Some(Ok(Err(error))) => Err(error),
                _ => Err(ServerError::Io { what: "a part of the server".into(), source: io::Error::other("it ended") }),
            },
        };
        if let Some(path) = &self.ready_file {
            let _ = std::fs::remove_file(path);
        }
        self.stopping.send_replace(true);
        self.handle.graceful_shutdown(Some(STOP_TIMEOUT));
        let idle = async {
            while self.handle.connection_count() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(STOP_TIMEOUT, idle).await;
        self.tasks.shutdown().await;
        self.app.store.close().await;
        result
    }
}

async fn healthz(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    let stored = async { Ok::<_, StoreError>(app.store.workspace().await?.is_some()) };
    match stored.await {
        Ok(true) if app.service.is_running() => (StatusCode::OK, "ok\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the database or the coordinator does not answer\n"),
    }
}

async fn prune(store: &Store) -> Result<(), StoreError> {
    let mut write = store.write().await?;
    nonces::prune(&mut write, now_ms()).await?;
    idempotency::prune(&mut write, now_ms()).await?;
    pairing::prune(&mut write, now_ms()).await?;
    Ok(write.commit().await?)
}

fn write_ready_file(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let temporary = crate::store::with_suffix(path, &format!(".{}", std::process::id()));
    std::fs::write(&temporary, serde_json::to_vec_pretty(addresses)?)?;
    std::fs::rename(&temporary, path)
}

async fn serve_api(
    listener: std::net::TcpListener,
    tls: RustlsConfig,
    app: Arc<App>,
    handle: Handle<SocketAddr>,
) -> Result<(), ServerError> {
    let (head, write_deadline) = (seconds(app.deadlines.request_head), seconds(app.deadlines.connection_write));
    let places = Places { connections: Arc::clone(&app.connections), write_deadline };
    let inner = RustlsAcceptor::new(tls).handshake_timeout(head).acceptor(places);
    let acceptor = Http1 { inner, first_bytes: head };
    let mut server = axum_server::from_tcp(listener).map_err(at("listen"))?.acceptor(acceptor).handle(handle);
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(MAX_UNREAD_BYTES);
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    server.serve(service).await.map_err(at("HTTPS listener"))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        connections: limits.max_connections,
        per_address: limits.max_connections_per_address,
        links: limits.max_links,
    }
}
