//! How all parties come to hold the same outcome of a key generation or an auxiliary information ceremony.
//!
//! ```text
//! rounds end → each party seals the outcome as PENDING       → signs Held(outcome hash)
//! all Held   → each party seals READY                        → signs Durable(outcome hash)
//! all Durable→ the public key may leave the enclaves (Publish)
//! a party that never signed Held → may sign NeverHeld        → the others discard their PENDING
//! ```
//! Before its own `Held` a party may drop a PENDING outcome by time; after it, only for a signed `NeverHeld`.

use crate::ids::{GroupId, KeyId, PartyId, SessionId};
use crate::limits::MAX_PARTIES;
use crate::{List, Signed, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// What the outcome is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Subject {
    /// The auxiliary information of a group.
    Aux(GroupId),
    /// A key's first share set.
    Key(KeyId),
}

/// How far a party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Stage {
    /// The outcome is sealed and durable as PENDING.
    Held = 0,
    /// The outcome is sealed and durable as READY: all parties' `Held` were seen.
    Durable = 1,
}

/// A party's word about an outcome. Signed with its pairing's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Acknowledgement {
    /// Whose outcome.
    pub group: GroupId,
    /// Of what.
    pub subject: Subject,
    /// The session that produced it.
    pub session: SessionId,
    /// Hash over the whole public outcome.
    pub outcome: [u8; 32],
    /// How far this party is.
    pub stage: Stage,
}

message!(Acknowledgement, "countersign/acknowledgement", 1, 256);

/// A party's word that it does not hold this session's outcome and never will. Signed with its pairing's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NeverHeld {
    /// Whose outcome.
    pub group: GroupId,
    /// Of what.
    pub subject: Subject,
    /// The session.
    pub session: SessionId,
}

message!(NeverHeld, "countersign/never-held", 1, 128);

/// The acknowledgements of all parties, each with who signed it.
pub type Acknowledgements = List<(PartyId, Signed<Acknowledgement>), MAX_PARTIES>;
