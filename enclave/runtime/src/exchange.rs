//! Executes whole HTTPS exchanges, exactly as the core specified them: one `POST` over a stream that the host dialled to
//! a checked address, in TLS that ends here, with one answer of limited size in limited time. Where the core allows it,
//! exchanges with the same place under the same trust use a connection again.

mod certificate;
mod connection;
mod counted;
mod failure;
mod http;
mod pin;
mod pool;
mod progress;
mod public_roots;
mod signatures;
mod tasks;
mod tls;

use crate::clock::SharedClock;
use crate::dial::{Destination, dial};
use crate::limits::{IDLE_SWEEP_INTERVAL, MAX_CALLBACKS, MAX_WORKSPACE_CALLS};
use crate::transport::Transport;
use connection::{Connection, Unanswered};
use cosigner_core::{
    AddressRule, Body, ExchangeFailure, ExchangeOutcome, ExchangeReport, ExchangeSpec, HttpAnswer, HttpProtocol,
    Purpose, ServerSeen, Trust,
};
use counted::Counted;
use http::Post;
use pool::{Place, Pool};
pub(crate) use progress::{Progress, Step};
pub use public_roots::PublicRoots;
use signatures::Signatures;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Executes exchanges.
pub struct Exchanges<T> {
    transport: Arc<T>,
    tls: tls::Connector,
    clock: SharedClock,
    pool: Arc<Pool>,
    callbacks: Slots,
    workspace_calls: Slots,
    signatures: Signatures,
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

/// Has the pool give up a connection on which something went wrong.
struct DropSpoiltUnlessDone<'a> {
    pool: &'a Pool,
    place: Option<&'a Place>,
}

impl Drop for DropSpoiltUnlessDone<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.pool.drop_spoilt(place);
        }
    }
}

/// What a connection is opened to.
struct Target {
    purpose: Purpose,
    host: String,
    port: u16,
    trust: Trust,
    addresses: AddressRule,
    deadline: Instant,
}

impl Target {
    /// Calls of the workspace are few, and each has its own connection.
    fn protocols(&self) -> &'static [HttpProtocol] {
        match self.purpose {
            Purpose::Callback => &[HttpProtocol::Http2, HttpProtocol::Http1],
            Purpose::Pairing | Purpose::KeyService => &[HttpProtocol::Http1],
        }
    }
}

impl<T: Transport> Exchanges<T> {
    /// Certificates are checked against `clock`. Needs a tokio runtime with time.
    pub fn new(transport: Arc<T>, clock: SharedClock) -> Self {
        let (callbacks, workspace_calls) = (Slots::new(MAX_CALLBACKS), Slots::new(MAX_WORKSPACE_CALLS));
        let pool = Arc::new(Pool::default());
        tokio::spawn(sweep(Arc::downgrade(&pool), clock.clone()));
        let tls = tls::Connector::new(clock.clone(), PublicRoots::default());
        Self { transport, tls, clock, pool, callbacks, workspace_calls, signatures: Signatures::default() }
    }

    /// With these public authorities instead of the compiled-in ones.
    #[must_use]
    pub fn with_public_roots(mut self, public_roots: PublicRoots) -> Self {
        self.tls = tls::Connector::new(self.clock.clone(), public_roots);
        self
    }

    /// Executes one. Dropping the future ends it and frees its slot.
    pub async fn run(&self, spec: ExchangeSpec) -> ExchangeReport {
        let slots = match spec.purpose {
            Purpose::Callback => &self.callbacks,
            // It is asked on connections of its own, when the workspace is not.
            Purpose::Pairing | Purpose::KeyService => &self.workspace_calls,
        };
        let Ok(_slot) = slots.free.try_acquire() else {
            let full = format!("{} exchanges of its kind run already", slots.max);
            return ExchangeReport::from(Err(ExchangeFailure::Unavailable(full)));
        };
        let deadline_ms = spec.deadline_ms;
        let time = Duration::from_millis(deadline_ms.into());
        let mut progress = Progress::default();
        let steps = self.steps(spec, Instant::now() + time, &mut progress);
        let outcome = tokio::time::timeout(time, steps).await.unwrap_or(Err(ExchangeFailure::Timeout(deadline_ms)));
        progress.report(outcome)
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.callbacks.taken().saturating_add(self.workspace_calls.taken())
    }

    /// Connections that are open although no exchange uses them.
    pub fn idle_connections(&self) -> usize {
        self.pool.idle()
    }

    /// Connections that are open or being opened.
    pub fn open_connections(&self) -> usize {
        self.pool.open.count()
    }

    async fn steps(&self, mut spec: ExchangeSpec, deadline: Instant, progress: &mut Progress) -> ExchangeOutcome {
        let place = (spec.keep_alive && spec.purpose == Purpose::Callback).then(|| Place::of(&spec));
        let target = Target {
            purpose: spec.purpose,
            host: spec.host.clone(),
            port: spec.port,
            trust: spec.trust.clone(),
            addresses: spec.addresses.clone(),
            deadline,
        };
        let body = self.signatures.body(std::mem::replace(&mut spec.body, Body::Plain(Vec::new()))).await?;
        let post = Post::new(spec, body)?;

        let kept = place.as_ref().and_then(|place| self.pool.take(place, Instant::now(), self.clock.now_ms()));
        if let Some(connection) = kept {
            progress.saw(ServerSeen { reused: true, ..connection.server().clone() });
            match self.ask(connection, &post, place.as_ref(), progress).await {
                Ok(answer) => return Ok(answer),
                // The server closed it just then. It may have the request nevertheless: asking twice is asking the same.
                Err(Unanswered { before_any_byte: true, .. }) => progress.restart(),
                Err(unanswered) => return Err(unanswered.failure),
            }
        }
        let connection = self.connect(&target, progress).await?;
        if let Some(place) = &place {
            self.pool.offer(place, &connection, Instant::now());
        }
        self.ask(connection, &post, place.as_ref(), progress).await.map_err(|unanswered| unanswered.failure)
    }

    /// Opens a connection to a server that is the right one.
    async fn connect(&self, target: &Target, progress: &mut Progress) -> Result<Connection, ExchangeFailure> {
        // What can be refused without the network is refused first.
        let session = self.tls.prepare(&target.host, &target.trust, target.protocols())?;
        self.pool.make_room();
        let open = self.pool.open.add();
        let Target { host, port, addresses, deadline, .. } = target;
        let destination = Destination { host, port: *port, rule: addresses, deadline: *deadline };
        let (stream, address) = dial(&*self.transport, &destination, progress).await?;
        progress.begin(Step::Tls);
        let session = session.handshake(stream).await?;
        progress.end();
        let server = ServerSeen {
            address,
            certificate_expires_at_ms: session.certificate.expires_at_ms(),
            certificate_pin: session.certificate.pin,
            protocol: session.protocol,
            reused: false,
        };
        progress.saw(server.clone());
        Connection::open(Counted::new(session.stream, open), server).await
    }

    /// Asks over a connection, and keeps it for `place`, if it is to be kept.
    async fn ask(
        &self,
        connection: Connection,
        post: &Post,
        place: Option<&Place>,
        progress: &mut Progress,
    ) -> Result<HttpAnswer, Unanswered> {
        // Dropped after the connection, also when the exchange ends half-way.
        let mut tidying = DropSpoiltUnlessDone { pool: &self.pool, place };
        let mut connection = connection;
        progress.begin(Step::Answer);
        let answer = connection.post(post).await?;
        progress.end();
        tidying.place = None;
        if let Some(place) = place {
            self.keep(connection, place.clone());
        }
        Ok(answer)
    }

    fn keep(&self, mut connection: Connection, place: Place) {
        let (pool, clock) = (self.pool.clone(), self.clock.clone());
        if connection.is_settled() {
            pool.give_back(&place, connection, Instant::now(), clock.now_ms());
        } else {
            // Nobody who waits for the answer waits for this.
            tokio::spawn(async move {
                if connection.settle().await {
                    pool.give_back(&place, connection, Instant::now(), clock.now_ms());
                }
            });
        }
    }
}

/// Closes what was idle for too long, as long as there is a pool.
async fn sweep(pool: Weak<Pool>, clock: SharedClock) {
    loop {
        tokio::time::sleep(IDLE_SWEEP_INTERVAL).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.sweep(Instant::now(), clock.now_ms());
    }
}
