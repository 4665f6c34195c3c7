//! The types of a document: read and measured as a whole before anything follows them.
//!
//! The library that hashes makes a tree of them, in which a type stands as often as it is named: forty types that name the
//! next one twice are 2^40 nodes of it.

use super::error::{TypedDataError, shown};
use super::field::{Base, Field, is_member_name, is_type_name};
use countersign_wire::evm::{DOMAIN, MAX_DEPTH, MAX_MEMBERS, MAX_TYPES};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Nodes of the tree that one type expands to: itself, its members and their arrays, all the way down.
pub const MAX_NODES: usize = 4096;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'t> {
    /// Its name.
    pub name: &'t str,
    /// Its type as written.
    pub written: &'t str,
    /// Its type.
    pub field: Field<'t>,
}

/// The types of a document: every one that is named exists, none contains itself, and none expands to too much.
#[derive(Debug)]
pub struct Types<'t> {
    members: BTreeMap<&'t str, Vec<Member<'t>>>,
    text_bytes: usize,
}

/// What a type expands to.
#[derive(Clone, Copy)]
struct Size {
    depth: usize,
    nodes: usize,
}

impl<'t> Types<'t> {
    /// Reads and checks all types, also those that nothing refers to.
    pub fn read(written: &'t Map<String, Value>) -> Result<Self, TypedDataError> {
        let own = written.len().saturating_add(usize::from(!written.contains_key(DOMAIN)));
        if own > MAX_TYPES {
            return Err(TypedDataError::Limit("types, the domain's among them", MAX_TYPES));
        }
        let mut types = Self { members: BTreeMap::new(), text_bytes: 0 };
        for (name, definition) in written {
            if !is_type_name(name) {
                return Err(TypedDataError::Name(shown(name)));
            }
            let list = members(name, definition)?;
            let bytes = list.iter().map(|m| m.name.len().saturating_add(m.written.len()));
            types.text_bytes = bytes.fold(types.text_bytes.saturating_add(name.len()), usize::saturating_add);
            types.members.insert(name, list);
        }
        let mut known = BTreeMap::new();
        for name in types.members.keys().copied() {
            types.measure(name, &mut Vec::new(), &mut known)?;
        }
        Ok(types)
    }

    /// Whether there is a type of this name.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The members of a type.
    pub fn members(&self, name: &str) -> Result<&[Member<'t>], TypedDataError> {
        self.members.get(name).map(Vec::as_slice).ok_or_else(|| TypedDataError::UndefinedType(shown(name)))
    }

    /// Bytes of all names and types.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// `open` are the types around this one; `known` are those that were measured, each once.
    fn measure(
        &self,
        name: &'t str,
        open: &mut Vec<&'t str>,
        known: &mut BTreeMap<&'t str, Size>,
    ) -> Result<Size, TypedDataError> {
        if let Some(size) = known.get(name) {
            return Ok(*size);
        }
        if open.contains(&name) {
            return Err(TypedDataError::Cycle(shown(name)));
        }
        let members = self.members(name)?;
        open.push(name);
        let mut size = Size { depth: 0, nodes: 1 };
        for member in members {
            let inner = match member.field.base {
                Base::Struct(inner) => {
                    let inner = self.measure(inner, open, known)?;
                    size.depth = size.depth.max(inner.depth.saturating_add(1));
                    inner.nodes
                }
                _ => 1,
            };
            size.nodes = size.nodes.saturating_add(inner).saturating_add(member.field.dimensions.len());
        }
        open.pop();
        if size.depth > MAX_DEPTH {
            return Err(TypedDataError::Limit("types within types", MAX_DEPTH));
        }
        if size.nodes > MAX_NODES {
            return Err(TypedDataError::Limit("members in a type, those of the types within it counted", MAX_NODES));
        }
        known.insert(name, size);
        Ok(size)
    }
}

/// The members of one type, each once.
fn members<'t>(of: &str, definition: &'t Value) -> Result<Vec<Member<'t>>, TypedDataError> {
    let unreadable = || TypedDataError::Definition(shown(of));
    let list = definition.as_array().ok_or_else(unreadable)?;
    if list.len() > MAX_MEMBERS {
        return Err(TypedDataError::Limit("members of a type", MAX_MEMBERS));
    }
    let mut names = BTreeSet::new();
    let mut read = Vec::new();
    for member in list {
        let parts = member.as_object().filter(|parts| parts.len() == 2).ok_or_else(unreadable)?;
        let part = |key: &str| parts.get(key).and_then(Value::as_str).ok_or_else(unreadable);
        let (name, written) = (part("name")?, part("type")?);
        if !is_member_name(name) {
            return Err(TypedDataError::Name(shown(name)));
        }
        if !names.insert(name) {
            return Err(TypedDataError::MemberTwice { of: shown(of), member: shown(name) });
        }
        read.push(Member { name, written, field: Field::read(written)? });
    }
    Ok(read)
}
