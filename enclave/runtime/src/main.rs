//! The production enclave of a Countersign co-signer. It runs inside an AWS Nitro Enclave or not at all.
//!
//! It takes no arguments. The context id of the parent is read from the environment variable `parent_cid` (3 where there
//! is none, as on AWS); it decides who carries the bytes, and nothing else.

use cosigner_core::{Capabilities, Core};
use cosigner_enclave::clock::{Clock, ClockError};
use cosigner_enclave::core_dumps::{self, CoreDumpError};
use cosigner_enclave::engine::{Fatal, Parts};
use cosigner_enclave::entropy::{self, Entropy, EntropyError};
use cosigner_enclave::exchange::PublicRoots;
use cosigner_enclave::key_service::KmsNotBuilt;
use cosigner_enclave::nsm::{Nsm, NsmError};
use cosigner_enclave::transport::{Transport, Vsock};
use cosigner_enclave::{exit, panic_report};
use countersign_attest::TrustAnchor;
use countersign_mpc::Cggmp24;
use countersign_wire::host_link::VSOCK_PORT;
use std::env::VarError;
use std::future::pending;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Environment variable with the parent's context id; the kernel makes one of an argument `parent_cid=…`.
const PARENT_CID: &str = "parent_cid";
/// The parent's context id on AWS.
const AWS_PARENT_CID: u32 = 3;
/// AWS waits for this byte on this port to know that the enclave has booted.
const HEARTBEAT_PORT: u32 = 9000;
const HEARTBEAT: u8 = 0xb7;
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the enclave did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    CoreDump(#[from] CoreDumpError),
    #[error(transparent)]
    Nsm(#[from] NsmError),
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("{PARENT_CID}: expected a number, got {0:?}")]
    ParentCid(String),
    #[error("the runtime could not be started: {0}")]
    Runtime(std::io::Error),
}

fn main() -> ExitCode {
    // No time in the lines: the only clock at hand before the security module's is the host's.
    tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false).with_writer(std::io::stderr).init();
    panic_report::install();
    match start() {
        Ok(ended) => exit(ended),
        Err(error) => {
            tracing::error!(%error, "the enclave does not start");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<Result<(), Fatal>, StartError> {
    core_dumps::forbid()?;
    tracing::info!(version = VERSION, "cosigner-enclave");
    let cid = parent_cid()?;
    let nsm = Nsm::open()?;
    let measurements = nsm.measurements()?;
    nsm.feed_kernel_pool()?;
    let mut clock = Clock::start(nsm.clone())?;
    let capabilities = Capabilities {
        entropy: Box::new(Entropy::start(nsm.clone(), entropy::abort)?),
        attestor: Box::new(nsm.clone()),
        anchor: TrustAnchor::aws(),
        measurements,
        version: VERSION,
        given_primes: None,
    };
    let core = Core::new(capabilities, clock.now_ms()?);
    let boot = core.boot();
    tracing::info!(%boot, parent_cid = cid, "started");
    let parts = Parts {
        core,
        clock,
        transport: Vsock { cid, port: VSOCK_PORT },
        key_service: KmsNotBuilt,
        entropy: Box::new(Entropy::start(nsm, entropy::abort)?),
        scheme: Arc::new(Cggmp24),
        boot,
        version: VERSION,
        public_roots: PublicRoots::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
    Ok(runtime.block_on(async {
        tokio::spawn(heartbeat(cid));
        cosigner_enclave::run(parts, pending()).await
    }))
}

fn parent_cid() -> Result<u32, StartError> {
    match std::env::var(PARENT_CID) {
        Ok(text) => text.parse().map_err(|_| StartError::ParentCid(text)),
        Err(VarError::NotPresent) => Ok(AWS_PARENT_CID),
        Err(VarError::NotUnicode(text)) => Err(StartError::ParentCid(text.to_string_lossy().into_owned())),
    }
}

/// Best effort: nothing depends on it but how soon AWS says that the enclave runs.
async fn heartbeat(cid: u32) {
    let beat = async {
        let mut stream = Vsock { cid, port: HEARTBEAT_PORT }.open().await?;
        stream.write_all(&[HEARTBEAT]).await?;
        stream.read_u8().await
    };
    match tokio::time::timeout(HEARTBEAT_TIMEOUT, beat).await {
        Ok(Ok(HEARTBEAT)) => tracing::debug!("heartbeat answered"),
        _ => tracing::debug!("no heartbeat"),
    }
}
