//! What the core asks the runtime to do.

use crate::exchange::address::is_allowed;
use countersign_mpc::Plan;
use countersign_token::{SigningKey, TokenError};
use countersign_wire::Text;
use countersign_wire::command::Network;
use countersign_wire::host_link::{BlobWrite, Counter};
use countersign_wire::ids::PairingId;
use countersign_wire::limits::{MAX_TOKEN_BYTES, MAX_URL_BYTES};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// An effect. The runtime executes it exactly and answers with an [`crate::Input`] where one is named.
pub enum Effect {
    /// Ask the host for all blobs. Answered by `Input::Blob`… and `Input::BlobsEnd`.
    LoadBlobs,
    /// Store a batch. Answered by `Input::Persisted` or `Input::PersistFailed`.
    Persist {
        /// Grows by one a batch.
        sequence: u64,
        /// Only if nothing is stored: the first batch of a claim.
        fresh: bool,
        /// The writes.
        writes: Vec<BlobWrite>,
    },
    /// Send one relay frame over a pairing's link.
    LinkSend {
        /// Whose link.
        pairing: PairingId,
        /// An encoded `RelayUp`.
        frame: Vec<u8>,
    },
    /// Have the host keep a link open.
    LinkOpen {
        /// Whose.
        pairing: PairingId,
        /// `wss://…`.
        url: Text<MAX_URL_BYTES>,
        /// Short-lived token.
        access_token: Text<MAX_TOKEN_BYTES>,
        /// Certificate authority (DER), or none for the public ones.
        root: Option<Vec<u8>>,
    },
    /// Have the host close a link.
    LinkClose {
        /// Whose.
        pairing: PairingId,
    },
    /// A packet for an admin connection.
    Admin {
        /// Which.
        connection: u64,
        /// An encoded `AdminPacket`.
        packet: Vec<u8>,
    },
    /// Close an admin connection.
    AdminClose {
        /// Which.
        connection: u64,
    },
    /// One whole HTTPS exchange. Answered by `Input::ExchangeDone`.
    Exchange {
        /// The core's number for it.
        id: u64,
        /// What to do.
        spec: Box<ExchangeSpec>,
    },
    /// Have the key service make a root key for the instance's state. Answered by `Input::SealingKey`.
    GenerateSealingKey {
        /// The instance's public identity: associated data.
        instance: [u8; 32],
        /// The key that wraps it, as operators named it.
        wrapping_key: Text<MAX_URL_BYTES>,
    },
    /// Have the key service unwrap the root key of the instance's state. Answered by `Input::SealingKey`.
    UnwrapSealingKey {
        /// The instance's public identity: associated data.
        instance: [u8; 32],
        /// The key that wraps it, as the root says.
        wrapping_key: Text<MAX_URL_BYTES>,
        /// The wrapped root key.
        wrapped: Vec<u8>,
    },
    /// Start a job on a worker thread. It reports with `Input::Job`.
    StartJob {
        /// The core's number for it, never reused within a boot.
        job: u64,
        /// What to do.
        spec: JobSpec,
    },
    /// A peer's message for an MPC job.
    JobMessage {
        /// Which job.
        job: u64,
        /// The sender's index in the group.
        from: u16,
        /// Whether the sender said that all parties got the same bytes.
        broadcast: bool,
        /// The scheme's bytes.
        message: Vec<u8>,
    },
    /// The job gets no further message. It computes with what it was given, and nothing that it says to others leaves. Its last
    /// word is answered as ever, or `JobEvent::Unfinished` as soon as it would need another message.
    FinishJob {
        /// Which.
        job: u64,
    },
    /// Drop a job; its secrets go with it. Nothing is answered.
    DropJob {
        /// Which.
        job: u64,
    },
    /// Call `step` with `Input::Tick` at this time (Unix ms) at the latest; replaces an earlier request.
    WakeAt {
        /// When.
        at_ms: u64,
    },
    /// Counters and readiness for the host.
    Report {
        /// Whether the co-signer serves.
        ready: bool,
        /// The counters.
        counters: Vec<Counter>,
    },
}

/// What a worker thread is to do.
pub enum JobSpec {
    /// Find the four safe primes of a group: low priority, in the background.
    Primes,
    /// Make an RSA-2048 key for signing requests to callback handlers (PKCS#8 DER).
    CallbackKey,
    /// Take part in a ceremony.
    Mpc(Box<Plan>),
}

impl fmt::Debug for JobSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JobSpec::Primes => "Primes",
            JobSpec::CallbackKey => "CallbackKey",
            JobSpec::Mpc(_) => "Mpc",
        })
    }
}

/// What an exchange is for; in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The callback handler.
    Callback,
    /// The workspace's pairing endpoints.
    Pairing,
    /// The key service.
    KeyService,
}

/// Whom TLS trusts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// The public certificate authorities.
    PublicRoots,
    /// This authority only (DER).
    Root(Vec<u8>),
    /// Certificates of these keys only: SHA-256 of the SubjectPublicKeyInfo (DER). Neither issuer nor name count; the
    /// certificate's dates do.
    Pinned(Vec<[u8; 32]>),
}

/// Which addresses may be dialled: public ones, and those in networks that an operator allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRule {
    /// The allowed non-public networks.
    pub networks: Vec<Network>,
}

impl AddressRule {
    /// Whether `address` may be dialled. Pure; the runtime asks for each resolved address and dials exactly one that passed.
    pub fn allows(&self, address: IpAddr) -> bool {
        is_allowed(address, &self.networks)
    }
}

/// What is posted.
#[derive(Debug, Clone)]
pub enum Body {
    /// These bytes.
    Plain(Vec<u8>),
    /// A token. Whoever executes the exchange signs it, beside the core: an RSA signature takes about a millisecond.
    Token {
        /// A JSON object.
        payload: Vec<u8>,
        /// The key that signs it.
        key: Arc<SigningKey>,
    },
}

impl Body {
    /// The bytes. Takes processor time where a token is signed.
    ///
    /// # Errors
    /// The cryptographic library could not sign.
    pub fn bytes(self) -> Result<Vec<u8>, TokenError> {
        match self {
            Body::Plain(bytes) => Ok(bytes),
            Body::Token { payload, key } => key.sign(&payload, None).map(String::into_bytes),
        }
    }
}

/// One HTTPS `POST`. The runtime resolves through the host, checks addresses with `addresses`, dials exactly the checked
/// one, ends TLS inside the enclave, and follows no redirect.
#[derive(Clone)]
pub struct ExchangeSpec {
    /// What for.
    pub purpose: Purpose,
    /// Host name or literal address; also the name that the certificate must have.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
    /// Allowed addresses.
    pub addresses: AddressRule,
    /// Whom TLS trusts.
    pub trust: Trust,
    /// Largest answer body in bytes.
    pub max_answer_bytes: usize,
    /// Whole time for all steps, in milliseconds.
    pub deadline_ms: u32,
    /// Whether a connection that is open to the same place, under the same trust and address rule, may be used, and this
    /// one be kept for the next exchange. The certificate was checked when it was opened.
    pub keep_alive: bool,
}
