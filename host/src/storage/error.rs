//! What can go wrong with the store.

use countersign_wire::OutOfBounds;
use std::io;
use std::path::PathBuf;

/// SQLite's result code for a full disk or database: the one failure of a write after which the database is certainly
/// as before.
const SQLITE_FULL: &str = "13";

/// `PRAGMA user_version`: the version of the schema.
pub(super) const SCHEMA_VERSION: i64 = 2;

/// What `PRAGMA synchronous` says for FULL.
pub(super) const SYNCHRONOUS_FULL: i64 = 2;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The directory cannot be made, locked or synced.
    #[error("{path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another host uses it.
    #[error("{path}: another cosigner-host uses this store; two on one store would fork the state")]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The file is not one of our databases, or one of another version.
    #[error("expected a store of version {SCHEMA_VERSION}, got application id {application_id:#x}, version {version}")]
    Foreign {
        /// What the file says.
        application_id: i64,
        /// What the file says.
        version: i64,
    },
    /// SQLite cannot sync here as it must: mostly a file system that is not a local one.
    #[error("expected journal mode wal and synchronous {SYNCHRONOUS_FULL}, got {journal} and {synchronous}")]
    NotDurable {
        /// What SQLite says.
        journal: String,
        /// What SQLite says.
        synchronous: i64,
    },
    /// A stored value does not fit the protocol.
    #[error("a stored blob is not one of ours: {0}")]
    Blob(#[from] OutOfBounds),
    /// SQLite failed.
    #[error("the database failed: {0}")]
    Sqlite(#[from] sqlx::Error),
}

impl StorageError {
    /// Whether the database is certainly as before and may go on.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Sqlite(sqlx::Error::Database(e)) => e.code().is_some_and(|code| code == SQLITE_FULL),
            _ => false,
        }
    }
}

/// Why a batch may not be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It builds on batches that this store never got.
    #[error(
        "expected batch {expected} of this boot of the enclave, got {got}: this is not the store that took the ones \
         before; give the host the right storage.directory, then restart the enclave"
    )]
    Order {
        /// The next batch.
        expected: u64,
        /// What came.
        got: u64,
    },
    /// Somebody's state is here, and a claim would replace it.
    #[error(
        "expected an empty store for a newly claimed enclave, got one with {0} blobs: restart the enclave to load them, \
         or give the host another storage.directory"
    )]
    NotEmpty(u64),
    /// Too many blobs.
    #[error("expected at most {max} blobs in the store, got {got}")]
    Blobs {
        /// Most blobs.
        max: u64,
        /// How many there would be.
        got: u64,
    },
    /// Too many bytes.
    #[error("expected at most {max} bytes in the store, got {got}")]
    Bytes {
        /// Most bytes.
        max: u64,
        /// How many there would be.
        got: u64,
    },
}
