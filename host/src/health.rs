//! How this host is, as its enclave is told for the operators' status. Nobody believes it; it helps who looks for a fault.

use crate::control::VERSION;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use countersign_wire::Text;
use countersign_wire::host_link::{FromHost, HOST_HEALTH_EVERY_S, HostHealth};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// What the reports are made from.
#[derive(Clone)]
pub struct HealthReports {
    directory: Arc<PathBuf>,
    metrics: Arc<Metrics>,
    proxied: bool,
}

impl HealthReports {
    /// Of the disk of `directory`. `proxied`: whether a proxy is configured.
    pub fn new(directory: PathBuf, metrics: Arc<Metrics>, proxied: bool) -> Self {
        Self { directory: Arc::new(directory), metrics, proxied }
    }

    /// Reports at once and then regularly, until the connection closes.
    pub async fn send(self, outbox: Outbox, closing: CancellationToken) {
        let every = Duration::from_secs(HOST_HEALTH_EVERY_S);
        let mut due = interval_at(Instant::now(), every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reporting = async {
            loop {
                due.tick().await;
                if outbox.send(FromHost::Health(self.report().await)).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = reporting => {}
            () = closing.cancelled() => {}
        }
    }

    async fn report(&self) -> HostHealth {
        let (blobs, stored_bytes) = self.metrics.stored_now();
        let (disk_free_bytes, disk_total_bytes) = self.disk().await;
        HostHealth {
            version: Text::cut(VERSION),
            clock_ms: clock_ms(),
            disk_free_bytes,
            disk_total_bytes,
            blobs,
            stored_bytes,
            commit_us: self.metrics.take_longest_commit_us(),
            proxied: self.proxied,
        }
    }

    /// Free and total bytes; zero where the system does not say.
    async fn disk(&self) -> (u64, u64) {
        let directory = self.directory.clone();
        // A disk that does not answer must not hold up anything else.
        match spawn_blocking(move || rustix::fs::statvfs(directory.as_path())).await {
            Ok(Ok(disk)) => (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot see how full the disk of the store is");
                (0, 0)
            }
            Err(_) => (0, 0),
        }
    }
}

fn clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
