//! What a co-signer tells an admin about itself. Nothing here is secret.

use crate::ceremony::GroupState;
use crate::command::Measurements;
use crate::group::{Group, Role};
use crate::ids::{
    ApiUserId, BootId, InstanceId, KeyId, OperatorId, PairingId, PartyId, WorkspaceFingerprint, WorkspaceId,
};
use crate::key::{KeyPurpose, KeyStatus, PublicKey};
use crate::limits::{
    MAX_DETAIL_BYTES, MAX_GROUPS, MAX_LISTED_KEYS, MAX_NAME_BYTES, MAX_OPERATORS, MAX_PAIRINGS, MAX_URL_BYTES,
    MAX_USERS,
};
use crate::refusal::Code;
use crate::{List, Text};
use borsh::{BorshDeserialize, BorshSerialize};

/// What an admin compares before anything secret is sent.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Description {
    /// The instance's identity: pin it.
    pub instance: InstanceId,
    /// This boot.
    pub boot: BootId,
    /// Software version.
    pub version: Text<32>,
    /// The operators; empty before the claim.
    pub operators: List<(OperatorId, Text<MAX_NAME_BYTES>), MAX_OPERATORS>,
    /// How many must sign a change; 0 before the claim.
    pub required: u16,
    /// The sealing key named at the claim; empty before it.
    pub sealing_key: Text<MAX_URL_BYTES>,
    /// Counts accepted commands; the next command names it.
    pub settings_epoch: u64,
    /// Changes that wait for more signatures or a delay.
    pub pending_changes: u16,
    /// For the next command on this admin connection; single-use.
    pub nonce: [u8; 32],
    /// The own measurements, as the security module says.
    pub measurements: Measurements,
}

/// One API user.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct UserStatus {
    /// The pairing that it belongs to.
    pub pairing: PairingId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who.
    pub user: ApiUserId,
    /// How its requests are approved.
    pub approval: ApprovalKind,
    /// The handler's URL, or empty.
    pub handler_url: Text<MAX_URL_BYTES>,
    /// Whether RAW is allowed for it.
    pub allow_raw: bool,
    /// The last callback: its result code (`None`: approved) and Unix time in ms.
    pub last_callback: Option<(Option<Code>, u64)>,
    /// Approved, rejected, failed since the boot.
    pub approved: u64,
    /// Rejected by the handler since the boot.
    pub rejected: u64,
    /// Failed otherwise since the boot.
    pub failed: u64,
}

/// How an API user's requests are approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ApprovalKind {
    /// Everything is refused.
    None = 0,
    /// By its handler.
    Handler = 1,
    /// Without asking anybody.
    Auto = 2,
}

/// One signing group.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GroupStatus {
    /// The group.
    pub group: Group,
    /// [`crate::Message::digest`] of it, as operators compare it.
    pub hash: [u8; 32],
    /// How ready it is here.
    pub state: GroupState,
    /// Safe primes found so far for it, of 4.
    pub primes_found: u8,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyEntry {
    /// The pairing.
    pub pairing: PairingId,
    /// The key.
    pub key: KeyId,
    /// Its status here.
    pub status: KeyStatus,
    /// Its purpose.
    pub purpose: KeyPurpose,
    /// Its master public key; absent while it is pending.
    pub public_key: Option<PublicKey>,
    /// Why it is suspended, or empty.
    pub detail: Text<MAX_DETAIL_BYTES>,
}

/// One pairing.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PairingStatus {
    /// Its id.
    pub pairing: PairingId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its keys' fingerprint.
    pub fingerprint: WorkspaceFingerprint,
    /// Its base URL.
    pub url: Text<MAX_URL_BYTES>,
    /// This co-signer in it.
    pub party: PartyId,
    /// Its role.
    pub role: Role,
    /// Whether the outbound link is up.
    pub link_up: bool,
    /// Whether intent is required.
    pub require_intent: bool,
    /// API users.
    pub users: u16,
    /// Initiators.
    pub initiators: u16,
    /// Groups, proposed ones included.
    pub groups: List<GroupStatus, MAX_GROUPS>,
    /// READY keys.
    pub keys_ready: u32,
    /// Suspended keys.
    pub keys_suspended: u32,
}

/// The whole status.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Status {
    /// As in [`Description`].
    pub description: Description,
    /// Unix time in ms, as the enclave sees it.
    pub now_ms: u64,
    /// Unix time in ms of the boot.
    pub booted_at_ms: u64,
    /// Pairings.
    pub pairings: List<PairingStatus, MAX_PAIRINGS>,
    /// Signatures completed since the boot.
    pub signatures: u64,
    /// Sessions running.
    pub sessions: u32,
}

/// Lists by their types.
pub type Users = List<UserStatus, { MAX_USERS * MAX_PAIRINGS }>;
/// Keys of all pairings.
pub type Keys = List<KeyEntry, MAX_LISTED_KEYS>;
