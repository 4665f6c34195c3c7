//! `cosigner initiator`: whose own signed requests count as the customer's intent. These keys enter here and nowhere else.

use super::{App, fit};
use crate::admin_channel::unexpected;
use crate::choice::choose_pairing;
use crate::console::Report;
use crate::failure::Failure;
use crate::pem;
use crate::session::{Session, Trusted};
use crate::table::{Table, plain};
use countersign_wire::Bytes;
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::command::{Change, Initiator};
use countersign_wire::ids::{ApiUserId, PairingId};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// API users whose own signed requests count as intent.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Add an initiator, or replace its key
    Add(AddArgs),
    /// List initiators and their keys' fingerprints
    List(ListArgs),
    /// Remove an initiator: its requests are refused from then on
    Remove(RemoveArgs),
}

/// Flags of `add`.
#[derive(clap::Args)]
pub struct AddArgs {
    /// The API user's id
    #[arg(long, value_name = "ID")]
    user: ApiUserId,
    /// Its RSA public key (PEM)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Of which pairing; not needed where there is only one
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
}

/// Flags of `list`.
#[derive(clap::Args)]
pub struct ListArgs {
    /// Of which pairing; not needed where there is only one
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
}

/// Flags of `remove`.
#[derive(clap::Args)]
pub struct RemoveArgs {
    /// The API user's id
    #[arg(long, value_name = "ID")]
    user: ApiUserId,
    /// Of which pairing; not needed where there is only one
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
}

/// Adds.
pub async fn add(app: &App, args: AddArgs) -> Result<Report, Failure> {
    app.socket()?;
    let der = pem::read_public_key(&args.key, "--key")?;
    let sha256 = hex::encode(Sha256::digest(&der));
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let pairing = choose_pairing(&cosigner.session().status().await?, args.pairing)?.pairing;
    let initiator = Initiator { user: args.user.clone(), public_key: fit(Bytes::new(der), "--key")? };
    match cosigner.change(&keys, Change::AddInitiator { pairing, initiator }).await? {
        Done::InitiatorAdded => {}
        _ => return Err(unexpected("the confirmation of an initiator")),
    }
    Ok(Report::new(
        format!("requests that API user {} signs count as intent (key SHA-256 {sha256})", args.user),
        json!({ "pairing": pairing.to_string(), "user": args.user.as_str(), "public_key_sha256": sha256 }),
    ))
}

/// Lists.
pub async fn list(app: &App, args: &ListArgs) -> Result<Report, Failure> {
    let mut session = Session::open_to_read(app).await?;
    let pairing = choose_pairing(&session.status().await?, args.pairing)?.pairing;
    let AdminResponse::Initiators(initiators) = session.ask(&AdminRequest::Initiators { pairing }).await? else {
        return Err(unexpected("initiators"));
    };
    let mut table = Table::new(&["API user", "public key, SHA-256"]);
    let mut items = Vec::new();
    for initiator in &initiators {
        let sha256 = hex::encode(Sha256::digest(&*initiator.public_key));
        table.row(vec![plain(&initiator.user), plain(&sha256)]);
        items.push(json!({
            "user": initiator.user.as_str(),
            "public_key_sha256": sha256,
            "public_key_pem": pem::public_key(&initiator.public_key),
        }));
    }
    let text = table.render(app.console.colour, "no initiators: where intent is required, everything is refused");
    Ok(Report::new(text, json!({ "pairing": pairing.to_string(), "initiators": items })))
}

/// Removes.
pub async fn remove(app: &App, args: RemoveArgs) -> Result<Report, Failure> {
    app.socket()?;
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let pairing = choose_pairing(&cosigner.session().status().await?, args.pairing)?.pairing;
    match cosigner.change(&keys, Change::RemoveInitiator { pairing, user: args.user.clone() }).await? {
        Done::InitiatorRemoved => {}
        _ => return Err(unexpected("the confirmation of a removal")),
    }
    Ok(Report::new(
        format!("API user {} is no initiator any more", args.user),
        json!({ "pairing": pairing.to_string(), "user": args.user.as_str() }),
    ))
}
