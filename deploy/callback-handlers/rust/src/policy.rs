//! What is approved. Replace these rules by your own.
//!
//! Decide on what the co-signer verified. Fields that only the workspace claims are listed in
//! `extraParameters.countersign.unverified`: they may make you reject, never approve. The note rule below only rejects.

use serde::Deserialize;

/// What a co-signer is about to sign; only the fields that the rules below look at. Unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Same content, same id: see `answers.rs`.
    pub request_id: String,
    /// The workspace's id of the transaction.
    pub tx_id: String,
    /// `RAW`, `TYPED_MESSAGE`, `TRANSFER`…
    #[serde(default = "transfer")]
    pub operation: String,
    /// `ETH`, for example.
    #[serde(default)]
    pub asset: String,
    /// The client's own text.
    #[serde(default)]
    pub note: Option<String>,
    /// The API user that is to sign.
    #[serde(default)]
    pub signer_id: String,
}

fn transfer() -> String {
    "TRANSFER".into()
}

/// A change of configuration that asks for a word.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigChange {
    /// Its id.
    pub request_id: String,
    /// `ADD_USER`, for example.
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Sign it.
    Approve,
    /// Never sign it, and why.
    Reject(String),
    /// No opinion: for changes of configuration only.
    Ignore,
}

/// What to say to a change of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnConfigChange {
    /// Agree.
    Approve,
    /// Refuse.
    Reject,
    /// Leave it to others.
    Ignore,
}

/// The rules.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Notes that are rejected.
    pub reject_notes: Vec<String>,
    /// Operations that are approved; empty: all.
    pub allow_operations: Vec<String>,
    /// Assets that are approved; empty: all.
    pub allow_assets: Vec<String>,
    /// What to say to changes of configuration.
    pub config_changes: OnConfigChange,
}

impl Policy {
    /// Decides on a transaction.
    pub fn decide(&self, transaction: &Transaction) -> Decision {
        let allowed = |list: &[String], value: &str| list.is_empty() || list.iter().any(|item| item == value);
        if let Some(note) = transaction.note.as_deref()
            && self.reject_notes.iter().any(|word| word == note)
        {
            return Decision::Reject(format!("the note is {note:?}"));
        }
        if !allowed(&self.allow_operations, &transaction.operation) {
            return Decision::Reject(format!("the operation {} is not on the list", transaction.operation));
        }
        if !allowed(&self.allow_assets, &transaction.asset) {
            return Decision::Reject(format!("the asset {:?} is not on the list", transaction.asset));
        }
        Decision::Approve
    }

    /// Decides on a change of configuration.
    pub fn decide_change(&self, change: &ConfigChange) -> Decision {
        match self.config_changes {
            OnConfigChange::Approve => Decision::Approve,
            OnConfigChange::Reject => Decision::Reject(format!("changes are not made this way ({})", change.kind)),
            OnConfigChange::Ignore => Decision::Ignore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            reject_notes: vec!["reject-me".into()],
            allow_operations: vec![],
            allow_assets: vec!["ETH".into()],
            config_changes: OnConfigChange::Ignore,
        }
    }

    fn transaction(note: Option<&str>, asset: &str) -> Transaction {
        Transaction {
            request_id: "r".into(),
            tx_id: "t".into(),
            operation: "RAW".into(),
            asset: asset.into(),
            note: note.map(Into::into),
            signer_id: "u".into(),
        }
    }

    #[test]
    fn everything_is_approved_but_what_a_rule_rejects() {
        assert_eq!(policy().decide(&transaction(None, "ETH")), Decision::Approve);
        assert_eq!(policy().decide(&transaction(Some("rent"), "ETH")), Decision::Approve);
        assert!(matches!(policy().decide(&transaction(Some("reject-me"), "ETH")), Decision::Reject(_)));
        assert!(matches!(policy().decide(&transaction(None, "BTC")), Decision::Reject(_)));
        let typed_only = Policy { allow_operations: vec!["TYPED_MESSAGE".into()], ..policy() };
        assert!(matches!(typed_only.decide(&transaction(None, "ETH")), Decision::Reject(_)));
    }
}
