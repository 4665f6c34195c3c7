//! `cosigner list-users`.

use super::{App, views};
use crate::console::{Report, Tone};
use crate::failure::Failure;
use crate::session::Session;
use crate::table::{Field, Table, field, plain};
use crate::text_forms::short;
use crate::timestamps::utc;
use countersign_wire::ids::PairingId;
use countersign_wire::status::{ApprovalKind, Status, UserStatus};
use serde_json::json;

/// Flags of `list-users`.
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
    let users = session.users().await?;
    let users: Vec<&UserStatus> = users.iter().filter(|u| args.pairing.is_none_or(|p| p == u.pairing)).collect();
    let items: Vec<_> = users.iter().map(|u| views::user(u, requires_intent(&status, u))).collect();
    Ok(Report::new(
        table(&users, &status).render(app.console.colour, "no API users yet: `cosigner add-user`"),
        json!({ "users": items }),
    ))
}

/// Whether intent is required for a user; `None` where the status does not know its pairing.
pub fn requires_intent(status: &Status, user: &UserStatus) -> Option<bool> {
    status.pairings.iter().find(|p| p.pairing == user.pairing).map(|p| p.require_intent)
}

/// What weakens a co-signer is red.
pub fn table(users: &[&UserStatus], status: &Status) -> Table {
    let mut table = Table::new(&[
        "API user",
        "workspace",
        "approval",
        "intent",
        "RAW",
        "approved",
        "rejected",
        "failed",
        "last callback",
    ]);
    for user in users {
        table.row(vec![
            plain(&user.user),
            plain(short(&user.workspace)),
            approval(user, status),
            match requires_intent(status, user) {
                Some(true) => plain("required"),
                _ => field("NOT REQUIRED", Tone::Red),
            },
            if user.allow_raw { field("ALLOWED", Tone::Red) } else { plain("refused") },
            plain(user.approved),
            plain(user.rejected),
            plain(user.failed),
            last_callback(user),
        ]);
    }
    table
}

fn approval(user: &UserStatus, status: &Status) -> Field {
    use countersign_wire::group::Role;
    let cloud = status.pairings.iter().any(|p| p.pairing == user.pairing && p.role == Role::Cloud);
    match user.approval {
        ApprovalKind::Auto => field("AUTO-APPROVE", Tone::Red),
        ApprovalKind::Handler => plain(&*user.handler_url),
        ApprovalKind::None if cloud => plain("customer's Authorisation"),
        ApprovalKind::None => field("none: all refused", Tone::Yellow),
    }
}

fn last_callback(user: &UserStatus) -> Field {
    match user.last_callback {
        None => plain("-"),
        Some((None, at_ms)) => field(format!("approved\n{}", utc(at_ms)), Tone::Green),
        Some((Some(code), at_ms)) => field(format!("{code}\n{}", utc(at_ms)), Tone::Yellow),
    }
}
