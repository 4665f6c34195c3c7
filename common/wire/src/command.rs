//! Commands that change a co-signer: signed by its operators, over the change, a nonce and the settings epoch.

use crate::dial::Address;
use crate::group::Group;
use crate::group::Role;
use crate::ids::{ApiUserId, InstanceId, KeyId, OperatorId, PairingId, WorkspaceFingerprint};
use crate::limits::{
    MAX_ACTIVE_KEYS, MAX_ADMIN_BYTES, MAX_DER_BYTES, MAX_INITIATORS, MAX_MEASUREMENTS, MAX_NAME_BYTES, MAX_NETWORKS,
    MAX_OPERATORS, MAX_TOKEN_BYTES, MAX_URL_BYTES,
};
use crate::{Bytes, List, Text, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// The measurements of an image: PCR0 (image), PCR1 (kernel and boot), PCR2 (application), PCR8 (signing certificate).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Measurements {
    /// PCR0.
    pub pcr0: [u8; 48],
    /// PCR1.
    pub pcr1: [u8; 48],
    /// PCR2.
    pub pcr2: [u8; 48],
    /// PCR8, where images are signed.
    pub pcr8: Option<[u8; 48]>,
}

/// An API user whose requests count as the customer's intent.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Initiator {
    /// The API user's id (`X-API-Key`, claim `sub`).
    pub user: ApiUserId,
    /// Its RSA public key, SubjectPublicKeyInfo DER.
    pub public_key: Bytes<MAX_DER_BYTES>,
}

/// A network that an operator allowed for a handler although it is not a public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Network {
    /// Its address.
    pub address: Address,
    /// Prefix length in bits.
    pub prefix: u8,
}

/// Whom TLS with a callback handler trusts.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum HandlerTls {
    /// The public certificate authorities.
    PublicRoots,
    /// This certificate authority (DER) only.
    Root(Bytes<MAX_DER_BYTES>),
    /// Certificates of these public keys only: SHA-256 of the SubjectPublicKeyInfo (DER). Whoever issued them, and for
    /// whichever name.
    Pinned(List<[u8; 32], MAX_ACTIVE_KEYS>),
}

/// When a handler that answered RETRY is asked again, with identical parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RetrySchedule {
    /// Seconds between two attempts: 30 to 3,600.
    pub every_s: u32,
    /// Attempts after the first one; all together take 48 hours at most.
    pub times: u16,
}

impl Default for RetrySchedule {
    /// Every three minutes, twenty times.
    fn default() -> Self {
        Self { every_s: 180, times: 20 }
    }
}

/// A callback handler. With `keys` requests and answers are signed tokens; without any they are plain JSON, and `tls` alone,
/// which must not be `PublicRoots` then, says who answers.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Handler {
    /// Base URL, `https://…`; the protocol's path is appended.
    pub url: Text<MAX_URL_BYTES>,
    /// The handler's public keys, SubjectPublicKeyInfo DER: RSA of 2048 bits or more (RS256), or P-256 (ES256). Any of them
    /// may sign an answer. The newest is the last.
    pub keys: List<Bytes<MAX_DER_BYTES>, MAX_ACTIVE_KEYS>,
    /// Whom TLS trusts.
    pub tls: HandlerTls,
    /// Non-public networks in which the handler may be.
    pub networks: List<Network, MAX_NETWORKS>,
    /// Whole time allowed for one call, in milliseconds.
    pub deadline_ms: u32,
    /// What follows a RETRY.
    pub retry: RetrySchedule,
    /// Whether request tokens carry `iat`, `nbf`, `exp` and `jti`, which the protocol's usual ones do not.
    pub dated_requests: bool,
    /// Whether requests are signed with a key of this API user alone, instead of the pairing's.
    pub own_request_key: bool,
}

/// The five ways to secure a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HandlerMode {
    /// Signed tokens under public certificate authorities.
    PublicKey,
    /// Plain JSON under a pinned certificate.
    PinnedCertificate,
    /// Plain JSON under the given certificate authority.
    CustomRoot,
    /// Signed tokens under a pinned certificate.
    PinAndKey,
    /// Signed tokens under the given certificate authority.
    RootAndKey,
}

impl HandlerMode {
    /// The mode as people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            HandlerMode::PublicKey => "public key",
            HandlerMode::PinnedCertificate => "pinned certificate",
            HandlerMode::CustomRoot => "custom root",
            HandlerMode::PinAndKey => "pinned certificate and public key",
            HandlerMode::RootAndKey => "custom root and public key",
        }
    }

    /// Whether requests and answers are signed tokens.
    pub fn has_tokens(self) -> bool {
        !matches!(self, HandlerMode::PinnedCertificate | HandlerMode::CustomRoot)
    }
}

impl Handler {
    /// Which of the five ways it is; `None` where nothing would say who answers.
    pub fn mode(&self) -> Option<HandlerMode> {
        match (&self.tls, self.keys.is_empty()) {
            (HandlerTls::PublicRoots, true) => None,
            (HandlerTls::PublicRoots, false) => Some(HandlerMode::PublicKey),
            (HandlerTls::Root(_), true) => Some(HandlerMode::CustomRoot),
            (HandlerTls::Root(_), false) => Some(HandlerMode::RootAndKey),
            (HandlerTls::Pinned(_), true) => Some(HandlerMode::PinnedCertificate),
            (HandlerTls::Pinned(_), false) => Some(HandlerMode::PinAndKey),
        }
    }
}

/// How an API user's requests are approved.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ApprovalSetting {
    /// Not at all: everything is refused.
    None,
    /// By its handler.
    Handler(Handler),
    /// Without asking anybody. Shown in red everywhere.
    Auto,
}

/// A new API user on this co-signer; with the workspace's first one the pairing is made.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AddUser {
    /// The pairing token.
    pub token: Text<MAX_TOKEN_BYTES>,
    /// The workspace's key fingerprint, as its owner read it.
    pub workspace: WorkspaceFingerprint,
    /// The only certificate authority (DER) to trust for the workspace's endpoints, or none for the public ones.
    pub workspace_root: Option<Bytes<MAX_DER_BYTES>>,
    /// Non-public networks in which the workspace may be.
    pub workspace_networks: List<Network, MAX_NETWORKS>,
    /// What this co-signer is in the pairing; must be the same for all users of a pairing.
    pub role: Role,
    /// Initiators to add to the pairing.
    pub initiators: List<Initiator, MAX_INITIATORS>,
    /// Measurements accepted from peers; empty: those of the own image.
    pub peer_measurements: List<Measurements, MAX_MEASUREMENTS>,
    /// Whether only what an initiator asked for is signed.
    pub require_intent: bool,
    /// Whether RAW may be signed for this user's keys.
    pub allow_raw: bool,
    /// How requests are approved.
    pub approval: ApprovalSetting,
}

impl std::fmt::Debug for AddUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddUser")
            .field("token", &"<redacted>")
            .field("workspace", &self.workspace)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Change {
    /// Claims a fresh enclave. Signed by the operators that it names.
    Claim {
        /// The operators, sorted by key.
        operators: List<(OperatorId, Text<MAX_NAME_BYTES>), MAX_OPERATORS>,
        /// How many must sign a change.
        required: u16,
        /// The key that seals the state's root key: a KMS key's ARN, or a development provider's id.
        sealing_key: Text<MAX_URL_BYTES>,
    },
    /// Adds an API user.
    AddUser(Box<AddUser>),
    /// Adds an initiator to a pairing, or replaces its key.
    AddInitiator {
        /// The pairing.
        pairing: PairingId,
        /// The initiator.
        initiator: Initiator,
    },
    /// Removes an initiator from a pairing.
    RemoveInitiator {
        /// The pairing.
        pairing: PairingId,
        /// Whom.
        user: ApiUserId,
    },
    /// Accepts a proposed group: exactly this one.
    AcceptGroup {
        /// The pairing.
        pairing: PairingId,
        /// The group, with all its parties' identities.
        group: Group,
    },
    /// Lifts the suspension of a key and the quarantine of its peers.
    ClearQuarantine {
        /// The pairing.
        pairing: PairingId,
        /// The key.
        key: KeyId,
    },
    /// Sets how an API user's requests are approved: exactly this, whatever it was.
    SetApproval {
        /// The pairing.
        pairing: PairingId,
        /// Whose.
        user: ApiUserId,
        /// How.
        approval: ApprovalSetting,
    },
    /// Calls an API user's handler with a probe, whose answer approves nothing.
    TestCallback {
        /// The pairing.
        pairing: PairingId,
        /// Whose.
        user: ApiUserId,
    },
    /// Removes an API user, also one that the workspace never confirmed; with the last one the pairing, where it holds no key.
    RemoveUser {
        /// The pairing.
        pairing: PairingId,
        /// Whom.
        user: ApiUserId,
    },
    /// Names the co-signer, for people.
    Rename {
        /// The name; may be empty.
        name: Text<MAX_NAME_BYTES>,
    },
    /// Puts the state under a new root key, and what is sealed from then on under a new data key.
    RotateSealingKey {
        /// The key that seals the new root key, as in a claim. It may be the present one.
        sealing_key: Text<MAX_URL_BYTES>,
    },
}

impl ApprovalSetting {
    /// SHA-256 over the encoding: by this a proposal and what operators signed are compared.
    pub fn digest(&self) -> [u8; 32] {
        // Writing to memory cannot fail for lists within their bounds.
        crate::message::digest_of("countersign/approval-setting/v1", &borsh::to_vec(self).unwrap_or_default())
    }
}

/// What operators sign.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Command {
    /// The instance that it is for.
    pub instance: InstanceId,
    /// The settings epoch that it was made against; each accepted command makes the next.
    pub settings_epoch: u64,
    /// The nonce that this admin connection got from the enclave.
    pub nonce: [u8; 32],
    /// The change.
    pub change: Change,
}

message!(Command, "countersign/command", 2, MAX_ADMIN_BYTES / 2);

/// One operator's signature: Ed25519 over the command's bytes under the command's name, as in [`crate::signed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OperatorSignature {
    /// Who.
    pub operator: OperatorId,
    /// The signature.
    pub signature: [u8; 64],
}

/// A command with its signatures.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedCommand {
    /// The encoded [`Command`].
    pub command: Bytes<{ MAX_ADMIN_BYTES / 2 }>,
    /// The signatures, each operator at most once.
    pub signatures: List<OperatorSignature, MAX_OPERATORS>,
}
