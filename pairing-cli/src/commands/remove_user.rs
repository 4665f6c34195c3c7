//! `cosigner remove-user`.

use super::{App, views};
use crate::admin_channel::unexpected;
use crate::choice::choose_user;
use crate::console::Report;
use crate::failure::Failure;
use crate::prompt;
use crate::session::Trusted;
use countersign_wire::admin::Done;
use countersign_wire::command::Change;
use countersign_wire::ids::{ApiUserId, PairingId};
use countersign_wire::status::{KeyEntry, UserStatus};
use serde_json::json;

/// Flags of `remove-user`.
#[derive(clap::Args)]
pub struct Args {
    /// The API user's id
    #[arg(value_name = "USER")]
    user: ApiUserId,
    /// Of which pairing; not needed where one only has this API user
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
    /// Remove without asking
    #[arg(long)]
    yes: bool,
}

/// Removes.
pub async fn run(app: &App, args: &Args) -> Result<Report, Failure> {
    app.socket()?;
    let operators = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let epoch = cosigner.session().description.settings_epoch;
    let status = cosigner.session().status().await?;
    let users = cosigner.session().users().await?;
    let keys = cosigner.session().keys().await?;
    let user = choose_user(&users, &args.user, args.pairing)?;
    let pairing = user.pairing;
    for line in consequences(user, &users, &keys) {
        app.console.note(&line);
    }
    prompt::confirm(args.yes, "remove this API user", "--yes")?;
    let change = Change::RemoveUser { pairing, user: args.user.clone() };
    let Done::UserRemoved { pairing_removed } = cosigner.change_as_seen(&operators, change, epoch).await? else {
        return Err(unexpected("the confirmation of a removal"));
    };
    if pairing_removed {
        cosigner.forget(pairing)?;
    }
    let gone = if pairing_removed { ", and pairing {} with it: its pin here is gone, too" } else { "" };
    Ok(Report::new(
        format!("removed API user {}{}", args.user, gone.replace("{}", &pairing.to_string())),
        json!({
            "user": args.user.as_str(),
            "pairing": pairing.to_string(),
            "pairing_removed": pairing_removed,
            "before": views::user(user, &status),
        }),
    ))
}

/// What is lost.
fn consequences(user: &UserStatus, users: &[UserStatus], keys: &[KeyEntry]) -> Vec<String> {
    let id = &user.user;
    let mut lines = Vec::new();
    if !user.confirmed {
        lines.push(format!("the workspace never confirmed API user {id}: nothing was ever approved for it"));
    }
    let others = users.iter().filter(|u| u.pairing == user.pairing && u.user != *id).count();
    let of_pairing: Vec<&KeyEntry> = keys.iter().filter(|k| k.pairing == user.pairing).collect();
    let own = of_pairing.iter().filter(|k| k.purpose.signer == *id).count();
    if user.confirmed {
        lines.push(format!(
            "requests of API user {id} are refused from then on; {} that wait for its handler end",
            u64::from(user.waiting) + u64::from(user.retrying)
        ));
    }
    if own > 0 {
        lines.push(format!(
            "{own} keys were made for it: they stay in the pairing, and nobody approves for them until it is added again"
        ));
    }
    match (others, of_pairing.len()) {
        (0, 0) => lines.push(format!(
            "it is the last API user of pairing {}, which holds no key: the pairing goes with it",
            user.pairing
        )),
        (0, kept) => lines.push(format!(
            "it is the last API user of pairing {}, which stays because it holds {kept} keys",
            user.pairing
        )),
        (_, _) => {}
    }
    lines
}
