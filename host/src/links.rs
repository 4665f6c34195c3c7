//! One outbound WebSocket a pairing, to the workspace's relay, kept open with reconnect and back-off. What it carries
//! is sealed or signed; the host does not look inside.

mod backoff;
mod connect;
mod connection;
mod queue;
mod reconnect;
mod target;

use crate::config;
use crate::control::Session;
use crate::lock::lock;
use crate::metrics::{Metrics, UP};
use crate::network::Network;
use crate::proxy::{Proxies, ProxyError};
use crate::rate::Rate;
use countersign_wire::Bytes;
use countersign_wire::host_link::{FromHost, LinkDown};
use countersign_wire::ids::PairingId;
use countersign_wire::limits::MAX_DER_BYTES;
use queue::SendQueue;
use rustls::crypto::CryptoProvider;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use target::Target;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Every reason with which a failure is counted.
pub const LINK_FAILURES: [&str; 12] = [
    "target",
    "timeout",
    "resolve",
    "denied",
    "tcp",
    "proxy",
    "tls",
    "unauthorised",
    "status",
    "websocket",
    "silence",
    "closed",
];

/// Lines about links that are logged; the metrics count all. What is logged is decided by the enclave and workspaces.
const LINES_PER_SECOND: u32 = 10;

/// What all links have in common.
pub struct LinkSettings {
    config: config::Links,
    /// Networks to which nothing is dialled.
    deny: Vec<Network>,
    proxies: Proxies,
    provider: Arc<CryptoProvider>,
    log_lines: Mutex<Rate>,
}

impl LinkSettings {
    /// Takes the configuration over.
    pub fn new(config: &config::Links, deny: &[Network]) -> Result<Self, ProxyError> {
        Ok(Self {
            config: config.clone(),
            deny: deny.to_vec(),
            proxies: Proxies::from_setting(&config.proxy)?,
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            log_lines: Mutex::new(Rate::new(LINES_PER_SECOND)),
        })
    }

    /// Whether links go through a proxy.
    pub fn is_proxied(&self) -> bool {
        self.proxies.is_configured()
    }

    /// Whether one more line about a link may be logged now.
    fn may_log(&self) -> bool {
        lock(&self.log_lines).try_take()
    }
}

/// The links of one control connection.
pub struct Links {
    session: Session,
    settings: Arc<LinkSettings>,
    metrics: Arc<Metrics>,
    open: BTreeMap<PairingId, Link>,
}

struct Link {
    target: watch::Sender<Arc<Target>>,
    queue: Arc<SendQueue>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Links {
    /// None yet.
    pub fn new(session: Session, settings: Arc<LinkSettings>, metrics: Arc<Metrics>) -> Self {
        Self { session, settings, metrics, open: BTreeMap::new() }
    }

    /// Opens the link of `pairing`, or gives it a new access token; with another URL or other roots it connects anew.
    /// What cannot work is answered by `LinkDown` and waits for the next `LinkOpen`.
    pub async fn open(&mut self, pairing: PairingId, url: &str, access_token: &str, roots: Vec<Bytes<MAX_DER_BYTES>>) {
        let target = match Target::new(url, access_token, roots, &self.settings.provider) {
            Ok(target) => Arc::new(target),
            Err(error) => {
                if self.settings.may_log() {
                    tracing::error!(%pairing, %error, "a link cannot be opened");
                }
                self.close(pairing).await;
                return self.refuse(pairing, "target").await;
            }
        };
        if let Some(link) = self.open.get(&pairing) {
            link.target.send_replace(target);
            return;
        }
        let max = self.settings.config.max_links;
        if self.open.len() >= max {
            if self.settings.may_log() {
                tracing::error!(%pairing, max, "too many links");
            }
            return self.refuse(pairing, "limit").await;
        }
        let config = &self.settings.config;
        let queue = Arc::new(SendQueue::new(config.queue_messages, config.queue_bytes));
        let stop = self.session.closing.child_token();
        let (target, targets) = watch::channel(target);
        let link = reconnect::LinkTask {
            pairing,
            targets,
            queue: queue.clone(),
            outbox: self.session.outbox.clone(),
            stop: stop.clone(),
            settings: self.settings.clone(),
            metrics: self.metrics.clone(),
        };
        let task = self.session.tasks.spawn(link.run());
        self.open.insert(pairing, Link { target, queue, stop, task });
    }

    /// Closes the link of `pairing`. It is gone when this returns; no `LinkDown` follows.
    pub async fn close(&mut self, pairing: PairingId) {
        if let Some(link) = self.open.remove(&pairing) {
            link.stop.cancel();
            let _ = link.task.await;
            self.metrics.link_gone(pairing);
        }
    }

    /// Sends a message, or drops it and counts that.
    pub fn send(&self, pairing: PairingId, frame: Vec<u8>) {
        // Of a pairing that has no link nothing is counted: its label would stay.
        let Some(link) = self.open.get(&pairing) else { return };
        if !link.queue.try_send(frame) {
            self.metrics.link_dropped(pairing, UP, 1);
        }
    }

    async fn refuse(&self, pairing: PairingId, reason: &'static str) {
        // Not by pairing: the enclave names as many as it likes, and each label stays.
        self.metrics.link_refused(reason);
        let down = FromHost::LinkDown { pairing, reason: LinkDown::Refused };
        // A control connection that ends meanwhile takes its links with it.
        let _ = self.session.outbox.send(down).await;
    }
}
