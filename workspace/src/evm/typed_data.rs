//! Typed structured data (EIP-712).

use alloy_dyn_abi::TypedData;
use countersign_wire::transaction::Digest;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Members of a domain in their order, with their types (EIP-712, definition of `domainSeparator`).
const DOMAIN: [(&str, &str); 5] = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
];
/// Structures within structures.
const MAX_DEPTH: usize = 16;

fn object<'v>(value: &'v Value, what: &str) -> Result<&'v Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("typed data: expected {what} to be an object"))
}

/// The digest of typed data. What its types do not say is in no digest, so it is refused.
///
/// # Errors
/// It cannot be read, holds more or less than its types say, or is for another chain.
pub fn digest(data: &Value, chain_id: u64) -> Result<Digest, String> {
    let members = object(data, "the content")?;
    let names: BTreeSet<&str> = members.keys().map(String::as_str).collect();
    if names != BTreeSet::from(["domain", "message", "primaryType", "types"]) {
        return Err("typed data: expected exactly the members types, primaryType, domain and message".to_owned());
    }
    let (types, domain) = (object(&data["types"], "types")?, object(&data["domain"], "domain")?);
    check_domain(types, domain, chain_id)?;
    let primary = data["primaryType"].as_str().ok_or("typed data: expected primaryType to be a text")?;
    if primary == "EIP712Domain" {
        return Err("typed data: expected a primaryType other than EIP712Domain".to_owned());
    }
    check_value(types, primary, &data["message"], "message", 0)?;
    let parsed: TypedData = serde_json::from_value(data.clone()).map_err(|e| format!("typed data: {e}"))?;
    let digest = parsed.eip712_signing_hash().map_err(|e| format!("typed data: {e}"))?;
    Ok(digest.0)
}

/// The fields of a structure, each once.
fn fields<'t>(types: &'t Map<String, Value>, name: &str) -> Result<Vec<(&'t str, &'t str)>, String> {
    let list = types.get(name).and_then(Value::as_array);
    let list = list.ok_or_else(|| format!("typed data: expected types to have {name:.64?}, a list"))?;
    let field = |value: &'t Value| {
        let members = value.as_object().filter(|members| members.len() == 2)?;
        Some((members.get("name")?.as_str()?, members.get("type")?.as_str()?))
    };
    let read: Option<Vec<_>> = list.iter().map(field).collect();
    let read = read.ok_or_else(|| format!("typed data: expected each field of {name:.64} to be {{name, type}}"))?;
    let names: BTreeSet<&str> = read.iter().map(|(name, _)| *name).collect();
    if names.len() != read.len() {
        return Err(format!("typed data: a field of {name:.64} is there twice"));
    }
    Ok(read)
}

fn check_domain(types: &Map<String, Value>, domain: &Map<String, Value>, chain_id: u64) -> Result<(), String> {
    let present: Vec<(&str, &str)> = DOMAIN.into_iter().filter(|(name, _)| domain.contains_key(*name)).collect();
    if present.len() != domain.len() {
        return Err("typed data: expected in domain name, version, chainId, verifyingContract and salt only".to_owned());
    }
    if types.contains_key("EIP712Domain") && fields(types, "EIP712Domain")? != present {
        return Err("typed data: expected types.EIP712Domain to be exactly the members of domain, in order".to_owned());
    }
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
        _ => None,
    };
    match domain.get("chainId") {
        Some(value) if number(value) != Some(chain_id) => {
            Err(format!("typed data: expected the chainId {chain_id} of the asset in domain, got {value:.80}"))
        }
        _ => Ok(()),
    }
}

/// Whether a value has exactly the members that its type says, all the way down. What a plain value may be is said by whoever
/// hashes it.
fn check_value(types: &Map<String, Value>, kind: &str, value: &Value, at: &str, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("typed data: expected at most {MAX_DEPTH} structures within one another"));
    }
    let deeper = depth.saturating_add(1);
    if let Some((element, _)) = kind.strip_suffix(']').and_then(|k| k.rsplit_once('[')) {
        let list = value.as_array().ok_or_else(|| format!("typed data: expected {at:.80} to be a list"))?;
        return list.iter().try_for_each(|item| check_value(types, element, item, at, deeper));
    }
    if !types.contains_key(kind) {
        return Ok(());
    }
    let (members, fields) = (object(value, at)?, fields(types, kind)?);
    let known = fields.iter().filter(|(name, _)| members.contains_key(*name)).count();
    if known != members.len() || known != fields.len() {
        return Err(format!("typed data: expected {at:.80} to have exactly the members of {kind:.64}"));
    }
    fields.iter().try_for_each(|(name, kind)| {
        members.get(*name).map_or(Ok(()), |value| check_value(types, kind, value, name, deeper))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// The example of EIP-712.
    pub fn mail() -> Value {
        json!({
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"}, {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"}
                ],
                "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
                "Mail": [
                    {"name": "from", "type": "Person"}, {"name": "to", "type": "Person"},
                    {"name": "contents", "type": "string"}
                ],
            },
            "primaryType": "Mail",
            "domain": {
                "name": "Ether Mail", "version": "1", "chainId": 1,
                "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
            },
            "message": {
                "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
                "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
                "contents": "Hello, Bob!",
            },
        })
    }

    /// The digest that the EIP's own example states.
    #[test]
    fn the_example_of_eip_712_has_the_digest_that_it_states() {
        let expected = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2";
        assert_eq!(hex::encode(digest(&mail(), 1).unwrap()), expected);
        let mut without = mail();
        without["types"].as_object_mut().unwrap().remove("EIP712Domain");
        assert_eq!(hex::encode(digest(&without, 1).unwrap()), expected, "the domain's type follows from the domain");
    }

    #[test]
    fn what_is_not_hashed_is_not_accepted() {
        assert!(digest(&mail(), 5).is_err(), "another chain");
        for (path, name, value) in [
            ("", "more", json!(1)),
            ("", "primaryType", json!("Person2")),
            ("", "primaryType", json!("EIP712Domain")),
            ("/domain", "chainId", json!(2)),
            ("/domain", "chainId", json!([1])),
            ("/domain", "more", json!("x")),
            ("/domain", "salt", json!("0x00")),
            ("/message", "more", json!("x")),
            ("/message/from", "more", json!("x")),
            ("/message", "from", json!("Cow")),
            ("/message/from", "wallet", json!("0x12")),
            ("/types", "Person", json!([{"name": "name", "type": "string"}])),
            ("/types", "Person", json!([{"name": "name", "type": "string", "more": 1}])),
            ("/types", "Mail", json!([{"name": "from", "type": "Nobody"}])),
        ] {
            let mut data = mail();
            data.pointer_mut(path).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value.clone());
            assert!(digest(&data, 1).is_err(), "{path}/{name} {value}");
        }
        for (path, name) in [("", "types"), ("/message", "contents"), ("/domain", "version")] {
            let mut data = mail();
            data.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(name);
            assert!(digest(&data, 1).is_err(), "{path}/{name}");
        }
    }
}
