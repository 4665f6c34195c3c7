//! The named limits of the runtime. Sizes are in bytes, counts in items.

use countersign_wire::limits::{MAX_HANDLERS, MAX_PAIRINGS, MAX_PARTIES, MAX_SCHEME_MESSAGES, MAX_SIGN_MESSAGE_BYTES};
use std::time::Duration;

/// Callbacks, and calls of workspaces, at once: neither takes a place from the other.
pub use cosigner_core::{MAX_CALLBACKS, MAX_WORKSPACE_CALLS};
use cosigner_core::{MAX_CALLS_PER_USER, MAX_SESSIONS_PER_PAIRING};

/// Most bytes in one write to the host: a larger write can stall for ever in an emulated vsock device.
pub const MAX_WRITE_BYTES: usize = 16 * 1024;
/// Inputs that wait for the core. When they are this many, whoever brings the next one waits.
pub const MAX_WAITING_INPUTS: usize = 64;
/// Messages that wait to be written to the host. When they are this many, the core takes no further input.
pub const MAX_WAITING_HOST_MESSAGES: usize = 32;

/// Time to open one connection to the host.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the host to answer the opening of the control connection.
pub const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the host to take what an enclave that ends still has to say.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Time to tell the host why an enclave does not start.
pub const START_FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the host to take one message; a host that reads nothing for so long is given up.
pub const HOST_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before the first attempt to connect again.
pub const FIRST_RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between attempts; each is twice the one before.
pub const MAX_RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// A connection that lived this long makes the next pause the first one again.
pub const STABLE_CONNECTION: Duration = Duration::from_secs(1);

/// Addresses of one name that are tried.
pub const MAX_DIAL_ATTEMPTS: usize = 3;
/// Status line and headers of an answer.
pub const MAX_ANSWER_HEAD_BYTES: usize = 64 * 1024;
/// Headers of an answer.
pub const MAX_ANSWER_HEADERS: usize = 100;

/// Connections that one co-signer keeps open for exchanges, used and idle ones: an idle one gives way to a new one.
pub const MAX_OPEN_CONNECTIONS: usize = MAX_CALLBACKS + MAX_WORKSPACE_CALLS;
/// Idle connections to one place (host, port, trust and address rule): what a burst opened serves the next one.
pub const MAX_IDLE_PER_PLACE: usize = MAX_CALLS_PER_USER;
/// Idle connections in all: about one for each handler.
pub const MAX_IDLE_CONNECTIONS: usize = MAX_HANDLERS;
/// How long a connection may be idle: less than the 5 s after which common servers close it.
pub const MAX_IDLE_TIME: Duration = Duration::from_secs(4);
/// How long a connection is used for new requests. What changes at the server (its address, its certificate) is seen
/// after this time.
pub const MAX_CONNECTION_AGE: Duration = Duration::from_secs(60);
/// Requests over one connection.
pub const MAX_REQUESTS_PER_CONNECTION: usize = 1000;
/// Exchanges that share an HTTP/2 connection at once, if the server allows so many.
pub const MAX_SHARED_EXCHANGES: usize = 32;
/// How often connections that were idle for too long are looked for.
pub const IDLE_SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Time for a connection to become ready for the next request after an answer.
pub const SETTLE_TIMEOUT: Duration = Duration::from_millis(200);
/// Time for an idle connection to say goodbye.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// Flow control of HTTP/2: what one answer may send before it is read, in bytes.
pub const ANSWER_WINDOW_BYTES: u32 = 64 * 1024;
/// The same for all answers on one connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Fewest threads for ceremonies, also where there is one core: a long step of one must not stop all others.
pub const MIN_CEREMONY_THREADS: usize = 2;
/// Jobs at once, of all kinds: every pairing's share, so that no tenant takes a place from another, and the co-signer's own
/// primes and callback key.
pub const MAX_JOBS: usize = MAX_PAIRINGS * MAX_SESSIONS_PER_PAIRING + 2;
/// Messages that wait for one job.
pub const MAX_WAITING_JOB_MESSAGES: usize = 4096;
/// Their bytes.
pub const MAX_WAITING_JOB_BYTES: usize = 32 * 1024 * 1024;
/// Longest pause of background work between two steps while ceremonies keep all cores busy: it is slow then, but ends.
pub const MAX_BACKGROUND_PAUSE: Duration = Duration::from_millis(10);

/// Time for the key service to answer; the core waits for that answer, whatever else comes.
pub const KEY_SERVICE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often KMS is asked, where asking again may help.
pub const KMS_ATTEMPTS: u32 = 4;
/// Pause before it is asked again; each is twice the one before.
pub const FIRST_KMS_PAUSE: Duration = Duration::from_millis(500);
/// Time for one call of KMS.
pub const KMS_CALL_TIMEOUT: Duration = Duration::from_secs(12);
/// Time for the host to sign it.
pub const KMS_SIGNATURE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the security module's time is read again.
pub const CLOCK_READ_INTERVAL: Duration = Duration::from_secs(60);
/// How far the security module's time may fall behind the monotonic clock between two readings.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// Bytes of randomness drawn from one seed before the source is asked again.
pub const MAX_BYTES_PER_SEED: usize = 64 * 1024;

/// Peers cannot flood a job that signs: what it finds false is always heard.
const _: () = assert!(
    MAX_WAITING_JOB_BYTES > MAX_SCHEME_MESSAGES * MAX_SIGN_MESSAGE_BYTES * (MAX_PARTIES - 1)
        && MAX_WAITING_JOB_MESSAGES > MAX_SCHEME_MESSAGES * (MAX_PARTIES - 1)
);
const _: () = assert!(MAX_WAITING_JOB_BYTES >= 2 * countersign_wire::limits::MAX_SCHEME_MESSAGE_BYTES);
/// The host dials them all, with some to spare for those that are still closing there.
const _: () = assert!(MAX_OPEN_CONNECTIONS < countersign_wire::limits::MAX_STREAMS);
const _: () = assert!(MAX_IDLE_TIME.as_secs() < 5 && MAX_IDLE_TIME.as_secs() < MAX_CONNECTION_AGE.as_secs());
const _: () = assert!(MAX_WAITING_HOST_MESSAGES < MAX_WAITING_INPUTS);
