//! What is kept of a configuration change.

use crate::ceremony::attempts::Attempts;
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_wire::callback::{ChangeApproval, ConfigChange};
use countersign_wire::command::ApprovalSetting;
use countersign_wire::ids::{ApiUserId, PartyId};
use countersign_wire::refusal::Refusal;
use countersign_wire::{Signed, message};

/// How long a change waits for its approval and for operators, in ms: seven days.
pub const CHANGE_LIFE_MS: u64 = 7 * 24 * 3_600_000;

/// Where a change is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ChangeStatus {
    /// The API user that approves changes has not.
    PendingApproval = 0,
    /// Approved, but it takes effect only in an enclave, whose operators have not signed it.
    WaitingForOperators = 1,
    /// In force.
    Approved = 2,
    /// The API user's handler said no.
    Rejected = 3,
    /// It did not work.
    Failed = 4,
    /// Somebody cancelled it.
    Cancelled = 5,
}

impl ChangeStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::PendingApproval,
        Self::WaitingForOperators,
        Self::Approved,
        Self::Rejected,
        Self::Failed,
        Self::Cancelled,
    ];

    /// As the HTTP API and metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingApproval => "PENDING_APPROVAL",
            Self::WaitingForOperators => "WAITING_FOR_OPERATORS",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The status of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing follows it.
    pub fn is_final(self) -> bool {
        self >= Self::Approved
    }
}

/// What happens when a change is in force.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Payload {
    /// An API user exists.
    AddUser {
        /// Its id.
        id: ApiUserId,
        /// Its name.
        name: String,
        /// Its role, as the HTTP API shows it.
        role: String,
        /// Its public key (SubjectPublicKeyInfo DER), where it calls the API.
        public_key: Option<Vec<u8>>,
    },
    /// An unmanaged wallet exists.
    AddWallet {
        /// Its id.
        wallet: String,
        /// Its name.
        name: String,
        /// The client's own reference.
        customer_ref_id: Option<String>,
    },
    /// An unmanaged wallet has an address.
    AddAddress {
        /// The wallet's id.
        wallet: String,
        /// The asset.
        asset: String,
        /// The address, with its checksum.
        address: String,
        /// The client's tag.
        tag: Option<String>,
    },
    /// An API user's requests are approved in another way. Nothing is changed here: its co-signer's operators sign it.
    SetApproval {
        /// The co-signer.
        party: PartyId,
        /// The API user.
        user: ApiUserId,
        /// How.
        approval: Box<ApprovalSetting>,
    },
}

/// Who is asked about a change.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Approver {
    /// The co-signer that the approving API user is paired with.
    pub party: PartyId,
    /// The API user's approval key (Ed25519), as it was attested at pairing.
    pub approval_key: [u8; 32],
}

/// A configuration change.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChangeRecord {
    /// What the approving API user's handler is shown, exactly.
    pub change: ConfigChange,
    /// Who is asked; nobody where the configuration names no API user.
    pub approver: Option<Approver>,
    /// What it does.
    pub payload: Payload,
    /// The API user that asked for it.
    pub requested_by: ApiUserId,
    /// Unix time in ms.
    pub created_at_ms: u64,
    /// Unix time in ms at which it ends undecided.
    pub until_ms: u64,
    /// Where it is in its life.
    pub status: ChangeStatus,
    /// The handler's calls, as the co-signer told.
    pub attempts: Attempts,
    /// The API user's signed word.
    pub approval: Option<Signed<ChangeApproval>>,
    /// Unix time in ms of the last change of status.
    pub decided_at_ms: Option<u64>,
    /// Why it ended as it did, or the last trouble.
    pub reason: Option<Refusal>,
}

message!(ChangeRecord, "cosigner-workspace/change-record", 1, 256 * 1024);

impl ChangeRecord {
    /// A new one, as an API user asks for it.
    pub fn new(
        change: ConfigChange,
        approver: Option<Approver>,
        payload: Payload,
        requested_by: ApiUserId,
        now_ms: u64,
    ) -> Self {
        let status = if approver.is_some() { ChangeStatus::PendingApproval } else { ChangeStatus::WaitingForOperators };
        Self {
            change,
            approver,
            payload,
            requested_by,
            created_at_ms: now_ms,
            until_ms: now_ms.saturating_add(CHANGE_LIFE_MS),
            status,
            attempts: Attempts::default(),
            approval: None,
            decided_at_ms: None,
            reason: None,
        }
    }
}
