//! Typed data (EIP-712), read strictly: whatever two libraries could hash in two ways is refused.

mod field;
#[cfg(test)]
mod tests;
mod types;
mod value;

use crate::intent::evm::u256::U256;
use countersign_token::strict_json;
use countersign_wire::evm::{DOMAIN, DOMAIN_MEMBERS};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use types::{Types, WrittenMember};

/// Typed data, hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedData {
    /// The type of its message.
    pub primary_type: String,
    /// The chain that its domain names; none is named where the domain does not say.
    pub chain_id: Option<U256>,
    /// The hash of its domain.
    pub domain_separator: [u8; 32],
    /// The hash of its message.
    pub struct_hash: [u8; 32],
}

/// Why typed data was refused. `at` says where, such as `message.from.wallet`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypedDataError {
    /// Other members than the four, or of other types.
    #[error("expected an object with types, primaryType, domain and message, or a text with one: {0}")]
    Shape(String),
    /// More of something than is allowed.
    #[error("more than {1} {0}")]
    Limit(&'static str, usize),
    /// A name that is none of Solidity's identifiers, or one that Solidity has for a type of its own.
    #[error("{0:?} is not a name for a type or a member")]
    Name(String),
    /// A type that EIP-712 does not have.
    #[error("{0:?} is not a type")]
    Type(String),
    /// A type that is named and not defined.
    #[error("the type {0:?} is not defined in types")]
    UndefinedType(String),
    /// A type that contains itself: what its values hash to is not agreed.
    #[error("the type {0:?} contains itself")]
    Cycle(String),
    /// A member defined twice.
    #[error("the type {of:?} has the member {member:?} twice")]
    MemberTwice {
        /// The type.
        of: String,
        /// The member.
        member: String,
    },
    /// A member that domains do not have.
    #[error(
        "{0:?} is not a member of a domain: expected name (string), version (string), chainId (uint256), \
         verifyingContract (address) or salt (bytes32)"
    )]
    DomainMember(String),
    /// A member of the domain that comes before where the standard has it.
    #[error("the domain's member {0:?} is out of order: expected name, version, chainId, verifyingContract, salt")]
    DomainOrder(String),
    /// A domain that says nothing: what is signed would count anywhere.
    #[error("the domain is empty: expected one member at least")]
    EmptyDomain,
    /// The primary type is the domain's own.
    #[error("expected a primaryType other than {DOMAIN}")]
    DomainAsMessage,
    /// A member that its type does not have.
    #[error("{at} is not in types")]
    Undefined {
        /// Where.
        at: String,
    },
    /// A member that its type has, without a value.
    #[error("{at} is missing")]
    Missing {
        /// Where.
        at: String,
    },
    /// A value that its type does not allow.
    #[error("{at}: expected {expected}")]
    Value {
        /// Where.
        at: String,
        /// What was expected.
        expected: String,
    },
}

impl TypedDataError {
    /// The same, found within something of this name.
    fn within(mut self, name: &str) -> Self {
        if let Self::Undefined { at } | Self::Missing { at } | Self::Value { at, .. } = &mut self {
            *at = if at.is_empty() { name.to_owned() } else { format!("{name}.{at}") };
        }
        self
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    // Objects, where `serde` would take a list of the members' values, too: a handler that looks for names would not find any.
    types: BTreeMap<String, Vec<Map<String, Value>>>,
    primary_type: String,
    domain: Map<String, Value>,
    message: Map<String, Value>,
}

fn shape(error: strict_json::StrictJsonError) -> TypedDataError {
    TypedDataError::Shape(error.to_string())
}

impl TypedData {
    /// The document in a message's content: the object itself, or what is in a text that holds it.
    pub fn document(content: Value) -> Result<Value, TypedDataError> {
        let document = match content {
            Value::String(text) => strict_json::value(text.as_bytes()).map_err(shape)?,
            content => content,
        };
        if document.is_object() { Ok(document) } else { Err(TypedDataError::Shape("expected an object".into())) }
    }

    /// Reads a document.
    pub fn read(document: &Value) -> Result<Self, TypedDataError> {
        if !document.is_object() {
            return Err(TypedDataError::Shape("expected an object".into()));
        }
        Self::hashed(strict_json::from_value(document.clone()).map_err(shape)?)
    }

    fn hashed(document: Document) -> Result<Self, TypedDataError> {
        let Document { types: written, primary_type, domain, message } = document;
        let mut types = BTreeMap::new();
        for (name, members) in written {
            let read = |member| strict_json::from_value(Value::Object(member)).map_err(shape);
            types.insert(name, members.into_iter().map(read).collect::<Result<Vec<WrittenMember>, _>>()?);
        }
        if primary_type == DOMAIN {
            return Err(TypedDataError::DomainAsMessage);
        }
        if !types.contains_key(DOMAIN) {
            types.insert(DOMAIN.to_owned(), domain_members(&domain)?);
        }
        let types = Types::new(types)?;
        let struct_hash = value::hash_struct(&types, &primary_type, &message).map_err(|e| e.within("message"))?;
        let domain_separator = value::hash_struct(&types, DOMAIN, &domain).map_err(|e| e.within("domain"))?;
        let chain_id = domain.get("chainId").and_then(value::unsigned);
        Ok(Self { primary_type, chain_id, domain_separator, struct_hash })
    }

    /// The bytes that are hashed: `0x19 ‖ 0x01 ‖ domainSeparator ‖ hashStruct(message)`.
    pub fn enveloped(&self) -> Vec<u8> {
        [&[0x19, 0x01], &self.domain_separator[..], &self.struct_hash].concat()
    }
}

/// The type of a domain that the document does not define: its members, in the order of the standard.
fn domain_members(domain: &Map<String, Value>) -> Result<Vec<WrittenMember>, TypedDataError> {
    let known = |name: &str| DOMAIN_MEMBERS.iter().any(|(known, _)| *known == name);
    if let Some(unknown) = domain.keys().find(|name| !known(name)) {
        return Err(TypedDataError::DomainMember(unknown.clone()));
    }
    let present = DOMAIN_MEMBERS.iter().filter(|(name, _)| domain.contains_key(*name));
    Ok(present.map(|(name, r#type)| WrittenMember { name: (*name).into(), r#type: (*r#type).into() }).collect())
}
