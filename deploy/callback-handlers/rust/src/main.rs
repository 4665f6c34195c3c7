//! A callback handler to start from: it verifies what a co-signer asks, decides by a policy, answers, and logs.
//!
//! | file | what it answers |
//! |---|---|
//! | `protocol.rs` | Is this really my co-signer's question? How do I sign my answer? |
//! | `question.rs` | What am I asked, and what of it may I decide on? |
//! | `policy.rs` | What do I approve? **Your own rules go here.** |
//! | `policy_file.rs` | How is the policy file read? |
//! | `answers.rs` | Was I asked this before? |
//! | `server.rs` | How do these go together over HTTP? |
//! | `serving.rs` | HTTPS, limits, ready line, stop. |

mod amount;
mod answers;
mod policy;
mod policy_file;
mod protocol;
mod question;
mod server;
mod serving;

use anyhow::{Context, Result};
use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use policy_file::{DEMONSTRATION, Rules};
use protocol::Keys;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing::{error, warn};

/// Approves or rejects what a Countersign co-signer is about to sign.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "HANDLER_LISTEN", default_value = "127.0.0.1:8443", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// PEM file with this server's certificate chain.
    #[arg(long, env = "HANDLER_TLS_CERT", value_name = "FILE")]
    tls_cert: PathBuf,
    /// PEM file with the certificate's private key.
    #[arg(long, env = "HANDLER_TLS_KEY", value_name = "FILE")]
    tls_key: PathBuf,
    /// PEM file with a co-signer's public key: the output of `cosigner print-public-key`. May be given several times. It is
    /// read for every request, so it may come later.
    #[arg(long, env = "HANDLER_COSIGNER_KEY", value_delimiter = ',', value_name = "FILE")]
    cosigner_key: Vec<PathBuf>,
    /// PEM file (PKCS#8) with the private key that signs answers: RSA of 2048 bits or more (RS256), or P-256 (ES256).
    /// The co-signer must have its public half.
    #[arg(long, env = "HANDLER_ANSWER_KEY", value_name = "FILE")]
    answer_key: Option<PathBuf>,
    /// JSON file with the rules.
    #[arg(long, env = "HANDLER_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Also serve the plain JSON endpoints, which are not signed: only TLS and your network protect them.
    #[arg(long, env = "HANDLER_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// Write the address in use here, as JSON, when the server listens; removed at a clean stop.
    #[arg(long, env = "HANDLER_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// The log always is JSON.
    #[arg(long, hide = true)]
    log_json: bool,
}

impl Flags {
    fn parse_together() -> Self {
        let flags = Self::parse();
        let fail = |text: &str| Self::command().error(ErrorKind::MissingRequiredArgument, text).exit();
        if flags.cosigner_key.is_empty() == flags.answer_key.is_some() {
            fail("--cosigner-key and --answer-key go together");
        }
        if flags.answer_key.is_none() && !flags.json {
            fail("--cosigner-key and --answer-key are needed, or --json");
        }
        flags
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse_together();
    let log = tracing_subscriber::fmt().json().flatten_event(true).with_target(false);
    log.with_writer(std::io::stderr).with_max_level(tracing::Level::INFO).init();
    match run(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "cannot serve");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<()> {
    let read = |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let rules = match &flags.policy {
        Some(path) => read(path)?,
        None => {
            warn!("no --policy: this demonstration approves everything but the note reject-me");
            DEMONSTRATION.to_owned()
        }
    };
    let rules = Rules::parse(&rules)?;
    let keys = match &flags.answer_key {
        Some(path) => Some(Keys::new(flags.cosigner_key, read(path)?.as_bytes())?),
        None => None,
    };
    let routes = server::routes(keys, rules, flags.json);
    serving::serve(flags.listen, (flags.tls_cert, flags.tls_key), routes, flags.ready_file).await
}
