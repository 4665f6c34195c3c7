//! Checks of API users: how their requests are approved, what their handlers did lately, and their certificates.

use super::check::{Area, Check};
use crate::certificate::{Expiry, days_left};
use crate::commands::list_users::requires_intent;
use crate::hints;
use countersign_wire::callback::{Attempt, AttemptResult, CallbackSubject};
use countersign_wire::group::Role;
use countersign_wire::refusal::Code;
use countersign_wire::status::{ApprovalKind, Status, UserStatus};
use std::collections::BTreeMap;

/// An API user, and the last calls of its handler, where they could be read.
pub struct Seen<'a> {
    /// The user.
    pub user: &'a UserStatus,
    /// The last calls, the newest first.
    pub attempts: &'a [(CallbackSubject, Attempt)],
}

/// All checks of all users.
pub fn users(status: &Status, users: &[Seen<'_>]) -> Vec<Check> {
    if users.is_empty() {
        return vec![Check::warning(Area::Approval, "there are no API users yet", "`cosigner add-user`")];
    }
    let mut checks = Vec::new();
    for seen in users {
        checks.push(approval(status, seen.user));
        if seen.user.approval == ApprovalKind::Handler {
            checks.push(handler(seen));
            checks.extend(certificate(status.now_ms, seen.user));
        }
    }
    for (area, none) in [(Area::Handlers, "there are none"), (Area::Certificates, "none was seen since the boot")] {
        if !checks.iter().any(|check| check.area == area) {
            checks.push(Check::passed(area, none));
        }
    }
    checks
}

fn approval(status: &Status, seen: &UserStatus) -> Check {
    let user = &seen.user;
    if !seen.confirmed {
        return Check::warning(
            Area::Approval,
            format!("{user}: the workspace has not confirmed it"),
            format!("run the same `cosigner add-user` again, or `cosigner remove-user {user}`"),
        );
    }
    let is_cloud = status.pairings.iter().any(|p| p.pairing == seen.pairing && p.role == Role::Cloud);
    let intent = requires_intent(status, seen) == Some(true);
    match seen.approval {
        ApprovalKind::Auto if !intent => Check::weakness(
            Area::Approval,
            format!("{user}: AUTO-APPROVE, WITHOUT INTENT: the workspace alone decides what is signed"),
            format!("give it a handler: `cosigner callback set {user}`"),
        ),
        ApprovalKind::Auto => Check::weakness(
            Area::Approval,
            format!("{user}: AUTO-APPROVE: its requests are signed without asking anybody"),
            format!("give it a handler: `cosigner callback set {user}`"),
        ),
        ApprovalKind::None if is_cloud => {
            Check::passed(Area::Approval, format!("{user}: under the customer's Authorisation"))
        }
        ApprovalKind::None => Check::weakness(
            Area::Approval,
            format!("{user}: NO HANDLER: every request is refused"),
            format!("give it one: `cosigner callback set {user}`"),
        ),
        ApprovalKind::Handler => {
            Check::passed(Area::Approval, format!("{user}: by {} ({})", &*seen.handler_url, &*seen.handler_mode))
        }
    }
}

fn handler(seen: &Seen<'_>) -> Check {
    let user = &seen.user.user;
    let Some(last) = &seen.user.last_attempt else {
        return Check::passed(Area::Handlers, format!("{user}: not called since the boot"));
    };
    let queue = match (seen.user.waiting, seen.user.retrying) {
        (0, 0) => String::new(),
        (waiting, retrying) => format!("; {waiting} requests wait, {retrying} are asked again later"),
    };
    let (failures, by_code) = failures(seen.attempts);
    if last.result == AttemptResult::Failed {
        let code = last.code.unwrap_or(Code::Internal);
        return Check::failed(
            Area::Handlers,
            format!("{user}: the last call failed: {code}: {}{queue}", &*last.detail),
            hints::for_handler(code).replace("USER", user.as_str()),
        );
    }
    let says = format!("{user}: the last call was {}", ended(last));
    match failures {
        0 => Check::passed(Area::Handlers, format!("{says}{queue}")),
        _ => Check::warning(
            Area::Handlers,
            format!("{says}, but {failures} of the last {} failed: {by_code}{queue}", seen.attempts.len()),
            format!("see `cosigner callback show {user}`"),
        ),
    }
}

fn ended(attempt: &Attempt) -> String {
    match attempt.code {
        Some(code) if attempt.result != AttemptResult::Approved => format!("answered: {code}"),
        _ => format!("answered: {}", attempt.result.as_str()),
    }
}

/// How many calls failed, and how often for which reason.
fn failures(attempts: &[(CallbackSubject, Attempt)]) -> (usize, String) {
    let mut by_code: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, attempt) in attempts.iter().filter(|(_, attempt)| attempt.result == AttemptResult::Failed) {
        *by_code.entry(attempt.code.map_or("internal", |c| c.as_str())).or_default() += 1;
    }
    let shown: Vec<String> = by_code.iter().map(|(code, count)| format!("{code} ({count})")).collect();
    (by_code.values().sum(), shown.join(", "))
}

fn certificate(now_ms: u64, seen: &UserStatus) -> Option<Check> {
    let expires = seen.certificate_expires_at_ms?;
    let user = &seen.user;
    let left = days_left(expires, now_ms);
    let next = format!(
        "renew it at the handler; if its key is pinned and changes, first `cosigner callback rotate-pin {user} --certificate \
         FILE`"
    );
    Some(match Expiry::of(expires, now_ms) {
        Expiry::Far => Check::passed(Area::Certificates, format!("{user}: {left} left")),
        Expiry::Soon => Check::warning(Area::Certificates, format!("{user}: {left} left"), next),
        Expiry::Urgent => Check::failed(Area::Certificates, format!("{user}: only {left} left"), next),
        Expiry::Expired => Check::failed(Area::Certificates, format!("{user}: EXPIRED"), next),
    })
}
