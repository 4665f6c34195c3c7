//! The core's own limits. Times in milliseconds.

use countersign_wire::limits::{
    MAX_BLOB_BYTES, MAX_GROUPS, MAX_HANDLERS, MAX_KEYGEN_MESSAGE_BYTES, MAX_PAIRINGS, MAX_SIGN_MESSAGE_BYTES,
    MAX_STORED_BYTES, MAX_STREAMS, MAX_TOKEN_BYTES, MAX_USERS,
};

pub use countersign_wire::limits::MAX_BLOBS;

/// Admin connections at once.
pub const MAX_ADMIN_CONNECTIONS: usize = 16;
/// Calls of handlers at once: each API user with a handler has a place of its own, and some have more.
pub const MAX_CALLBACK_PLACES: usize = MAX_HANDLERS + 64;
/// Calls of one API user's handler at once.
pub const MAX_CALLS_PER_USER: usize = 64;
/// Operators' tests of handlers at once, beside these.
pub const MAX_CALLBACK_TESTS: usize = 4;
/// Both.
pub const MAX_CALLBACKS: usize = MAX_CALLBACK_PLACES + MAX_CALLBACK_TESTS;
/// Requests of one pairing that wait for handlers, RETRY series among them.
pub const MAX_ASKING_PER_PAIRING: usize = 2_048;
/// Of them, those that each API user has room for, whatever the others do.
pub const SURE_ASKING_PER_USER: usize = 8;
/// Their bytes, as they came and as they are shown.
pub const MAX_ASKING_BYTES_PER_PAIRING: usize = 8 * 1024 * 1024;
/// How long a request waits for its turn before it fails.
pub const MAX_TURN_MS: u64 = 60_000;
/// What operators may make a pairing's sealed record be: less than can be sealed, as groups come without being asked for.
pub const MAX_PAIRING_RECORD_BYTES: usize = countersign_wire::limits::MAX_BLOB_BYTES / 4 * 3;
/// Decisions about configuration changes of one pairing that are remembered.
pub const MAX_CHANGES_PER_PAIRING: usize = 512;
/// Of these, the ones that each API user may have whatever the others do.
pub const SURE_CHANGES_PER_USER: usize = 4;
/// For how long.
pub const CHANGE_KEEP_MS: u64 = 14 * 24 * 3_600_000;
/// A handler's certificate that expires so soon is warned of.
pub const CERTIFICATE_WARNING_MS: u64 = 30 * 24 * 3_600_000;
/// How often the same is warned of.
pub const REPEAT_WARNING_MS: u64 = 24 * 3_600_000;
/// Lines of the co-signer's own log.
pub const MAX_EVENTS: usize = 2_000;
/// Records of a pairing without keys that go, all in one batch, with its last API user.
pub const MAX_REMOVED_RECORDS: usize = 40;
/// Calls of workspaces at once, beside the callbacks: an access token for each pairing and one `add-user`, and as many
/// again that are still ending when the host was away.
pub const MAX_WORKSPACE_CALLS: usize = 2 * (MAX_PAIRINGS + 1);
/// Sessions of one pairing at once, those whose jobs still run behind them among them.
pub const MAX_SESSIONS_PER_PAIRING: usize = 64;
/// One ledger record.
pub const MAX_REQUEST_RECORD_BYTES: usize = 24 * 1024;
/// Ledger records kept for one pairing.
pub const MAX_REQUESTS_PER_PAIRING: usize = 50_000;
/// Keys of one pairing.
pub const MAX_KEYS_PER_PAIRING: usize = 1_000;
/// Vault bindings of one pairing.
pub const MAX_VAULTS_PER_PAIRING: usize = 10_000;
/// Unused pairing tokens remembered as used, until they expire.
pub const MAX_USED_TOKENS: usize = 1_024;
/// Sessions for which this party signed that it never held an outcome, remembered within a boot.
pub const MAX_FORSWORN: usize = 65_536;
/// Pause before a background job that failed is started again.
pub const BACKGROUND_RETRY_MS: u64 = 1_000;
/// Expired records deleted in one step.
pub const MAX_FORGOTTEN_AT_ONCE: usize = 32;
/// Batches that the host has not acknowledged.
pub const MAX_UNACKNOWLEDGED_BATCHES: usize = 2_048;
/// With so many, what comes over the links of pairings that have more than their share of them is dropped: whoever sent it
/// sends it again or gives up. Else links that bring more than the host stores in time would stop the co-signer, and with it
/// all its tenants.
pub const MAX_BACKLOG_OF_LINKS: usize = MAX_UNACKNOWLEDGED_BATCHES / 4;
/// The share of one pairing.
pub const MAX_BACKLOG_SHARE: usize = MAX_UNACKNOWLEDGED_BATCHES / 4 / MAX_PAIRINGS;
/// Effects that wait for durability.
pub const MAX_HELD_EFFECTS: usize = 16_384;
/// With so many of them, what comes over the links of pairings that have more than their share of answers among them is
/// dropped, as with batches.
pub const MAX_HELD_OF_LINKS: usize = MAX_HELD_EFFECTS / 4;
/// The share of one pairing.
pub const MAX_HELD_SHARE: usize = MAX_HELD_EFFECTS / 4 / MAX_PAIRINGS;
/// Messages that wait for a channel to one peer.
pub const MAX_QUEUED_PEER_MESSAGES: usize = 256;
/// Messages of one peer that came before their turn, in one session.
pub const MAX_EARLY_MESSAGES: usize = 64;
/// Bytes of such messages, by what the session is for: a few of the largest messages that its scheme has.
pub const MAX_EARLY_AUX_BYTES: usize = 4 * countersign_wire::limits::MAX_SCHEME_MESSAGE_BYTES;
/// The same for key generation.
pub const MAX_EARLY_KEYGEN_BYTES: usize = 16 * MAX_KEYGEN_MESSAGE_BYTES;
/// The same for signing.
pub const MAX_EARLY_SIGN_BYTES: usize = 8 * MAX_SIGN_MESSAGE_BYTES;
/// Bytes of all such messages of one pairing.
pub const MAX_EARLY_PAIRING_BYTES: usize = 16 * 1024 * 1024;
/// Execution ids remembered within a boot.
pub const MAX_EXECUTIONS: usize = 65_536;

/// How old a client's request may be when the customer's co-signer first sees it.
pub const INTENT_MAX_AGE_MS: u64 = 3_600_000;
/// How old it may be when a cloud co-signer first sees it, with the Authorisation: a handler may have asked for another try
/// for as long as a RETRY series takes, and its calls and turns take time, too. That a request counts once rests on the
/// ledger and its floor, not on this.
pub const AUTHORISED_INTENT_MAX_AGE_MS: u64 =
    INTENT_MAX_AGE_MS + 2 * countersign_wire::limits::MAX_RETRY_SERIES_S * 1_000;
/// How long an Authorisation allows sessions to start.
pub const AUTHORISATION_MS: u64 = 600_000;
/// How far another party's clock may be ahead.
pub const CLOCK_SKEW_MS: u64 = 30_000;
/// How long ledger records are kept at least: longer than any intent is accepted.
pub const LEDGER_KEEP_MS: u64 = 3 * 3_600_000;
/// After this time ledger records are forgotten although there is room. Until then a workspace that was away still gets the
/// signatures of its transactions.
pub const LEDGER_FORGET_MS: u64 = 7 * 24 * 3_600_000;
/// Longest time for one session, whatever the coordinator asks.
pub const MAX_SESSION_MS: u64 = 1_800_000;
/// Shortest time for one session.
pub const MIN_SESSION_MS: u64 = 1_000;
/// How old an attestation document may be.
pub const DOCUMENT_MAX_AGE_MS: u64 = 300_000;
/// After this time without an answer a handshake is begun again.
pub const HANDSHAKE_RETRY_MS: u64 = 2_000;
/// First pause after a failed call of the workspace; it doubles up to the maximum.
pub const WORKSPACE_RETRY_MS: u64 = 500;
/// A link that was up for so long makes the next pause the first one again.
pub const LINK_STABLE_MS: u64 = 10_000;
/// Longest pause between calls of the workspace.
pub const WORKSPACE_RETRY_MAX_MS: u64 = 60_000;
/// How often the workspace is told which boot this is: an earlier word may have been lost.
pub const HELLO_EVERY_MS: u64 = 5_000;
/// Time for one call of the workspace.
pub const WORKSPACE_DEADLINE_MS: u32 = 15_000;
/// Largest answer of the workspace in bytes.
pub const MAX_WORKSPACE_ANSWER_BYTES: usize = 32 * 1024;
/// Idle time after which an admin connection is closed.
pub const ADMIN_IDLE_MS: u64 = 600_000;

/// All pairings together leave room for what the co-signer stores of its own. Calls of handlers that were under way when the
/// host stopped storing still end, each with a batch; others begin when it stores again.
const _: () = assert!(
    MAX_BACKLOG_OF_LINKS + MAX_PAIRINGS * MAX_BACKLOG_SHARE + MAX_CALLBACKS < MAX_UNACKNOWLEDGED_BATCHES / 4 * 3
);
const _: () = assert!(MAX_HELD_OF_LINKS + MAX_PAIRINGS * MAX_HELD_SHARE <= MAX_HELD_EFFECTS / 2);
const _: () = assert!(LEDGER_FORGET_MS > LEDGER_KEEP_MS);
const _: () = assert!(LEDGER_KEEP_MS > 2 * INTENT_MAX_AGE_MS + AUTHORISATION_MS);
/// Where there is room, nothing is forgotten whose floor would refuse what a handler approved late.
const _: () = assert!(LEDGER_FORGET_MS > AUTHORISED_INTENT_MAX_AGE_MS + AUTHORISATION_MS);
/// What is stored must load again: everything that all pairings may hold, with room for what belongs to the instance.
const _: () = assert!(
    MAX_BLOBS
        > MAX_PAIRINGS
            * (MAX_REQUESTS_PER_PAIRING
                + MAX_VAULTS_PER_PAIRING
                + MAX_KEYS_PER_PAIRING
                + MAX_ASKING_PER_PAIRING
                + MAX_CHANGES_PER_PAIRING
                + 1
                + 2 * MAX_GROUPS)
            + MAX_USED_TOKENS
            + 16
);
const _: () = assert!(MAX_FORGOTTEN_AT_ONCE + 16 < countersign_wire::limits::MAX_BATCH_WRITES);
const _: () = assert!(MAX_EARLY_AUX_BYTES <= MAX_EARLY_PAIRING_BYTES);
/// Name, sealing and what the database adds, for one blob.
const BLOB_OVERHEAD_BYTES: usize = 512;
/// The same in bytes: what one pairing may hold.
const MAX_PAIRING_BYTES: usize = MAX_REQUESTS_PER_PAIRING * (MAX_REQUEST_RECORD_BYTES + BLOB_OVERHEAD_BYTES)
    + MAX_VAULTS_PER_PAIRING * (1024 + BLOB_OVERHEAD_BYTES)
    + (MAX_KEYS_PER_PAIRING + 1 + 2 * MAX_GROUPS) * (MAX_BLOB_BYTES + BLOB_OVERHEAD_BYTES)
    // Series that are over stay until they are deleted.
    + 2 * (MAX_ASKING_BYTES_PER_PAIRING + MAX_ASKING_PER_PAIRING * (4 * 1024 + BLOB_OVERHEAD_BYTES))
    + MAX_CHANGES_PER_PAIRING * (4 * 1024 + BLOB_OVERHEAD_BYTES);
const _: () = assert!(
    MAX_STORED_BYTES as usize
        > MAX_PAIRINGS * MAX_PAIRING_BYTES
            + MAX_USED_TOKENS * (MAX_TOKEN_BYTES + BLOB_OVERHEAD_BYTES)
            + 16 * MAX_BLOB_BYTES
);
/// One user's handler holds up neither the other users nor, with all of its pairing, any other pairing.
const _: () = assert!(2 * MAX_USERS * SURE_ASKING_PER_USER < MAX_ASKING_PER_PAIRING);
const _: () = assert!(2 * MAX_USERS * SURE_CHANGES_PER_USER <= MAX_CHANGES_PER_PAIRING);
const _: () = assert!(MAX_HANDLERS < MAX_CALLBACK_PLACES && 2 * MAX_CALLS_PER_USER < MAX_CALLBACK_PLACES);
const _: () = assert!(MAX_REMOVED_RECORDS + 8 < countersign_wire::limits::MAX_BATCH_WRITES);
const _: () = assert!(MAX_CALLBACKS + MAX_WORKSPACE_CALLS <= MAX_STREAMS);
