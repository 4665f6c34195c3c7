//! The database: one table of names and values, in SQLite with a write-ahead log that is synced at every commit.

use super::directory_lock::sync_directory;
use super::error::{SCHEMA_VERSION, SYNCHRONOUS_FULL, StorageError, Unfit};
use crate::config;
use countersign_wire::host_link::BlobWrite;
use countersign_wire::ids::BootId;
use countersign_wire::{OutOfBounds, limits::MAX_BLOB_BYTES};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;

/// `PRAGMA application_id` of our databases.
const APPLICATION_ID: i64 = 0x4353_4842;

/// The batch that was applied last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Applied {
    boot: BootId,
    sequence: u64,
}

/// The open database.
pub struct Database {
    connection: SqliteConnection,
    /// Size of name and value of every blob, as of the open transaction.
    sizes: BTreeMap<String, u64>,
    bytes: u64,
    /// As of the open transaction, like the sizes.
    applied: Option<Applied>,
    max_blobs: u64,
    max_bytes: u64,
    starts: u32,
}

impl Database {
    /// Opens the database in the configured directory, or makes it.
    pub async fn open(config: &config::Storage) -> Result<Self, StorageError> {
        let options = SqliteConnectOptions::new()
            .filename(config.directory.join("blobs.sqlite"))
            .create_if_missing(true)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        let is_new = identify(&mut connection).await?;
        make_durable(&mut connection).await?;
        let starts = prepare(&mut connection, is_new).await?;
        sync(&config.directory)?;
        let mut database = Self {
            connection,
            sizes: BTreeMap::new(),
            bytes: 0,
            applied: None,
            max_blobs: config.max_blobs,
            max_bytes: config.max_total_bytes,
            starts,
        };
        database.measure().await?;
        Ok(database)
    }

    /// How many blobs there are.
    pub fn blobs(&self) -> u64 {
        u64::try_from(self.sizes.len()).unwrap_or(u64::MAX)
    }

    /// Bytes of their names and values.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often this database has been opened, this time included.
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Every blob, in the order of names.
    pub fn load(&mut self) -> BoxStream<'_, Result<(String, Vec<u8>), StorageError>> {
        let rows = sqlx::query("SELECT name, value FROM blobs ORDER BY name").fetch(&mut self.connection);
        Box::pin(rows.map(|row| {
            let row = row?;
            Ok((row.try_get("name")?, row.try_get("value")?))
        }))
    }

    /// Starts a transaction.
    pub async fn begin(&mut self) -> Result<(), StorageError> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Makes the open transaction durable: returns when it is synced to the disk.
    pub async fn commit(&mut self) -> Result<(), StorageError> {
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Undoes the open transaction, if there still is one, and counts anew.
    pub async fn roll_back(&mut self) -> Result<(), StorageError> {
        // SQLite itself rolls back on some errors; then there is nothing left to undo.
        let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        self.measure().await
    }

    /// Whether this batch of a boot was applied before. Otherwise it must be the next one.
    pub fn has(&self, boot: BootId, sequence: u64) -> Result<bool, Unfit> {
        let last = self.applied.filter(|last| last.boot == boot).map_or(0, |last| last.sequence);
        if (1..=last).contains(&sequence) {
            return Ok(true);
        }
        let expected = last.saturating_add(1);
        if sequence == expected { Ok(false) } else { Err(Unfit::Order { expected, got: sequence }) }
    }

    /// Whether there is nothing here that a claim would replace.
    pub fn is_empty(&self) -> Result<(), Unfit> {
        if self.sizes.is_empty() { Ok(()) } else { Err(Unfit::NotEmpty(self.blobs())) }
    }

    /// Whether the store stays within its limits with `writes` applied.
    pub fn admit(&self, writes: &[BlobWrite]) -> Result<(), Unfit> {
        let mut changes: BTreeMap<&str, Option<u64>> = BTreeMap::new();
        for write in writes {
            changes.insert(write.name.as_str(), write.value.as_ref().map(|v| size(&write.name, v.len())));
        }
        let (mut blobs, mut bytes) = (self.blobs(), self.bytes);
        for (name, new) in changes {
            if let Some(old) = self.sizes.get(name) {
                blobs = blobs.saturating_sub(1);
                bytes = bytes.saturating_sub(*old);
            }
            if let Some(new) = new {
                blobs = blobs.saturating_add(1);
                bytes = bytes.saturating_add(new);
            }
        }
        // What only shrinks a store that is over its limits (they may have been lowered) is welcome.
        if blobs > self.max_blobs && blobs >= self.blobs() {
            return Err(Unfit::Blobs { max: self.max_blobs, got: blobs });
        }
        if bytes > self.max_bytes && bytes >= self.bytes {
            return Err(Unfit::Bytes { max: self.max_bytes, got: bytes });
        }
        Ok(())
    }

    /// Applies a batch within the open transaction, its writes in order, and remembers it as the last one.
    pub async fn apply(&mut self, boot: BootId, sequence: u64, writes: &[BlobWrite]) -> Result<(), StorageError> {
        // A sequence follows from the one before, so it never comes near the limit of an SQLite integer.
        sqlx::query("UPDATE host SET boot = ?1, sequence = ?2 WHERE id = 1")
            .bind(&boot.0[..])
            .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
            .execute(&mut self.connection)
            .await?;
        self.applied = Some(Applied { boot, sequence });
        for write in writes {
            let name = write.name.as_str();
            match &write.value {
                Some(value) => {
                    sqlx::query(
                        "INSERT INTO blobs (name, value) VALUES (?1, ?2)
                         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    )
                    .bind(name)
                    .bind(&**value)
                    .execute(&mut self.connection)
                    .await?;
                    self.count(name, Some(size(name, value.len())));
                }
                None => {
                    sqlx::query("DELETE FROM blobs WHERE name = ?1").bind(name).execute(&mut self.connection).await?;
                    self.count(name, None);
                }
            }
        }
        Ok(())
    }

    /// Closes the database.
    pub async fn close(self) -> Result<(), StorageError> {
        Ok(self.connection.close().await?)
    }

    #[cfg(test)]
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    fn count(&mut self, name: &str, new: Option<u64>) {
        let old = match new {
            Some(new) => {
                self.bytes = self.bytes.saturating_add(new);
                self.sizes.insert(name.to_owned(), new)
            }
            None => self.sizes.remove(name),
        };
        self.bytes = self.bytes.saturating_sub(old.unwrap_or(0));
    }

    async fn measure(&mut self) -> Result<(), StorageError> {
        let row = sqlx::query("SELECT boot, sequence FROM host WHERE id = 1").fetch_one(&mut self.connection).await?;
        let boot: Option<Vec<u8>> = row.try_get("boot")?;
        let sequence: i64 = row.try_get("sequence")?;
        let boot = boot.and_then(|bytes| bytes.try_into().ok()).map(BootId);
        let sequence = u64::try_from(sequence).unwrap_or(0);
        self.applied = boot.map(|boot| Applied { boot, sequence });
        self.sizes.clear();
        self.bytes = 0;
        let mut measured = Vec::new();
        {
            let mut rows = sqlx::query("SELECT name, length(value) AS len FROM blobs").fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                let len: i64 = row.try_get("len")?;
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                if len > MAX_BLOB_BYTES {
                    return Err(OutOfBounds { max: MAX_BLOB_BYTES, got: len }.into());
                }
                measured.push((row.try_get::<String, _>("name")?, len));
            }
        }
        for (name, len) in measured {
            self.count(&name, Some(size(&name, len)));
        }
        Ok(())
    }
}

/// Whether the database is new; an error, with nothing touched, if it is somebody else's.
async fn identify(connection: &mut SqliteConnection) -> Result<bool, StorageError> {
    let application_id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await?;
    match (application_id, version, tables) {
        (APPLICATION_ID, SCHEMA_VERSION, _) => Ok(false),
        (0, 0, 0) => Ok(true),
        (application_id, version, _) => Err(StorageError::Foreign { application_id, version }),
    }
}

/// Has every commit synced to the disk before it counts, and makes sure that SQLite took that.
async fn make_durable(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await?;
    sqlx::raw_sql("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
    if journal != "wal" || synchronous != SYNCHRONOUS_FULL {
        return Err(StorageError::NotDurable { journal, synchronous });
    }
    Ok(())
}

/// Makes the tables of a new database, and counts the start.
async fn prepare(connection: &mut SqliteConnection, is_new: bool) -> Result<u32, StorageError> {
    let mut transaction = connection.begin().await?;
    if is_new {
        let schema = format!(
            "CREATE TABLE blobs (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT;
             CREATE TABLE host (
                 id INTEGER PRIMARY KEY CHECK (id = 1),
                 starts INTEGER NOT NULL,
                 boot BLOB,
                 sequence INTEGER NOT NULL
             ) STRICT;
             INSERT INTO host (id, starts, boot, sequence) VALUES (1, 0, NULL, 0);
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {SCHEMA_VERSION};"
        );
        sqlx::raw_sql(&schema).execute(&mut *transaction).await?;
    }
    let starts: i64 = sqlx::query_scalar("UPDATE host SET starts = starts + 1 WHERE id = 1 RETURNING starts")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    // Wraps only after four thousand million starts.
    Ok(u32::try_from(starts & i64::from(u32::MAX)).unwrap_or(0))
}

fn size(name: &str, value_len: usize) -> u64 {
    u64::try_from(name.len().saturating_add(value_len)).unwrap_or(u64::MAX)
}

fn sync(directory: &Path) -> Result<(), StorageError> {
    sync_directory(directory).map_err(|source| StorageError::Directory { path: directory.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::{Bytes, Text};

    const BOOT: BootId = BootId([1; 16]);

    fn config(directory: &Path) -> config::Storage {
        config::Storage { directory: directory.to_owned(), ..config::Storage::default() }
    }

    fn write(name: &str, value: Option<usize>) -> BlobWrite {
        let value = value.map(|len| Bytes::new(vec![0; len]).unwrap());
        BlobWrite { name: Text::new(name).unwrap(), value }
    }

    #[tokio::test]
    async fn every_commit_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        for start in 1..=2 {
            let mut database = Database::open(&config(dir.path())).await.unwrap();
            assert_eq!(database.starts(), start);
            let mut pragma = async |name: &str| -> String {
                let value = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
                sqlx::query_scalar(&value).fetch_one(&mut database.connection).await.unwrap()
            };
            assert_eq!((pragma("journal_mode").await.as_str(), pragma("synchronous").await.as_str()), ("wal", "2"));
            database.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_database_of_another_program_or_version_is_refused_untouched() {
        for schema in ["CREATE TABLE t (x)", "PRAGMA user_version = 3"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("blobs.sqlite");
            let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
            let mut other = options.connect().await.unwrap();
            sqlx::raw_sql(schema).execute(&mut other).await.unwrap();
            other.close().await.unwrap();
            let before = std::fs::read(&path).unwrap();
            assert!(matches!(Database::open(&config(dir.path())).await, Err(StorageError::Foreign { .. })), "{schema}");
            assert_eq!(std::fs::read(&path).unwrap(), before, "{schema}");
        }
    }

    #[tokio::test]
    async fn sizes_follow_the_writes_and_a_rollback() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(&config(dir.path())).await.unwrap();
        database.begin().await.unwrap();
        database.apply(BOOT, 1, &[write("a", Some(10)), write("bb", Some(20)), write("a", Some(5))]).await.unwrap();
        database.commit().await.unwrap();
        assert_eq!((database.blobs(), database.bytes()), (2, 6 + 22));
        database.begin().await.unwrap();
        database.apply(BOOT, 1, &[write("bb", None), write("c", Some(100))]).await.unwrap();
        assert_eq!((database.blobs(), database.bytes()), (2, 6 + 101));
        database.roll_back().await.unwrap();
        assert_eq!((database.blobs(), database.bytes()), (2, 6 + 22));
    }

    #[tokio::test]
    async fn the_last_batch_of_a_boot_is_known_after_a_restart_and_a_rollback() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(&config(dir.path())).await.unwrap();
        assert_eq!(database.has(BOOT, 1), Ok(false));
        assert_eq!(database.has(BOOT, 2), Err(Unfit::Order { expected: 1, got: 2 }));
        database.begin().await.unwrap();
        database.apply(BOOT, 1, &[write("a", Some(1))]).await.unwrap();
        database.commit().await.unwrap();
        database.begin().await.unwrap();
        database.apply(BOOT, 2, &[write("a", Some(2))]).await.unwrap();
        assert_eq!(database.has(BOOT, 2), Ok(true));
        database.roll_back().await.unwrap();
        assert_eq!(database.has(BOOT, 2), Ok(false));
        database.close().await.unwrap();

        let database = Database::open(&config(dir.path())).await.unwrap();
        assert_eq!((database.has(BOOT, 1), database.has(BOOT, 2)), (Ok(true), Ok(false)));
        assert_eq!(database.has(BOOT, 0), Err(Unfit::Order { expected: 2, got: 0 }));
        // Another boot loaded what is here and begins anew; one that did not is told.
        let other = BootId([2; 16]);
        assert_eq!(database.has(other, 1), Ok(false));
        assert_eq!(database.has(other, 3), Err(Unfit::Order { expected: 1, got: 3 }));
        assert_eq!(database.is_empty(), Err(Unfit::NotEmpty(1)));
    }

    #[tokio::test]
    async fn a_store_over_lowered_limits_may_shrink_but_not_grow() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(&config(dir.path())).await.unwrap();
        database.begin().await.unwrap();
        database.apply(BOOT, 1, &[write("a", Some(9)), write("b", Some(9)), write("c", Some(9))]).await.unwrap();
        database.commit().await.unwrap();
        (database.max_blobs, database.max_bytes) = (1, 12);
        assert_eq!(database.admit(&[write("c", None)]), Ok(()));
        assert_eq!(database.admit(&[write("a", Some(9))]), Err(Unfit::Blobs { max: 1, got: 3 }));
        database.max_blobs = 10;
        assert_eq!(database.admit(&[write("a", Some(8))]), Ok(()));
        assert_eq!(database.admit(&[write("a", Some(10))]), Err(Unfit::Bytes { max: 12, got: 31 }));
    }
}
