//! The socket for the operator's command line. Each frame carries one packet of the admin channel, which the host
//! passes on unread: its contents are between the command line and the enclave.

mod connection;
mod routes;

pub use routes::AdminRoutes;

use crate::config;
use crate::control::Session;
use crate::metrics::Metrics;
use crate::rate::Rate;
use connection::AdminConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Pause after an accept that failed, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Numbers for connections. A number is never given twice, neither within this process nor by a later one on the same
/// store: an enclave may live longer than its host's process.
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Starts with the store's count of starts in the upper half.
    pub fn new(starts: u32) -> Self {
        Self(u64::from(starts) << 32)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.saturating_add(1);
        self.0
    }
}

/// Accepts connections until `stop`.
pub async fn serve(
    listener: &UnixListener,
    config: Arc<config::Admin>,
    mut numbers: Numbers,
    current: watch::Receiver<Option<Session>>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(config.max_connections));
    let mut opens = Rate::new(config.max_opens_per_second);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream: UnixStream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an admin connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !opens.try_take() {
            metrics.admin_closed("rate");
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            metrics.admin_closed("connections");
            continue;
        };
        let Some(session) = current.borrow().clone() else {
            metrics.admin_closed("no_enclave");
            continue;
        };
        let number = numbers.next();
        let connection =
            AdminConnection { number, session: session.clone(), config: config.clone(), metrics: metrics.clone() };
        session.tasks.spawn(async move {
            let _place = place;
            connection.run(stream).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_later_start_are_all_higher() {
        let (mut first, mut second) = (Numbers::new(1), Numbers::new(2));
        let last_of_first = (0..1000).map(|_| first.next()).last().unwrap();
        assert!(second.next() > last_of_first);
        assert_ne!(first.next(), last_of_first);
    }
}
