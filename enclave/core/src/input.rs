//! What happens to the core.

use countersign_mpc::{Failure, Output, Primes};
use countersign_wire::admin::TestStep;
use countersign_wire::callback::StepTimes;
use countersign_wire::host_link::{BlobName, HostHealth, LinkDown};
use countersign_wire::ids::PairingId;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// An input. Each comes with the time in [`crate::Core::step`].
pub enum Input {
    /// The host is connected (again). Everything that was in flight with the host is lost.
    HostConnected,
    /// The host is gone.
    HostGone,
    /// One stored blob.
    Blob {
        /// Its name.
        name: BlobName,
        /// Its content.
        value: Vec<u8>,
    },
    /// There are no more blobs.
    BlobsEnd {
        /// How many the host says there were.
        count: u64,
    },
    /// A batch is durable.
    Persisted {
        /// Which.
        sequence: u64,
    },
    /// A batch could not be stored.
    PersistFailed {
        /// Which.
        sequence: u64,
        /// Why.
        detail: String,
    },
    /// A link came up.
    LinkUp {
        /// Whose.
        pairing: PairingId,
    },
    /// A link went down.
    LinkDown {
        /// Whose.
        pairing: PairingId,
        /// Why.
        reason: LinkDown,
    },
    /// A relay frame came.
    LinkData {
        /// Over whose link.
        pairing: PairingId,
        /// An encoded `RelayDown`.
        frame: Vec<u8>,
    },
    /// An admin connected.
    AdminOpened {
        /// The host's number for it.
        connection: u64,
    },
    /// A packet of an admin connection.
    Admin {
        /// Which.
        connection: u64,
        /// An encoded `AdminPacket`.
        packet: Vec<u8>,
    },
    /// An admin connection is gone.
    AdminClosed {
        /// Which.
        connection: u64,
    },
    /// An exchange ended.
    ExchangeDone {
        /// Which.
        id: u64,
        /// How.
        report: ExchangeReport,
    },
    /// How the host says it is.
    HostHealth(HostHealth),
    /// The key service answered.
    SealingKey(Result<SealingKeyAnswer, String>),
    /// A job reports.
    Job {
        /// Which.
        job: u64,
        /// What.
        event: JobEvent,
    },
    /// Time passed.
    Tick,
}

/// The root key of the instance's state: the data keys are sealed under it.
pub struct SealingKeyAnswer {
    /// The root key.
    pub key: Zeroizing<[u8; 32]>,
    /// Its wrapped form; what came in, for an unwrap.
    pub wrapped: Vec<u8>,
    /// The key that wraps it, as the key service says.
    pub wrapping_key: String,
}

/// An exchange that ended, and what was seen on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeReport {
    /// How it ended.
    pub outcome: ExchangeOutcome,
    /// How long its steps took: those that ended, well or not. Without those that an open connection saved, and without
    /// the one that had not ended when the deadline passed.
    pub steps: StepTimes,
    /// The step that had not ended when the deadline passed, if it did.
    pub unfinished: Option<TestStep>,
    /// The server, as soon as its certificate was accepted.
    pub server: Option<ServerSeen>,
}

impl From<ExchangeOutcome> for ExchangeReport {
    /// With nothing seen on the way.
    fn from(outcome: ExchangeOutcome) -> Self {
        Self { outcome, steps: StepTimes::default(), unfinished: None, server: None }
    }
}

/// The server of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSeen {
    /// The address that was dialled.
    pub address: IpAddr,
    /// When its certificate expires (Unix ms).
    pub certificate_expires_at_ms: u64,
    /// SHA-256 of the certificate's SubjectPublicKeyInfo (DER).
    pub certificate_pin: [u8; 32],
    /// How HTTP was spoken.
    pub protocol: HttpProtocol,
    /// Whether an open connection was used again.
    pub reused: bool,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpProtocol {
    /// HTTP/1.1 (RFC 9112).
    Http1,
    /// HTTP/2 (RFC 9113).
    Http2,
}

impl HttpProtocol {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpProtocol::Http1 => "HTTP/1.1",
            HttpProtocol::Http2 => "HTTP/2",
        }
    }
}

/// How an exchange ended.
pub type ExchangeOutcome = Result<HttpAnswer, ExchangeFailure>;

/// A whole HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// The body, at most `max_answer_bytes`.
    pub body: Vec<u8>,
}

/// Why an exchange failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeFailure {
    /// The name could not be resolved.
    #[error("the name could not be resolved: {0}")]
    Dns(String),
    /// No resolved address is allowed.
    #[error("none of its addresses is allowed: {0}")]
    AddressDenied(String),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// TLS failed: the certificate is not trusted, or not for this name.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The server's certificate is not one of a pinned key.
    #[error("expected a certificate of a pinned key, got one of {0}")]
    Pin(String),
    /// The connection broke before the whole answer was there.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// The peer did not speak HTTP as it should.
    #[error("not a valid HTTP answer: {0}")]
    Http(String),
    /// The answer is larger than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The deadline passed.
    #[error("no answer within {0} ms")]
    Timeout(u32),
    /// The enclave has no connection to its host, or too many exchanges run.
    #[error("not possible now: {0}")]
    Unavailable(String),
}

/// What a job reports.
pub enum JobEvent {
    /// A message for other parties.
    Send {
        /// The receiver's index in the group, or everybody.
        to: Option<u16>,
        /// The scheme's bytes.
        message: Vec<u8>,
    },
    /// Safe primes found so far, of 4.
    PrimesFound(u8),
    /// The primes.
    Primes(Primes),
    /// The RSA key, PKCS#8 DER.
    CallbackKey(Zeroizing<Vec<u8>>),
    /// A ceremony's output.
    Done(Output),
    /// It failed; the job is gone.
    Failed(Failure),
    /// A peer's message could not be a message of the scheme; the job is gone.
    BadMessage {
        /// The sender's index in the group.
        from: u16,
        /// Why.
        detail: String,
    },
    /// After `FinishJob`: it would need another message; the job is gone.
    Unfinished,
}
