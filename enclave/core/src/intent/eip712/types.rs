//! The types of typed data: read, checked as a whole, and encoded (EIP-712, "Definition of encodeType").

use super::TypedDataError;
use super::field::{FieldType, is_identifier, is_reserved};
use countersign_wire::evm::{DOMAIN, DOMAIN_MEMBERS, MAX_DEPTH, MAX_MEMBERS, MAX_TYPES};
use serde::Deserialize;
use sha3::{Digest as _, Keccak256};
use std::collections::{BTreeMap, BTreeSet};

/// A member as a document writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenMember {
    /// Its name.
    pub name: String,
    /// Its type.
    pub r#type: String,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its type.
    pub field: FieldType,
    /// Its type as written: there is one way only.
    written: String,
}

/// The types of a document: every one that is named exists, and none contains itself.
#[derive(Debug)]
pub struct Types {
    members: BTreeMap<String, Vec<Member>>,
    hashes: BTreeMap<String, [u8; 32]>,
}

impl Types {
    /// Reads and checks all types, also those that nothing refers to.
    pub fn new(written: BTreeMap<String, Vec<WrittenMember>>) -> Result<Self, TypedDataError> {
        if written.len() > MAX_TYPES {
            return Err(TypedDataError::Limit("types", MAX_TYPES));
        }
        let mut members = BTreeMap::new();
        for (name, written) in written {
            check_type_name(&name)?;
            let list = read_members(&name, written)?;
            members.insert(name, list);
        }
        let mut types = Self { members, hashes: BTreeMap::new() };
        let mut depths = BTreeMap::new();
        for name in types.members.keys() {
            types.depth(name, &mut Vec::new(), &mut depths)?;
        }
        let hashes = types.members.keys().map(|name| (name.clone(), Keccak256::digest(types.encoded(name)).into()));
        types.hashes = hashes.collect();
        Ok(types)
    }

    /// The members of a type.
    pub fn members(&self, name: &str) -> Result<&[Member], TypedDataError> {
        self.members.get(name).map(Vec::as_slice).ok_or_else(|| TypedDataError::UndefinedType(name.to_owned()))
    }

    /// `typeHash`: the Keccak-256 of `encodeType`.
    pub fn hash(&self, name: &str) -> Result<[u8; 32], TypedDataError> {
        self.hashes.get(name).copied().ok_or_else(|| TypedDataError::UndefinedType(name.to_owned()))
    }

    /// `encodeType`: the type, and behind it, sorted, every type that it is made of.
    fn encoded(&self, name: &str) -> String {
        let mut all = BTreeSet::new();
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            if all.insert(next) {
                open.extend(self.structs_of(next));
            }
        }
        all.remove(name);
        std::iter::once(name).chain(all).map(|name| self.signature(name)).collect()
    }

    /// `Name(type member,type member)`.
    fn signature(&self, name: &str) -> String {
        let members = self.members.get(name).map(Vec::as_slice).unwrap_or_default();
        let members: Vec<_> = members.iter().map(|m| format!("{} {}", m.written, m.name)).collect();
        format!("{name}({})", members.join(","))
    }

    fn structs_of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.members.get(name).into_iter().flatten().filter_map(|member| member.field.innermost_struct())
    }

    /// How deep types lie in this one. `open` are those around it; `known` are those that were looked at.
    fn depth<'a>(
        &'a self,
        name: &'a str,
        open: &mut Vec<&'a str>,
        known: &mut BTreeMap<&'a str, usize>,
    ) -> Result<usize, TypedDataError> {
        if let Some(depth) = known.get(name) {
            return Ok(*depth);
        }
        if open.contains(&name) {
            return Err(TypedDataError::Cycle(name.to_owned()));
        }
        if !self.members.contains_key(name) {
            return Err(TypedDataError::UndefinedType(name.to_owned()));
        }
        open.push(name);
        let mut depth = 0;
        for inner in self.structs_of(name) {
            depth = depth.max(self.depth(inner, open, known)? + 1);
        }
        open.pop();
        if depth > MAX_DEPTH {
            return Err(TypedDataError::Limit("types within types", MAX_DEPTH));
        }
        known.insert(name, depth);
        Ok(depth)
    }
}

fn read_members(of: &str, written: Vec<WrittenMember>) -> Result<Vec<Member>, TypedDataError> {
    if written.len() > MAX_MEMBERS {
        return Err(TypedDataError::Limit("members of a type", MAX_MEMBERS));
    }
    let mut names = BTreeSet::new();
    let mut members = Vec::new();
    let mut place = 0;
    for WrittenMember { name, r#type } in written {
        if !is_identifier(&name) {
            return Err(TypedDataError::Name(name));
        }
        if !names.insert(name.clone()) {
            return Err(TypedDataError::MemberTwice { of: of.to_owned(), member: name });
        }
        if of == DOMAIN {
            // In another order libraries disagree about the separator: some write it as it is, some as the standard does.
            let found = DOMAIN_MEMBERS.iter().position(|known| *known == (name.as_str(), r#type.as_str()));
            match found {
                None => return Err(TypedDataError::DomainMember(name)),
                Some(at) if at < place => return Err(TypedDataError::DomainOrder(name)),
                Some(at) => place = at + 1,
            }
        }
        members.push(Member { field: FieldType::parse(&r#type)?, name, written: r#type });
    }
    if of == DOMAIN && members.is_empty() {
        return Err(TypedDataError::EmptyDomain);
    }
    Ok(members)
}

fn check_type_name(name: &str) -> Result<(), TypedDataError> {
    // `$` sorts before `(`: libraries that sort types as they are written out, and not by name, hash others.
    let plain = is_identifier(name) && !name.contains('$');
    if plain && !is_reserved(name) { Ok(()) } else { Err(TypedDataError::Name(name.to_owned())) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use countersign_wire::evm::MAX_IDENTIFIER_BYTES;
    use serde_json::{Value, json};

    fn types(written: Value) -> Result<Types, TypedDataError> {
        Types::new(serde_json::from_value(written).unwrap())
    }

    #[test]
    fn a_type_is_encoded_with_those_it_is_made_of_sorted_behind_it() {
        let person = json!([{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}]);
        let types = types(json!({
            "Transaction": [
                {"name": "to", "type": "Person"}, {"name": "from", "type": "Person[][2]"}, {"name": "tx", "type": "Asset"},
            ],
            "Person": person,
            "Asset": [{"name": "token", "type": "address"}, {"name": "amount", "type": "uint256"}],
        }))
        .unwrap();
        assert_eq!(
            types.encoded("Transaction"),
            "Transaction(Person to,Person[][2] from,Asset tx)Asset(address token,uint256 amount)Person(string name,address wallet)"
        );
        assert_eq!(types.encoded("Person"), "Person(string name,address wallet)");
    }

    #[test]
    fn a_type_that_is_named_is_defined() {
        let names = types(json!({"A": [{"name": "a", "type": "C[2]"}], "B": []}));
        assert_eq!(names.err(), Some(TypedDataError::UndefinedType("C".into())));
    }

    #[test]
    fn names_cannot_be_read_as_anything_else() {
        for name in ["", "1a", "a b", "a,b", "a)", "a(b", "ä", "a.b", &"a".repeat(MAX_IDENTIFIER_BYTES + 1)] {
            assert_eq!(types(json!({name: []})).err(), Some(TypedDataError::Name(name.into())));
            let member = types(json!({"A": [{"name": name, "type": "bool"}]}));
            assert_eq!(member.err(), Some(TypedDataError::Name(name.into())));
        }
        for reserved in
            ["uint256", "uint", "int7", "bytes", "bytes99", "bool", "address", "string", "function", "fixed8x1"]
        {
            assert_eq!(types(json!({reserved: []})).err(), Some(TypedDataError::Name(reserved.into())));
        }
        for fine in ["Uint256", "_a", "a1", "bytesN", "intent", "uintx", "boolean"] {
            assert!(types(json!({fine: []})).is_ok(), "{fine}");
        }
        assert_eq!(types(json!({"$b": []})).err(), Some(TypedDataError::Name("$b".into())));
        assert!(types(json!({"A": [{"name": "$b", "type": "bool"}]})).is_ok(), "members are not sorted");
    }

    #[test]
    fn a_type_that_contains_itself_is_refused() {
        let refers = |pairs: &[(&str, &str)]| {
            let all = pairs.iter().map(|(name, to)| ((*name).to_owned(), json!([{"name": "a", "type": to}])));
            types(Value::Object(all.collect())).err()
        };
        assert!(matches!(refers(&[("A", "A")]), Some(TypedDataError::Cycle(_))));
        assert!(matches!(refers(&[("A", "A[]")]), Some(TypedDataError::Cycle(_))));
        assert!(matches!(refers(&[("A", "B"), ("B", "C[2]"), ("C", "A")]), Some(TypedDataError::Cycle(_))));
        assert_eq!(refers(&[("A", "B"), ("B", "C"), ("C", "bool")]), None);
    }

    #[test]
    fn everything_has_a_limit() {
        let many = |count: usize| {
            let all = (0..count).map(|n| (format!("T{n}"), json!([])));
            types(Value::Object(all.collect())).err()
        };
        assert_eq!(many(MAX_TYPES), None);
        assert_eq!(many(MAX_TYPES + 1), Some(TypedDataError::Limit("types", MAX_TYPES)));
        let members = |count: usize| {
            let all: Vec<_> = (0..count).map(|n| json!({"name": format!("m{n}"), "type": "bool"})).collect();
            types(json!({"A": all})).err()
        };
        assert_eq!(members(MAX_MEMBERS), None);
        assert_eq!(members(MAX_MEMBERS + 1), Some(TypedDataError::Limit("members of a type", MAX_MEMBERS)));
        let chain = |length: usize| {
            let links = (0..length).map(|n| (format!("T{n}"), json!([{"name": "a", "type": format!("T{}", n + 1)}])));
            types(Value::Object(links.chain([(format!("T{length}"), json!([]))]).collect())).err()
        };
        assert_eq!(chain(MAX_DEPTH), None);
        assert_eq!(chain(MAX_DEPTH + 1), Some(TypedDataError::Limit("types within types", MAX_DEPTH)));
        // Every type names the next one often: looked at once each, or this would take for ever.
        let wide = (0..MAX_DEPTH).map(|n| {
            let all: Vec<_> =
                (0..MAX_MEMBERS).map(|m| json!({"name": format!("m{m}"), "type": format!("T{}", n + 1)})).collect();
            (format!("T{n}"), json!(all))
        });
        let wide = types(Value::Object(wide.chain([(format!("T{MAX_DEPTH}"), json!([]))]).collect()));
        assert!(wide.is_ok());
    }

    #[test]
    fn a_domain_has_the_members_of_the_standard_only() {
        let domain = |members: Value| types(json!({DOMAIN: members})).err();
        let all: Vec<_> = DOMAIN_MEMBERS.iter().map(|(name, r#type)| json!({"name": name, "type": r#type})).collect();
        assert_eq!(domain(json!(all)), None);
        assert_eq!(domain(json!([])), Some(TypedDataError::EmptyDomain));
        assert_eq!(
            domain(json!([{"name": "chainId", "type": "uint8"}])),
            Some(TypedDataError::DomainMember("chainId".into()))
        );
        assert_eq!(domain(json!([{"name": "x", "type": "string"}])), Some(TypedDataError::DomainMember("x".into())));
        let twice = json!([{"name": "name", "type": "string"}, {"name": "name", "type": "string"}]);
        assert!(matches!(domain(twice), Some(TypedDataError::MemberTwice { .. })));
    }
}
