//! One link's life: connect, carry, and connect again after a pause; wait for a new token when the old one is refused.

use super::LinkSettings;
use super::backoff::Backoff;
use super::connect::{ConnectError, Socket, connect};
use super::connection::{Connection, End};
use super::queue::SendQueue;
use super::target::Target;
use crate::metrics::{Metrics, UP};
use crate::outbox::{NotTaken, Outbox};
use crate::share::Share;
use countersign_wire::host_link::{FromHost, LinkDown};
use countersign_wire::ids::PairingId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a link may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// One link.
pub struct LinkTask {
    /// Whose.
    pub pairing: PairingId,
    /// What the enclave asked for last.
    pub targets: watch::Receiver<Arc<Target>>,
    /// Messages to the workspace.
    pub queue: Arc<SendQueue>,
    /// Messages to the enclave.
    pub outbox: Outbox,
    /// Cancelled when the link is to be closed.
    pub stop: CancellationToken,
    /// What all links have in common.
    pub settings: Arc<LinkSettings>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// What to do next.
enum Next {
    ConnectAfterPause,
    ConnectNow,
    WaitForToken,
}

impl LinkTask {
    /// Keeps the link up until it is stopped, or the control connection does not take messages any more.
    pub async fn run(mut self) {
        // There is nobody left to tell.
        let _ = self.keep_up().await;
    }

    async fn keep_up(&mut self) -> Result<(), NotTaken> {
        let settings = self.settings.clone();
        let config = &settings.config;
        let stop = self.stop.clone();
        let mut backoff = Backoff::new(config.backoff_initial_ms.into(), config.backoff_max_ms.into());
        let share = Share::new(config.queue_messages, config.queue_bytes);
        let mut reported = None;
        let mut refused_before = false;
        while !stop.is_cancelled() {
            let target = self.targets.borrow().clone();
            let connected = tokio::select! {
                connected = connect(&target, &settings) => connected,
                () = stop.cancelled() => break,
            };
            let next = match connected {
                Ok(socket) => {
                    let up_since = Instant::now();
                    let end = self.serve(socket, &target, &share).await?;
                    if stop.is_cancelled() {
                        break;
                    }
                    if up_since.elapsed() >= Duration::from(config.stable_after_ms) {
                        backoff.reset();
                        refused_before = false;
                    }
                    reported = None;
                    self.after_end(end, &target, &mut reported).await?
                }
                Err(error) => self.after_failure(&error, &target, &mut reported).await?,
            };
            let waited = async {
                match next {
                    Next::ConnectNow => {}
                    Next::ConnectAfterPause => pause(backoff.pause(), &mut self.targets, &target).await,
                    Next::WaitForToken => {
                        newer(&mut self.targets, &target).await;
                        // Where one token after the other is refused, a new one is no reason to hurry.
                        if std::mem::replace(&mut refused_before, true) {
                            pause(backoff.pause(), &mut self.targets, &target).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = waited => {}
                () = stop.cancelled() => break,
            }
            // Another endpoint deserves a fresh start; another token for the same one does not.
            if !self.targets.borrow().same_endpoint(&target) {
                backoff.reset();
                reported = None;
                refused_before = false;
            }
        }
        Ok(())
    }

    /// Carries messages until the link ends, or is to lead elsewhere (`None`).
    async fn serve(
        &mut self,
        mut socket: Socket,
        target: &Arc<Target>,
        share: &Share,
    ) -> Result<Option<End>, NotTaken> {
        let pairing = self.pairing;
        if self.settings.may_log() {
            tracing::info!(%pairing, host = target.host, "a link is up");
        }
        self.metrics.link_state(pairing, true);
        let mut queue = self.queue.open();
        self.outbox.send(FromHost::LinkUp { pairing }).await?;
        let connection =
            Connection { pairing, outbox: &self.outbox, share, settings: &self.settings, metrics: &self.metrics };
        let end = tokio::select! {
            end = connection.run(&mut socket, &mut queue) => Some(end),
            () = elsewhere(&mut self.targets, target) => None,
            () = self.stop.cancelled() => None,
        };
        self.metrics.link_state(pairing, false);
        self.metrics.link_dropped(pairing, UP, self.queue.close(queue));
        let _ = timeout(CLOSE_TIMEOUT, socket.close(None)).await;
        Ok(end)
    }

    async fn after_end(
        &self,
        end: Option<End>,
        target: &Arc<Target>,
        reported: &mut Option<LinkDown>,
    ) -> Result<Next, NotTaken> {
        let pairing = self.pairing;
        let Some(end) = end else {
            self.report(LinkDown::Connection, reported).await?;
            return Ok(Next::ConnectNow);
        };
        if self.settings.may_log() {
            tracing::warn!(%pairing, reason = %end, "a link is down");
        }
        self.metrics.link_failed(pairing, end.code());
        if end == End::Unauthorised {
            return self.unauthorised(target, reported).await;
        }
        self.report(LinkDown::Connection, reported).await?;
        Ok(Next::ConnectAfterPause)
    }

    async fn after_failure(
        &self,
        error: &ConnectError,
        target: &Arc<Target>,
        reported: &mut Option<LinkDown>,
    ) -> Result<Next, NotTaken> {
        let pairing = self.pairing;
        self.metrics.link_failed(pairing, error.code());
        if reported.is_none() && self.settings.may_log() {
            tracing::warn!(%pairing, %error, "a link cannot connect");
        } else {
            tracing::debug!(%pairing, %error, "a link still cannot connect");
        }
        if matches!(error, ConnectError::Unauthorised(_)) {
            return self.unauthorised(target, reported).await;
        }
        self.report(LinkDown::Connection, reported).await?;
        Ok(Next::ConnectAfterPause)
    }

    async fn unauthorised(&self, target: &Arc<Target>, reported: &mut Option<LinkDown>) -> Result<Next, NotTaken> {
        if !Arc::ptr_eq(&self.targets.borrow(), target) {
            // A newer token came while the older one was being refused.
            return Ok(Next::ConnectNow);
        }
        // Each time: the enclave gave another token, and this one is refused too.
        *reported = None;
        self.report(LinkDown::Unauthorised, reported).await?;
        Ok(Next::WaitForToken)
    }

    /// Tells the enclave once what it does not know yet.
    async fn report(&self, reason: LinkDown, reported: &mut Option<LinkDown>) -> Result<(), NotTaken> {
        if *reported != Some(reason) {
            self.outbox.send(FromHost::LinkDown { pairing: self.pairing, reason }).await?;
            *reported = Some(reason);
        }
        Ok(())
    }
}

/// Returns after `pause`, or when the enclave asked for another endpoint.
async fn pause(pause: Duration, targets: &mut watch::Receiver<Arc<Target>>, target: &Target) {
    tokio::select! {
        () = sleep(pause) => {}
        () = elsewhere(targets, target) => {}
    }
}

/// Returns when the enclave asked for another endpoint.
async fn elsewhere(targets: &mut watch::Receiver<Arc<Target>>, target: &Target) {
    until(targets, |newer| !newer.same_endpoint(target)).await;
}

/// Returns when the enclave gave a newer access token, or asked for another endpoint.
async fn newer(targets: &mut watch::Receiver<Arc<Target>>, target: &Arc<Target>) {
    until(targets, |newer| !Arc::ptr_eq(newer, target)).await;
}

async fn until(targets: &mut watch::Receiver<Arc<Target>>, condition: impl FnMut(&Arc<Target>) -> bool) {
    if targets.wait_for(condition).await.is_err() {
        // The link is being closed; the stop token ends it.
        std::future::pending::<()>().await;
    }
}
