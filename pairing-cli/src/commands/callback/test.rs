//! `cosigner callback test`. The call is made by the enclave, over the host, as every other one; so it is a command that
//! operators sign.

use super::Target;
use super::steps::Steps;
use crate::admin_channel::unexpected;
use crate::choice::choose_user;
use crate::commands::App;
use crate::console::Report;
use crate::failure::Failure;
use crate::operator_key::OperatorKey;
use crate::session::Trusted;
use countersign_wire::admin::{CallbackTest, Done};
use countersign_wire::command::{ApprovalSetting, Change};
use countersign_wire::ids::{ApiUserId, PairingId};

/// Tests, and fails unless every step passed.
pub async fn run(app: &App, target: &Target) -> Result<Report, Failure> {
    app.socket()?;
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let users = cosigner.session().users().await?;
    let pairing = choose_user(&users, &target.user, target.pairing)?.pairing;
    let (setting, test) = call(&mut cosigner, &keys, pairing, &target.user).await?;
    let steps = Steps::new(&target.user, &setting, &test);
    let failure = (!steps.passed()).then(|| Failure::check_failed(steps.verdict(), steps.next()));
    Ok(Report { text: steps.text(app.console.colour), json: steps.json(), failure })
}

/// One call with a probe: how requests of the API user are approved, and what the call brought.
pub async fn call(
    cosigner: &mut Trusted<'_>,
    keys: &[OperatorKey],
    pairing: PairingId,
    user: &ApiUserId,
) -> Result<(ApprovalSetting, CallbackTest), Failure> {
    let setting = cosigner.session().callback(pairing, user).await?.approval;
    if !matches!(setting, ApprovalSetting::Handler(_)) {
        return Err(Failure::usage(
            format!("API user {user} has no handler to call"),
            "describe one: `cosigner callback set`",
        ));
    }
    match cosigner.change(keys, Change::TestCallback { pairing, user: user.clone() }).await? {
        Done::CallbackTested(test) => Ok((setting, *test)),
        _ => Err(unexpected("what a test brought")),
    }
}
