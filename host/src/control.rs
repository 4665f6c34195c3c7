//! The control connection: exactly one is live. A newer one replaces the older, which is completely gone (its links,
//! its admin connections, its tasks) before the newer one is greeted.

mod reading;
mod session;
mod writing;

pub use session::Session;

use crate::admin_socket::AdminRoutes;
use crate::config::Config;
use crate::health::HealthReports;
use crate::links::LinkSettings;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::rate::Rate;
use crate::storage::{Asker, Storage};
use crate::stream::Stream;
use countersign_wire::Text;
use countersign_wire::host_link::FromHost;
use countersign_wire::ids::BootId;
use std::sync::Arc;
use tokio::io::split;
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Version of this program, as the enclave is greeted with it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Places in the queue to the enclave beside those of links and admin connections.
const OWN_MESSAGES: usize = 256;

/// What control connections need.
pub struct Control {
    config: Arc<Config>,
    links: Arc<LinkSettings>,
    storage: Storage,
    metrics: Arc<Metrics>,
    health: HealthReports,
    stop: CancellationToken,
    /// Control connections a second: each costs the one before it its life, and a line in the log.
    openings: std::sync::Mutex<Rate>,
    live: Mutex<Option<Live>>,
    current: watch::Sender<Option<Session>>,
}

/// The connection that is live, or was last.
struct Live {
    closing: CancellationToken,
    ended: CancellationToken,
}

impl Control {
    /// Serves control connections until `stop`.
    pub fn new(
        config: Arc<Config>,
        links: Arc<LinkSettings>,
        storage: Storage,
        metrics: Arc<Metrics>,
        health: HealthReports,
        stop: CancellationToken,
    ) -> Self {
        let openings = std::sync::Mutex::new(Rate::new(config.enclave.max_control_openings_per_second));
        let (live, current) = (Mutex::new(None), watch::Sender::new(None));
        Self { config, links, storage, metrics, health, stop, openings, live, current }
    }

    /// The live session, if there is one.
    pub fn current(&self) -> watch::Receiver<Option<Session>> {
        self.current.subscribe()
    }

    /// Replaces the live connection by this one and serves it until it ends. `opening` is given back once this one is
    /// live. False: there were too many lately, and nothing happened.
    pub async fn serve(&self, stream: Stream, boot: BootId, version: &str, opening: OwnedSemaphorePermit) -> bool {
        if !lock(&self.openings).try_take() {
            return false;
        }
        let closing = self.stop.child_token();
        let ended = CancellationToken::new();
        let _ended = ended.clone().drop_guard();
        {
            let mut live = self.live.lock().await;
            if let Some(older) = live.replace(Live { closing: closing.clone(), ended }) {
                if !older.ended.is_cancelled() {
                    tracing::warn!(%boot, "a newer control connection replaces the older one");
                }
                older.closing.cancel();
                older.ended.cancelled().await;
            }
        }
        if closing.is_cancelled() {
            return true;
        }
        drop(opening);
        tracing::info!(%boot, version, "the enclave is connected");
        self.metrics.enclave_connected();
        self.run(stream, boot, closing).await;
        self.metrics.enclave_gone();
        tracing::info!(%boot, "the enclave is gone");
        true
    }

    /// Returns when the last connection has ended; to be called after `stop`.
    pub async fn ended(&self) {
        if let Some(live) = self.live.lock().await.as_ref() {
            live.ended.cancelled().await;
        }
    }

    async fn run(&self, stream: Stream, boot: BootId, closing: CancellationToken) {
        let links = &self.config.links;
        let admin = &self.config.admin;
        let capacity = links
            .max_links
            .saturating_mul(links.queue_messages)
            .saturating_add(admin.max_connections.saturating_mul(2))
            .saturating_add(OWN_MESSAGES);
        let (outbox, queue) = Outbox::new(capacity);
        let tasks = TaskTracker::new();
        let session = Session {
            asker: Asker::new(outbox.clone(), boot),
            outbox,
            closing: closing.clone(),
            admin: AdminRoutes::default(),
            tasks: tasks.clone(),
        };
        let (reader, writer) = split(stream);
        let write_timeout = self.config.enclave.write_timeout_ms.into();
        // The queue is empty, so this is the first message, and there is room for it.
        if session.outbox.send(FromHost::Welcome { version: Text::cut(VERSION) }).await.is_ok() {
            self.current.send_replace(Some(session.clone()));
            // Written only now: whoever hears that the enclave was greeted finds its session.
            tasks.spawn(writing::run(writer, queue, write_timeout, closing.clone()));
            tasks.spawn(self.health.clone().send(session.outbox.clone(), closing.clone()));
            reading::run(reader, &session, self).await;
            self.current.send_replace(None);
        }
        closing.cancel();
        drop(session);
        tasks.close();
        tasks.wait().await;
        self.metrics.links_gone();
    }
}
