//! Commands that change a co-signer: signed by its operators, over the change, a nonce and the settings epoch.

use crate::dial::Address;
use crate::group::Group;
use crate::group::Role;
use crate::ids::{ApiUserId, InstanceId, KeyId, OperatorId, PairingId, WorkspaceFingerprint};
use crate::limits::{
    MAX_ADMIN_BYTES, MAX_DER_BYTES, MAX_INITIATORS, MAX_MEASUREMENTS, MAX_NAME_BYTES, MAX_NETWORKS, MAX_OPERATORS,
    MAX_TOKEN_BYTES, MAX_URL_BYTES,
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

/// A callback handler.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Handler {
    /// Base URL, `https://…`; the protocol's path is appended.
    pub url: Text<MAX_URL_BYTES>,
    /// The handler's public key, SubjectPublicKeyInfo DER: RSA of 2048 bits or more (RS256), or P-256 (ES256).
    pub public_key: Bytes<MAX_DER_BYTES>,
    /// The only certificate authority (DER) to trust, or none for the public ones.
    pub root: Option<Bytes<MAX_DER_BYTES>>,
    /// Non-public networks in which the handler may be.
    pub networks: List<Network, MAX_NETWORKS>,
    /// Whole time allowed for one call, in milliseconds.
    pub deadline_ms: u32,
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
        /// The key that seals the state's data key: a KMS key's ARN, or a development provider's id.
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

message!(Command, "countersign/command", 1, MAX_ADMIN_BYTES / 2);

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
