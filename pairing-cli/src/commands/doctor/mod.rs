//! `cosigner doctor`: checks everything that can be checked from here, on broken set-ups too, and says what to do.

mod check;
mod machine;
mod pairings;
mod users;

use super::{App, callback};
use crate::admin_channel::check_listens;
use crate::attested::AnchorKind;
use crate::console::Report;
use crate::failure::Failure;
use crate::operator_key::OperatorKey;
use crate::pin::Pin;
use crate::session::{Require, Session, Trusted};
use crate::text_forms::printable;
use crate::timestamps::now_ms;
use callback::steps::Steps;
use check::{Area, Check, Examination};
use countersign_wire::callback::{Attempt, CallbackSubject};
use countersign_wire::status::{ApprovalKind, Status, UserStatus};
use users::Seen;

pub use machine::size;

/// Flags of `doctor`.
#[derive(clap::Args)]
pub struct Args {
    /// Call the handler of each API user with a probe, too; needs operator keys
    #[arg(long)]
    test_callbacks: bool,
}

/// Checks.
pub async fn run(app: &App, args: &Args) -> Result<Report, Failure> {
    // A passphrase is asked for before anything else, or not at all.
    let keys = args.test_callbacks.then(|| app.operator_keys());
    let mut checks = Vec::new();
    let found = examine(app, &mut checks).await;
    let mut areas = Area::READ.to_vec();
    if let Some(keys) = keys {
        areas.push(Area::Callbacks);
        if let Some(users) = found {
            checks.extend(test_callbacks(app, keys, &users).await);
        }
    }
    let examination = Examination::new(checks, &areas);
    let socket = app.settings.socket.as_ref().map_or_else(|| "no socket".to_owned(), |s| s.display().to_string());
    let text = format!(
        "doctor of co-signer {} at {}\n{}{}",
        app.settings.cosigner,
        printable(&socket),
        examination.text(app.console.colour),
        examination.summary()
    );
    Ok(Report { text, json: examination.json(), failure: examination.verdict() })
}

/// Goes as far as it gets; what is behind has no check then. The users, where they could be read.
async fn examine(app: &App, checks: &mut Vec<Check>) -> Option<Vec<UserStatus>> {
    if let Err(failure) = listens(app).await {
        checks.push(Check::failure(Area::Socket, &failure));
        return None;
    }
    checks.push(Check::passed(Area::Socket, "somebody listens"));
    let pin = match app.claimed_pin() {
        Ok(pin) => pin,
        Err(failure) => {
            checks.push(Check::failure(Area::Pin, &failure));
            return None;
        }
    };
    let mut session = match open(app, pin).await {
        Ok(session) => session,
        Err(failure) => {
            checks.push(Check::failure(Area::Enclave, &failure));
            return None;
        }
    };
    checks.push(enclave(&session));
    if !who(app, &session, checks) {
        return None;
    }
    let status = match session.status().await {
        Ok(status) => status,
        Err(failure) => {
            checks.push(Check::failure(Area::Pin, &failure));
            return None;
        }
    };
    checks.push(machine::clock(status.now_ms, now_ms()));
    checks.extend(machine::host(&status));
    checks.extend(pairings::pairings(&status));
    match session.keys().await {
        Ok(keys) => checks.extend(pairings::keys(&status, &keys)),
        Err(failure) => checks.push(Check::failure(Area::Keys, &failure)),
    }
    approvals(&mut session, &status, checks).await
}

async fn listens(app: &App) -> Result<(), Failure> {
    check_listens(app.socket()?).await
}

/// Without a pin and without expected measurements an enclave is looked at all the same.
async fn open(app: &App, pin: Option<Pin>) -> Result<Session<'_>, Failure> {
    let known = pin.is_some() || app.settings.measurements.is_some();
    Session::open(app, pin, if known { Require::Measurements } else { Require::Nothing }).await
}

fn enclave(session: &Session<'_>) -> Check {
    let root = session.anchor.as_str();
    let version = printable(&session.description.version);
    match (session.anchor, session.measurements_compared) {
        (AnchorKind::Aws, true) => {
            Check::passed(Area::Enclave, format!("attested under the {root}, as measured; version {version}"))
        }
        (_, false) => Check::warning(
            Area::Enclave,
            format!("attested under the {root}, its measurements were compared with nothing; version {version}"),
            "give --measurements FILE, or pin the co-signer",
        ),
        (AnchorKind::Development, true) => Check::weakness(
            Area::Enclave,
            format!("attested under a {root}, which proves nothing about hardware; version {version}"),
            "never use it for real keys",
        ),
    }
}

/// Whether it is the co-signer that is meant, and has operators.
fn who(app: &App, session: &Session<'_>, checks: &mut Vec<Check>) -> bool {
    let claimed = !session.description.operators.is_empty();
    match &session.pin {
        None if claimed => checks.push(Check::warning(
            Area::Pin,
            session.not_pinned(),
            "get the pin file of the operator who claimed it, or pin it with `cosigner adopt`",
        )),
        None => {}
        Some(_) => match session.refuse_differences() {
            Ok(()) => checks
                .push(Check::passed(Area::Pin, format!("it is the one that is pinned as {}", app.settings.cosigner))),
            Err(failure) => {
                checks.push(Check::failure(Area::Pin, &failure));
                return false;
            }
        },
    }
    if !claimed {
        checks.push(Check::failed(
            Area::Claim,
            "nobody claimed this enclave: it has no operators",
            "claim it: `cosigner init`; if it was claimed before, its host lost its sealed state: do not claim it again, \
             restore the host's storage",
        ));
        return false;
    }
    let (required, all) = (session.description.required, session.description.operators.len());
    checks.push(match session.description.pending_changes {
        0 => Check::passed(Area::Claim, format!("{required} of {all} operators must sign")),
        n => Check::warning(Area::Claim, format!("{n} changes are pending"), "see `cosigner get-status`"),
    });
    true
}

async fn approvals(session: &mut Session<'_>, status: &Status, checks: &mut Vec<Check>) -> Option<Vec<UserStatus>> {
    let users = match session.users().await {
        Ok(users) => users.into_vec(),
        Err(failure) => {
            checks.push(Check::failure(Area::Approval, &failure));
            return None;
        }
    };
    let mut attempts: Vec<Vec<(CallbackSubject, Attempt)>> = Vec::new();
    for user in &users {
        let lately = match user.approval {
            ApprovalKind::Handler => session.callback(user.pairing, &user.user).await.map(|c| c.attempts.into_vec()),
            ApprovalKind::None | ApprovalKind::Auto => Ok(Vec::new()),
        };
        attempts.push(lately.unwrap_or_else(|failure| {
            checks.push(Check::failure(Area::Handlers, &failure));
            Vec::new()
        }));
    }
    let seen = users.iter().zip(&attempts).map(|(user, attempts)| Seen { user, attempts });
    checks.extend(users::users(status, &seen.collect::<Vec<_>>()));
    Some(users)
}

/// One call with a probe for each confirmed user with a handler.
async fn test_callbacks(app: &App, keys: Result<Vec<OperatorKey>, Failure>, users: &[UserStatus]) -> Vec<Check> {
    let opened = match keys {
        Ok(keys) => Trusted::open(app).await.map(|cosigner| (keys, cosigner)),
        Err(failure) => Err(failure),
    };
    let (keys, mut cosigner) = match opened {
        Ok(opened) => opened,
        Err(failure) => return vec![Check::failure(Area::Callbacks, &failure)],
    };
    let mut checks = Vec::new();
    for user in users.iter().filter(|u| u.confirmed && u.approval == ApprovalKind::Handler) {
        let id = &user.user;
        checks.push(match callback::test::call(&mut cosigner, &keys, user.pairing, id).await {
            Ok((setting, test)) => {
                let steps = Steps::new(id, &setting, &test);
                let says = format!("{id}: {}", steps.verdict());
                match steps.passed() {
                    true => Check::passed(Area::Callbacks, says),
                    false => {
                        Check::failed(Area::Callbacks, says, format!("see each step: `cosigner callback test {id}`"))
                    }
                }
            }
            Err(failure) => Check::failed(Area::Callbacks, format!("{id}: {failure}"), failure.hint()),
        });
    }
    if checks.is_empty() {
        checks.push(Check::passed(Area::Callbacks, "there is no handler to call"));
    }
    checks
}
