//! What the coordinator keeps durably.

use super::attempts::Attempts;
use super::change::ChangeRecord;
use super::users::CosignerUsers;
use borsh::{BorshDeserialize, BorshSerialize};
use countersign_wire::agreement::{Acknowledgements, NeverHeld};
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::group::Group;
use countersign_wire::ids::{GroupId, KeyId, PartyId, SessionId};
use countersign_wire::key::{DerivationPath, EcdsaSignature, KeyPurpose, KeyStatus, Operation, PublicKey};
use countersign_wire::refusal::Refusal;
use countersign_wire::transaction::{Authorisation, Digest, TransactionRequest};
use countersign_wire::{Signed, Text, message};

/// How far an agreement is.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AgreementPhase {
    /// No session is open.
    Idle,
    /// A session is being prepared; no Start was sent.
    Preparing {
        /// The session.
        session: SessionId,
    },
    /// Start was or may have been sent.
    Started {
        /// The session.
        session: SessionId,
    },
    /// All parties signed `Held` for one outcome.
    Committed {
        /// The session.
        session: SessionId,
        /// Their words.
        held: Acknowledgements,
    },
    /// All parties signed `Durable`.
    Published {
        /// The session.
        session: SessionId,
        /// Their `Held`s.
        held: Acknowledgements,
        /// Their `Durable`s.
        durable: Acknowledgements,
    },
    /// All parties hold something, but not the same: nothing can be done without operators.
    Contradicted {
        /// The session.
        session: SessionId,
    },
}

/// A party's word that ended a session, for the others who may hold its outcome.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Dropped {
    /// The session.
    pub session: SessionId,
    /// Who never held it.
    pub party: PartyId,
    /// Its word.
    pub never: Signed<NeverHeld>,
}

/// The durable part of an agreement.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AgreementRecord {
    /// Sessions that ended without an outcome.
    pub attempts: u32,
    /// How far it is.
    pub phase: AgreementPhase,
    /// The last session that was started and dropped.
    pub dropped: Option<Dropped>,
}

impl Default for AgreementRecord {
    fn default() -> Self {
        Self { attempts: 0, phase: AgreementPhase::Idle, dropped: None }
    }
}

/// How far a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum GroupStatus {
    /// Operators of some party have not accepted it.
    Proposed = 0,
    /// Accepted by all; primes and auxiliary information are being made.
    Preparing = 1,
    /// Keys can be generated.
    Ready = 2,
    /// It will not become ready; the reason says why.
    Error = 3,
}

impl GroupStatus {
    /// As the HTTP API shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupStatus::Proposed => "PROPOSED",
            GroupStatus::Preparing => "PREPARING",
            GroupStatus::Ready => "READY",
            GroupStatus::Error => "ERROR",
        }
    }
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GroupRecord {
    /// Who is in it.
    pub group: Group,
    /// How far it is.
    pub status: GroupStatus,
    /// Whose operators accepted it.
    pub accepted: Vec<PartyId>,
    /// Its auxiliary information.
    pub aux: AgreementRecord,
    /// The last trouble, or none.
    pub reason: Option<Refusal>,
}

impl GroupRecord {
    /// A new one, as an owner defines it.
    pub fn proposed(group: Group) -> Self {
        Self {
            group,
            status: GroupStatus::Proposed,
            accepted: Vec::new(),
            aux: AgreementRecord::default(),
            reason: None,
        }
    }
}

message!(GroupRecord, "cosigner-workspace/group-record", 1, 128 * 1024);

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyRecord {
    /// Its id.
    pub key: KeyId,
    /// The group that holds it.
    pub group: GroupId,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Where it is in its life.
    pub status: KeyStatus,
    /// Its generation.
    pub agreement: AgreementRecord,
    /// Its master public key, once READY.
    pub public_key: Option<PublicKey>,
    /// Unix time in ms since when it is wanted.
    pub wanted_since_ms: u64,
    /// The last trouble, or none.
    pub reason: Option<Refusal>,
}

impl KeyRecord {
    /// A new one, as somebody asks for it.
    pub fn wanted(key: KeyId, group: GroupId, purpose: KeyPurpose, now_ms: u64) -> Self {
        Self {
            key,
            group,
            purpose,
            status: KeyStatus::Pending,
            agreement: AgreementRecord::default(),
            public_key: None,
            wanted_since_ms: now_ms,
            reason: None,
        }
    }
}

message!(KeyRecord, "cosigner-workspace/key-record", 1, 128 * 1024);

/// Where a transaction is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum TransactionStatus {
    /// Stored; nobody was asked.
    Submitted = 0,
    /// The customer's co-signer was asked for an Authorisation.
    PendingAuthorization = 1,
    /// Authorised; waits for a session.
    Queued = 2,
    /// Authorised; a session runs or ran.
    PendingSignature = 3,
    /// All signatures are there.
    Completed = 4,
    /// The customer's side said no.
    Rejected = 5,
    /// Cancelled by a client.
    Cancelled = 6,
    /// It did not work.
    Failed = 7,
    /// The workspace's own policy says no.
    Blocked = 8,
    /// Time ran out.
    Timeout = 9,
}

impl TransactionStatus {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Submitted,
        Self::PendingAuthorization,
        Self::Queued,
        Self::PendingSignature,
        Self::Completed,
        Self::Rejected,
        Self::Cancelled,
        Self::Failed,
        Self::Blocked,
        Self::Timeout,
    ];

    /// As the HTTP API shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "SUBMITTED",
            Self::PendingAuthorization => "PENDING_AUTHORIZATION",
            Self::Queued => "QUEUED",
            Self::PendingSignature => "PENDING_SIGNATURE",
            Self::Completed => "COMPLETED",
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
            Self::Blocked => "BLOCKED",
            Self::Timeout => "TIMEOUT",
        }
    }

    /// The status of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Whether nothing follows it.
    pub fn is_final(self) -> bool {
        self >= Self::Completed
    }
}

/// Longest RETRY series, by the callback protocol.
pub const MAX_SERIES_MS: u64 = 48 * 3_600_000;

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TransactionRecord {
    /// The client's request, whole: it is the intent.
    pub request: TransactionRequest,
    /// What is asked.
    pub operation: Operation,
    /// What is signed, in order, as this workspace computed it from the body.
    pub digests: Vec<Digest>,
    /// The derivation path of all of them.
    pub path: DerivationPath,
    /// The derived public key, as the key certificate says.
    pub public_key: PublicKey,
    /// Unix time in ms.
    pub created_at_ms: u64,
    /// Unix time in ms of the last change of status.
    pub updated_at_ms: u64,
    /// Unix time in ms until which an Authorisation is waited for.
    pub authorise_until_ms: u64,
    /// Where it is in its life.
    pub status: TransactionStatus,
    /// Whether the callback handler has been asked.
    pub waiting: bool,
    /// Its calls, as the customer's co-signer told.
    pub attempts: Attempts,
    /// The customer's Authorisation, once there.
    pub authorisation: Option<Signed<Authorisation>>,
    /// Unix time in ms after which no session may start under it.
    pub not_after_ms: Option<u64>,
    /// For each digest the last session for which a Start was or may have been sent.
    pub started: Vec<Option<SessionId>>,
    /// For each digest its verified signature.
    pub signatures: Vec<Option<EcdsaSignature>>,
    /// Why it ended, or the last trouble.
    pub reason: Option<Refusal>,
}

message!(TransactionRecord, "cosigner-workspace/transaction-record", 2, 256 * 1024);

impl TransactionRecord {
    /// A new one, as a client's request makes it.
    pub fn new(
        request: TransactionRequest,
        operation: Operation,
        digests: Vec<Digest>,
        path: DerivationPath,
        public_key: PublicKey,
        now_ms: u64,
        authorise_ms: u64,
    ) -> Self {
        let count = digests.len();
        Self {
            request,
            operation,
            digests,
            path,
            public_key,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            authorise_until_ms: now_ms.saturating_add(authorise_ms),
            status: TransactionStatus::Submitted,
            waiting: false,
            attempts: Attempts::default(),
            authorisation: None,
            not_after_ms: None,
            started: vec![None; count],
            signatures: vec![None; count],
            reason: None,
        }
    }

    /// Unix time in ms until which an Authorisation is waited for. A RETRY series has its own end: the co-signer keeps it
    /// and says when it is over, for 48 hours at most.
    pub fn wait_until_ms(&self, authorise_ms: u64) -> u64 {
        match self.attempts.next_at_ms() {
            Some(_) => {
                let series_end_ms = self.created_at_ms.saturating_add(MAX_SERIES_MS).saturating_add(authorise_ms);
                series_end_ms.max(self.authorise_until_ms)
            }
            None => self.authorise_until_ms,
        }
    }

    /// Whether a signature may exist that this workspace does not hold: an Authorisation was given and did not run out
    /// unused.
    pub fn signature_may_exist(&self, now_ms: u64) -> bool {
        self.started.iter().any(Option::is_some) || self.not_after_ms.is_some_and(|end| now_ms < end)
    }
}

/// The answer to a request for a key certificate.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertificateRecord {
    /// The vault account.
    pub vault_account: u32,
    /// The asset.
    pub asset: Text<32>,
    /// The key.
    pub key: KeyId,
    /// The certificate, verified.
    pub certificate: Option<Signed<KeyCertificate>>,
    /// Why there is none.
    pub refusal: Option<Refusal>,
}

message!(CertificateRecord, "cosigner-workspace/certificate-record", 1, 16 * 1024);

/// One durable record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Of a group.
    Group(GroupRecord),
    /// Of a key.
    Key(KeyRecord),
    /// Of a transaction.
    Transaction(TransactionRecord),
    /// Of a certificate.
    Certificate(CertificateRecord),
    /// Of a configuration change.
    Change(ChangeRecord),
    /// What a co-signer says about its name and its API users.
    Users(CosignerUsers),
    /// A line of the audit log, beside no other record.
    Audit(AuditNote),
}

/// A line of the audit log that the coordinator writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditNote {
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: &'static str,
    /// To what.
    pub subject: String,
    /// For people.
    pub detail: String,
}

/// Everything from which a coordinator is rebuilt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All groups.
    pub groups: Vec<GroupRecord>,
    /// All keys.
    pub keys: Vec<KeyRecord>,
    /// Transactions that have not ended.
    pub transactions: Vec<TransactionRecord>,
    /// Configuration changes that have not ended.
    pub changes: Vec<ChangeRecord>,
}
