//! `cosigner callback show`.

use super::fields::{Field, differences, fields, show, show_differences};
use super::{Target, forms};
use crate::certificate::{Expiry, until};
use crate::choice::choose_user;
use crate::commands::{App, views};
use crate::console::{Report, Tone, paint};
use crate::failure::Failure;
use crate::public_key::{algorithm, fingerprint};
use crate::session::Session;
use crate::table::{Table, field, plain};
use crate::timestamps::{millis, utc};
use countersign_wire::callback::{Attempt, AttemptResult};
use countersign_wire::command::ApprovalSetting;
use countersign_wire::status::{CallbackStatus, Status};
use serde_json::json;

/// Shows.
pub async fn run(app: &App, target: &Target) -> Result<Report, Failure> {
    let mut session = Session::open_to_read(app).await?;
    let status = session.status().await?;
    let users = session.users().await?;
    let pairing = choose_user(&users, &target.user, target.pairing)?.pairing;
    let callback = session.callback(pairing, &target.user).await?;
    let proposal = callback.proposal.as_ref().map(|(change, setting)| {
        json!({
            "change": change.to_string(),
            "setting": forms::setting(setting),
            "differences": forms::differences(&differences(&callback.approval, setting)),
        })
    });
    let result = json!({
        "user": views::user(&callback.user, &status),
        "setting": forms::setting(&callback.approval),
        "request_key": crate::public_key::json(&callback.request_key),
        "own_request_key": callback.own_request_key,
        "approval_key": hex::encode(callback.approval_key),
        "attempts": forms::attempts(&callback),
        "proposal": proposal,
    });
    Ok(Report::new(text(&callback, &status, app.console.colour), result))
}

fn text(callback: &CallbackStatus, status: &Status, colour: bool) -> String {
    let mut sections = vec![
        show(&overview(callback), colour) + &show(&fields(&callback.approval), colour) + &now(callback, status, colour),
        attempts(callback).render(colour, "its handler was not called since the boot"),
    ];
    sections.extend(proposal(callback, colour));
    sections.join("\n")
}

fn one(name: &'static str, value: String) -> Field {
    Field { name, lines: vec![value] }
}

fn overview(callback: &CallbackStatus) -> Vec<Field> {
    let user = &callback.user;
    let mut all = vec![
        one("API user", user.user.to_string()),
        one("pairing", format!("{} (workspace {})", user.pairing, user.workspace)),
    ];
    if !user.confirmed {
        all.push(one("confirmed", "NOT YET by the workspace: it can only be removed, or added again".to_owned()));
    }
    all
}

fn now(callback: &CallbackStatus, status: &Status, colour: bool) -> String {
    let user = &callback.user;
    let owner = if callback.own_request_key { "this API user's own" } else { "the pairing's" };
    let request_key = &callback.request_key;
    let mut all = Vec::new();
    if matches!(callback.approval, ApprovalSetting::Handler(_)) {
        all.push(one("request key", format!("{} {}, {owner}", algorithm(request_key), fingerprint(request_key))));
        all.push(one(
            "calls",
            format!(
                "{} approved, {} rejected, {} to be asked again, {} failed, since the boot",
                user.approved, user.rejected, user.retried, user.failed
            ),
        ));
        all.push(one("requests", format!("{} waiting, {} asked again later", user.waiting, user.retrying)));
    }
    all.push(one("approval key", format!("Ed25519 {}, for configuration changes", hex::encode(callback.approval_key))));
    let mut text = show(&all, colour);
    if let Some(expires) = user.certificate_expires_at_ms {
        let shown = paint(Expiry::of(expires, status.now_ms).tone(), &until(expires, status.now_ms), colour);
        text.push_str(&format!("{:12} {shown}\n", "certificate"));
    }
    text
}

fn attempts(callback: &CallbackStatus) -> Table {
    let mut table = Table::new(&["time", "subject", "result", "code", "took", "detail"]);
    for (subject, attempt) in &callback.attempts {
        let (kind, id) = forms::subject(subject);
        table.row(vec![
            plain(utc(attempt.started_at_ms)),
            plain(id.map_or_else(|| kind.to_owned(), |id| format!("{kind}\n{id}"))),
            field(attempt.result.as_str(), tone(attempt)),
            plain(attempt.code.map_or("-", |c| c.as_str())),
            plain(millis(attempt.took_us)),
            plain(&*attempt.detail),
        ]);
    }
    table
}

/// How the end of a call is shown.
pub fn tone(attempt: &Attempt) -> Tone {
    match attempt.result {
        AttemptResult::Approved => Tone::Green,
        AttemptResult::Rejected | AttemptResult::Retry | AttemptResult::Ignored => Tone::Yellow,
        AttemptResult::Failed => Tone::Red,
    }
}

/// What the workspace would have, and how to have it.
fn proposal(callback: &CallbackStatus, colour: bool) -> Option<String> {
    let (change, setting) = callback.proposal.as_ref()?;
    let user = &callback.user.user;
    let changes = differences(&callback.approval, setting);
    let shown = match changes.is_empty() {
        true => "  nothing else than what is in force\n".to_owned(),
        false => show_differences(&changes, colour),
    };
    let head = paint(Tone::Yellow, &format!("the workspace proposes, as change {change}:"), colour);
    Some(format!(
        "{head}\n{shown}nothing follows from it unless operators sign exactly this:\n  cosigner callback set {user} \
         --accept-proposal {change} --hash {}\n",
        hex::encode(setting.digest())
    ))
}
