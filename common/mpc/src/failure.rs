//! Why an execution ended without a result, and why a message was not taken.

use countersign_wire::limits::MAX_DETAIL_BYTES;
use countersign_wire::{OutOfBounds, Text};

/// Why an execution ended without a result. The kind decides what the caller does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A proof failed, the signature was invalid, or the arithmetic met values that honest parties do not send. Somebody
    /// cheated: a failed signature that is simply retried can leak the key bit by bit (CVE-2023-33241), so there must be
    /// no retry with the culprit or, if there is none, with anybody.
    #[error("the protocol was broken by a party: {detail}")]
    Protocol {
        /// Who did it, by index in the group, if a proof that this party made and sent us is invalid by our own check.
        /// Without it nobody can be shown to be guilty, and the key must be suspended.
        culprit: Option<u16>,
        /// For people. Where it quotes the scheme, parties are numbered by their position among those who took part.
        detail: String,
    },
    /// Others say that they received other broadcasts than we did. Either a sender sent different ones, or they lie.
    #[error("parties {differing:?} received other broadcasts")]
    BroadcastInconsistent {
        /// Who says so: indices in the group. Not the culprits.
        differing: Vec<u16>,
    },
    /// Nobody else is to blame: the plan contradicts itself, or there is a bug on our side.
    #[error("internal: {detail}")]
    Internal {
        /// For people.
        detail: String,
    },
}

impl Failure {
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Failure::Internal { detail: cut(detail) }
    }

    /// Somebody broke the protocol, and who cannot be shown.
    pub(crate) fn protocol(detail: impl Into<String>) -> Self {
        Failure::Protocol { culprit: None, detail: cut(detail) }
    }

    /// The party with index `culprit` in the group broke the protocol.
    pub(crate) fn convicted(culprit: u16, detail: &str) -> Self {
        let detail = cut(format!("party {culprit} of the group: {detail}"));
        Failure::Protocol { culprit: Some(culprit), detail }
    }
}

fn cut(detail: impl Into<String>) -> String {
    Text::<MAX_DETAIL_BYTES>::cut(detail).as_str().to_owned()
}

/// Why a message was not taken. The machine is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The machine did not ask for a message: it computes, or it is over.
    #[error("no message is expected now")]
    NotExpected,
    /// The sender takes no part in this execution.
    #[error("party {from} takes no part")]
    NotAParty {
        /// Its index in the group.
        from: u16,
    },
    /// The message claims to be our own.
    #[error("the message claims to be our own")]
    Own,
    /// Longer than any message of this protocol.
    #[error("message too large: {0}")]
    TooLarge(OutOfBounds),
    /// Not a message of this protocol in its one canonical encoding, or with values out of range.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// A broadcast was sent to us alone, or a private message to all.
    #[error("expected broadcast: {expected_broadcast}, got the opposite")]
    WrongDelivery {
        /// What this kind of message must be.
        expected_broadcast: bool,
    },
    /// The sender sent a message of this round before.
    #[error("party {from} sent a second message of round {round}")]
    Duplicate {
        /// Its index in the group.
        from: u16,
        /// The round, counted from 0 within the protocol.
        round: u16,
    },
}
