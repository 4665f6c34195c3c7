//! The comparison that stands before every command (threats T50 and T51): what the enclave says about itself must be
//! exactly what the operator pinned.

use crate::text_forms::printable;
use countersign_wire::ids::{InstanceId, OperatorId};
use countersign_wire::status::Description;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a co-signer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Its identity.
    pub instance: InstanceId,
    /// Its operators, by key.
    pub operators: BTreeMap<OperatorId, String>,
    /// How many must sign.
    pub required: u16,
    /// What seals its state.
    pub sealing_key: String,
    /// What may seal its state instead.
    pub next_sealing_key: Option<String>,
    /// The highest settings epoch seen: an earlier one is an old state.
    pub settings_epoch: u64,
}

/// [`Difference::what`] where the sealing key is another.
pub const SEALING_KEY: &str = "sealing key";

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub what: &'static str,
    /// What was pinned.
    pub expected: String,
    /// What the enclave says.
    pub got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.what, self.expected, self.got)
    }
}

impl Expectation {
    /// Everything that differs; empty: this is the co-signer that the operator knows.
    pub fn differences(&self, description: &Description) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut add = |what, expected: String, got: String| found.push(Difference { what, expected, got });
        if description.instance != self.instance {
            add("instance", self.instance.to_string(), description.instance.to_string());
        }
        for (id, name) in &description.operators {
            let shown = format!("{:?} {id}", printable(name));
            match self.operators.get(id) {
                None => add("extra operator", "none".to_owned(), shown),
                Some(expected) if expected != name.as_str() => {
                    add("operator name", format!("{expected:?} {id}"), shown);
                }
                Some(_) => {}
            }
        }
        for (id, name) in &self.operators {
            if !description.operators.iter().any(|(other, _)| other == id) {
                add("missing operator", format!("{name:?} {id}"), "none".to_owned());
            }
        }
        let distinct: BTreeSet<_> = description.operators.iter().map(|(id, _)| id).collect();
        if distinct.len() != description.operators.len() {
            add("doubled operator", distinct.len().to_string(), description.operators.len().to_string());
        }
        if description.required != self.required {
            add("operators required", self.required.to_string(), description.required.to_string());
        }
        let sealing_key = description.sealing_key.as_str();
        if sealing_key != self.sealing_key && self.next_sealing_key.as_deref() != Some(sealing_key) {
            add(SEALING_KEY, format!("{:?}", self.sealing_key), format!("{:?}", printable(&description.sealing_key)));
        }
        if description.pending_changes != 0 {
            add("pending changes", "0".to_owned(), description.pending_changes.to_string());
        }
        if description.settings_epoch < self.settings_epoch {
            add("settings epoch", format!("{} or later", self.settings_epoch), description.settings_epoch.to_string());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::command::Measurements;
    use countersign_wire::ids::BootId;
    use countersign_wire::{List, Text};

    fn expectation() -> Expectation {
        Expectation {
            instance: InstanceId([1; 32]),
            operators: [(OperatorId([2; 32]), "alice".to_owned())].into(),
            required: 1,
            sealing_key: "file:x".to_owned(),
            next_sealing_key: None,
            settings_epoch: 4,
        }
    }

    fn description(change: impl FnOnce(&mut Description)) -> Description {
        let zeros = [0; 48];
        let mut description = Description {
            instance: InstanceId([1; 32]),
            boot: BootId([0; 16]),
            version: Text::default(),
            name: Text::default(),
            operators: List::new(vec![(OperatorId([2; 32]), Text::new("alice").unwrap())]).unwrap(),
            required: 1,
            sealing_key: Text::new("file:x").unwrap(),
            settings_epoch: 5,
            pending_changes: 0,
            nonce: [0; 32],
            measurements: Measurements { pcr0: zeros, pcr1: zeros, pcr2: zeros, pcr8: None },
        };
        change(&mut description);
        description
    }

    #[test]
    fn what_was_pinned_differs_in_nothing() {
        assert_eq!(expectation().differences(&description(|_| {})), []);
    }

    #[test]
    fn t51_every_single_difference_is_found_and_named() {
        type Change = fn(&mut Description);
        let operator = |key: u8, name: &str| (OperatorId([key; 32]), Text::new(name).unwrap());
        let cases: [(&str, Change); 8] = [
            ("instance", |d| d.instance = InstanceId([9; 32])),
            ("operators required", |d| d.required = 2),
            ("sealing key", |d| d.sealing_key = Text::new("file:y").unwrap()),
            ("pending changes", |d| d.pending_changes = 1),
            ("settings epoch", |d| d.settings_epoch = 3),
            ("missing operator", |d| d.operators = List::default()),
            ("extra operator", |d| d.operators.push((OperatorId([3; 32]), Text::new("eve").unwrap())).unwrap()),
            ("doubled operator", |d| d.operators.push((OperatorId([2; 32]), Text::new("alice").unwrap())).unwrap()),
        ];
        for (what, change) in cases {
            let found: Vec<&str> = expectation().differences(&description(change)).iter().map(|d| d.what).collect();
            assert_eq!(found, [what]);
        }
        let renamed = description(|d| d.operators = List::new(vec![operator(2, "eve")]).unwrap());
        assert_eq!(expectation().differences(&renamed).first().map(|d| d.what), Some("operator name"));
    }
}
