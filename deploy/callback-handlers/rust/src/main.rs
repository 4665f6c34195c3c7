//! A callback handler to start from: it verifies what the co-signer asks, decides by rules, answers, and logs.
//!
//! | file | what it answers |
//! |---|---|
//! | `protocol.rs` | Is this really my co-signer's question? How do I sign my answer? |
//! | `policy.rs` | What do I approve? **Write your own rules here.** |
//! | `answers.rs` | Was I asked this before? |
//! | `server.rs` | How do the three go together over HTTPS? |

mod answers;
mod policy;
mod protocol;
mod server;

use anyhow::{Context, Result};
use clap::Parser;
use policy::{OnConfigChange, Policy};
use protocol::Keys;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Approves or rejects what a Countersign co-signer is about to sign (public-key mode: JWT both ways).
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Where to listen; port 0 takes a free one (see --ready-file).
    #[arg(long, env = "HANDLER_LISTEN", default_value = "127.0.0.1:8443", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// PEM file with this server's certificate chain.
    #[arg(long, env = "HANDLER_TLS_CERT", value_name = "FILE")]
    tls_cert: PathBuf,
    /// PEM file with the certificate's private key.
    #[arg(long, env = "HANDLER_TLS_KEY", value_name = "FILE")]
    tls_key: PathBuf,
    /// PEM file with the co-signer's public key: the output of `cosigner print-public-key`. It is read for every
    /// request, so it may come later. May be given several times, for several co-signers.
    #[arg(long, env = "HANDLER_COSIGNER_KEY", required = true, value_name = "FILE")]
    cosigner_key: Vec<PathBuf>,
    /// PEM file (PKCS#8) with the private key that signs answers: RSA of 2048 bits or more (RS256), or P-256 (ES256).
    /// The co-signer must have its public half.
    #[arg(long, env = "HANDLER_ANSWER_KEY", value_name = "FILE")]
    answer_key: PathBuf,
    /// Reject a transaction whose note is exactly this. May be given several times.
    #[arg(long, default_value = "reject-me", value_name = "WORD")]
    reject_note: Vec<String>,
    /// Approve only these operations (RAW, TYPED_MESSAGE, TRANSFER…). Without this flag: any.
    #[arg(long, value_name = "OPERATION")]
    allow_operation: Vec<String>,
    /// Approve only these assets (ETH…). Without this flag: any.
    #[arg(long, value_name = "ASSET")]
    allow_asset: Vec<String>,
    /// What to say to a change of configuration.
    #[arg(long, value_enum, default_value = "ignore")]
    config_changes: OnConfigChange,
    /// Write the address really in use, as JSON, when the server listens; removed at a clean stop.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Log as JSON, one object a line.
    #[arg(long)]
    log_json: bool,
}

fn start_logging(json: bool) {
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO);
    if json { lines.json().init() } else { lines.init() }
}

#[tokio::main]
async fn main() -> Result<()> {
    let flags = Flags::parse();
    start_logging(flags.log_json);
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let keys = Keys::new(flags.cosigner_key, &read(&flags.answer_key)?)?;
    let policy = Policy {
        reject_notes: flags.reject_note,
        allow_operations: flags.allow_operation,
        allow_assets: flags.allow_asset,
        config_changes: flags.config_changes,
    };
    let tls = (flags.tls_cert, flags.tls_key);
    server::serve(flags.listen, tls, keys, policy, flags.ready_file).await
}
