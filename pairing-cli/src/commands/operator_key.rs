//! `cosigner operator-key`.

use super::App;
use crate::console::Report;
use crate::failure::Failure;
use crate::operator_key::{self, OperatorKey};
use crate::passphrase;
use serde_json::json;

/// Make or show an operator key.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Make a key without claiming anything: for an operator whom somebody else's `init` will name
    New,
    /// Show the public key
    Show(ShowArgs),
}

/// Flags of `show`.
#[derive(clap::Args)]
pub struct ShowArgs {
    /// Unlock the key, which proves that the public key shown is the right one
    #[arg(long)]
    check: bool,
}

/// Makes a key.
pub fn new(app: &App) -> Result<Report, Failure> {
    let files = app.key_files()?;
    let [file] = files.as_slice() else {
        return Err(Failure::usage("one key is made at a time", "give --operator-key once"));
    };
    if file.exists() {
        return Err(operator_key::exists(file));
    }
    let key = OperatorKey::create(file, &passphrase::new(app.passphrase_file(0, 1)?, file)?)?;
    let text = format!("{}\n\nkey file: {} (encrypted; back it up)", key.id(), file.display());
    Ok(Report::new(text, json!({ "public_key": key.id().to_string(), "file": file })))
}

/// Shows keys.
pub fn show(app: &App, args: &ShowArgs) -> Result<Report, Failure> {
    let files = app.key_files()?;
    if args.check {
        app.operator_keys()?;
    }
    let mut shown = Vec::new();
    let mut text = String::new();
    for file in &files {
        let public = operator_key::public_of(file)?;
        text.push_str(&format!("{public}\n"));
        shown.push(json!({ "public_key": public.to_string(), "file": file, "checked": args.check }));
    }
    Ok(Report::new(text, json!({ "keys": shown })))
}
