//! What a co-signer tells an admin about itself. Nothing here is secret.

use crate::callback::{Attempt, CallbackSubject};
use crate::ceremony::GroupState;
use crate::command::{ApprovalSetting, Measurements};
use crate::group::{Group, Role};
use crate::host_link::HostHealth;
use crate::ids::{
    ApiUserId, BootId, ChangeId, InstanceId, KeyId, OperatorId, PairingId, PartyId, WorkspaceFingerprint, WorkspaceId,
};
use crate::key::{KeyPurpose, KeyStatus, PublicKey};
use crate::limits::{
    MAX_DER_BYTES, MAX_DETAIL_BYTES, MAX_GROUPS, MAX_LISTED_ATTEMPTS, MAX_LISTED_EVENTS, MAX_LISTED_KEYS,
    MAX_NAME_BYTES, MAX_OPERATORS, MAX_PAIRINGS, MAX_URL_BYTES, MAX_USERS,
};
use crate::{Bytes, List, Text};
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
    /// Its name, for people; may be empty.
    pub name: Text<MAX_NAME_BYTES>,
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
    /// Which of the five ways secures the handler, as [`crate::command::HandlerMode::as_str`], or empty.
    pub handler_mode: Text<64>,
    /// Whether RAW is allowed for it.
    pub allow_raw: bool,
    /// Whether the workspace confirmed it; until then it can only be removed, or added again.
    pub confirmed: bool,
    /// The last call of its handler since the boot.
    pub last_attempt: Option<Attempt>,
    /// Calls since the boot that ended in an approval.
    pub approved: u64,
    /// In a rejection.
    pub rejected: u64,
    /// In a RETRY.
    pub retried: u64,
    /// Without a valid answer.
    pub failed: u64,
    /// Requests that wait for their turn, or whose call is under way.
    pub waiting: u32,
    /// Requests that are asked again later, after a RETRY.
    pub retrying: u32,
    /// When the handler's certificate expires, as last seen in this boot (Unix ms).
    pub certificate_expires_at_ms: Option<u64>,
}

/// Everything about how an API user's requests are approved. Answers [`crate::admin::AdminRequest::Callback`].
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CallbackStatus {
    /// The user, as in the list of all.
    pub user: UserStatus,
    /// How its requests are approved.
    pub approval: ApprovalSetting,
    /// The key that signs requests to its handler, SubjectPublicKeyInfo DER.
    pub request_key: Bytes<MAX_DER_BYTES>,
    /// Whether that key is the user's own; otherwise it is the pairing's.
    pub own_request_key: bool,
    /// The key that signs its word about configuration changes (Ed25519).
    pub approval_key: [u8; 32],
    /// The last calls since the boot, the newest first.
    pub attempts: List<(CallbackSubject, Attempt), MAX_LISTED_ATTEMPTS>,
    /// How the workspace would have it, where that is something else: in force only once operators sign it.
    pub proposal: Option<(ChangeId, ApprovalSetting)>,
}

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Severity {
    /// As it should be.
    Info = 0,
    /// Something did not work, or soon will not.
    Warning = 1,
    /// Somebody has to act.
    Error = 2,
}

/// One line of a co-signer's own log: it never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Event {
    /// Grows by one a line, from 1 at the boot.
    pub number: u64,
    /// When (Unix ms).
    pub at_ms: u64,
    /// How bad.
    pub severity: Severity,
    /// What kind, a stable word such as `callback`.
    pub kind: Text<32>,
    /// Name and value of what belongs to it, such as `user`, `transaction`, `code`, `took_ms`.
    pub fields: List<(Text<32>, Text<128>), 12>,
    /// For people.
    pub text: Text<256>,
}

/// The part of a co-signer's log that was asked for, the oldest line first.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Events {
    /// This boot; the log begins with it.
    pub boot: BootId,
    /// Lines after the one that was asked for, without those that it keeps no longer.
    pub lines: List<Event, MAX_LISTED_EVENTS>,
    /// The number of the newest line.
    pub newest: u64,
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
    /// Why it is not, or what was wrong last; or empty.
    pub link_trouble: Text<MAX_DETAIL_BYTES>,
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
    /// Batches that the host has not said are stored.
    pub unstored: u32,
    /// How the host says it is, and when (Unix ms). Believed by nobody.
    pub host: Option<(HostHealth, u64)>,
}

/// Lists by their types.
pub type Users = List<UserStatus, { MAX_USERS * MAX_PAIRINGS }>;
/// Keys of all pairings.
pub type Keys = List<KeyEntry, MAX_LISTED_KEYS>;
