//! The admin channel between the operator's CLI and the enclave. The host's admin socket carries these packets, each
//! in a frame as in [`crate::frame`]; the two handshake messages are Noise_NX, everything after is sealed.

use crate::callback::Attempt;
use crate::command::{Initiator, SignedCommand};
use crate::ids::{ApiUserId, GroupId, InstanceId, PairingId, PartyId, WorkspaceId};
use crate::limits::{MAX_ADMIN_BYTES, MAX_DER_BYTES, MAX_INITIATORS, MAX_URL_BYTES};
use crate::refusal::Refusal;
use crate::status::{CallbackStatus, Description, Events, Keys, Status, Users};
use crate::{Bytes, List, Text, message};
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
    /// How an API user's requests are approved. Answered by `Callback`.
    Callback {
        /// Of which pairing.
        pairing: PairingId,
        /// Whose.
        user: ApiUserId,
    },
    /// The co-signer's own log. Answered by `Events`.
    Events {
        /// Lines after this one; 0 for all that it keeps.
        after: u64,
    },
}

message!(AdminRequest, "countersign/admin-request", 2, MAX_ADMIN_BYTES - 4096);

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
        /// The key with which requests to its handler are signed, SubjectPublicKeyInfo DER.
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
    /// How an API user's requests are approved is as the command said.
    ApprovalSet {
        /// The key that signs requests to the handler, SubjectPublicKeyInfo DER.
        request_key: Bytes<MAX_DER_BYTES>,
        /// Requests after a RETRY that this ended.
        ended: u32,
    },
    /// The handler was called with a probe.
    CallbackTested(Box<CallbackTest>),
    /// An API user was removed.
    UserRemoved {
        /// Whether the pairing is gone with it.
        pairing_removed: bool,
    },
    /// The co-signer has its new name.
    Renamed,
    /// The state is under the new root key.
    SealingKeyRotated,
}

/// What a call with a probe brought.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CallbackTest {
    /// The URL that was called.
    pub url: Text<MAX_URL_BYTES>,
    /// [`crate::command::HandlerMode::as_str`].
    pub mode: Text<64>,
    /// The call.
    pub attempt: Attempt,
    /// The step that failed, if one did.
    pub failed: Option<TestStep>,
    /// The address that was called, if it came so far.
    pub address: Text<64>,
    /// When the certificate expires (Unix ms), if it came so far.
    pub certificate_expires_at_ms: Option<u64>,
    /// SHA-256 of the certificate's SubjectPublicKeyInfo, if it came so far.
    pub certificate_pin: Option<[u8; 32]>,
    /// `HTTP/1.1` or `HTTP/2`, or empty.
    pub protocol: Text<16>,
    /// The action that the handler answered, or empty.
    pub action: Text<32>,
}

/// The steps of a call, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum TestStep {
    /// The host resolves the name, the enclave checks its addresses.
    Resolve = 0,
    /// The host connects to the checked address.
    Connect = 1,
    /// TLS, which ends inside the enclave.
    Tls = 2,
    /// An HTTP answer with status 200, of limited size, in time.
    Http = 3,
    /// The answer is signed with one of the handler's keys. In the JSON modes there is no such step.
    Signature = 4,
    /// The answer says something about this very request.
    Payload = 5,
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
    /// How an API user's requests are approved.
    Callback(Box<CallbackStatus>),
    /// The log.
    Events(Events),
    /// A command was carried out and is durable. The settings epoch is one more.
    Done(Done),
    /// Not done.
    Refused(Refusal),
}

message!(AdminResponse, "countersign/admin-response", 2, 4 * MAX_ADMIN_BYTES);
