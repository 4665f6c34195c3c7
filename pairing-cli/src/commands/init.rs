//! `cosigner init`: claims a fresh enclave (threat T51).
//!
//! The expectation is written down before the claim is sent, and confirmed after the enclave described itself as exactly
//! that. A run that was interrupted is repeated; it claims, or finds its own claim.

use super::App;
use crate::console::Report;
use crate::expectation::Expectation;
use crate::failure::Failure;
use crate::operator_key::{self, OperatorKey};
use crate::pin::{FORMAT, Pin, PinState, PinnedOperator};
use crate::session::{Require, Session};
use crate::text_forms::printable;
use crate::{passphrase, prompt};
use countersign_wire::admin::Done;
use countersign_wire::command::Change;
use countersign_wire::ids::OperatorId;
use countersign_wire::limits::{MAX_NAME_BYTES, MAX_OPERATORS, MAX_URL_BYTES};
use countersign_wire::status::Description;
use countersign_wire::{List, Text};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Flags of `init`.
#[derive(clap::Args)]
pub struct Args {
    /// Your name, as the co-signer's status will show it
    #[arg(long, value_name = "NAME")]
    operator_name: Option<String>,
    /// Key that seals the co-signer's state: a KMS key's ARN, or the id of a development provider's key
    #[arg(long, value_name = "ID")]
    sealing_key: Option<String>,
    /// Another operator: a name and the public key of `cosigner operator-key show`; repeatable
    #[arg(long, value_name = "NAME=HEX", value_parser = named_operator)]
    operator: Vec<(String, OperatorId)>,
    /// How many operators must sign a change
    #[arg(long, value_name = "M", default_value_t = 1)]
    required: u16,
    /// Make a new operator key even if that means an error because there is one
    #[arg(long)]
    new_key: bool,
}

pub(super) fn named_operator(text: &str) -> Result<(String, OperatorId), String> {
    let (name, key) = text.split_once('=').ok_or("expected NAME=HEX")?;
    Ok((name.to_owned(), key.parse().map_err(|e| format!("{e}"))?))
}

/// Claims.
pub async fn run(app: &App, args: Args) -> Result<Report, Failure> {
    app.socket()?;
    let pins = app.pins()?;
    let known = pins.load(&app.settings.cosigner)?;
    let name = prompt::text(args.operator_name, "--operator-name", "your name")?;
    let sealing_key = prompt::text(args.sealing_key, "--sealing-key", "the sealing key's id")?;
    let keys = own_keys(app, args.new_key)?;
    let operators = operators(&name, &args.operator, keys.first().map(OperatorKey::id))?;
    check_signers(&operators, &keys)?;
    check_counts(&operators, args.required)?;

    let confirmed = known.clone().filter(|pin| pin.state == PinState::Claimed);
    let mut session = Session::open(app, confirmed.clone(), Require::Measurements).await?;
    let mut pin = Pin {
        format: FORMAT,
        state: PinState::Claiming,
        anchor: session.anchor,
        instance: session.description.instance,
        operators: operators.iter().map(|(key, name)| PinnedOperator { name: name.clone(), key: *key }).collect(),
        required: args.required,
        sealing_key,
        measurements: session.measurements.clone(),
        settings_epoch: 0,
        pairings: Vec::new(),
    };
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

/// All operators by key: whoever runs this, and those whom `--operator` names.
pub(super) fn operators(
    name: &str,
    others: &[(String, OperatorId)],
    own: Option<OperatorId>,
) -> Result<BTreeMap<OperatorId, String>, Failure> {
    let mut operators = BTreeMap::new();
    let own = own.map(|key| (name.to_owned(), key));
    for (name, id) in own.into_iter().chain(others.iter().cloned()) {
        if name.trim().is_empty() || name != printable(&name) || name.len() > MAX_NAME_BYTES {
            return Err(Failure::usage(
                format!("expected an operator's name of 1 to {MAX_NAME_BYTES} printable bytes, got {name:?}"),
                "names are shown in the status: give readable ones",
            ));
        }
        if operators.values().any(|n| *n == name) || operators.insert(id, name.clone()).is_some() {
            return Err(Failure::usage(
                format!("operator {name:?} or its key is named twice"),
                "name each operator once",
            ));
        }
    }
    Ok(operators)
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

pub(super) fn check_counts(operators: &BTreeMap<OperatorId, String>, required: u16) -> Result<(), Failure> {
    if operators.len() > MAX_OPERATORS {
        return Err(Failure::usage(
            format!("at most {MAX_OPERATORS} operators, got {}", operators.len()),
            "name fewer",
        ));
    }
    if required == 0 || usize::from(required) > operators.len() {
        return Err(Failure::usage(
            format!("--required: expected 1 to {}, got {required}", operators.len()),
            "as many operators as there are can be required at most: name others with --operator NAME=HEX",
        ));
    }
    Ok(())
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

pub(super) fn report(app: &App, pin: &Pin, what: &str, already: bool) -> Report {
    let mut text = format!("{what}: co-signer {:?}, instance {}\n", app.settings.cosigner, pin.instance);
    text.push_str(&format!("  {} of {} operators must sign:\n", pin.required, pin.operators.len()));
    for operator in &pin.operators {
        text.push_str(&format!("    {} {}\n", operator.key, operator.name));
    }
    text.push_str(&format!("  sealing key {}\n  root {}\n", pin.sealing_key, pin.anchor.as_str()));
    text.push_str("next: pair it with a workspace, `cosigner add-user`");
    let operators: Vec<_> = pin.operators.iter().map(|o| json!({ "name": o.name, "key": o.key.to_string() })).collect();
    Report::new(
        text,
        json!({
            "already_claimed": already,
            "cosigner": app.settings.cosigner,
            "instance": pin.instance.to_string(),
            "operators": operators,
            "required": pin.required,
            "sealing_key": pin.sealing_key,
            "anchor": pin.anchor,
            "measurements": pin.measurements,
            "settings_epoch": pin.settings_epoch,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_a_name_and_a_key() {
        let key = "ab".repeat(32);
        assert_eq!(named_operator(&format!("bob={key}")), Ok(("bob".to_owned(), OperatorId([0xab; 32]))));
        for bad in ["bob".to_owned(), "bob=ab".to_owned(), format!("bob={}", key.to_uppercase())] {
            assert!(named_operator(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_keys_are_unique_and_m_is_possible() {
        let a = |name: &str, key: u8| (name.to_owned(), OperatorId([key; 32]));
        assert_eq!(operators("x", &[a("bob", 1), a("eve", 2)], None).unwrap().len(), 2);
        assert_eq!(operators("x", &[a("bob", 1)], Some(OperatorId([3; 32]))).unwrap().len(), 2);
        assert!(operators("x", &[a("bob", 1), a("bob", 2)], None).is_err());
        assert!(operators("x", &[a("bob", 1), a("eve", 1)], None).is_err());
        assert!(operators("x", &[a("b\u{202e}b", 1)], None).is_err());
        let two = operators("x", &[a("bob", 1), a("eve", 2)], None).unwrap();
        assert!(check_counts(&two, 2).is_ok() && check_counts(&two, 0).is_err() && check_counts(&two, 3).is_err());
    }
}
