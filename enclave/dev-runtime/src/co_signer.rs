//! Puts a co-signer together from development parts.

use crate::arguments::Run;
use crate::file_keys::FileKeys;
use crate::system_clock::SystemClock;
use crate::warn;
use anyhow::{Context, Result, anyhow};
use cosigner_core::{Capabilities, Core};
use cosigner_dev::{DevelopmentRoot, FileKeyProvider, SoftwareNsm, WithTestAuxInfo, measure_executable, test_primes};
use cosigner_enclave::Parts;
use cosigner_enclave::clock::{Clock, ReadClock};
use cosigner_enclave::core_dumps;
use cosigner_enclave::exchange::PublicRoots;
use cosigner_enclave::transport::Unix;
use countersign_mpc::{Cggmp24, Scheme};
use countersign_wire::command::Measurements;
use rand_core::OsRng;
use std::path::{Path, absolute};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn public_roots(more: Option<&Path>) -> Result<PublicRoots> {
    let Some(file) = more else { return Ok(PublicRoots::default()) };
    warn("A PRIVATE AUTHORITY counts as a public one: whoever has its key can pass for any callback handler");
    let pem = std::fs::read(file).with_context(|| format!("--public-root {}", file.display()))?;
    PublicRoots::default().and(&pem).map_err(|why| anyhow!("--public-root {}: {why}", file.display()))
}

/// Runs until a signal ends it.
pub fn run(arguments: &Run) -> Result<ExitCode> {
    core_dumps::forbid()?;
    warn("DEVELOPMENT enclave: this process protects no key from the owner of this machine");
    let given_primes = match arguments.test_primes {
        Some(index) => {
            warn("COMMITTED TEST PRIMES: everybody knows them, so keys made with them are nobody's secret");
            Some(test_primes(index).context("--test-primes")?)
        }
        None => None,
    };
    let scheme: Arc<dyn Scheme> = if arguments.test_aux_info {
        warn("COMMITTED AUXILIARY INFORMATION: everybody knows it, so keys of groups of three are nobody's secret");
        Arc::new(WithTestAuxInfo(Cggmp24))
    } else {
        Arc::new(Cggmp24)
    };
    let root = DevelopmentRoot::load(&arguments.development_root)
        .context("no development root; `cosigner-enclave-dev make-root DIR` makes one")?;
    let keys = FileKeyProvider::load_or_create(&arguments.key_file).context("no wrapping key")?;
    let measured = measure_executable().context("the executable cannot be measured")?;
    let mut clock = Clock::start(SystemClock)?;
    let anchor = root.trust_anchor().context("not a root")?;
    let module_clock = || SystemClock.unix_ms().unwrap_or(0);
    let nsm = SoftwareNsm::new(Arc::new(root), format!("process-{}", std::process::id()), measured, module_clock);
    let capabilities = Capabilities {
        entropy: Box::new(OsRng),
        attestor: Box::new(nsm),
        anchor,
        measurements: Measurements {
            pcr0: measured.pcr0,
            pcr1: measured.pcr1,
            pcr2: measured.pcr2,
            pcr8: measured.pcr8,
        },
        version: VERSION,
        given_primes,
    };
    let core = Core::new(capabilities, clock.now_ms()?);
    let boot = core.boot();
    tracing::info!(version = VERSION, %boot, sealing_key = keys.key_id(), "started");
    let parts = Parts {
        core,
        clock,
        transport: Unix { path: absolute(&arguments.host_socket).context("--host-socket")? },
        key_service: FileKeys(keys),
        entropy: Box::new(OsRng),
        scheme,
        boot,
        version: VERSION,
        public_roots: public_roots(arguments.public_root.as_deref())?,
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
