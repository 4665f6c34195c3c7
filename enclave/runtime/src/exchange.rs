//! Executes whole HTTPS exchanges, exactly as the core specified them: one `POST` over a stream that the host dialled to
//! a checked address, in TLS that ends here, with one answer of limited size in limited time. Each exchange has its own
//! connection.

mod http;
mod tls;

use crate::clock::SharedClock;
use crate::dial::dial;
use crate::limits::MAX_EXCHANGES;
use crate::transport::Transport;
use cosigner_core::{ExchangeFailure, ExchangeOutcome, ExchangeSpec};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Executes exchanges.
pub struct Exchanges<T> {
    transport: Arc<T>,
    tls: tls::Connector,
    slots: Semaphore,
}

impl<T: Transport> Exchanges<T> {
    /// Certificates are checked against `clock`.
    pub fn new(transport: Arc<T>, clock: SharedClock) -> Self {
        Self { transport, tls: tls::Connector::new(clock), slots: Semaphore::new(MAX_EXCHANGES) }
    }

    /// Executes one. Dropping the future ends it and frees its slot.
    pub async fn run(&self, spec: ExchangeSpec) -> ExchangeOutcome {
        let Ok(_slot) = self.slots.try_acquire() else {
            return Err(ExchangeFailure::Unavailable(format!("{MAX_EXCHANGES} exchanges run already")));
        };
        let deadline_ms = spec.deadline_ms;
        let time = Duration::from_millis(deadline_ms.into());
        let steps = self.steps(spec, Instant::now() + time);
        tokio::time::timeout(time, steps).await.unwrap_or(Err(ExchangeFailure::Timeout(deadline_ms)))
    }

    /// How many run.
    pub fn running(&self) -> usize {
        MAX_EXCHANGES.saturating_sub(self.slots.available_permits())
    }

    async fn steps(&self, spec: ExchangeSpec, deadline: Instant) -> ExchangeOutcome {
        // What can be refused without the network is refused first.
        let session = self.tls.prepare(&spec.host, &spec.trust)?;
        let stream = dial(&*self.transport, &spec.host, spec.port, &spec.addresses, deadline).await?;
        let stream = session.handshake(stream).await?;
        http::post(stream, spec).await
    }
}
