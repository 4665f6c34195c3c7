//! The admin channel between the operator's CLI and the enclave. The host's admin socket carries these packets, each
//! in a frame as in [`crate::frame`]; the two handshake messages are Noise_NX, everything after is sealed.

use crate::command::{Initiator, SignedCommand};
use crate::ids::{ApiUserId, GroupId, InstanceId, PairingId, PartyId, WorkspaceId};
use crate::limits::{MAX_ADMIN_BYTES, MAX_DER_BYTES, MAX_INITIATORS};
use crate::refusal::Refusal;
use crate::status::{Description, Keys, Status, Users};
use crate::{Bytes, List, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// A packet of the admin channel.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AdminPacket {
    /// CLI to enclave.
    Handshake1 {
        /// Noise message.
        noise: Bytes<MAX_ADMIN_BYTES>,
    },
    /// Enclave to CLI, with its attestation document inside.
    Handshake2 {
        /// The instance that the document vouches for.
        instance: InstanceId,
        /// Noise message.
        noise: Bytes<MAX_ADMIN_BYTES>,
    },
    /// A sealed request or response, or a part of one.
    Data {
        /// Explicit counter.
        counter: u64,
        /// Noise ciphertext.
        sealed: Bytes<MAX_ADMIN_BYTES>,
    },
}

message!(AdminPacket, "countersign/admin-packet", 1, MAX_ADMIN_BYTES + 128);

/// What the CLI asks. One request is answered by one response; no second one is read before that.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AdminRequest {
    /// Answered by `Described`.
    Describe,
    /// Answered by `Status`.
    Status,
    /// Answered by `Users`.
    Users,
    /// Answered by `Keys`.
    Keys,
    /// Answered by `Initiators`.
    Initiators {
        /// Of which pairing.
        pairing: PairingId,
    },
    /// The public key with which requests to handlers are signed. Answered by `PublicKey`.
    CallbackPublicKey {
        /// Of which pairing.
        pairing: PairingId,
    },
    /// A change. Answered by `Done`.
    Command(SignedCommand),
}

message!(AdminRequest, "countersign/admin-request", 1, MAX_ADMIN_BYTES - 4096);

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Done {
    /// Claimed.
    Claimed,
    /// An API user was added.
    UserAdded {
        /// Who.
        user: ApiUserId,
        /// In which pairing.
        pairing: PairingId,
        /// This co-signer's identity in it: pin it, key certificates are signed with it.
        party: PartyId,
        /// Of which workspace.
        workspace: WorkspaceId,
        /// The key with which requests to handlers are signed, SubjectPublicKeyInfo DER.
        callback_public_key: Bytes<MAX_DER_BYTES>,
    },
    /// An initiator was added or replaced.
    InitiatorAdded,
    /// An initiator was removed.
    InitiatorRemoved,
    /// A group was accepted.
    GroupAccepted {
        /// Which.
        group: GroupId,
    },
    /// A quarantine was lifted.
    QuarantineCleared,
}

/// What the enclave answers.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and never kept")]
pub enum AdminResponse {
    /// The description.
    Described(Description),
    /// The status.
    Status(Box<Status>),
    /// The API users.
    Users(Users),
    /// The keys.
    Keys(Keys),
    /// The initiators.
    Initiators(List<Initiator, MAX_INITIATORS>),
    /// A public key, SubjectPublicKeyInfo DER.
    PublicKey(Bytes<MAX_DER_BYTES>),
    /// A command was carried out and is durable. The settings epoch is one more.
    Done(Done),
    /// Not done.
    Refused(Refusal),
}

message!(AdminResponse, "countersign/admin-response", 1, 4 * MAX_ADMIN_BYTES);
