//! The development enclave of a Countersign co-signer: the trusted core of the production one in a plain process, with
//! development parts around it. It protects nothing from the owner of the machine.

mod arguments;
mod co_signer;
mod keys;
mod system_clock;

use anyhow::{Context, Result};
use arguments::{Arguments, Command};
use clap::Parser;
use cosigner_dev::{CERTIFICATE_FILE, DevelopmentRoot, FileKeyProvider};
use cosigner_enclave_dev::warn;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(arguments.log_level)
        .with_writer(std::io::stderr)
        .init();
    let done = match arguments.command {
        Some(Command::MakeRoot { dir }) => make_root(&dir),
        Some(Command::KeyId { key_file }) => key_id(&key_file),
        None => match arguments.run {
            Some(run) => co_signer::run(&run),
            None => Err(anyhow::anyhow!("expected --host-socket, --development-root and --key-file; see --help")),
        },
    };
    done.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        ExitCode::FAILURE
    })
}

fn make_root(dir: &Path) -> Result<ExitCode> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    DevelopmentRoot::load_or_create(dir).context("no development root")?;
    warn("a development root proves nothing: whoever has its key makes attestation documents of any content");
    print(&dir.join(CERTIFICATE_FILE).display().to_string())
}

fn key_id(key_file: &Path) -> Result<ExitCode> {
    // Made here it would be another key than the enclave's, and its id would be claimed.
    let keys = FileKeyProvider::load(key_file)
        .context("no wrapping key: start the enclave first, it makes one; this must be the file of its --key-file")?;
    print(keys.key_id())
}

fn print(line: &str) -> Result<ExitCode> {
    writeln!(std::io::stdout(), "{line}").context("standard output is closed")?;
    Ok(ExitCode::SUCCESS)
}
