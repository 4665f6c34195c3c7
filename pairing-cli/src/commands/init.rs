//! `cosigner init`: claims a fresh enclave (threat T51).
//!
//! The expectation is written down before the claim is sent, and confirmed after the enclave described itself as exactly
//! that. A run that was interrupted is repeated; it claims, or finds its own claim.

use super::ownership::{Flags, report};
use super::{App, key_owner};
use crate::console::Report;
use crate::expectation::Expectation;
use crate::failure::Failure;
use crate::operator_key::{self, OperatorKey};
use crate::passphrase;
use crate::pin::{Pin, PinState};
use crate::session::{Require, Session};
use crate::text_forms::printable;
use countersign_wire::admin::Done;
use countersign_wire::command::Change;
use countersign_wire::ids::OperatorId;
use countersign_wire::limits::MAX_URL_BYTES;
use countersign_wire::status::Description;
use countersign_wire::{List, Text};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Flags of `init`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    ownership: Flags,
    /// Make a new operator key even if that means an error because there is one
    #[arg(long)]
    new_key: bool,
}

/// Claims.
pub async fn run(app: &App, args: Args) -> Result<Report, Failure> {
    app.socket()?;
    let pins = app.pins()?;
    let known = pins.load(&app.settings.cosigner)?;
    let mut keys = Vec::new();
    let ownership = args.ownership.complete(|| {
        keys = own_keys(app, args.new_key)?;
        Ok(keys.first().map(OperatorKey::id))
    })?;
    check_signers(&ownership.operators, &keys)?;

    let confirmed = known.clone().filter(|pin| pin.state == PinState::Claimed);
    let mut session = Session::open(app, confirmed.clone(), Require::Measurements).await?;
    let mut pin = ownership.pin(&session, session.description.instance, PinState::Claiming);
    if let Some(confirmed) = confirmed {
        return already_claimed(app, &session, &confirmed, &pin);
    }
    let resumed = known.is_some_and(|known| known.expectation() == pin.expectation());
    let fresh = is_fresh(&session.description);
    let own_claim = resumed && pin.expectation().differences(&session.description).is_empty();
    if !fresh && !own_claim {
        return Err(claimed_by_somebody(&session.description, &pin.expectation()));
    }
    if fresh {
        key_owner::tell(&app.console, &pin.sealing_key);
        pins.store(&app.settings.cosigner, &pin)?;
        match session.claim(&keys, claim(&pin)?).await? {
            Done::Claimed => {}
            _ => return Err(crate::admin_channel::unexpected("the confirmation of a claim")),
        }
    }
    session.compare_with(&pin).await?;
    pin.state = PinState::Claimed;
    pin.settings_epoch = session.description.settings_epoch;
    pins.store(&app.settings.cosigner, &pin)?;
    Ok(report(app, &pin, "claimed", false))
}

/// The keys that sign: the files named by flags, the first one made where it is not there.
fn own_keys(app: &App, new_key: bool) -> Result<Vec<OperatorKey>, Failure> {
    let files = app.key_files()?;
    let first: &PathBuf = files.first().ok_or_else(|| Failure::missing("--operator-key", "the operator key"))?;
    if first.exists() && new_key {
        return Err(operator_key::exists(first));
    }
    if !first.exists() {
        OperatorKey::create(first, &passphrase::new(app.passphrase_file(0, files.len())?, first)?)?;
        app.console.note(&format!("made operator key {} (encrypted; back it up)", first.display()));
    }
    app.operator_keys()
}

/// A claim is signed by every operator that it names, and by nobody else.
fn check_signers(operators: &BTreeMap<OperatorId, String>, keys: &[OperatorKey]) -> Result<(), Failure> {
    if let Some(unnamed) = keys.iter().find(|key| !operators.contains_key(&key.id())) {
        return Err(Failure::usage(
            format!("key {} signs but is no operator", unnamed.id()),
            format!("add --operator NAME={}", unnamed.id()),
        ));
    }
    match operators.iter().find(|(id, _)| !keys.iter().any(|key| key.id() == **id)) {
        Some((id, name)) => Err(Failure::usage(
            format!("the claim must be signed by every operator that it names, and {name:?} ({id}) does not sign"),
            "give --operator-key once for each operator, your own first",
        )),
        None => Ok(()),
    }
}

fn claim(pin: &Pin) -> Result<Change, Failure> {
    let mut operators = Vec::new();
    for operator in &pin.operators {
        operators.push((operator.key, super::fit(Text::new(operator.name.clone()), "--operator-name")?));
    }
    Ok(Change::Claim {
        operators: super::fit(List::new(operators), "--operator")?,
        required: pin.required,
        sealing_key: super::fit(Text::<MAX_URL_BYTES>::new(pin.sealing_key.clone()), "--sealing-key")?,
    })
}

fn is_fresh(description: &Description) -> bool {
    description.operators.is_empty()
        && description.required == 0
        && description.sealing_key.is_empty()
        && description.pending_changes == 0
}

fn claimed_by_somebody(description: &Description, expected: &Expectation) -> Failure {
    let who: Vec<String> = description.operators.iter().map(|(id, n)| format!("{:?} {id}", printable(n))).collect();
    let differences: Vec<String> = expected.differences(description).iter().map(ToString::to_string).collect();
    Failure::untrusted(
        format!(
            "this enclave is claimed already, by {} with {} required ({})",
            if who.is_empty() { "nobody named".to_owned() } else { who.join(", ") },
            description.required,
            if differences.is_empty() {
                "no claim of this workstation is known".to_owned()
            } else {
                differences.join("; ")
            },
        ),
        "if that was not you, somebody was faster: do not use it, start a fresh enclave. If it was you or another operator \
         of yours, get the pin file from there, or pin it anew with `cosigner adopt`",
    )
}

fn already_claimed(app: &App, session: &Session<'_>, confirmed: &Pin, asked: &Pin) -> Result<Report, Failure> {
    session.refuse_differences()?;
    let same = confirmed.operators == asked.operators
        && confirmed.required == asked.required
        && confirmed.sealing_key == asked.sealing_key;
    if !same {
        return Err(Failure::usage(
            format!("{:?} is claimed already, with other operators or another sealing key", app.settings.cosigner),
            "see `cosigner get-status`; to claim another co-signer name it with --cosigner",
        ));
    }
    Ok(report(app, confirmed, "claimed already, exactly like this", true))
}
