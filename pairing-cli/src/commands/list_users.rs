//! `cosigner list-users`.

use super::callback::attempt_tone;
use super::{App, views};
use crate::certificate::{Expiry, until};
use crate::choice::check_pairing;
use crate::console::{Report, Tone};
use crate::failure::Failure;
use crate::session::Session;
use crate::table::{Field, Table, field, plain};
use crate::text_forms::{printable, short};
use crate::timestamps::{millis, utc};
use countersign_wire::group::Role;
use countersign_wire::ids::PairingId;
use countersign_wire::refusal::Code;
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
    check_pairing(&status, args.pairing)?;
    let users = session.users().await?;
    let users: Vec<&UserStatus> = users.iter().filter(|u| args.pairing.is_none_or(|p| p == u.pairing)).collect();
    let items: Vec<_> = users.iter().map(|u| views::user(u, &status)).collect();
    Ok(Report::new(
        table(&users, &status).render(app.console.colour, "no API users yet: `cosigner add-user`"),
        json!({ "users": items }),
    ))
}

/// Whether intent is required for a user; `None` where the status does not know its pairing.
pub fn requires_intent(status: &Status, user: &UserStatus) -> Option<bool> {
    status.pairings.iter().find(|p| p.pairing == user.pairing).map(|p| p.require_intent)
}

/// Whether RAW is signed for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw {
    /// An operator allowed it.
    Allowed,
    /// No operator did.
    Refused,
    /// A cloud co-signer does not decide it: the operators of the customer's co-signer do.
    NotApplicable,
}

/// Whether RAW is signed for a user.
pub fn raw(status: &Status, user: &UserStatus) -> Raw {
    match (is_cloud(status, user), user.allow_raw) {
        (true, _) => Raw::NotApplicable,
        (false, true) => Raw::Allowed,
        (false, false) => Raw::Refused,
    }
}

fn is_cloud(status: &Status, user: &UserStatus) -> bool {
    status.pairings.iter().any(|p| p.pairing == user.pairing && p.role == Role::Cloud)
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
        "queue",
        "last callback",
        "certificate",
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
            match raw(status, user) {
                Raw::NotApplicable => plain("not applicable"),
                Raw::Allowed => field("ALLOWED", Tone::Red),
                Raw::Refused => plain("refused"),
            },
            plain(user.approved),
            plain(user.rejected),
            plain(user.failed),
            queue(user),
            last_callback(user),
            certificate(user, status),
        ]);
    }
    table
}

fn approval(user: &UserStatus, status: &Status) -> Field {
    if !user.confirmed {
        return field("not confirmed by the workspace", Tone::Yellow);
    }
    match user.approval {
        ApprovalKind::Auto => field("AUTO-APPROVE", Tone::Red),
        ApprovalKind::Handler => plain(format!("{}\n{}", printable(&user.handler_url), printable(&user.handler_mode))),
        ApprovalKind::None if is_cloud(status, user) => plain("customer's Authorisation"),
        ApprovalKind::None => field("none: all refused", Tone::Yellow),
    }
}

fn queue(user: &UserStatus) -> Field {
    match (user.waiting, user.retrying) {
        (0, 0) => plain("-"),
        (waiting, retrying) => plain(format!("{waiting} waiting\n{retrying} retrying")),
    }
}

fn last_callback(user: &UserStatus) -> Field {
    let Some(last) = &user.last_attempt else { return plain("-") };
    let ended = last.code.map_or(last.result.as_str(), Code::as_str);
    field(format!("{ended}\n{} in {}", utc(last.started_at_ms), millis(last.took_us)), attempt_tone(last))
}

fn certificate(user: &UserStatus, status: &Status) -> Field {
    match user.certificate_expires_at_ms {
        None => plain("-"),
        Some(expires) => field(until(expires, status.now_ms), Expiry::of(expires, status.now_ms).tone()),
    }
}
