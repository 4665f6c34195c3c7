//! The policy file. An unknown member is an error: a rule with a typing error must not be lost.

use crate::amount::Amount;
use crate::question::Object;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What holds where no policy file is given. Never use it for real keys.
pub const DEMONSTRATION: &str = r#"{
    "operations": "any", "assets": "any", "destinations": "any", "rejectNotes": ["reject-me"],
    "otherConfigChanges": "IGNORE"
}"#;

const MEMBERS: &[&str] =
    &["operations", "assets", "destinations", "rejectNotes", "configChanges", "otherConfigChanges"];

/// The policy file is not as expected.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPolicy {
    /// Not JSON at all.
    #[error("the policy is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Something in it.
    #[error("{0}")]
    Member(String),
}

fn wrong(what: &str, expected: &str) -> InvalidPolicy {
    InvalidPolicy::Member(format!("{what} {expected}"))
}

/// Names that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowList {
    /// All.
    Any,
    /// These.
    These(BTreeSet<String>),
}

impl AllowList {
    /// Whether this one is.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(names) => names.contains(name),
        }
    }
}

/// How much of an asset may leave at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// More is rejected. Without it nothing is transferred.
    pub max_amount: Option<Amount>,
    /// More is answered with RETRY.
    pub retry_above: Option<Amount>,
}

/// The rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Operations that are approved.
    pub operations: AllowList,
    /// Assets that are approved; `None` is any, without limits.
    pub assets: Option<BTreeMap<String, Limits>>,
    /// Addresses that something may go to, as [`comparable_address`].
    pub destinations: AllowList,
    /// Notes that are rejected.
    pub reject_notes: BTreeSet<String>,
    /// Changes of configuration that are approved.
    pub config_changes: AllowList,
    /// Whether other changes are ignored, not rejected.
    pub ignore_other_config_changes: bool,
}

impl Rules {
    /// Reads a policy file.
    pub fn parse(file: &str) -> Result<Self, InvalidPolicy> {
        let file: Value = serde_json::from_str(file)?;
        let rules = object(&file, "the policy", MEMBERS)?;
        let destinations = match allow_list(rules, "destinations")? {
            AllowList::These(names) => AllowList::These(names.iter().map(|a| comparable_address(a)).collect()),
            AllowList::Any => AllowList::Any,
        };
        Ok(Self {
            operations: allow_list(rules, "operations")?,
            assets: match rules.get("assets") {
                Some(Value::String(word)) if word == "any" => None,
                Some(assets) => Some(limits(assets)?),
                None => Some(BTreeMap::new()),
            },
            destinations,
            reject_notes: rules.get("rejectNotes").map_or(Ok(BTreeSet::new()), |list| names(list, "rejectNotes"))?,
            config_changes: allow_list(rules, "configChanges")?,
            ignore_other_config_changes: match rules.get("otherConfigChanges").map(Value::as_str) {
                None | Some(Some("REJECT")) => false,
                Some(Some("IGNORE")) => true,
                Some(_) => return Err(wrong("otherConfigChanges", "is neither REJECT nor IGNORE")),
            },
        })
    }
}

/// Hexadecimal addresses differ in the case of letters only by their checksum; others by meaning.
pub fn comparable_address(address: &str) -> String {
    if address.starts_with("0x") || address.starts_with("0X") { address.to_lowercase() } else { address.to_owned() }
}

fn object<'a>(value: &'a Value, what: &str, known: &[&str]) -> Result<&'a Object, InvalidPolicy> {
    let object = value.as_object().ok_or_else(|| wrong(what, "is not an object"))?;
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(wrong(what, &format!("has an unknown member {name}"))),
        None => Ok(object),
    }
}

fn names(list: &Value, what: &str) -> Result<BTreeSet<String>, InvalidPolicy> {
    let names = list.as_array().and_then(|list| list.iter().map(|n| n.as_str().map(str::to_owned)).collect());
    names.ok_or_else(|| wrong(what, "is not a list of texts"))
}

fn allow_list(rules: &Object, name: &str) -> Result<AllowList, InvalidPolicy> {
    match rules.get(name) {
        None => Ok(AllowList::These(BTreeSet::new())),
        Some(Value::String(word)) if word == "any" => Ok(AllowList::Any),
        Some(list) => Ok(AllowList::These(names(list, name)?)),
    }
}

fn limits(assets: &Value) -> Result<BTreeMap<String, Limits>, InvalidPolicy> {
    let assets = assets.as_object().ok_or_else(|| wrong("assets", "is not an object"))?;
    assets.iter().map(|(asset, value)| Ok((asset.clone(), limits_of(asset, value)?))).collect()
}

fn limits_of(asset: &str, value: &Value) -> Result<Limits, InvalidPolicy> {
    let what = format!("assets.{asset}");
    let given = object(value, &what, &["maxAmount", "retryAbove"])?;
    let amount =
        |name: &str| match given.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().and_then(Amount::parse).map(Some).ok_or_else(|| {
                wrong(&format!("{what}.{name}"), r#"is not a decimal number in quotes, such as "12.5""#)
            }),
        };
    let limits = Limits { max_amount: amount("maxAmount")?, retry_above: amount("retryAbove")? };
    // No maximum is less than every threshold, as the order of `Option` has it.
    if limits.retry_above > limits.max_amount {
        return Err(wrong(&format!("{what}.retryAbove"), "is not below its maxAmount"));
    }
    Ok(limits)
}
