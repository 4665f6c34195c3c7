//! `cosigner list-keys`.

use super::{App, views};
use crate::choice::check_pairing;
use crate::console::{Report, Tone};
use crate::failure::Failure;
use crate::session::Session;
use crate::table::{Table, field, plain};
use crate::text_forms::short;
use countersign_wire::ids::PairingId;
use countersign_wire::key::KeyStatus;
use countersign_wire::status::KeyEntry;
use serde_json::json;

/// Flags of `list-keys`.
#[derive(clap::Args)]
pub struct Args {
    /// Only of this pairing
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
}

/// Lists.
pub async fn run(app: &App, args: &Args) -> Result<Report, Failure> {
    let mut session = Session::open_to_read(app).await?;
    let status = session.status().await?;
    check_pairing(&status, args.pairing)?;
    let keys = session.keys().await?;
    let keys: Vec<&KeyEntry> = keys.iter().filter(|k| args.pairing.is_none_or(|p| p == k.pairing)).collect();
    let mut table = Table::new(&["key", "status", "operations", "signer", "public key", "detail"]);
    for key in &keys {
        let tone = match key.status {
            KeyStatus::Ready => Tone::Green,
            KeyStatus::Pending => Tone::Yellow,
            KeyStatus::Error => Tone::Red,
        };
        let operations: Vec<&str> = key.purpose.operations.iter().map(|o| o.as_str()).collect();
        table.row(vec![
            plain(key.key),
            field(key.status.as_str(), tone),
            plain(operations.join(" ")),
            plain(&key.purpose.signer),
            plain(key.public_key.map_or_else(|| "-".to_owned(), |k| short(&hex::encode(k)))),
            plain(&*key.detail),
        ]);
    }
    let items: Vec<_> = keys.iter().map(|k| views::key(k)).collect();
    Ok(Report::new(table.render(app.console.colour, "no keys yet"), json!({ "keys": items })))
}
