//! What co-signers, workspaces and admins tell one another about calls of callback handlers.

use crate::ids::{ApiUserId, ChangeId, TransactionId, WorkspaceId};
use crate::limits::MAX_EXTRA_INFO_BYTES;
use crate::refusal::Code;
use crate::{Bytes, Text, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// How long the steps of one call took, in microseconds; a step that was not reached, or not needed, has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct StepTimes {
    /// Resolving the name.
    pub resolve_us: Option<u32>,
    /// Connecting to the checked address.
    pub connect_us: Option<u32>,
    /// The TLS handshake.
    pub tls_us: Option<u32>,
    /// From the request's first byte to the answer's last.
    pub answer_us: Option<u32>,
}

/// How one call of a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum AttemptResult {
    /// It approved.
    Approved = 0,
    /// It rejected.
    Rejected = 1,
    /// It wants to be asked again.
    Retry = 2,
    /// It has no opinion (configuration changes only).
    Ignored = 3,
    /// There is no valid answer.
    Failed = 4,
}

impl AttemptResult {
    /// The result as logs, APIs and metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            AttemptResult::Approved => "approved",
            AttemptResult::Rejected => "rejected",
            AttemptResult::Retry => "retry",
            AttemptResult::Ignored => "ignored",
            AttemptResult::Failed => "failed",
        }
    }
}

/// One call of a handler.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Attempt {
    /// 1 for the first call about a request.
    pub number: u16,
    /// When it began (Unix ms).
    pub started_at_ms: u64,
    /// How long the request had waited for its turn, in milliseconds.
    pub waited_ms: u32,
    /// From then to the verdict, in microseconds.
    pub took_us: u32,
    /// Its steps.
    pub steps: StepTimes,
    /// Whether an open connection was used again.
    pub reused: bool,
    /// How it ended.
    pub result: AttemptResult,
    /// The reason code; none for an approval.
    pub code: Option<Code>,
    /// For people: what was expected and what came, or the handler's own reason.
    pub detail: Text<256>,
    /// When it is asked again (Unix ms), after a RETRY.
    pub next_at_ms: Option<u64>,
}

/// What a handler was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum CallbackSubject {
    /// A transaction.
    Transaction(TransactionId),
    /// A configuration change.
    Change(ChangeId),
    /// Nothing: an operator's test.
    Test,
}

/// A configuration change of a workspace that an API user's handler is to approve.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ConfigChange {
    /// The workspace's id for it.
    pub id: ChangeId,
    /// Whose handler is asked, and whose approval key signs.
    pub signer: ApiUserId,
    /// `ADD_USER`, `UNMANAGED_WALLET`, …: 1 to 64 characters of `A-Z 0-9 _`.
    pub kind: Text<64>,
    /// What changes: a JSON object, shown as it is. The workspace claims it; nothing of it is verified.
    pub extra_info: Bytes<MAX_EXTRA_INFO_BYTES>,
}

message!(ConfigChange, "countersign/config-change", 1, MAX_EXTRA_INFO_BYTES + 256);

/// What a handler said about a configuration change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ChangeVerdict {
    /// It approved.
    Approve = 0,
    /// It rejected.
    Reject = 1,
    /// It has no opinion, and nobody else is asked: the change fails.
    Ignore = 2,
}

/// An API user's word about a configuration change, signed with that user's own approval key, which the workspace got,
/// attested, when the user was paired. It changes nothing inside the enclave.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChangeApproval {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The change.
    pub change: ChangeId,
    /// The API user.
    pub signer: ApiUserId,
    /// [`crate::Message::digest`] of the [`ConfigChange`] that was shown.
    pub change_hash: [u8; 32],
    /// The UUID that the handler saw and repeated; empty where an operator paired the user with auto-approve.
    pub request_id: Text<64>,
    /// What it said.
    pub verdict: ChangeVerdict,
    /// Its reason, or empty.
    pub reason: Text<256>,
    /// When (Unix ms).
    pub decided_at_ms: u64,
}

message!(ChangeApproval, "countersign/change-approval", 1, 1024);
