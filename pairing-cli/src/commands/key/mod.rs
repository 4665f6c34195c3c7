//! `cosigner key`.

pub mod verify;

use super::{App, views};
use crate::admin_channel::unexpected;
use crate::console::Report;
use crate::failure::Failure;
use crate::prompt;
use crate::session::Trusted;
use countersign_wire::admin::Done;
use countersign_wire::command::Change;
use countersign_wire::ids::{KeyId, PairingId};
use serde_json::json;

/// Key certificates and suspended keys.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Check a key certificate, without any connection: never fund an address before
    Verify(verify::Args),
    /// Lift the suspension of a key and the quarantine of its peers
    ClearQuarantine(ClearArgs),
}

/// Flags of `clear-quarantine`.
#[derive(clap::Args)]
pub struct ClearArgs {
    /// Which key
    #[arg(long, value_name = "ID")]
    key: KeyId,
    /// Of which pairing; not needed where one only has it
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
    /// Clear without asking
    #[arg(long)]
    yes: bool,
}

/// Clears.
pub async fn clear_quarantine(app: &App, args: &ClearArgs) -> Result<Report, Failure> {
    app.socket()?;
    let operators = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let keys = cosigner.session().keys().await?;
    let mut found = keys.iter().filter(|k| k.key == args.key && args.pairing.is_none_or(|p| p == k.pairing));
    let (pairing, before) = match (found.next(), found.next(), args.pairing) {
        (Some(key), None, _) => (key.pairing, Some(views::key(key))),
        (Some(_), Some(_), _) => {
            return Err(Failure::usage("more than one pairing has this key", "name one with --pairing"));
        }
        // The list has a limit: where the pairing is named, the co-signer itself says whether it knows the key.
        (None, _, Some(pairing)) => (pairing, None),
        (None, _, None) => {
            return Err(Failure::not_found(
                format!("there is no key {}", args.key),
                "see `cosigner list-keys`, or give --pairing, too",
            ));
        }
    };
    if let Some(detail) = before.as_ref().and_then(|k| k["detail"].as_str()).filter(|d| !d.is_empty()) {
        app.console.note(&format!("suspended because: {}", crate::text_forms::printable(detail)));
    }
    app.console.warn(
        "quarantine_clears",
        "a failed proof or signature leaks something about the key each time: clear it only when you know the cause",
    );
    prompt::confirm(args.yes, "lift the suspension of this key", "--yes")?;
    match cosigner.change(&operators, Change::ClearQuarantine { pairing, key: args.key }).await? {
        Done::QuarantineCleared => {}
        _ => return Err(unexpected("the confirmation that a quarantine was cleared")),
    }
    Ok(Report::new(
        format!("key {} is not suspended any more", args.key),
        json!({ "pairing": pairing.to_string(), "key": args.key.to_string(), "before": before }),
    ))
}
