//! What is approved. The rules come from a JSON file; **put rules of your own into [`decide`]**.
//!
//! What no rule allows is rejected. Decide on what the co-signer verified: see `question.rs`.

use crate::amount::Amount;
use crate::policy_file::{AllowList, Rules, comparable_address};
use crate::question::{ConfigChange, Transaction};

/// Operations that sign something handed over whole: no amount and no destination is shown for these.
const WITHOUT_AMOUNT: &[&str] = &["RAW", "TYPED_MESSAGE"];

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Sign it.
    Approve,
    /// Never sign it, and why.
    Reject(String),
    /// Ask again later.
    Retry,
    /// No opinion: for changes of configuration only.
    Ignore,
}

impl Decision {
    /// As the protocol writes it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Approve => "APPROVE",
            Self::Reject(_) => "REJECT",
            Self::Retry => "RETRY",
            Self::Ignore => "IGNORE",
        }
    }

    /// Why it is rejected.
    pub fn reason(&self) -> Option<&str> {
        if let Self::Reject(reason) = self { Some(reason) } else { None }
    }
}

fn reject(reason: impl Into<String>) -> Decision {
    Decision::Reject(reason.into())
}

/// Decides on a transaction.
pub fn decide(rules: &Rules, transaction: &Transaction) -> Decision {
    // A claim may make you reject, never approve: so this rule may look at a note that is not verified.
    if rules.reject_notes.contains(&transaction.note) {
        return reject(format!("the note is \"{}\"", transaction.note));
    }
    if rules.operations != AllowList::Any {
        match transaction.operation.as_deref() {
            None => return reject("the operation is missing or not verified"),
            Some(operation) if rules.operations.allows(operation) => {}
            Some(operation) => return reject(format!("the operation {operation} is not allowed")),
        }
    }
    if let Some(assets) = &rules.assets {
        match transaction.asset.as_deref() {
            None => return reject("the asset is missing or not verified"),
            Some(asset) if assets.contains_key(asset) => {}
            Some(asset) => return reject(format!("the asset {asset} is not allowed")),
        }
    }
    if transaction.operation.as_deref().is_some_and(|operation| WITHOUT_AMOUNT.contains(&operation)) {
        return Decision::Approve;
    }
    decide_on_destinations(rules, transaction).unwrap_or_else(|| decide_on_amount(rules, transaction))
}

fn decide_on_destinations(rules: &Rules, transaction: &Transaction) -> Option<Decision> {
    if rules.destinations == AllowList::Any {
        return None;
    }
    let Some(destinations) = &transaction.destinations else {
        return Some(reject("a destination address is missing or not verified"));
    };
    let other = destinations.iter().find(|address| !rules.destinations.allows(&comparable_address(address)))?;
    Some(reject(format!("the destination {other} is not allowed")))
}

fn decide_on_amount(rules: &Rules, transaction: &Transaction) -> Decision {
    let Some(assets) = &rules.assets else { return Decision::Approve };
    let asset = transaction.asset.as_deref().unwrap_or_default();
    let limits = assets.get(asset);
    let Some(max_amount) = limits.and_then(|limits| limits.max_amount.as_ref()) else {
        return reject(format!("no maximum is set for the asset {asset}"));
    };
    let Some(amount) = &transaction.amount else { return reject("the amount is missing or not verified") };
    let Some(wanted) = Amount::parse(amount) else { return reject("the amount is not a decimal number") };
    if wanted > *max_amount {
        return reject(format!("the amount {amount} is over the maximum of {asset}"));
    }
    if limits.and_then(|limits| limits.retry_above.as_ref()).is_some_and(|threshold| wanted > *threshold) {
        // Here somebody would be asked. The co-signer asks again, under the same request id.
        return Decision::Retry;
    }
    Decision::Approve
}

/// Decides on a change of configuration.
pub fn decide_on_change(rules: &Rules, change: &ConfigChange) -> Decision {
    if rules.config_changes.allows(&change.kind) {
        Decision::Approve
    } else if rules.ignore_other_config_changes {
        Decision::Ignore
    } else {
        reject(format!("the configuration change {} is not allowed", change.kind))
    }
}

/// The cases that the samples in all languages share.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_file::DEMONSTRATION;
    use serde_json::{Value, json};

    fn read(file: &str) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        std::fs::read_to_string(path).unwrap()
    }

    fn cases(file: &str) -> Value {
        serde_json::from_str(&read(file)).unwrap()
    }

    fn parse(payload: &Value) -> Transaction {
        Transaction::parse(payload.as_object().unwrap()).unwrap()
    }

    fn check(decision: &Decision, case: &Value) {
        let expected = (case["action"].as_str().unwrap(), case["reason"].as_str());
        assert_eq!((decision.action(), decision.reason()), expected, "{case}");
    }

    #[test]
    fn the_example_policy_decides() {
        let rules = Rules::parse(&read("policy.example.json")).unwrap();
        let file = cases("cases/transactions.json");
        for case in file["cases"].as_array().unwrap() {
            let mut payload = file["transaction"].as_object().unwrap().clone();
            payload.extend(case["change"].as_object().unwrap().clone());
            payload.retain(|_, value| !value.is_null());
            match (Transaction::parse(&payload), case["error"].as_str()) {
                (Ok(transaction), None) => check(&decide(&rules, &transaction), case),
                (parsed, expected) => {
                    let error = parsed.unwrap_err();
                    assert_eq!(Some(error.to_string().as_str()), expected, "{case}");
                }
            }
        }
    }

    #[test]
    fn other_policies_decide() {
        let file = cases("cases/policies.json");
        for case in file["decisions"].as_array().unwrap() {
            let rules = Rules::parse(&case["policy"].to_string()).unwrap();
            check(&decide(&rules, &parse(&case["transaction"])), case);
        }
    }

    #[test]
    fn changes_of_configuration_are_decided() {
        let file = cases("cases/policies.json");
        for case in file["configChanges"].as_array().unwrap() {
            let rules = Rules::parse(&case["policy"].to_string()).unwrap();
            let change = ConfigChange { request_id: "1".into(), kind: case["type"].as_str().unwrap().into() };
            check(&decide_on_change(&rules, &change), case);
        }
    }

    #[test]
    fn a_policy_that_is_not_as_expected_is_refused() {
        let file = cases("cases/policies.json");
        for text in file["refused"].as_array().unwrap() {
            assert!(Rules::parse(text.as_str().unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_demonstration_rejects_one_note_only() {
        let rules = Rules::parse(DEMONSTRATION).unwrap();
        for payload in [json!({"requestId": "1"}), json!({"requestId": "1", "operation": "RAW", "note": "rent"})] {
            assert_eq!(decide(&rules, &parse(&payload)), Decision::Approve);
        }
        let rejected = decide(&rules, &parse(&json!({"requestId": "1", "note": "reject-me"})));
        assert_eq!(rejected.reason(), Some("the note is \"reject-me\""));
    }
}
