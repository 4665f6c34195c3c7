//! Runs the coordinator: its clock, its database, its messages.

use crate::ceremony::{Coordinator, Effect, Input, Parties, Report};
use crate::clock::Clock;
use crate::hub::Hub;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::store::transactions::StoredTransaction;
use crate::store::{Store, StoreError, ceremonies, transactions};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use countersign_wire::ceremony::{CosignerMessage, ToCosigner, WorkspaceMessage};
use countersign_wire::ids::{PartyId, TransactionId};
use countersign_wire::relay::RelayDown;
use countersign_wire::{Bytes, Signed, SigningIdentity};
use rand_core::{CryptoRng, RngCore};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Inputs that wait for the coordinator; more make their sender wait.
const MAX_WAITING: usize = 1024;
/// Inputs that one database transaction makes durable.
const MAX_GROUP: usize = 128;
/// How long the coordinator sleeps at most: a step of the wall clock is noticed so often.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How old a transaction is that should have been taken up, in ms.
const OVERDUE_MS: u64 = 60_000;
/// Transactions that one look at the database takes up.
const MAX_OVERDUE: u32 = 1_000;

/// The coordinator has ended; the process is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the workspace is stopping; try again in a moment")]
pub struct Stopped;

/// Why the coordinator ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A record could not be stored. What was to follow it was not sent; a restart goes on from what is stored.
    #[error("a ceremony's record could not be stored: {0}")]
    Store(#[from] StoreError),
}

enum What {
    Input(Input),
    /// A stored transaction that may never have come here.
    Resume(TransactionId),
}

/// Who waits until an input's changes are durable.
type Durable = Option<oneshot::Sender<()>>;

struct Request {
    what: What,
    durable: Durable,
}

/// A handle to the running coordinator.
#[derive(Clone)]
pub struct Service {
    requests: mpsc::Sender<Request>,
    changes: watch::Receiver<u64>,
    parties: Arc<Mutex<Parties>>,
}

impl Service {
    /// Hands an input over and returns when everything that it changed is durable.
    ///
    /// # Errors
    /// The coordinator has ended.
    pub async fn submit(&self, input: Input) -> Result<(), Stopped> {
        self.ask(What::Input(input)).await
    }

    /// Takes up a stored transaction that has not ended, if that was not done before: whoever stored it may have failed
    /// before it told.
    ///
    /// # Errors
    /// The coordinator has ended.
    pub async fn resume(&self, transaction: TransactionId) -> Result<(), Stopped> {
        self.ask(What::Resume(transaction)).await
    }

    /// Has a stored transaction taken up, as [`Self::resume`] does, and does not wait for that. It is named, not handed over:
    /// since it was stored it may have ended, and only the coordinator's own look at its row is not late.
    ///
    /// # Errors
    /// The coordinator has ended.
    pub async fn take_up(&self, transaction: TransactionId) -> Result<(), Stopped> {
        self.requests.send(Request { what: What::Resume(transaction), durable: None }).await.map_err(|_| Stopped)
    }

    async fn ask(&self, what: What) -> Result<(), Stopped> {
        let (durable, done) = oneshot::channel();
        self.requests.send(Request { what, durable: Some(durable) }).await.map_err(|_| Stopped)?;
        done.await.map_err(|_| Stopped)
    }

    /// Hands an input over.
    ///
    /// # Errors
    /// The coordinator has ended.
    pub async fn tell(&self, input: Input) -> Result<(), Stopped> {
        self.requests.send(Request { what: What::Input(input), durable: None }).await.map_err(|_| Stopped)
    }

    /// Whether the coordinator runs.
    pub fn is_running(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Changes whenever a stored record did.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// What is known about the co-signers' links.
    pub fn parties(&self) -> Parties {
        self.parties.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The system's randomness. Without it nothing can go on: the process ends, and what is stored goes on after a restart.
struct SystemEntropy(SystemRandom);

impl RngCore for SystemEntropy {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }
    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        if self.0.fill(dest).is_err() {
            tracing::error!("the system's randomness failed; stopping");
            std::process::abort();
        }
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for SystemEntropy {}

/// What the coordinator works with.
pub struct Parts {
    /// Its state machine, rebuilt from the store.
    pub coordinator: Coordinator,
    /// Where its records go.
    pub store: Store,
    /// Where its messages go.
    pub hub: Arc<Hub>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// The key that signs its messages.
    pub identity: Arc<Identity>,
    /// Its time.
    pub clock: Arc<Clock>,
}

/// The signed frame that carries a message to a co-signer. `None` where it is too long for one.
pub fn sealed(message_key: &SigningIdentity, to: PartyId, message: WorkspaceMessage) -> Option<RelayDown> {
    let signed = Signed::sign(&ToCosigner { to, message }, message_key);
    let bytes = borsh::to_vec(&signed).ok()?;
    Some(RelayDown::Workspace(Bytes::new(bytes).ok()?))
}

/// Opens a co-signer's message: `from` must have signed it.
///
/// # Errors
/// It is not a message, or not signed by `from`.
pub fn opened(from: &PartyId, bytes: &[u8]) -> Result<CosignerMessage, String> {
    let signed: Signed<CosignerMessage> =
        borsh::from_slice(bytes).map_err(|_| "expected a signed message of a co-signer".to_owned())?;
    signed.open(&from.0).map_err(|e| e.to_string())
}

/// Takes up what is stored and was not told, because whoever stored it failed in between.
///
/// # Errors
/// The database cannot be read. That the coordinator has ended shows elsewhere.
pub async fn reconcile(store: &Store, service: &Service, now_ms: u64) -> Result<(), StoreError> {
    let before = now_ms.saturating_sub(OVERDUE_MS);
    let overdue = transactions::untold(&mut *store.read().await?, before, MAX_OVERDUE).await?;
    for id in overdue {
        let _ = service.resume(id).await;
    }
    Ok(())
}

/// Starts the coordinator; the second part ends with an error if it has to stop.
pub fn start(parts: Parts) -> (Service, impl Future<Output = Result<(), ServiceError>> + Send) {
    let (requests, receiver) = mpsc::channel(MAX_WAITING);
    let (changed, changes) = watch::channel(0);
    let parties = Arc::new(Mutex::new(Parties::default()));
    let service = Service { requests, changes, parties: Arc::clone(&parties) };
    let runner = Runner { parts, requests: receiver, changed, parties, entropy: SystemEntropy(SystemRandom::new()) };
    (service, runner.run())
}

struct Runner {
    parts: Parts,
    requests: mpsc::Receiver<Request>,
    changed: watch::Sender<u64>,
    parties: Arc<Mutex<Parties>>,
    entropy: SystemEntropy,
}

async fn stored(store: &Store, id: &TransactionId) -> Result<Option<StoredTransaction>, StoreError> {
    transactions::get(&mut *store.read().await?, id).await
}

impl Runner {
    async fn run(mut self) -> Result<(), ServiceError> {
        let mut group = Vec::new();
        loop {
            let wake_ms = self.parts.coordinator.next_wake_ms();
            let sleep = Duration::from_millis(wake_ms.unwrap_or(u64::MAX).saturating_sub(self.parts.clock.now_ms()));
            let sleep = sleep.min(LONGEST_SLEEP);
            let received = tokio::select! {
                received = self.requests.recv_many(&mut group, MAX_GROUP) => received,
                () = tokio::time::sleep(sleep) => {
                    group.push(Request { what: What::Input(Input::Tick), durable: None });
                    1
                }
            };
            if received == 0 {
                return Ok(());
            }
            self.parts.clock.report_step();
            self.perform(std::mem::take(&mut group)).await?;
        }
    }

    async fn perform(&mut self, group: Vec<Request>) -> Result<(), ServiceError> {
        let mut records = Vec::new();
        let mut messages = Vec::new();
        let mut waiting = Vec::new();
        let group = self.resumed(group).await;
        for (input, durable) in group {
            for effect in self.parts.coordinator.step(self.parts.clock.now_ms(), &mut self.entropy, input) {
                match effect {
                    Effect::Persist(record) => records.push(*record),
                    Effect::Send { to, message } => messages.push((to, *message)),
                    Effect::Report(report) => self.report(report),
                }
            }
            waiting.extend(durable);
        }
        *self.parties.lock().unwrap_or_else(PoisonError::into_inner) = self.parts.coordinator.parties().clone();
        if !records.is_empty() {
            let mut write = self.parts.store.write().await?;
            for record in &records {
                ceremonies::save(&mut write, record, self.parts.clock.now_ms()).await?;
            }
            write.commit().await.map_err(StoreError::from)?;
            self.changed.send_modify(|version| *version = version.wrapping_add(1));
        }
        for (to, message) in messages {
            self.send(to, message);
        }
        for durable in waiting {
            let _ = durable.send(());
        }
        Ok(())
    }

    /// What is asked, as inputs; what is to be resumed comes first, each once. Everything of the groups before is stored by
    /// now, and only this task ends transactions: a row that is open and not in the coordinator was never told, and none
    /// that has ended begins anew.
    async fn resumed(&mut self, group: Vec<Request>) -> Vec<(Input, Durable)> {
        let (mut first, mut rest, mut read) = (Vec::new(), Vec::new(), BTreeSet::new());
        for Request { what, durable } in group {
            match what {
                What::Input(input) => rest.push((input, durable)),
                // The first of two may end it within its own step: the row that the second would read is late then.
                What::Resume(id) if self.parts.coordinator.has_transaction(&id) || !read.insert(id) => {
                    first.push((Input::Tick, durable));
                }
                What::Resume(id) => {
                    // Nothing of it is lost: it is stored, and taken up later.
                    let stored = match stored(&self.parts.store, &id).await {
                        Ok(stored) => stored,
                        Err(error) => {
                            tracing::error!(%error, transaction = %id, "a transaction could not be read");
                            continue;
                        }
                    };
                    let open = stored.map(|s| s.record).filter(|record| !record.status.is_final());
                    first.push((open.map_or(Input::Tick, |record| Input::Submit(Box::new(record))), durable));
                }
            }
        }
        first.extend(rest);
        first
    }

    fn send(&self, to: PartyId, message: WorkspaceMessage) {
        match sealed(&self.parts.identity.message_key, to, message) {
            // A link that is down or full loses the message; it is sent again.
            Some(frame) => drop(self.parts.hub.send(&to, &frame)),
            None => tracing::error!(%to, "a message is too long for the relay"),
        }
    }

    fn report(&self, report: Report) {
        let metrics = &self.parts.metrics;
        match report {
            Report::Began { kind, subject } => {
                metrics.ceremony(kind.as_str(), "began");
                tracing::debug!(kind = kind.as_str(), subject, "session began");
            }
            Report::Succeeded { kind, subject } => {
                metrics.ceremony(kind.as_str(), "succeeded");
                tracing::info!(kind = kind.as_str(), subject, "ceremony succeeded");
            }
            Report::Failed { kind, subject, refusal, blamed } => {
                metrics.ceremony(kind.as_str(), "failed");
                let blamed = blamed.map(|id| id.to_string());
                tracing::warn!(kind = kind.as_str(), subject, %refusal, blamed, "session or ceremony failed");
            }
            Report::Attempt { kind, subject, attempt } => {
                let code = attempt.code.map(|code| code.as_str()).unwrap_or_default();
                metrics.attempt(kind.as_str(), &attempt);
                tracing::info!(
                    kind = kind.as_str(),
                    subject,
                    attempt = attempt.number,
                    result = attempt.result.as_str(),
                    code,
                    took_us = attempt.took_us,
                    "a callback handler was called"
                );
            }
            Report::Change { subject, status } => {
                metrics.change(status.as_str());
                tracing::info!(subject, status = status.as_str(), "a configuration change has another status");
            }
            Report::ForgedApproval { subject } => {
                metrics.change("FORGED_APPROVAL");
                tracing::warn!(subject, "a word about a configuration change does not count");
            }
            Report::BadMessage { from, why } => {
                metrics.bad_message();
                tracing::warn!(%from, why, "a co-signer's message was refused");
            }
        }
    }
}
