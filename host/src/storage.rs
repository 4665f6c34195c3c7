//! The store of sealed blobs: batches are applied strictly in order, each once and as a whole, and acknowledged only when
//! they are durable. Which one was applied last is stored with them: an enclave sends again what was not acknowledged, and
//! an older batch applied over a newer one would be a state that no enclave opens. One task owns the database; what it is told to do it does in order, whichever connection asked.

mod database;
mod directory_lock;
mod error;
mod group_commit;

pub use error::StorageError;

use crate::config;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::share::{Place, Share};
use countersign_wire::host_link::BlobWrite;
use countersign_wire::ids::BootId;
use database::Database;
use directory_lock::DirectoryLock;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Whoever asked: where the answers go, and whether one of its batches has failed. After that none of its later ones
/// may be applied, because each builds on the one before.
#[derive(Clone)]
pub struct Asker {
    /// Where the answers go.
    pub outbox: Outbox,
    boot: BootId,
    failed: Arc<AtomicBool>,
}

impl Asker {
    /// A new control connection of this boot of the enclave.
    pub fn new(outbox: Outbox, boot: BootId) -> Self {
        Self { outbox, boot, failed: Arc::default() }
    }
}

/// One waiting batch.
struct Batch {
    sequence: u64,
    fresh: bool,
    writes: Vec<BlobWrite>,
    asker: Asker,
    _place: Option<Place>,
}

enum Command {
    Load(Asker),
    Persist(Batch),
    Stop(oneshot::Sender<()>),
}

/// The task that owns the database has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store is closed")]
pub struct Closed;

/// The way to the store.
#[derive(Clone)]
pub struct Storage {
    commands: mpsc::Sender<Command>,
    waiting: Share,
    starts: u32,
}

/// Ends when the store was stopped, or with the error after which it can no longer be trusted.
pub type StorageEnd = JoinHandle<Result<(), StorageError>>;

impl Storage {
    /// Locks the directory and opens or makes the database.
    pub async fn open(config: &config::Storage, metrics: Arc<Metrics>) -> Result<(Self, StorageEnd), StorageError> {
        let lock = DirectoryLock::take(&config.directory)?;
        let database = Database::open(config).await?;
        metrics.stored(database.blobs(), database.bytes());
        let (commands, queue) = mpsc::channel(config.max_waiting_batches);
        let storage = Self {
            commands,
            waiting: Share::new(config.max_waiting_batches, config.max_waiting_bytes),
            starts: database.starts(),
        };
        let max_group = config.max_group_batches;
        let end = tokio::spawn(async move {
            let result = group_commit::run(database, queue, max_group, &metrics).await;
            drop(lock);
            result
        });
        Ok((storage, end))
    }

    /// How often this store has been opened, this time included.
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Sends every blob and the end to `asker`, after everything asked before.
    pub async fn load(&self, asker: Asker) -> Result<(), Closed> {
        self.commands.send(Command::Load(asker)).await.map_err(|_| Closed)
    }

    /// Makes a batch durable, after everything asked before; answers `asker` then. Waits while too much is waiting. A
    /// `fresh` one is stored only where nothing is.
    pub async fn persist(
        &self,
        sequence: u64,
        fresh: bool,
        writes: Vec<BlobWrite>,
        asker: Asker,
    ) -> Result<(), Closed> {
        let bytes = writes.iter().map(|w| w.value.as_ref().map_or(0, |v| v.len())).sum();
        let place = self.waiting.take(bytes).await;
        let batch = Batch { sequence, fresh, writes, asker, _place: place };
        self.commands.send(Command::Persist(batch)).await.map_err(|_| Closed)
    }

    /// Finishes what was asked before, then closes the database.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).await.is_ok() {
            let _ = stopped.await;
        }
    }
}
