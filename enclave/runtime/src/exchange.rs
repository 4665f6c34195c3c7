//! Executes whole HTTPS exchanges, exactly as the core specified them: one `POST` over a stream that the host dialled to
//! a checked address, in TLS that ends here, with one answer of limited size in limited time. Each exchange has its own
//! connection.

mod http;
mod tls;

use crate::clock::SharedClock;
use crate::dial::dial;
use crate::limits::{MAX_CALLBACKS, MAX_WORKSPACE_CALLS};
use crate::transport::Transport;
use cosigner_core::{ExchangeFailure, ExchangeOutcome, ExchangeSpec, Purpose};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Executes exchanges.
pub struct Exchanges<T> {
    transport: Arc<T>,
    tls: tls::Connector,
    callbacks: Slots,
    workspace_calls: Slots,
}

/// Places for exchanges of one purpose.
struct Slots {
    max: usize,
    free: Semaphore,
}

impl Slots {
    fn new(max: usize) -> Self {
        Self { max, free: Semaphore::new(max) }
    }

    fn taken(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }
}

impl<T: Transport> Exchanges<T> {
    /// Certificates are checked against `clock`.
    pub fn new(transport: Arc<T>, clock: SharedClock) -> Self {
        let (callbacks, workspace_calls) = (Slots::new(MAX_CALLBACKS), Slots::new(MAX_WORKSPACE_CALLS));
        Self { transport, tls: tls::Connector::new(clock), callbacks, workspace_calls }
    }

    /// Executes one. Dropping the future ends it and frees its slot.
    pub async fn run(&self, spec: ExchangeSpec) -> ExchangeOutcome {
        let slots = match spec.purpose {
            Purpose::Callback => &self.callbacks,
            Purpose::Pairing => &self.workspace_calls,
        };
        let Ok(_slot) = slots.free.try_acquire() else {
            return Err(ExchangeFailure::Unavailable(format!("{} exchanges of its kind run already", slots.max)));
        };
        let deadline_ms = spec.deadline_ms;
        let time = Duration::from_millis(deadline_ms.into());
        let steps = self.steps(spec, Instant::now() + time);
        tokio::time::timeout(time, steps).await.unwrap_or(Err(ExchangeFailure::Timeout(deadline_ms)))
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.callbacks.taken().saturating_add(self.workspace_calls.taken())
    }

    async fn steps(&self, spec: ExchangeSpec, deadline: Instant) -> ExchangeOutcome {
        // What can be refused without the network is refused first.
        let session = self.tls.prepare(&spec.host, &spec.trust)?;
        let stream = dial(&*self.transport, &spec.host, spec.port, &spec.addresses, deadline).await?;
        let stream = session.handshake(stream).await?;
        http::post(stream, spec).await
    }
}
