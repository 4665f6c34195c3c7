//! Messages on the control connection between an enclave and its own host. The enclave opens it; the host serves one at
//! a time (a newer one replaces the older). The host is trusted for availability alone.

use crate::ids::{BootId, PairingId};
use crate::limits::{
    MAX_ADMIN_BYTES, MAX_BATCH_WRITES, MAX_BLOB_BYTES, MAX_BUCKETS, MAX_COUNTERS, MAX_DER_BYTES, MAX_DETAIL_BYTES,
    MAX_FRAME_BYTES, MAX_LABELS, MAX_RELAY_BYTES, MAX_TOKEN_BYTES, MAX_URL_BYTES,
};
use crate::{Bytes, List, Text, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// Port on which a host listens for its enclave where they are joined by vsock.
pub const VSOCK_PORT: u32 = 5016;

/// First frame of every connection from an enclave.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Opening {
    /// The control connection: frames of [`FromEnclave`] and [`FromHost`] follow.
    Control {
        /// The enclave's boot.
        boot: BootId,
        /// Version of the enclave's software.
        version: Text<32>,
    },
    /// A stream to somewhere else: [`crate::dial`] follows.
    Dial,
    /// The signature of a call: [`crate::aws_signature`] follows.
    SignAwsCall,
}

message!(Opening, "countersign/opening", 1, 256);

/// Name of a sealed blob in the host's storage: its kind and a hash; nothing that people chose.
pub type BlobName = Text<96>;

/// One write of a batch; `None` deletes.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlobWrite {
    /// Which blob.
    pub name: BlobName,
    /// Its new content.
    pub value: Option<Bytes<MAX_BLOB_BYTES>>,
}

/// A value of the enclave's own counting that holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Counter {
    /// Metric name in Prometheus form, without the prefix `countersign_enclave_`.
    pub name: Text<64>,
    /// Labels, each a name and a value.
    pub labels: List<(Text<32>, Text<64>), MAX_LABELS>,
    /// The value.
    pub value: CounterValue,
}

/// What a counter says.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum CounterValue {
    /// A number that only grows within a boot.
    Total(u64),
    /// A number that goes up and down.
    Gauge(u64),
    /// A distribution of times.
    Histogram {
        /// Upper bounds in milliseconds, ascending, and how many were at most that and above the bound before.
        buckets: List<(u32, u64), MAX_BUCKETS>,
        /// All, those above the last bound among them.
        count: u64,
        /// Their sum in milliseconds.
        sum_ms: u64,
    },
}

/// From the enclave.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FromEnclave {
    /// Asks for every stored blob: answered by `Blob`s and one `BlobsEnd`.
    LoadBlobs,
    /// Stores a batch: all of it or nothing, durable before `Persisted`. The host keeps, durably and together with the
    /// blobs, which boot's batch it applied last. A batch that it applied before is acknowledged and not applied again;
    /// one that is not the next is refused, because what it builds on is not in this store.
    Persist {
        /// 1 for a boot's first batch, then one more a batch.
        sequence: u64,
        /// Only into an empty store: the first batch of a claim, which must replace nobody's state.
        fresh: bool,
        /// The writes.
        writes: List<BlobWrite, MAX_BATCH_WRITES>,
    },
    /// Keep a WebSocket to this workspace open, with reconnect and back-off, until `LinkClose`.
    LinkOpen {
        /// Whose.
        pairing: PairingId,
        /// `wss://…/relay`.
        url: Text<MAX_URL_BYTES>,
        /// Short-lived access token for the `Authorization: Bearer` header; replaces an older one.
        access_token: Text<MAX_TOKEN_BYTES>,
        /// Certificate authorities (DER) to trust instead of the public ones. Availability only: what is inside is sealed or signed.
        roots: List<Bytes<MAX_DER_BYTES>, 4>,
    },
    /// Close it.
    LinkClose {
        /// Whose.
        pairing: PairingId,
    },
    /// Send one binary WebSocket message. Dropped, with a metric, while the link is down.
    LinkSend {
        /// Over whose link.
        pairing: PairingId,
        /// An encoded [`crate::relay::RelayUp`].
        frame: Bytes<{ MAX_RELAY_BYTES + 64 }>,
    },
    /// Bytes for an admin connection.
    Admin {
        /// Which connection.
        connection: u64,
        /// One packet of the admin channel.
        packet: Bytes<MAX_ADMIN_BYTES>,
    },
    /// Close an admin connection.
    AdminClose {
        /// Which.
        connection: u64,
    },
    /// Counters for `/metrics` and readiness for `/healthz`; replaces the last report.
    Report {
        /// Whether state is loaded and the co-signer serves.
        ready: bool,
        /// The counters.
        counters: List<Counter, MAX_COUNTERS>,
    },
    /// The enclave ends. An enclave has no console of its own: what it says here is for the host's log and `/healthz`.
    Stopping {
        /// Why; nothing secret.
        why: Text<MAX_DETAIL_BYTES>,
    },
}

message!(FromEnclave, "countersign/from-enclave", 2, MAX_FRAME_BYTES);

/// Why a link is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum LinkDown {
    /// Could not connect, or the connection broke; the host tries again.
    Connection = 0,
    /// The workspace refused the access token; the host waits for a new `LinkOpen`.
    Unauthorised = 1,
    /// The host cannot open such a link, or no more links; it waits for a new `LinkOpen`.
    Refused = 2,
}

/// From the host.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FromHost {
    /// First message on the control connection.
    Welcome {
        /// Version of the host's software.
        version: Text<32>,
    },
    /// One stored blob.
    Blob {
        /// Its name.
        name: BlobName,
        /// Its content.
        value: Bytes<MAX_BLOB_BYTES>,
    },
    /// There are no more.
    BlobsEnd {
        /// How many there were.
        count: u64,
    },
    /// A batch is durable.
    Persisted {
        /// Which.
        sequence: u64,
    },
    /// A batch could not be stored. The enclave stops sending anything.
    PersistFailed {
        /// Which.
        sequence: u64,
        /// Why.
        detail: Text<MAX_DETAIL_BYTES>,
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
    /// One binary WebSocket message came.
    LinkData {
        /// Over whose link.
        pairing: PairingId,
        /// An encoded [`crate::relay::RelayDown`].
        frame: Bytes<{ MAX_RELAY_BYTES + 64 }>,
    },
    /// Somebody connected to the admin socket.
    AdminOpened {
        /// The host's number for the connection; never reused within a boot of the enclave.
        connection: u64,
    },
    /// Bytes from an admin connection.
    Admin {
        /// Which connection.
        connection: u64,
        /// One packet of the admin channel.
        packet: Bytes<MAX_ADMIN_BYTES>,
    },
    /// An admin connection is gone.
    AdminClosed {
        /// Which.
        connection: u64,
    },
    /// How the host is, every [`HOST_HEALTH_EVERY_S`] seconds: for the status, and believed by nobody.
    Health(HostHealth),
}

/// How often a host says how it is, in seconds.
pub const HOST_HEALTH_EVERY_S: u64 = 10;

/// How a host is, as it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct HostHealth {
    /// Version of its software.
    pub version: Text<32>,
    /// Its clock, Unix time in ms.
    pub clock_ms: u64,
    /// Bytes free on the disk of the blobs, for this program.
    pub disk_free_bytes: u64,
    /// Size of that disk.
    pub disk_total_bytes: u64,
    /// Blobs stored.
    pub blobs: u64,
    /// Their bytes, names included.
    pub stored_bytes: u64,
    /// The longest that a batch took to be durable since the last report, in microseconds.
    pub commit_us: u64,
    /// Whether outbound connections go through a proxy.
    pub proxied: bool,
}

message!(FromHost, "countersign/from-host", 2, MAX_FRAME_BYTES);
