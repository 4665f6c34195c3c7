//! What the co-signer asks, as far as the rules look at it.
//!
//! The co-signer writes amounts, assets and addresses from the bytes that it will sign. What only the workspace claims is
//! listed in `extraParameters.countersign.unverified`, by member name. Here such a member is as good as missing: the
//! rules never see it. The note is the exception, as its rule can only reject.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Most characters of a text that is looked at or logged.
const MAX_TEXT_CHARACTERS: usize = 256;

/// A JSON object.
pub type Object = Map<String, Value>;

/// The payload is not a question that this handler knows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// What a co-signer is about to sign. `None`: missing, or not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Same content, same id: see `answers.rs`.
    pub request_id: String,
    /// The workspace's id of the transaction.
    pub tx_id: String,
    /// The API user that is to sign.
    pub signer_id: String,
    /// `RAW`, `TYPED_MESSAGE`, `TRANSFER`…
    pub operation: Option<String>,
    /// `ETH`, for example.
    pub asset: Option<String>,
    /// As a decimal number.
    pub amount: Option<String>,
    /// Every address that something goes to.
    pub destinations: Option<Vec<String>>,
    /// The client's own text.
    pub note: String,
    /// An operator's test of the connection: whatever is answered, nothing is signed.
    pub is_test: bool,
}

/// A change of the workspace's configuration that asks for a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// Its id.
    pub request_id: String,
    /// `ADD_USER`, for example.
    pub kind: String,
}

impl Transaction {
    /// Reads the payload of `tx_sign_request`.
    pub fn parse(payload: &Object) -> Result<Self, Malformed> {
        let countersign = object(object(payload, "extraParameters")?, "countersign")?;
        let unverified = unverified(countersign)?;
        let verified = |name: &str| match unverified.contains(name) {
            true => Ok(None),
            false => text(payload, name).map(|value| Some(value).filter(|value| !value.is_empty())),
        };
        // The protocol says that a missing operation is a transfer. One that is only claimed is not missing.
        let by_default = (!unverified.contains("operation")).then(|| "TRANSFER".to_owned());
        Ok(Self {
            request_id: request_id(payload)?,
            tx_id: text(payload, "txId")?,
            signer_id: text(payload, "signerId")?,
            operation: verified("operation")?.or(by_default),
            asset: verified("asset")?,
            amount: verified("amountStr")?,
            destinations: destinations(payload, &unverified, verified("destAddress")?)?,
            note: text_of_any_length(payload, "note")?.to_owned(),
            is_test: countersign.get("test") == Some(&Value::Bool(true)),
        })
    }
}

impl ConfigChange {
    /// Reads the payload of `config_change_sign_request`.
    pub fn parse(payload: &Object) -> Result<Self, Malformed> {
        Ok(Self { request_id: request_id(payload)?, kind: text(payload, "type")? })
    }
}

/// Every address that something goes to, or `None` where one of them is missing or not verified.
fn destinations(
    payload: &Object,
    unverified: &BTreeSet<String>,
    address: Option<String>,
) -> Result<Option<Vec<String>>, Malformed> {
    let no_list = || Malformed("destinations is not a list of objects".into());
    let entries = match payload.get("destinations").filter(|_| !unverified.contains("destinations")) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(entries)) => entries.as_slice(),
        Some(_) => return Err(no_list()),
    };
    let claimed = ["dstAddress", "destinations.dstAddress"].iter().any(|name| unverified.contains(*name));
    let mut addresses = Vec::new();
    for entry in entries {
        let entry = entry.as_object().ok_or_else(no_list)?;
        addresses.push(if claimed { String::new() } else { text(entry, "dstAddress")? });
    }
    if addresses.len() < 2 {
        // The only entry may repeat the address, or leave it out.
        addresses.retain(|a| !a.is_empty());
    }
    addresses.extend(address);
    let all_there = !addresses.is_empty() && addresses.iter().all(|a| !a.is_empty());
    Ok(all_there.then_some(addresses))
}

fn unverified(countersign: &Object) -> Result<BTreeSet<String>, Malformed> {
    let no_list = || Malformed("extraParameters.countersign.unverified is not a list of names".into());
    match countersign.get("unverified") {
        None | Some(Value::Null) => Ok(BTreeSet::new()),
        // A member of each destination may be written `destinations[].name`.
        Some(Value::Array(names)) => {
            names.iter().map(|name| Ok(name.as_str().ok_or_else(no_list)?.replace("[]", ""))).collect()
        }
        Some(_) => Err(no_list()),
    }
}

fn object<'a>(parent: &'a Object, name: &str) -> Result<&'a Object, Malformed> {
    static EMPTY: std::sync::LazyLock<Object> = std::sync::LazyLock::new(Object::new);
    match parent.get(name) {
        None | Some(Value::Null) => Ok(&EMPTY),
        Some(value) => value.as_object().ok_or_else(|| Malformed(format!("{name} is not an object"))),
    }
}

fn text(parent: &Object, name: &str) -> Result<String, Malformed> {
    let value = text_of_any_length(parent, name)?;
    if value.chars().count() > MAX_TEXT_CHARACTERS {
        return Err(Malformed(format!("{name} is longer than {MAX_TEXT_CHARACTERS} characters")));
    }
    Ok(value.to_owned())
}

fn text_of_any_length<'a>(parent: &'a Object, name: &str) -> Result<&'a str, Malformed> {
    match parent.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(value) => value.as_str().ok_or_else(|| Malformed(format!("{name} is not a text"))),
    }
}

fn request_id(payload: &Object) -> Result<String, Malformed> {
    match text(payload, "requestId")? {
        id if id.is_empty() => Err(Malformed("requestId is missing".into())),
        id => Ok(id),
    }
}
