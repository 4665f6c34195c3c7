//! Calls a workspace's HTTP API as one API user: for a shell, where no client library is at hand. It reads the variables
//! that `deploy/quickstart --keep` writes down.

use anyhow::{Context, Result};
use clap::Parser;
use countersign_stack::{ApiError, Client};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Longest body that is read from standard input.
const MAX_BODY_BYTES: u64 = 1024 * 1024;

/// Calls a workspace's HTTP API as one API user, and prints the JSON that it answers.
#[derive(Parser)]
#[command(name = "countersign-api", version)]
struct Arguments {
    /// As whom: an API user's id and its RSA private key (PEM)
    #[arg(long, env = "COUNTERSIGN_API_KEY", value_name = "USER", required_unless_present = "admin")]
    api_key: Option<String>,
    /// See --api-key
    #[arg(long, env = "COUNTERSIGN_API_SECRET_FILE", value_name = "FILE", required_unless_present = "admin")]
    api_secret_file: Option<PathBuf>,
    /// Speak as the owner: take COUNTERSIGN_ADMIN_API_KEY and COUNTERSIGN_ADMIN_SECRET_FILE instead
    #[arg(long)]
    admin: bool,
    /// Base URL of the workspace
    #[arg(long, env = "COUNTERSIGN_URL", value_name = "URL")]
    url: String,
    /// The only certificate authorities to trust for it (PEM, one or more)
    #[arg(long, env = "COUNTERSIGN_CA_FILE", value_name = "FILE")]
    ca_file: PathBuf,
    /// GET or POST
    #[arg(value_parser = ["GET", "POST"])]
    method: String,
    /// Path and query, such as /v1/transactions
    path: String,
    /// Body of a POST (JSON; `-` is stdin); without one: {}
    body: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match call(Arguments::parse()).await {
        Ok(answer) => {
            let text = serde_json::to_string_pretty(&answer).unwrap_or_default();
            // A reader that is gone, such as `head`, got what it wanted.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "countersign-api: {error:#}");
            if let Some(ApiError::Refused { body, .. }) = error.downcast_ref() {
                let _ = writeln!(std::io::stderr(), "{body}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn call(arguments: Arguments) -> Result<Value> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let (user, secret) = match (arguments.admin, arguments.api_key, arguments.api_secret_file) {
        (false, Some(user), Some(secret)) => (user, secret),
        _ => (variable("COUNTERSIGN_ADMIN_API_KEY")?, variable("COUNTERSIGN_ADMIN_SECRET_FILE")?.into()),
    };
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let secret = zeroize::Zeroizing::new(read(&secret)?);
    let client = Client::new(&arguments.url, &read(&arguments.ca_file)?, &user, &secret)?;
    if arguments.method == "GET" {
        anyhow::ensure!(arguments.body.is_none(), "a GET has no body");
        return Ok(client.get(&arguments.path).await?);
    }
    Ok(client.post(&arguments.path, &body(arguments.body)?).await?)
}

fn body(given: Option<String>) -> Result<Value> {
    let text = match given.as_deref() {
        None => return Ok(json!({})),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().take(MAX_BODY_BYTES).read_to_string(&mut text).context("standard input")?;
            text
        }
        Some(text) => text.to_owned(),
    };
    serde_json::from_str(&text).context("the body is no JSON")
}
