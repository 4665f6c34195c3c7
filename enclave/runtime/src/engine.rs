//! The task that owns the core: one input at a time goes in, its effects are executed in order.

mod effects;

use crate::clock::{Clock, ClockError, ReadClock};
use crate::event::Event;
use crate::exchange::{Exchanges, PublicRoots};
use crate::host_link;
use crate::key_service::KeyService;
use crate::limits::{FAREWELL_TIMEOUT, MAX_WAITING_INPUTS};
use crate::transport::Transport;
use crate::workers::Workers;
use cosigner_core::{Core, Effect, Entropy, Input, JobEvent};
use countersign_mpc::Scheme;
use countersign_wire::Text;
use countersign_wire::host_link::FromEnclave;
use countersign_wire::ids::BootId;
use std::collections::VecDeque;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Decides: the trusted core, or what a test puts in its place.
pub trait Decide {
    /// Takes one input at `now_ms` (since 1970) and says what to do.
    fn step(&mut self, now_ms: u64, input: Input) -> Vec<Effect>;

    /// Why it cannot go on, if so: only a new boot helps.
    fn failure(&self) -> Option<String> {
        None
    }
}

impl Decide for Core {
    fn step(&mut self, now_ms: u64, input: Input) -> Vec<Effect> {
        Core::step(self, now_ms, input)
    }

    fn failure(&self) -> Option<String> {
        Core::failure(self).map(ToString::to_string)
    }
}

/// What a co-signer's enclave is made of.
pub struct Parts<C, S, T, K> {
    /// The core.
    pub core: C,
    /// Its clock.
    pub clock: Clock<S>,
    /// The way to the host.
    pub transport: T,
    /// Who wraps the root key.
    pub key_service: K,
    /// Randomness for jobs.
    pub entropy: Box<dyn Entropy>,
    /// The threshold scheme.
    pub scheme: Arc<dyn Scheme>,
    /// This boot, as the host is told.
    pub boot: BootId,
    /// Software version, as the host is told.
    pub version: &'static str,
    /// The public certificate authorities.
    pub public_roots: PublicRoots,
}

/// Why the process cannot go on. Nothing is signed after that.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The time cannot be trusted.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The core panicked: its state may be anything.
    #[error("the core panicked")]
    CorePanicked,
    /// The core stopped: its state cannot be read or stored, or no key service opens it.
    #[error("the co-signer cannot go on: {0}")]
    CoreStopped(String),
    /// A worker thread is lost, and its jobs with it.
    #[error("the thread for {0} is lost")]
    WorkerLost(&'static str),
    /// The operating system gave no thread.
    #[error("no thread could be started: {0}")]
    Threads(std::io::Error),
}

/// Runs the co-signer until `shutdown` is ready. Needs a tokio runtime with time and I/O.
///
/// # Errors
/// [`Fatal`]: the caller must end the process.
pub async fn run<C, S, T, K>(parts: Parts<C, S, T, K>, shutdown: impl Future<Output = ()>) -> Result<(), Fatal>
where
    C: Decide,
    S: ReadClock,
    T: Transport,
    K: KeyService,
{
    let (events, incoming) = mpsc::channel(MAX_WAITING_INPUTS);
    let transport = Arc::new(parts.transport);
    let workers = Workers::start(parts.scheme, events.clone()).map_err(Fatal::Threads)?;
    let exchanges = Exchanges::new(transport.clone(), parts.clock.shared()).with_public_roots(parts.public_roots);
    let exchanges = Arc::new(exchanges);
    let mut engine = Engine {
        core: parts.core,
        clock: parts.clock,
        entropy: parts.entropy,
        key_service: Arc::new(parts.key_service),
        exchanges,
        workers,
        events: events.clone(),
        incoming,
        own: VecDeque::new(),
        connected: false,
        host: None,
        wake_at_ms: None,
    };
    let link = host_link::run(&*transport, parts.boot, parts.version, events);
    tokio::pin!(link);
    let fatal = tokio::select! {
        fatal = engine.serve() => fatal,
        () = &mut link => return Ok(()),
        () = shutdown => return Ok(()),
    };
    engine.say_why(&fatal);
    // With the engine its queue to the host ends, and the link when that is written.
    drop(engine);
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, link).await;
    Err(fatal)
}

struct Engine<C, S, T, K> {
    core: C,
    clock: Clock<S>,
    entropy: Box<dyn Entropy>,
    key_service: Arc<K>,
    exchanges: Arc<Exchanges<T>>,
    workers: Workers,
    events: mpsc::Sender<Event>,
    incoming: mpsc::Receiver<Event>,
    /// Inputs that executing effects led to. They do not go through `events`, which only this task empties.
    own: VecDeque<Input>,
    /// Whether the core was told that the host is connected.
    connected: bool,
    host: Option<mpsc::Sender<FromEnclave>>,
    wake_at_ms: Option<u64>,
}

impl<C: Decide, S: ReadClock, T: Transport, K: KeyService> Engine<C, S, T, K> {
    async fn serve(&mut self) -> Fatal {
        loop {
            let input = match self.next().await {
                Ok(Some(input)) => input,
                Ok(None) => continue,
                Err(fatal) => return fatal,
            };
            let effects = match self.step(input) {
                Ok(effects) => effects,
                Err(fatal) => return fatal,
            };
            for effect in effects {
                self.execute(effect).await;
            }
        }
    }

    fn say_why(&self, fatal: &Fatal) {
        if let Some(host) = &self.host {
            // A queue that is full is one of a host that does not listen.
            let _ = host.try_send(FromEnclave::Stopping { why: Text::cut(fatal.to_string()) });
        }
    }

    fn step(&mut self, input: Input) -> Result<Vec<Effect>, Fatal> {
        let now_ms = self.clock.now_ms()?;
        let core = &mut self.core;
        let effects =
            catch_unwind(AssertUnwindSafe(move || core.step(now_ms, input))).map_err(|_| Fatal::CorePanicked)?;
        match self.core.failure() {
            None => Ok(effects),
            Some(why) => Err(Fatal::CoreStopped(why)),
        }
    }

    /// Waits for the next input.
    async fn next(&mut self) -> Result<Option<Input>, Fatal> {
        if let Some(input) = self.own.pop_front() {
            return Ok(Some(input));
        }
        let wake = wake(self.wake_at_ms, self.clock.shared().now_ms());
        let event = tokio::select! {
            event = self.incoming.recv() => event,
            () = wake => {
                return Ok(self.tick_if_due());
            }
        };
        Ok(match event {
            Some(Event::Input(input)) => {
                if let Input::Job { job, event } = &input
                    && is_end(event)
                {
                    self.workers.ended(*job);
                }
                Some(input)
            }
            Some(Event::HostConnected(host)) => {
                self.host = Some(host);
                self.connected = true;
                Some(Input::HostConnected)
            }
            Some(Event::HostGone) => {
                self.host = None;
                std::mem::take(&mut self.connected).then_some(Input::HostGone)
            }
            Some(Event::WorkerLost(name)) => return Err(Fatal::WorkerLost(name)),
            // Cannot be: this task holds a sender. There would be nothing left to do.
            None => pending().await,
        })
    }

    fn tick_if_due(&mut self) -> Option<Input> {
        let due = self.wake_at_ms.is_some_and(|at_ms| at_ms <= self.clock.shared().now_ms());
        due.then(|| {
            self.wake_at_ms = None;
            Input::Tick
        })
    }
}

async fn wake(at_ms: Option<u64>, now_ms: u64) {
    match at_ms {
        Some(at_ms) => tokio::time::sleep(Duration::from_millis(at_ms.saturating_sub(now_ms))).await,
        None => pending().await,
    }
}

/// Whether a job is gone after this report.
fn is_end(event: &JobEvent) -> bool {
    match event {
        JobEvent::Send { .. } | JobEvent::PrimesFound(_) => false,
        JobEvent::Primes(_)
        | JobEvent::CallbackKey(_)
        | JobEvent::Done(_)
        | JobEvent::Failed(_)
        | JobEvent::BadMessage { .. }
        | JobEvent::Unfinished => true,
    }
}
