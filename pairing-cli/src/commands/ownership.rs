//! Who commands a co-signer and what seals it: the flags of `init` and `adopt`, the rules for them, and the report.

use super::App;
use crate::console::Report;
use crate::failure::Failure;
use crate::pin::{FORMAT, Pin, PinState, PinnedOperator};
use crate::prompt;
use crate::session::Session;
use crate::text_forms::printable;
use countersign_wire::ids::{InstanceId, OperatorId};
use countersign_wire::limits::{MAX_NAME_BYTES, MAX_OPERATORS};
use serde_json::json;
use std::collections::BTreeMap;

/// The flags that `init` and `adopt` share.
#[derive(clap::Args)]
pub(super) struct Flags {
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
}

/// Who commands a co-signer and what seals it, as an operator said.
pub(super) struct Ownership {
    pub operators: BTreeMap<OperatorId, String>,
    required: u16,
    sealing_key: String,
}

impl Flags {
    /// Asks for what is missing, and only then for the key of whoever runs this: `own` may make one.
    pub fn complete(self, own: impl FnOnce() -> Result<Option<OperatorId>, Failure>) -> Result<Ownership, Failure> {
        let name = prompt::text(self.operator_name, "--operator-name", "your name")?;
        let sealing_key = prompt::text(self.sealing_key, "--sealing-key", "the sealing key's id")?;
        let operators = operators(&name, &self.operator, own()?)?;
        check_counts(&operators, self.required)?;
        Ok(Ownership { operators, required: self.required, sealing_key })
    }
}

impl Ownership {
    /// The pin of a co-signer that is owned so.
    pub fn pin(self, session: &Session<'_>, instance: InstanceId, state: PinState) -> Pin {
        Pin {
            format: FORMAT,
            state,
            anchor: session.anchor,
            instance,
            operators: self.operators.into_iter().map(|(key, name)| PinnedOperator { name, key }).collect(),
            required: self.required,
            sealing_key: self.sealing_key,
            next_sealing_key: None,
            measurements: session.measurements.clone(),
            settings_epoch: 0,
            pairings: Vec::new(),
        }
    }
}

fn named_operator(text: &str) -> Result<(String, OperatorId), String> {
    let (name, key) = text.split_once('=').ok_or("expected NAME=HEX")?;
    Ok((name.to_owned(), key.parse().map_err(|e| format!("{e}"))?))
}

/// All operators by key: whoever runs this, and those whom `--operator` names.
fn operators(
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

fn check_counts(operators: &BTreeMap<OperatorId, String>, required: u16) -> Result<(), Failure> {
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
