//! `cosigner-host`: the broker daemon on an enclave's parent machine.

use anyhow::Context;
use clap::Parser;
use cosigner_host::config::{Config, Log, LogFormat, LogLevel};
use cosigner_host::daemon::Daemon;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Broker daemon of a Countersign co-signer: stores sealed state, relays messages and dials streams for the enclave.
#[derive(Parser)]
#[command(name = "cosigner-host", version)]
struct Arguments {
    /// Configuration file (TOML); see cosigner-host.example.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and exit.
    #[arg(long)]
    check_config: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = Config::load(&arguments.config)
        .with_context(|| format!("the configuration {} cannot be used", arguments.config.display()))?;
    if arguments.check_config {
        println!("{}: ok", arguments.config.display());
        return Ok(());
    }
    start_log(&config.log)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let daemon = Daemon::start(config).await?;
    let addresses = daemon.addresses();
    tracing::info!(
        version = addresses.version,
        enclave = addresses.enclave,
        admin = %addresses.admin.display(),
        http = addresses.http,
        storage = %addresses.storage.display(),
        "listening"
    );
    daemon
        .run_until(async {
            let name = tokio::select! {
                _ = terminated.recv() => "SIGTERM",
                _ = interrupted.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "stopping");
        })
        .await?;
    tracing::info!("stopped");
    Ok(())
}

/// Libraries log warnings only: their finer levels could show what passes through.
fn start_log(log: &Log) -> anyhow::Result<()> {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("cosigner_host", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    match log.format {
        LogFormat::Plain => registry.with(lines.with_ansi(false).with_filter(filter)).try_init()?,
        LogFormat::Json => registry.with(lines.json().with_filter(filter)).try_init()?,
    }
    Ok(())
}
