//! The production enclave of a Countersign co-signer. It runs inside an AWS Nitro Enclave or not at all.
//!
//! It takes no arguments. The context id of the parent is read from the environment variable `parent_cid` (3 where there
//! is none, as on AWS); it decides who carries the bytes, and nothing else.

use cosigner_core::{Capabilities, Core};
use cosigner_enclave::clock::{Clock, ClockError};
use cosigner_enclave::clock_source::{self, ClockSourceError};
use cosigner_enclave::core_dumps::{self, CoreDumpError};
use cosigner_enclave::engine::{Fatal, Parts};
use cosigner_enclave::entropy::{self, Entropy, EntropyError};
use cosigner_enclave::exchange::PublicRoots;
use cosigner_enclave::kms::Kms;
use cosigner_enclave::nsm::{Nsm, NsmError};
use cosigner_enclave::transport::{ParentCidError, Vsock, parent_cid};
use cosigner_enclave::{exit, farewell, heartbeat, panic_report};
use countersign_attest::TrustAnchor;
use countersign_mpc::Cggmp24;
use countersign_wire::host_link::VSOCK_PORT;
use std::future::pending;
use std::process::ExitCode;
use std::sync::Arc;

const VERSION: &str = env!("CARGO_PKG_VERSION");

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
    ClockSource(#[from] ClockSourceError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error(transparent)]
    ParentCid(#[from] ParentCidError),
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
            tell_host(&error);
            ExitCode::FAILURE
        }
    }
}

fn tell_host(error: &StartError) {
    if let (Ok(cid), Ok(runtime)) = (parent_cid(), tokio::runtime::Builder::new_current_thread().enable_all().build()) {
        let why = format!("the enclave does not start: {error}");
        runtime.block_on(farewell::say(&Vsock { cid, port: VSOCK_PORT }, VERSION, &why));
    }
}

fn start() -> Result<Result<(), Fatal>, StartError> {
    core_dumps::forbid()?;
    tracing::info!(version = VERSION, "cosigner-enclave");
    let cid = parent_cid()?;
    let nsm = Nsm::open()?;
    let measurements = nsm.measurements()?;
    nsm.feed_kernel_pool()?;
    let clock_source = clock_source::check(&mut nsm.clone())?;
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
    tracing::info!(%boot, parent_cid = cid, clock_source, "started");
    let transport = Vsock { cid, port: VSOCK_PORT };
    let key_service = Kms::new(nsm.clone(), transport, clock.shared());
    let parts = Parts {
        core,
        clock,
        transport,
        key_service,
        entropy: Box::new(Entropy::start(nsm, entropy::abort)?),
        scheme: Arc::new(Cggmp24),
        boot,
        version: VERSION,
        public_roots: PublicRoots::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
    Ok(runtime.block_on(async {
        tokio::spawn(heartbeat::send(cid));
        cosigner_enclave::run(parts, pending()).await
    }))
}
