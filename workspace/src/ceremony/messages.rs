use super::change::{ChangeRecord, ChangeStatus};
use super::record::{Record, TransactionRecord};
use countersign_wire::Text;
use countersign_wire::callback::Attempt;
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::group::Group;
use countersign_wire::ids::{ChangeId, GroupId, KeyId, PartyId, TransactionId};
use countersign_wire::key::{DerivationPath, KeyPurpose};
use countersign_wire::refusal::Refusal;

/// What happened outside of the coordinator.
#[derive(Debug, Clone)]
pub enum Input {
    /// A co-signer's link came up. Its Hello follows.
    Connected {
        /// Whose.
        party: PartyId,
    },
    /// A co-signer's link went down.
    Disconnected {
        /// Whose.
        party: PartyId,
    },
    /// A co-signer's message. Whoever drives the coordinator has verified that `from` signed it.
    Message {
        /// Who signed it.
        from: PartyId,
        /// What it says.
        message: Box<CosignerMessage>,
    },
    /// An owner defines a group. Repeating it changes nothing.
    ProposeGroup {
        /// The group.
        group: Group,
    },
    /// Somebody wants a key. Repeating it changes nothing, but a key in ERROR is tried again.
    GenerateKey {
        /// Its id.
        key: KeyId,
        /// The group that will hold it.
        group: GroupId,
        /// What it is for.
        purpose: KeyPurpose,
    },
    /// A client's transaction, stored already.
    Submit(Box<TransactionRecord>),
    /// A client cancels a transaction. It ends as CANCELLED unless it has ended.
    CancelTransaction {
        /// Which.
        transaction: TransactionId,
    },
    /// A configuration change, stored already.
    SubmitChange(Box<ChangeRecord>),
    /// Somebody cancels a configuration change. It ends as CANCELLED unless it has ended.
    CancelChange {
        /// Which.
        change: ChangeId,
    },
    /// Somebody wants a key certificate.
    Certify {
        /// For which key.
        key: KeyId,
        /// For which vault account.
        vault_account: u32,
        /// For which asset.
        asset: Text<32>,
        /// The path that it must name.
        path: DerivationPath,
    },
    /// Time passed.
    Tick,
}

/// What is to be done. All `Persist`s of a step come first; they are durable before anything after them is done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Replace the stored record of the same id.
    Persist(Box<Record>),
    /// Sign this message and send it to a co-signer. Losing it is allowed.
    Send {
        /// To whom.
        to: PartyId,
        /// What.
        message: Box<WorkspaceMessage>,
    },
    /// For logs and metrics.
    Report(Report),
}

/// The kind of a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Auxiliary information of a group.
    Aux,
    /// Key generation.
    Keygen,
    /// Signing.
    Sign,
    /// Key certificate.
    Certify,
    /// Configuration change.
    Change,
}

impl Kind {
    /// As metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Aux => "aux",
            Kind::Keygen => "keygen",
            Kind::Sign => "sign",
            Kind::Certify => "certify",
            Kind::Change => "change",
        }
    }
}

/// Something that people or metrics want to know. No decision hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A session began.
    Began {
        /// Of which kind.
        kind: Kind,
        /// The group, key or transaction.
        subject: String,
    },
    /// A session ended without an outcome; it is tried again where that is allowed.
    Failed {
        /// Of which kind.
        kind: Kind,
        /// The group, key or transaction.
        subject: String,
        /// Why.
        refusal: Refusal,
        /// Whom a co-signer blames.
        blamed: Option<PartyId>,
    },
    /// A ceremony reached its outcome.
    Succeeded {
        /// Of which kind.
        kind: Kind,
        /// The group, key or transaction.
        subject: String,
    },
    /// A co-signer told of a call of a callback handler.
    Attempt {
        /// Of which kind: `Sign` or `Change`.
        kind: Kind,
        /// The transaction or the change.
        subject: String,
        /// The call.
        attempt: Attempt,
    },
    /// A configuration change has another status.
    Change {
        /// Which.
        subject: String,
        /// Its status.
        status: ChangeStatus,
    },
    /// A word about a configuration change does not count.
    ForgedApproval {
        /// Which change.
        subject: String,
    },
    /// A message was refused.
    BadMessage {
        /// From whom.
        from: PartyId,
        /// What was expected and what came.
        why: String,
    },
}
