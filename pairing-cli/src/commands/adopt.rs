//! `cosigner adopt`: pins a co-signer that was claimed before (threat T51), because the pin file was lost or on the
//! workstation of an operator who never had one. Nothing is learnt from the enclave: it must be exactly what the flags say.

use super::App;
use super::ownership::{Flags, report};
use crate::console::Report;
use crate::expectation::SEALING_KEY;
use crate::failure::Failure;
use crate::operator_key;
use crate::pin::PinState;
use crate::session::{Require, Session};
use countersign_wire::ids::{InstanceId, OperatorId};
use std::path::PathBuf;

/// Flags of `adopt`.
#[derive(clap::Args)]
pub struct Args {
    /// Identity of the instance, as `cosigner init` or `cosigner get-status` printed it; never as its host says
    #[arg(long, value_name = "HEX")]
    instance: InstanceId,
    #[command(flatten)]
    ownership: Flags,
}

/// Adopts.
pub async fn run(app: &App, args: Args) -> Result<Report, Failure> {
    app.socket()?;
    let pins = app.pins()?;
    let known = pins.load(&app.settings.cosigner)?.filter(|pin| pin.state == PinState::Claimed);
    let ownership = args.ownership.complete(|| own_key(app).map(Some))?;
    if let Some(known) = &known
        && known.instance != args.instance
    {
        return Err(Failure::usage(
            format!("{:?} is pinned already, as instance {}", app.settings.cosigner, known.instance),
            "name this co-signer with another --cosigner",
        ));
    }

    let mut session = Session::open(app, known.clone(), Require::Measurements).await?;
    let mut pin = ownership.pin(&session, args.instance, PinState::Claimed);
    let differences = pin.expectation().differences(&session.description);
    if !differences.is_empty() {
        let all: Vec<String> = differences.iter().map(ToString::to_string).collect();
        return Err(Failure::untrusted(
            format!("this co-signer is not what the flags say: {}", all.join("; ")),
            "nothing was pinned. Where the flags are right, somebody else claimed, changed or exchanged this co-signer: do \
             not use it",
        ));
    }
    if let Some(mut known) = session.pin.clone() {
        // The sealing key alone changes, by a rotation, and the flags say the new one.
        if session.differences.iter().any(|difference| difference.what != SEALING_KEY) {
            session.refuse_differences()?;
        }
        if session.differences.is_empty() {
            return Ok(report(app, &known, "pinned already, exactly like this", true));
        }
        (known.sealing_key, known.next_sealing_key) = (pin.sealing_key, None);
        pins.store(&app.settings.cosigner, &known)?;
        return Ok(report(app, &known, "pinned with its new sealing key", true));
    }
    pin.settings_epoch = session.description.settings_epoch;
    pins.store(&app.settings.cosigner, &pin)?;
    // Its pairings are pinned as of any other pinned co-signer: from its own status.
    session.pin = Some(pin.clone());
    session.status().await?;
    Ok(report(app, &pin, "pinned", false))
}

/// The own public key: whoever adopts is an operator.
fn own_key(app: &App) -> Result<OperatorId, Failure> {
    let files = app.key_files()?;
    let first: &PathBuf = files.first().ok_or_else(|| Failure::missing("--operator-key", "the operator key"))?;
    operator_key::public_of(first)
}
