//! Accepts the enclave's connections and hands each to what its first frame asks for. How many have not yet said it is
//! limited, in number and in time, so that a flood of them costs little and ends by itself.

use crate::aws::{ServeError, Signer};
use crate::config::{self, EnclaveAddress};
use crate::control::Control;
use crate::dial::Dialler;
use crate::framing::{FramingError, ReadLimits, read_frame};
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::rate::Rate;
use crate::socket_file::{SocketFile, SocketFileError};
use crate::stream::Stream;
use countersign_wire::host_link::Opening;
use countersign_wire::{DecodeError, Message};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

/// Mode of the Unix socket: whoever runs the host, nobody else.
const SOCKET_MODE: u32 = 0o600;
/// Pause after an accept that failed, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Refused connections that are logged; the metric counts all.
const REFUSALS_LOGGED_PER_SECOND: u32 = 10;

/// Why the enclave cannot connect.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The Unix socket cannot be made.
    #[error(transparent)]
    Unix(#[from] SocketFileError),
    /// The vsock port cannot be bound.
    #[error("vsock port {port}: {source}")]
    Vsock {
        /// Which.
        port: u32,
        /// Why.
        source: io::Error,
    },
}

/// Where the enclave connects.
pub enum EnclaveListener {
    /// A Unix socket.
    Unix(SocketFile),
    /// A vsock port, and the context ids that may connect.
    Vsock(VsockListener, Vec<u32>),
}

impl EnclaveListener {
    /// Binds the configured address.
    pub async fn bind(config: &config::Enclave) -> Result<Self, ListenError> {
        match &config.listen {
            EnclaveAddress::Unix(path) => Ok(Self::Unix(SocketFile::bind(path, SOCKET_MODE).await?)),
            EnclaveAddress::Vsock(port) => {
                let listener = VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, *port))
                    .map_err(|source| ListenError::Vsock { port: *port, source })?;
                Ok(Self::Vsock(listener, config.allowed_cids.clone()))
            }
        }
    }

    /// The next connection; `None` if it came from a context id that may not connect.
    async fn accept(&self) -> io::Result<Option<Stream>> {
        match self {
            Self::Unix(file) => Ok(Some(Box::new(file.listener.accept().await?.0))),
            Self::Vsock(listener, allowed) => {
                let (stream, peer) = listener.accept().await?;
                Ok(allowed.contains(&peer.cid()).then(|| Box::new(stream) as Stream))
            }
        }
    }
}

/// What the enclave's connections are handed to.
pub struct Services {
    config: config::Enclave,
    control: Arc<Control>,
    dialler: Dialler,
    signer: Signer,
    metrics: Arc<Metrics>,
    log_lines: Mutex<Rate>,
}

impl Services {
    /// Hands control connections to one, streams to the other, calls to be signed to the third.
    pub fn new(
        config: &config::Enclave,
        control: Arc<Control>,
        dialler: Dialler,
        signer: Signer,
        metrics: Arc<Metrics>,
    ) -> Self {
        let log_lines = Mutex::new(Rate::new(REFUSALS_LOGGED_PER_SECOND));
        Self { config: config.clone(), control, dialler, signer, metrics, log_lines }
    }
}

/// Why a connection was refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Signature(#[from] ServeError),
    #[error("expected an opening, the connection was closed")]
    Nothing,
    #[error("expected at most {0} control connections a second, got more")]
    Rate(u32),
}

impl Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::Framing(e) => e.code(),
            Self::Decode(DecodeError::Version { .. }) => "version",
            Self::Decode(_) => "malformed",
            Self::Signature(_) => "signature",
            Self::Nothing => "nothing",
            Self::Rate(_) => "rate",
        }
    }
}

/// Accepts connections until `stop`.
pub async fn serve(listener: &EnclaveListener, services: Arc<Services>, stop: CancellationToken) {
    let openings = Arc::new(Semaphore::new(services.config.max_openings));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok(Some(stream)) => stream,
            Ok(None) => {
                services.metrics.enclave_refused("cid");
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection from the enclave");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(opening) = openings.clone().try_acquire_owned() else {
            services.metrics.enclave_refused("openings");
            continue;
        };
        let (services, stop) = (services.clone(), stop.clone());
        tokio::spawn(async move {
            // The control connection ends by itself, in good order; a stream is cut.
            if let Err(error) = route(stream, opening, &services, stop).await {
                services.metrics.enclave_refused(error.code());
                if lock(&services.log_lines).try_take() {
                    tracing::warn!(%error, "a connection from the enclave's side was refused");
                }
            }
        });
    }
}

async fn route(
    mut stream: Stream,
    opening: OwnedSemaphorePermit,
    services: &Services,
    stop: CancellationToken,
) -> Result<(), Refused> {
    let limit = Duration::from(services.config.opening_timeout_ms);
    let limits = ReadLimits { max_bytes: Opening::MAX_BYTES, first_byte: Some(limit), rest: limit };
    let payload = read_frame(&mut stream, limits).await?.ok_or(Refused::Nothing)?;
    match Opening::decode(&payload)? {
        Opening::Control { boot, version } => {
            if !services.control.serve(stream, boot, &version, opening).await {
                return Err(Refused::Rate(services.config.max_control_openings_per_second));
            }
        }
        Opening::SignAwsCall => {
            tokio::select! {
                served = services.signer.serve(stream, opening) => served?,
                () = stop.cancelled() => {}
            }
        }
        Opening::Dial => {
            tokio::select! {
                () = services.dialler.serve(stream, opening) => {}
                () = stop.cancelled() => {}
            }
        }
    }
    Ok(())
}
