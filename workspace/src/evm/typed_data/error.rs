//! Why typed data is refused.

use alloy_primitives::U256;

/// Most characters of a client's own text that an error repeats.
const MAX_SHOWN_CHARS: usize = 128;

/// A client's text, cut to what an error repeats.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

/// Why typed data was refused. `at` says where, such as `message.from.wallet`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypedDataError {
    /// Another form than expected.
    #[error("typed data: expected {0}")]
    Shape(&'static str),
    /// More of something than is allowed.
    #[error("typed data: expected at most {1} {0}")]
    Limit(&'static str, usize),
    /// A name that could be read as something else.
    #[error(
        "typed data: {0:?} is not a name: expected letters, digits and _ (in a member's name $, too), no digit in front, \
         128 bytes at most, and for a type none that Solidity has itself"
    )]
    Name(String),
    /// A type that EIP-712 does not have.
    #[error(
        "typed data: {0:?} is not a type: expected one such as uint256, bytes32, or one of types, with [] or [3] behind"
    )]
    Type(String),
    /// A type that is named and not defined.
    #[error("typed data: expected types to have {0:?}")]
    UndefinedType(String),
    /// A type that contains itself: what its values hash to is not agreed.
    #[error("typed data: the type {0:?} contains itself: expected types that end")]
    Cycle(String),
    /// A definition that is not a list of members.
    #[error("typed data: expected the type {0:?} to be a list of {{name, type}}")]
    Definition(String),
    /// A member defined twice.
    #[error("typed data: the type {of:?} has the member {member:?} twice")]
    MemberTwice {
        /// The type.
        of: String,
        /// The member.
        member: String,
    },
    /// A member that domains do not have.
    #[error("typed data: {0:?} in domain: expected name, version, chainId, verifyingContract and salt only")]
    DomainMember(String),
    /// For another chain.
    #[error("typed data: expected the chainId {expected} of the asset in domain, got {got}")]
    Chain {
        /// The asset's.
        expected: u64,
        /// The domain's.
        got: U256,
    },
    /// A member that its type does not have: it would be in no digest.
    #[error("typed data: {at} is not in types")]
    Undefined {
        /// Where.
        at: String,
    },
    /// A member without a value.
    #[error("typed data: {at} is missing")]
    Missing {
        /// Where.
        at: String,
    },
    /// A value that its type does not allow.
    #[error("typed data: {at}: expected {expected}")]
    Value {
        /// Where.
        at: String,
        /// What was expected.
        expected: String,
    },
    /// What the library says that hashes it.
    #[error("typed data: {0}")]
    Library(String),
}

impl TypedDataError {
    /// The same, found within something of this name.
    pub(super) fn within(mut self, name: &str) -> Self {
        if let Self::Undefined { at } | Self::Missing { at } | Self::Value { at, .. } = &mut self {
            *at = if at.is_empty() { name.to_owned() } else { format!("{name}.{at}") };
        }
        self
    }
}
