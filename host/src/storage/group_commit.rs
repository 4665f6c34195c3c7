//! The task that owns the database. Batches that wait together are made durable by one commit; each is acknowledged
//! only after it, and each is still refused or stored as a whole.

use super::database::Database;
use super::error::Unfit;
use super::{Asker, Batch, Command, StorageError};
use crate::metrics::Metrics;
use crate::share::Share;
use countersign_wire::host_link::FromHost;
use countersign_wire::{Bytes, Text};
use futures_util::TryStreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::mpsc;

/// Most blobs, and bytes in them, that are read ahead of the enclave while it loads.
const LOAD_AHEAD_BLOBS: usize = 64;
const LOAD_AHEAD_BYTES: u32 = 8 * 1024 * 1024;

/// Runs until it is told to stop, or until the database fails in a way after which it cannot be trusted.
pub async fn run(
    mut database: Database,
    mut queue: mpsc::Receiver<Command>,
    max_group: usize,
    metrics: &Metrics,
) -> Result<(), StorageError> {
    let mut next = None;
    loop {
        let command = match next.take() {
            Some(command) => command,
            None => match queue.recv().await {
                Some(command) => command,
                None => return database.close().await,
            },
        };
        match command {
            Command::Load(asker) => load(&mut database, &asker).await?,
            Command::Persist(first) => {
                let mut group = vec![first];
                while group.len() < max_group {
                    match queue.try_recv() {
                        Ok(Command::Persist(batch)) => group.push(batch),
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                persist(&mut database, group, metrics).await?;
            }
            Command::Stop(done) => {
                let closed = database.close().await;
                let _ = done.send(());
                return closed;
            }
        }
    }
}

/// Sends every blob. An enclave that has gone away ends it; a database that fails ends the store, without `BlobsEnd`.
async fn load(database: &mut Database, asker: &Asker) -> Result<(), StorageError> {
    let share = Share::new(LOAD_AHEAD_BLOBS, LOAD_AHEAD_BYTES);
    let mut count = 0u64;
    let mut blobs = database.load();
    while let Some((name, value)) = blobs.try_next().await? {
        let Some(place) = share.take(value.len()).await else { break };
        let blob = FromHost::Blob { name: Text::new(name)?, value: Bytes::new(value)? };
        if asker.outbox.send_in(blob, place).await.is_err() {
            return Ok(());
        }
        count = count.saturating_add(1);
    }
    let _ = asker.outbox.send(FromHost::BlobsEnd { count }).await;
    Ok(())
}

/// What became of a batch.
enum Outcome {
    Stored,
    Refused(String),
    /// An earlier batch of the same connection failed.
    Ignored,
}

/// Stores a group and answers each batch of it.
async fn persist(database: &mut Database, group: Vec<Batch>, metrics: &Metrics) -> Result<(), StorageError> {
    let started = Instant::now();
    let first_of_each_asker = first_of_each_asker(&group);
    let outcomes = match store(database, &group).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            let detail = error.to_string();
            let undone = database.roll_back().await;
            for (batch, first) in group.iter().zip(first_of_each_asker) {
                batch.asker.failed.store(true, Ordering::SeqCst);
                if first {
                    answer(batch, Outcome::Refused(detail.clone()), metrics).await;
                }
            }
            if error.is_disk_full() {
                tracing::error!(%error, "the disk is full; nothing was stored");
                return undone;
            }
            return Err(error);
        }
    };
    metrics.committed(started.elapsed(), group.len());
    metrics.stored(database.blobs(), database.bytes());
    for (batch, outcome) in group.iter().zip(outcomes) {
        answer(batch, outcome, metrics).await;
    }
    Ok(())
}

/// Stores in one transaction what may be stored.
async fn store(database: &mut Database, group: &[Batch]) -> Result<Vec<Outcome>, StorageError> {
    let mut outcomes = Vec::with_capacity(group.len());
    database.begin().await?;
    for batch in group {
        let outcome = if batch.asker.failed.load(Ordering::SeqCst) {
            Outcome::Ignored
        } else {
            match fits(database, batch) {
                Ok(true) => Outcome::Stored,
                Ok(false) => {
                    database.apply(batch.asker.boot, batch.sequence, &batch.writes).await?;
                    Outcome::Stored
                }
                Err(unfit) => refuse(batch, unfit.to_string()),
            }
        };
        outcomes.push(outcome);
    }
    database.commit().await?;
    Ok(outcomes)
}

/// Whether a batch is stored already; otherwise it may be now.
fn fits(database: &Database, batch: &Batch) -> Result<bool, Unfit> {
    if database.has(batch.asker.boot, batch.sequence)? {
        return Ok(true);
    }
    if batch.fresh {
        database.is_empty()?;
    }
    database.admit(&batch.writes).map(|()| false)
}

/// For each batch, whether it is the first of its connection and none of that connection has failed yet: the one that
/// is named if the group fails.
fn first_of_each_asker(group: &[Batch]) -> Vec<bool> {
    let mut seen: Vec<&Arc<AtomicBool>> = Vec::new();
    let mut firsts = Vec::with_capacity(group.len());
    for batch in group {
        let failed = &batch.asker.failed;
        let first = !failed.load(Ordering::SeqCst) && !seen.iter().any(|other| Arc::ptr_eq(other, failed));
        seen.push(failed);
        firsts.push(first);
    }
    firsts
}

/// Refuses a batch, and with it all later ones of its connection.
fn refuse(batch: &Batch, detail: String) -> Outcome {
    if batch.asker.failed.swap(true, Ordering::SeqCst) { Outcome::Ignored } else { Outcome::Refused(detail) }
}

async fn answer(batch: &Batch, outcome: Outcome, metrics: &Metrics) {
    let sequence = batch.sequence;
    let message = match outcome {
        Outcome::Stored => FromHost::Persisted { sequence },
        Outcome::Refused(detail) => {
            metrics.persist_failed();
            tracing::error!(sequence, detail, "a batch was not stored; the enclave stops");
            FromHost::PersistFailed { sequence, detail: Text::cut(detail) }
        }
        Outcome::Ignored => return,
    };
    // An enclave that has gone away asks again what is stored when it comes back.
    let _ = batch.asker.outbox.send(message).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::outbox::{Outbox, Outgoing};
    use countersign_wire::host_link::BlobWrite;
    use countersign_wire::ids::BootId;

    const BOOT: BootId = BootId([1; 16]);

    struct Store {
        _dir: tempfile::TempDir,
        database: Database,
        asker: Asker,
        answers: mpsc::Receiver<Outgoing>,
        metrics: Metrics,
    }

    impl Store {
        async fn open() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let config = config::Storage { directory: dir.path().to_owned(), ..config::Storage::default() };
            let database = Database::open(&config).await.unwrap();
            let (outbox, answers) = Outbox::new(100);
            Self { _dir: dir, database, asker: Asker::new(outbox, BOOT), answers, metrics: Metrics::new() }
        }

        fn batch(&self, sequence: u64, name: &str, bytes: usize) -> Batch {
            let value = Some(Bytes::new(vec![7; bytes]).unwrap());
            let writes = vec![BlobWrite { name: Text::new(name).unwrap(), value }];
            Batch { sequence, fresh: false, writes, asker: self.asker.clone(), _place: None }
        }

        fn connect(&mut self, boot: BootId) {
            self.asker = Asker::new(self.asker.outbox.clone(), boot);
        }

        async fn stored(&mut self) -> Vec<(String, usize)> {
            let blobs: Vec<_> = self.database.load().try_collect().await.unwrap();
            blobs.into_iter().map(|(name, value)| (name, value.len())).collect()
        }

        async fn sql(&mut self, text: &str) {
            sqlx::raw_sql(text).execute(self.database.connection()).await.unwrap();
        }

        async fn persist(&mut self, group: Vec<Batch>) -> Result<(), StorageError> {
            persist(&mut self.database, group, &self.metrics).await
        }

        fn answers(&mut self) -> Vec<FromHost> {
            std::iter::from_fn(|| self.answers.try_recv().ok()).map(|outgoing| outgoing.message).collect()
        }
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_group_names_its_first_batch_and_leaves_the_store_as_before() {
        let mut store = Store::open().await;
        store.persist(vec![store.batch(1, "a", 10)]).await.unwrap();
        store.sql("PRAGMA max_page_count = 40").await;
        let group = vec![store.batch(2, "a", 20), store.batch(3, "b", 400_000), store.batch(4, "c", 1)];
        store.persist(group).await.unwrap();
        // A later batch of that connection is ignored, a new connection starts afresh.
        store.persist(vec![store.batch(5, "d", 1)]).await.unwrap();
        let answers = store.answers();
        assert_eq!(answers.first(), Some(&FromHost::Persisted { sequence: 1 }));
        assert!(matches!(answers.get(1), Some(FromHost::PersistFailed { sequence: 2, .. })), "{answers:?}");
        assert_eq!(answers.len(), 2);
        assert_eq!((store.database.blobs(), store.database.bytes()), (1, 11));
        store.connect(BOOT);
        store.persist(vec![store.batch(2, "d", 1)]).await.unwrap();
        assert_eq!(store.answers(), [FromHost::Persisted { sequence: 2 }]);
    }

    #[tokio::test]
    async fn batches_that_are_sent_again_are_acknowledged_and_not_applied_again() {
        let mut store = Store::open().await;
        // Every batch writes the head; the answers to the last three are lost.
        for n in 1..=5 {
            store.persist(vec![store.batch(n, "head", n as usize)]).await.unwrap();
        }
        store.answers();
        store.connect(BOOT);
        // Each alone: the power may fail after any of them.
        for n in 3..=5 {
            store.persist(vec![store.batch(n, "head", n as usize)]).await.unwrap();
            assert_eq!(store.answers(), [FromHost::Persisted { sequence: n }]);
            assert_eq!(store.stored().await, [("head".to_owned(), 5)], "batch {n} again");
        }
        // Together with a new one.
        store.persist(vec![store.batch(5, "head", 5), store.batch(6, "head", 6)]).await.unwrap();
        assert_eq!(store.answers(), [5, 6].map(|sequence| FromHost::Persisted { sequence }));
        assert_eq!(store.stored().await, [("head".to_owned(), 6)]);
    }

    #[tokio::test]
    async fn a_batch_that_builds_on_others_than_are_stored_is_refused() {
        for (boot, sequence) in [(BOOT, 4), (BootId([2; 16]), 3), (BootId([2; 16]), 2)] {
            let mut store = Store::open().await;
            store.persist(vec![store.batch(1, "head", 1), store.batch(2, "head", 2)]).await.unwrap();
            store.answers();
            store.connect(boot);
            store.persist(vec![store.batch(sequence, "head", 9)]).await.unwrap();
            match store.answers().as_slice() {
                [FromHost::PersistFailed { sequence: named, detail }] => {
                    assert_eq!(*named, sequence);
                    assert!(detail.contains("not the store that took the ones before"), "{detail}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(store.stored().await, [("head".to_owned(), 2)]);
        }
    }

    #[tokio::test]
    async fn a_claim_never_replaces_what_is_stored() {
        let mut store = Store::open().await;
        let fresh = |store: &Store| Batch { fresh: true, ..store.batch(1, "root", 7) };
        store.persist(vec![fresh(&store)]).await.unwrap();
        store.connect(BOOT);
        store.persist(vec![fresh(&store)]).await.unwrap();
        assert_eq!(store.answers(), [FromHost::Persisted { sequence: 1 }, FromHost::Persisted { sequence: 1 }]);
        // Another enclave that booted while this store was not there.
        store.connect(BootId([2; 16]));
        store.persist(vec![Batch { fresh: true, ..store.batch(1, "root", 8) }]).await.unwrap();
        match store.answers().as_slice() {
            [FromHost::PersistFailed { sequence: 1, detail }] => assert!(detail.contains("empty store"), "{detail}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.stored().await, [("root".to_owned(), 7)]);
    }

    #[tokio::test]
    async fn a_database_that_fails_otherwise_is_not_trusted_any_more() {
        let mut store = Store::open().await;
        store.sql("DROP TABLE blobs").await;
        assert!(store.persist(vec![store.batch(1, "a", 10)]).await.is_err());
        assert!(matches!(store.answers().as_slice(), [FromHost::PersistFailed { sequence: 1, .. }]));
    }

    #[tokio::test]
    async fn a_database_that_fails_while_loading_never_says_that_there_are_no_more_blobs() {
        let mut store = Store::open().await;
        store.persist(vec![store.batch(1, "a", 10)]).await.unwrap();
        store.sql("DROP TABLE blobs").await;
        let asker = store.asker.clone();
        assert!(load(&mut store.database, &asker).await.is_err());
        assert_eq!(store.answers(), [FromHost::Persisted { sequence: 1 }]);
    }
}
