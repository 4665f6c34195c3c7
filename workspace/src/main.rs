//! `cosigner-workspace`: the control plane of one workspace.

use anyhow::Context;
use clap::{Parser, Subcommand};
use cosigner_workspace::config::{Config, Log, LogFormat, LogLevel};
use cosigner_workspace::identity::Identity;
use cosigner_workspace::init::init;
use cosigner_workspace::server::Server;
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Control plane of a Countersign workspace: API users, pairings, keys, vault accounts, transactions, and the relay
/// between co-signers.
#[derive(Parser)]
#[command(name = "cosigner-workspace", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the workspace and its owner; prints what the owner has to know as JSON.
    Init {
        /// Configuration file (TOML); see cosigner-workspace.example.toml.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Name of the owner.
        #[arg(long, value_name = "NAME")]
        owner_name: String,
        /// The owner's RSA public key (PEM, `openssl rsa -pubout`): its private key signs the owner's requests.
        #[arg(long, value_name = "PEMFILE")]
        owner_public_key: PathBuf,
    },
    /// Serve the API until SIGTERM or SIGINT.
    Serve {
        /// Configuration file (TOML); see cosigner-workspace.example.toml.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Check the configuration and exit.
        #[arg(long)]
        check_config: bool,
    },
    /// Print what operators name when they pair. Run it on the workspace's own machine.
    Fingerprint {
        /// Configuration file (TOML); see cosigner-workspace.example.toml.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn load(path: &Path) -> anyhow::Result<Config> {
    Config::load(path).with_context(|| format!("the configuration {} cannot be used", path.display()))
}

fn start_log(log: &Log) -> anyhow::Result<()> {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Plain => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("cosigner_workspace", level);
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().context("logging cannot be started")
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { config, owner_name, owner_public_key } => {
            let config = load(&config)?;
            let pem = std::fs::read_to_string(&owner_public_key)
                .with_context(|| format!("{} cannot be read", owner_public_key.display()))?;
            let made = init(&config, &owner_name, &pem).await?;
            println!("{}", serde_json::to_string_pretty(&made)?);
            Ok(())
        }
        Command::Fingerprint { config } => {
            let identity = Identity::load(&load(&config)?.keys_path())?;
            let shown = json!({
                "workspaceId": identity.workspace.to_string(), "fingerprint": identity.fingerprint().to_string(),
                "tokenKeyId": identity.token_key_id(),
            });
            println!("{}", serde_json::to_string_pretty(&shown)?);
            Ok(())
        }
        Command::Serve { config, check_config } => {
            let path = config;
            let config = load(&path)?;
            if check_config {
                println!("{}: ok", path.display());
                return Ok(());
            }
            serve(config).await
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    start_log(&config.log)?;
    if let Some(root) = &config.trust.development_root {
        // Not through the log, which escapes colours.
        let (red, plain) = if std::io::stderr().is_terminal() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        let root = root.display();
        eprintln!("{red}DEVELOPMENT ROOT {root}: co-signers under it prove nothing about hardware{plain}");
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let server = Server::start(config).await?;
    let addresses = server.addresses();
    tracing::info!(
        version = addresses.version,
        api = %addresses.api,
        metrics = %addresses.metrics,
        url = addresses.url,
        workspace = addresses.workspace_id,
        fingerprint = addresses.fingerprint,
        "serving"
    );
    server
        .run_until(async {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
            tracing::info!("stopping");
        })
        .await?;
    tracing::info!("stopped");
    Ok(())
}
