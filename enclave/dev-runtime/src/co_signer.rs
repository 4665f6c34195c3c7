//! Puts a co-signer together from development parts.

use crate::arguments::Run;
use crate::keys::Keys;
use crate::system_clock::SystemClock;
use anyhow::{Context, Result};
use cosigner_core::{Capabilities, Core};
use cosigner_dev::{DevelopmentRoot, SoftwareNsm, measure_executable};
use cosigner_enclave::Parts;
use cosigner_enclave::clock::{Clock, ReadClock};
use cosigner_enclave::core_dumps;
use cosigner_enclave::transport::Unix;
use cosigner_enclave_dev::{Material, warn};
use countersign_wire::command::Measurements;
use rand_core::OsRng;
use std::path::absolute;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs until a signal ends it.
pub fn run(arguments: &Run) -> Result<ExitCode> {
    core_dumps::forbid()?;
    warn("DEVELOPMENT enclave: this process protects no key from the owner of this machine");
    let public_root = arguments
        .public_root
        .as_ref()
        .map(|file| std::fs::read(file).with_context(|| format!("--public-root {}", file.display())));
    let public_root = public_root.transpose()?;
    let material = Material::new(arguments.test_primes, arguments.test_aux_info, public_root.as_deref())?;
    let root = DevelopmentRoot::load(&arguments.development_root)
        .context("no development root; `cosigner-enclave-dev make-root DIR` makes one")?;
    let measured = measure_executable().context("the executable cannot be measured")?;
    let mut clock = Clock::start(SystemClock)?;
    let anchor = root.trust_anchor().context("not a root")?;
    let module_clock = || SystemClock.unix_ms().unwrap_or(0);
    let root = Arc::new(root);
    let nsm = || SoftwareNsm::new(Arc::clone(&root), format!("process-{}", std::process::id()), measured, module_clock);
    let transport = Unix { path: absolute(&arguments.host_socket).context("--host-socket")? };
    let key_service = Keys::new(arguments, nsm(), transport.clone(), clock.shared())?;
    let capabilities = Capabilities {
        entropy: Box::new(OsRng),
        attestor: Box::new(nsm()),
        anchor,
        measurements: Measurements {
            pcr0: measured.pcr0,
            pcr1: measured.pcr1,
            pcr2: measured.pcr2,
            pcr8: measured.pcr8,
        },
        version: VERSION,
        given_primes: material.given_primes,
    };
    let core = Core::new(capabilities, clock.now_ms()?);
    let boot = core.boot();
    tracing::info!(version = VERSION, %boot, sealing_key = key_service.name(), "started");
    let parts = Parts {
        core,
        clock,
        transport,
        key_service,
        entropy: Box::new(OsRng),
        scheme: material.scheme,
        boot,
        version: VERSION,
        public_roots: material.public_roots,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM"),
                _ = interrupt.recv() => tracing::info!("SIGINT"),
            }
        };
        anyhow::Ok(cosigner_enclave::run(parts, shutdown).await)
    })?;
    Ok(cosigner_enclave::exit(ended))
}
