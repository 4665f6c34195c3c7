//! The program of the development image: the production one's core on a real (or emulated) Nitro Security Module and
//! vsock, with development parts where the emulator or a test has nothing better. It protects nothing from its parent,
//! which gives it its secrets.

use anyhow::{Context, Result, ensure};
use cosigner_core::{Capabilities, Core};
use cosigner_dev::{DevelopmentParts, DevelopmentRoot, FileKeyProvider, MAX_PARTS_BYTES, PARTS_PORT, ResigningNsm};
use cosigner_enclave::clock::Clock;
use cosigner_enclave::clock_source;
use cosigner_enclave::core_dumps;
use cosigner_enclave::entropy::{self, Entropy};
use cosigner_enclave::nsm::Nsm;
use cosigner_enclave::transport::{Transport, Vsock, parent_cid};
use cosigner_enclave::{Parts, exit, heartbeat};
use cosigner_enclave_dev::{FileKeys, Material, warn};
use countersign_wire::host_link::VSOCK_PORT;
use std::future::pending;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Attempts to fetch the parts: the parent may not listen yet.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false).with_writer(std::io::stderr).init();
    run().unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    core_dumps::forbid()?;
    warn("DEVELOPMENT enclave: it takes its secrets from its parent, and protects no key from it");
    let cid = parent_cid()?;
    let nsm = Nsm::open()?;
    let measurements = nsm.measurements()?;
    nsm.feed_kernel_pool()?;
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let parts = fetch(&runtime, cid)?;
    let root = DevelopmentRoot::from_pem(parts.root.as_bytes()).context("the development root")?;
    let mut wrapping_key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(&parts.wrapping_key, &mut *wrapping_key).context("the wrapping key")?;
    let keys = FileKeyProvider::from_key(&wrapping_key).context("the wrapping key")?;
    let material =
        Material::new(parts.test_primes, parts.test_aux_info, parts.public_root.as_ref().map(String::as_bytes))?;
    let clock_source = clock_source::check(&mut nsm.clone())?;
    let mut clock = Clock::start(nsm.clone())?;
    let anchor = root.trust_anchor().context("the development root")?;
    let capabilities = Capabilities {
        entropy: Box::new(Entropy::start(nsm.clone(), entropy::abort)?),
        attestor: Box::new(ResigningNsm::new(nsm.clone(), Arc::new(root))),
        anchor,
        measurements,
        version: VERSION,
        given_primes: material.given_primes,
    };
    let core = Core::new(capabilities, clock.now_ms()?);
    let boot = core.boot();
    tracing::info!(version = VERSION, %boot, parent_cid = cid, clock_source, sealing_key = keys.key_id(), "started");
    let parts = Parts {
        core,
        clock,
        transport: Vsock { cid, port: VSOCK_PORT },
        key_service: FileKeys(keys),
        entropy: Box::new(Entropy::start(nsm, entropy::abort)?),
        scheme: material.scheme,
        boot,
        version: VERSION,
        public_roots: material.public_roots,
    };
    Ok(exit(runtime.block_on(async {
        tokio::spawn(heartbeat::send(cid));
        cosigner_enclave::run(parts, pending()).await
    })))
}

fn fetch(runtime: &Runtime, cid: u32) -> Result<DevelopmentParts> {
    let parent = Vsock { cid, port: PARTS_PORT };
    let json = runtime.block_on(async {
        let mut refused = None;
        for _ in 0..ATTEMPTS {
            match parent.open().await {
                Ok(stream) => {
                    let mut json = Zeroizing::new(Vec::new());
                    stream.take(MAX_PARTS_BYTES + 1).read_to_end(&mut json).await?;
                    return Ok(json);
                }
                Err(error) => refused = Some(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(refused.unwrap_or_else(|| std::io::ErrorKind::TimedOut.into()))
    });
    let json = json.with_context(|| format!("no development parts from port {PARTS_PORT} of {cid}"))?;
    ensure!(json.len() as u64 <= MAX_PARTS_BYTES, "development parts: expected at most {MAX_PARTS_BYTES} bytes");
    DevelopmentParts::from_json(&json).map_err(|why| anyhow::anyhow!("development parts: {why}"))
}
