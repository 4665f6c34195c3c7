//! Typed structured data (EIP-712): what co-signers would refuse is refused here, and what would cost more to hash than a
//! request is worth. Only then is it given to the library that hashes it.

mod error;
mod field;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
mod types;
mod value;

pub use error::TypedDataError;

use alloy_dyn_abi::TypedData;
use alloy_primitives::U256;
use countersign_wire::evm::{DOMAIN, DOMAIN_MEMBERS};
use countersign_wire::transaction::Digest;
use error::shown;
use field::Field;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use types::{Member, Types};
use value::Reader;

fn object<'v>(value: &'v Value, expected: &'static str) -> Result<&'v Map<String, Value>, TypedDataError> {
    value.as_object().ok_or(TypedDataError::Shape(expected))
}

/// The digest of typed data. What its types do not say is in no digest, so it is refused.
///
/// # Errors
/// It cannot be read, is above a limit, holds more or less than its types say, or is for another chain.
pub fn digest(data: &Value, chain_id: u64) -> Result<Digest, TypedDataError> {
    let members = object(data, "an object")?;
    let names: BTreeSet<&str> = members.keys().map(String::as_str).collect();
    if names != BTreeSet::from(["domain", "message", "primaryType", "types"]) {
        return Err(TypedDataError::Shape("exactly the members types, primaryType, domain and message"));
    }
    let primary = data["primaryType"].as_str().ok_or(TypedDataError::Shape("primaryType to be a text"))?;
    if primary == DOMAIN {
        return Err(TypedDataError::Shape("a primaryType other than EIP712Domain"));
    }
    let types = Types::read(object(&data["types"], "types to be an object")?)?;
    let mut reader = Reader::new(&types);
    check_domain(&types, &mut reader, object(&data["domain"], "domain to be an object")?, chain_id)?;
    let message = object(&data["message"], "message to be an object")?;
    reader.structure(types.members(primary)?, message).map_err(|e| e.within("message"))?;
    let library = |e: &dyn std::fmt::Display| TypedDataError::Library(shown(&e.to_string()));
    let parsed: TypedData = serde_json::from_value(data.clone()).map_err(|e| library(&e))?;
    Ok(parsed.eip712_signing_hash().map_err(|e| library(&e))?.0)
}

/// The library hashes a domain's members in the order of the standard, whatever order `types` has.
fn check_domain<'t>(
    types: &Types<'t>,
    reader: &mut Reader<'_>,
    domain: &Map<String, Value>,
    chain_id: u64,
) -> Result<(), TypedDataError> {
    let present: Vec<(&'static str, &'static str)> =
        DOMAIN_MEMBERS.into_iter().filter(|(name, _)| domain.contains_key(*name)).collect();
    if let Some(more) = domain.keys().find(|name| present.iter().all(|(known, _)| known != name)) {
        return Err(TypedDataError::DomainMember(shown(more)));
    }
    if present.is_empty() {
        return Err(TypedDataError::Shape("one member of domain at least: what is signed would count anywhere"));
    }
    if types.has(DOMAIN) && !types.members(DOMAIN)?.iter().map(|m| (m.name, m.written)).eq(present.iter().copied()) {
        return Err(TypedDataError::Shape("types.EIP712Domain to be exactly the members of domain, in order"));
    }
    let members: Result<Vec<Member<'_>>, TypedDataError> =
        present.into_iter().map(|(name, written)| Ok(Member { name, written, field: Field::read(written)? })).collect();
    reader.structure(&members?, domain).map_err(|e| e.within("domain"))?;
    match domain.get("chainId").and_then(value::unsigned) {
        Some(got) if got != U256::from(chain_id) => Err(TypedDataError::Chain { expected: chain_id, got }),
        _ => Ok(()),
    }
}
