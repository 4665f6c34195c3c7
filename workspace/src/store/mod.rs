//! The database: SQLite in write-ahead mode, every commit durable before it is acknowledged.
//!
//! One connection writes, one transaction at a time: what is checked in a transaction stays true until it commits. Others
//! read. The files are locked by one process.

pub mod audit;
pub mod ceremonies;
pub mod changes;
pub mod cosigners;
pub mod evm_nonces;
pub mod idempotency;
pub mod nonces;
pub mod pairing;
pub mod transactions;
pub mod unmanaged;
pub mod users;
pub mod vault;

use countersign_wire::DecodeError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, Sqlite, SqlitePool, Transaction};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections that read.
const READERS: u32 = 4;
/// How long a connection is waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite or its driver.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A stored record cannot be read.
    #[error("stored record: {0}")]
    Record(#[from] DecodeError),
    /// A stored value is not of its form.
    #[error("stored {what}: {detail}")]
    Value {
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        detail: String,
    },
    /// Another process has the database open.
    #[error("{0} is in use by another process; one process serves one workspace")]
    InUse(PathBuf),
    /// A file cannot be made.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A write transaction: it is undone if it is dropped without a commit.
pub type Write = Transaction<'static, Sqlite>;
/// A connection that reads.
pub type Read = PoolConnection<Sqlite>;

/// The open database.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    lock: std::sync::Arc<File>,
    path: PathBuf,
}

impl Store {
    /// Opens the database, which must exist unless `create`, and brings its schema up to date.
    ///
    /// # Errors
    /// It is not there, is in use, or cannot be read.
    pub async fn open(path: &Path, create: bool) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { path: path.to_owned(), source };
        let lock = lock(path)?;
        if create {
            File::options().create_new(true).write(true).mode(0o600).open(path).map_err(io)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(ACQUIRE_TIMEOUT);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .min_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(ACQUIRE_TIMEOUT)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "on")).await?;
        Ok(Self { writer, readers, lock: std::sync::Arc::new(lock), path: path.to_owned() })
    }

    /// Begins a write transaction; waits for the one before.
    ///
    /// # Errors
    /// The database does not answer in time.
    pub async fn write(&self) -> Result<Write, StoreError> {
        Ok(self.writer.begin().await?)
    }

    /// A connection for reading what is committed.
    ///
    /// # Errors
    /// The database does not answer in time.
    pub async fn read(&self) -> Result<Read, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// The workspace's id and fingerprint, if it was made.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn workspace(&self) -> Result<Option<(String, String)>, StoreError> {
        let mut read = self.read().await?;
        let row = sqlx::query("SELECT id, fingerprint FROM workspace").fetch_optional(&mut *read).await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// Writes what is in the log into the database file, closes it, and lets another process open it.
    pub async fn close(&self) {
        self.readers.close().await;
        // Where it fails the log stays, and the next to open the database goes on from it.
        let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.writer).await;
        self.writer.close().await;
        // An error leaves it locked until this process ends.
        let _ = self.lock.unlock();
    }

    /// Whether something is in the write-ahead log that is not in the database file. After a close nothing is; the log
    /// itself, empty, may be there still.
    pub fn has_log(&self) -> bool {
        is_filled(&with_suffix(&self.path, "-wal"))
    }
}

/// Whether a file is there and not empty.
pub fn is_filled(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0)
}

/// Locks a database for this process, until the file is dropped.
///
/// # Errors
/// Another process has it, or the folder cannot be written.
pub fn lock(path: &Path) -> Result<File, StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    let lock_path = with_suffix(path, ".lock");
    let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(&lock_path).map_err(io)?;
    lock.try_lock().map_err(|_| StoreError::InUse(path.to_owned()))?;
    Ok(lock)
}

/// `path` with something appended to its file name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A time or count as SQLite stores it.
pub(crate) fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A time or count as it was stored.
pub(crate) fn loaded(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// A stored id of fixed length.
pub(crate) fn fixed<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Value { what, detail: format!("{} bytes", bytes.len()) })
}

/// A stored text of a certain form.
pub(crate) fn parsed<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| StoreError::Value { what, detail: e.to_string() })
}

/// Whether an error says that a row with these unique values is there already.
pub fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.is_unique_violation())
}
