//! The named limit of everything that crosses a border. Sizes are in bytes, counts in items.

/// Payload of one frame between an enclave and its host.
pub const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;
/// Raw HTTP body of a client's request.
pub const MAX_REQUEST_BODY_BYTES: usize = 64 * 1024;
/// A compact JWS, whoever made it.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// A URL or a request path.
pub const MAX_URL_BYTES: usize = 2 * 1024;
/// A DER certificate or public key.
pub const MAX_DER_BYTES: usize = 8 * 1024;
/// An attestation document.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024;
/// Human-readable detail of an error.
pub const MAX_DETAIL_BYTES: usize = 1024;
/// A name or an id that people chose.
pub const MAX_NAME_BYTES: usize = 128;
/// One sealed blob.
pub const MAX_BLOB_BYTES: usize = 512 * 1024;
/// Sealed blobs of one co-signer: what its host must be able to store, and what may come back at a boot.
pub const MAX_BLOBS: usize = 1_100_000;
/// Bytes of all of them, names included.
pub const MAX_STORED_BYTES: u64 = 32 * 1024 * 1024 * 1024;
/// Streams that one enclave may have its host dial at once.
pub const MAX_STREAMS: usize = 512;
/// Writes in one persist batch.
pub const MAX_BATCH_WRITES: usize = 64;
/// Parties of a signing group.
pub const MAX_PARTIES: usize = 16;
/// Digests signed for one transaction.
pub const MAX_DIGESTS: usize = 16;
/// Elements of a derivation path.
pub const MAX_PATH_ELEMENTS: usize = 8;
/// Operators of one co-signer.
pub const MAX_OPERATORS: usize = 16;
/// Initiators of one pairing.
pub const MAX_INITIATORS: usize = 64;
/// API users of one pairing.
pub const MAX_USERS: usize = 64;
/// Pairings of one co-signer.
pub const MAX_PAIRINGS: usize = 16;
/// Signing groups of one pairing.
pub const MAX_GROUPS: usize = 16;
/// Keys of one pairing that a status lists.
pub const MAX_LISTED_KEYS: usize = 1024;
/// Measurement sets accepted from peers.
pub const MAX_MEASUREMENTS: usize = 16;
/// Keys, or pins, of one callback handler that are active at once: the present one and the next.
pub const MAX_ACTIVE_KEYS: usize = 2;
/// Shortest time for one call of a handler, in milliseconds.
pub const MIN_HANDLER_DEADLINE_MS: u32 = 1_000;
/// Longest time for one call of a handler, in milliseconds.
pub const MAX_HANDLER_DEADLINE_MS: u32 = 120_000;
/// Shortest time between two attempts after a RETRY, in seconds.
pub const MIN_RETRY_EVERY_S: u32 = 30;
/// Longest time between two attempts after a RETRY, in seconds.
pub const MAX_RETRY_EVERY_S: u32 = 3_600;
/// Longest time of a whole RETRY series, in seconds: two days.
pub const MAX_RETRY_SERIES_S: u64 = 48 * 3_600;
/// Callback handlers of one co-signer: each of them has a place of its own for one call, whatever the others do.
pub const MAX_HANDLERS: usize = 256;
/// What a configuration change is about, as JSON.
pub const MAX_EXTRA_INFO_BYTES: usize = 16 * 1024;
/// The largest number that every reader of JSON takes exactly (RFC 8259, section 6). Larger ones are texts.
pub const MAX_EXACT_NUMBER: u64 = (1 << 53) - 1;
/// An unsigned transaction that the workspace built.
pub const MAX_UNSIGNED_BYTES: usize = 16 * 1024;
/// Callbacks of one API user that a co-signer remembers.
pub const MAX_LISTED_ATTEMPTS: usize = 20;
/// Lines of the log that one answer of a co-signer holds.
pub const MAX_LISTED_EVENTS: usize = 200;
/// Networks that an operator allowed for one callback handler.
pub const MAX_NETWORKS: usize = 16;
/// One message of a threshold scheme, before it is split over the channel.
pub const MAX_SCHEME_MESSAGE_BYTES: usize = 1024 * 1024;
/// The same for key generation.
pub const MAX_KEYGEN_MESSAGE_BYTES: usize = 4 * 1024;
/// The same for signing.
pub const MAX_SIGN_MESSAGE_BYTES: usize = 64 * 1024;
/// Messages of one execution from one party to another. No scheme here has as many.
pub const MAX_SCHEME_MESSAGES: usize = 16;
/// One packet between co-signers; a Noise message holds at most 65,535 bytes.
pub const MAX_PACKET_BYTES: usize = 65_535 + 128;
/// One message between co-signer and workspace, or one relay frame.
pub const MAX_RELAY_BYTES: usize = 256 * 1024;
/// One message of the admin channel, before it is split.
pub const MAX_ADMIN_BYTES: usize = 256 * 1024;
/// Counters that an enclave reports to its host.
pub const MAX_COUNTERS: usize = 8_192;
/// Labels of one of them.
pub const MAX_LABELS: usize = 3;
/// Buckets of a histogram.
pub const MAX_BUCKETS: usize = 16;

const _: () = assert!(MAX_RELAY_BYTES < MAX_FRAME_BYTES);
const _: () = assert!(MAX_REQUEST_BODY_BYTES + MAX_TOKEN_BYTES + MAX_URL_BYTES < MAX_RELAY_BYTES);
const _: () = assert!(MAX_PACKET_BYTES < MAX_RELAY_BYTES);
const _: () = assert!(MAX_BLOB_BYTES < MAX_FRAME_BYTES);
