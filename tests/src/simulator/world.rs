//! Time, the order of events, and what each effect of a core leads to. Everything is drawn from one seed.

mod network;

use super::cosigner::{Disk, SimulatedCosigner, measurements};
use super::faults::{FaultKind, Faults, between, happens};
use super::key_service::SimulatedKeyService;
use super::people::SimulatedHandler;
use super::scenario::Base;
use super::scheme::SimulatedScheme;
use super::workspace::SimulatedWorkspace;
use cosigner_core::{
    Capabilities, Core, Effect, ExchangeFailure, ExchangeOutcome, ExchangeReport, ExchangeSpec, HttpAnswer, Input,
    JobEvent, JobSpec, Purpose, ServerSeen,
};
use cosigner_workspace::ceremony::{Effect as Order, Input as Notice};
use countersign_attest::TrustAnchor;
use countersign_mpc::{Primes, Scheme, Step};
use countersign_token::PublicKey;
use countersign_wire::command::Measurements;
use countersign_wire::host_link::LinkDown;
use countersign_wire::ids::PartyId;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Simulated Unix time at which every world begins, in ms.
pub const START_MS: u64 = 1_800_000_000_000;

/// Simulated time in which safe primes are found, in ms.
pub const PRIMES_MS: u64 = 500;

/// Sees a peer packet (from, to, bytes) and says what is delivered in its place, if anything.
pub type OnPeer = Box<dyn FnMut(PartyId, PartyId, Vec<u8>) -> Option<Vec<u8>>>;

enum Event {
    /// `connection` is the host's, where the input comes from there.
    Input {
        cosigner: usize,
        generation: u64,
        connection: Option<u64>,
        input: Box<Input>,
    },
    Wake {
        cosigner: usize,
        at: u64,
    },
    Applied {
        cosigner: usize,
        generation: u64,
        connection: u64,
    },
    Boot {
        cosigner: usize,
    },
    /// The host is back.
    Attach {
        cosigner: usize,
        generation: u64,
    },
    /// The link is back.
    LinkBack {
        cosigner: usize,
        connection: u64,
    },
    Up {
        cosigner: usize,
        frame: Vec<u8>,
    },
    WorkspaceWake {
        at: u64,
    },
}

/// Sees an effect of a co-signer.
pub type EffectWatcher = Box<dyn FnMut(usize, &Effect)>;
/// Answers an exchange of a co-signer in the place of the workspace or handler, if it wants to.
pub type ExchangeAnswerer = Box<dyn FnMut(usize, &ExchangeSpec) -> Option<ExchangeOutcome>>;
/// Says which co-signer gets a packet, or that it is lost.
pub type PacketRouter = Box<dyn FnMut(usize, PartyId) -> Option<usize>>;

/// A world.
pub struct World {
    pub now: u64,
    pub started: u64,
    pub clock: Arc<AtomicU64>,
    pub rng: ChaCha20Rng,
    pub faults: Faults,
    pub cosigners: Vec<SimulatedCosigner>,
    pub workspace: SimulatedWorkspace,
    pub handler: SimulatedHandler,
    pub scheme: SimulatedScheme,
    pub base: Arc<Base>,
    /// Hash over everything that happened: the same seed gives the same hash.
    pub trace: [u8; 32],
    /// Peer packets that a test wants to see or change before they are delivered: returns what to deliver.
    pub on_peer: Option<OnPeer>,
    pub crashes: u32,
    /// How often each kind of fault was drawn.
    pub happened: BTreeMap<FaultKind, u64>,
    /// Schemes of single co-signers, instead of the common one: a party whose software misbehaves.
    pub schemes: BTreeMap<usize, Box<dyn Scheme>>,
    /// Sees every effect of every co-signer before it is carried out.
    pub on_effect: Option<EffectWatcher>,
    /// Images of single co-signers, instead of the common one, from their next boot on.
    pub images: BTreeMap<usize, Measurements>,
    /// Whose documents single co-signers believe, instead of the world's root's, from their next boot on.
    pub anchors: BTreeMap<usize, TrustAnchor>,
    /// Answers exchanges before anybody else does.
    pub on_exchange: Option<ExchangeAnswerer>,
    /// What wraps all co-signers' root keys.
    pub key_service: SimulatedKeyService,
    /// A co-signer whose host stores nothing more: its batches stay pending.
    pub stalled: Option<usize>,
    /// Co-signers find safe primes themselves, as those in production do. Each search finds others.
    pub finds_primes: bool,
    /// Searches for safe primes that were begun.
    pub prime_searches: u64,
    /// Where callbacks went that did not go to the handler.
    pub misdirected: Vec<String>,
    /// Frames of all links on the way up, to send them again over others.
    said: VecDeque<Vec<u8>>,
    /// A co-signer whose workers take this many ms for each message.
    pub slow: Option<(usize, u64)>,
    /// How long the callback handler thinks, in ms.
    pub handler_thinks_ms: u64,
    /// The handler's server, as co-signers see it.
    pub handler_server: Option<ServerSeen>,
    /// The next keys for callback requests, instead of the base world's, and the one that the handler knows.
    pub callback_key: Option<Vec<u8>>,
    pub known_to_handler: Option<PublicKey>,
    /// Which co-signer gets a peer packet (sender's index, receiver): for worlds in which two share an identity.
    pub on_route: Option<PacketRouter>,
    events: BTreeMap<(u64, u64), Event>,
    next: u64,
}

impl World {
    /// An empty world: nobody booted.
    #[expect(clippy::too_many_arguments, reason = "the parts of a world")]
    pub fn new(
        base: Arc<Base>,
        seed: u64,
        faults: Faults,
        workspace: SimulatedWorkspace,
        disks: Vec<Disk>,
        scheme: SimulatedScheme,
        handler: SimulatedHandler,
        now: u64,
    ) -> Self {
        let known_to_handler = base.callback_public.clone();
        Self {
            now,
            started: now,
            clock: Arc::new(AtomicU64::new(now)),
            rng: ChaCha20Rng::seed_from_u64(seed),
            faults,
            cosigners: disks.into_iter().map(SimulatedCosigner::new).collect(),
            workspace,
            handler,
            scheme,
            base,
            trace: [0; 32],
            on_peer: None,
            crashes: 0,
            happened: BTreeMap::new(),
            schemes: BTreeMap::new(),
            on_effect: None,
            images: BTreeMap::new(),
            anchors: BTreeMap::new(),
            on_exchange: None,
            key_service: SimulatedKeyService::default(),
            stalled: None,
            finds_primes: false,
            prime_searches: 0,
            misdirected: Vec::new(),
            said: VecDeque::new(),
            slow: None,
            handler_thinks_ms: 0,
            handler_server: None,
            callback_key: None,
            known_to_handler,
            on_route: None,
            events: BTreeMap::new(),
            next: 0,
        }
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.next += 1;
        self.events.insert((self.now + delay, self.next), event);
    }

    fn stormy(&self) -> bool {
        self.now.saturating_sub(self.started) < self.faults.until_ms
    }

    /// Whether this goes wrong now.
    fn happens(&mut self, kind: FaultKind) -> bool {
        let happens = self.stormy() && happens(&mut self.rng, self.faults.chance(kind));
        if happens {
            *self.happened.entry(kind).or_default() += 1;
        }
        happens
    }

    fn delay(&mut self) -> u64 {
        let most = if self.stormy() { self.faults.delay_ms } else { 20 };
        between(&mut self.rng, most)
    }

    fn note(&mut self, what: &str, detail: &[u8]) {
        let mut hash = Sha256::new();
        hash.update(self.trace);
        hash.update(self.now.to_be_bytes());
        hash.update(what.as_bytes());
        hash.update(detail);
        self.trace = hash.finalize().into();
    }

    /// Boots a co-signer from its disk.
    pub fn boot(&mut self, i: usize) {
        let mut seed = [0u8; 32];
        self.rng.fill_bytes(&mut seed);
        self.boot_with(i, seed);
    }

    /// Boots a co-signer whose whole randomness comes from `seed`.
    pub fn boot_with(&mut self, i: usize, seed: [u8; 32]) {
        self.note("boot", &[i as u8]);
        let core = Core::new(self.capabilities(i, seed), self.now);
        let cosigner = &mut self.cosigners[i];
        cosigner.generation += 1;
        cosigner.core = Some(core);
        cosigner.disk.applied = 0;
        (cosigner.attached, cosigner.connection) = (true, cosigner.connection + 1);
        self.input(i, 1, Input::HostConnected);
    }

    /// What a boot of a co-signer is given.
    pub fn capabilities(&self, i: usize, seed: [u8; 32]) -> Capabilities {
        let given = (!self.finds_primes).then_some(i);
        let image = self.images.get(&i).cloned().unwrap_or_else(measurements);
        let own = SimulatedCosigner::capabilities(&self.base.root, &self.base.signer, &self.clock, seed, given, image);
        match self.anchors.get(&i) {
            Some(anchor) => Capabilities { anchor: anchor.clone(), ..own },
            None => own,
        }
    }

    /// The process of a co-signer ends. Of the batches under way a prefix may have become durable.
    pub fn crash(&mut self, i: usize) {
        let survivors = self.rng.next_u32() as usize % (self.cosigners[i].disk.pending.len() + 1);
        self.crash_keeping(i, survivors);
    }

    /// The same, with the first `survivors` of its pending batches durable.
    pub fn crash_keeping(&mut self, i: usize, survivors: usize) {
        self.note("crash", &[i as u8]);
        self.crashes += 1;
        let cosigner = &mut self.cosigners[i];
        for _ in 0..survivors.min(cosigner.disk.pending.len()) {
            cosigner.disk.apply_next();
        }
        cosigner.disk.pending.clear();
        cosigner.core = None;
        cosigner.machines.clear();
        cosigner.reported.clear();
        cosigner.generation += 1;
        cosigner.wake_at = None;
        cosigner.admin_mail.clear();
        self.hang_up(i);
        let pause = between(&mut self.rng, 3_000);
        self.at(pause, Event::Boot { cosigner: i });
    }

    /// The process of a host ends, and its co-signer lives on. Of the batches under way a prefix became durable, and no
    /// acknowledgement arrives; all else that was under way is lost.
    pub fn lose_host(&mut self, i: usize) {
        if !self.cosigners[i].attached {
            return;
        }
        self.note("host gone", &[i as u8]);
        let survivors = self.rng.next_u32() as usize % (self.cosigners[i].disk.pending.len() + 1);
        let cosigner = &mut self.cosigners[i];
        for _ in 0..survivors {
            cosigner.disk.apply_next();
        }
        cosigner.disk.pending.clear();
        cosigner.admin_mail.clear();
        (cosigner.attached, cosigner.connection) = (false, cosigner.connection + 1);
        self.hang_up(i);
        self.input(i, 0, Input::HostGone);
        let (pause, generation) = (between(&mut self.rng, 3_000), self.cosigners[i].generation);
        self.at(pause, Event::Attach { cosigner: i, generation });
    }

    /// Something happens to a co-signer after `delay` ms.
    pub fn input(&mut self, i: usize, delay: u64, input: Input) {
        let own = matches!(
            input,
            Input::Job { .. } | Input::Tick | Input::HostConnected | Input::HostGone | Input::SealingKey(_)
        );
        let connection = (!own).then_some(self.cosigners[i].connection);
        let generation = self.cosigners[i].generation;
        self.at(delay, Event::Input { cosigner: i, generation, connection, input: Box::new(input) });
    }

    /// Runs until `done` or for `limit_ms` of simulated time. Returns whether it was done.
    pub fn run(&mut self, limit_ms: u64, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + limit_ms;
        loop {
            if done(self) {
                return true;
            }
            let Some((&(at, number), _)) = self.events.first_key_value() else { return false };
            if at > end {
                self.now = end;
                self.clock.store(self.now, Ordering::Relaxed);
                return done(self);
            }
            let event = self.events.remove(&(at, number)).expect("just seen");
            self.now = self.now.max(at);
            self.clock.store(self.now, Ordering::Relaxed);
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input { cosigner, generation, connection, input } => {
                let now = &self.cosigners[cosigner];
                if now.generation == generation && connection.is_none_or(|c| c == now.connection) {
                    self.step(cosigner, *input);
                }
            }
            Event::Attach { cosigner, generation } => {
                if self.cosigners[cosigner].generation == generation {
                    self.cosigners[cosigner].attached = true;
                    self.step(cosigner, Input::HostConnected);
                }
            }
            Event::LinkBack { cosigner, connection } => {
                let now = &self.cosigners[cosigner];
                if now.connection == connection && now.core.is_some() && !now.link_open {
                    self.link_opened(cosigner);
                }
            }
            Event::Wake { cosigner, at } => {
                if self.cosigners[cosigner].wake_at == Some(at) {
                    self.cosigners[cosigner].wake_at = None;
                    self.step(cosigner, Input::Tick);
                }
            }
            Event::Applied { cosigner, generation, connection } => {
                if self.cosigners[cosigner].generation == generation
                    && self.cosigners[cosigner].connection == connection
                    && self.stalled != Some(cosigner)
                    && let Some(sequence) = self.cosigners[cosigner].disk.apply_next()
                {
                    self.step(cosigner, Input::Persisted { sequence });
                }
            }
            Event::Boot { cosigner } => self.boot(cosigner),
            Event::Up { cosigner, frame } => self.up(cosigner, &frame),
            Event::WorkspaceWake { at } => {
                if self.workspace.wake_at == Some(at) {
                    self.workspace.wake_at = None;
                    self.notify(Notice::Tick);
                }
            }
        }
    }

    fn step(&mut self, i: usize, input: Input) {
        let now = self.now;
        let Some(core) = self.cosigners[i].core.as_mut() else { return };
        let effects = core.step(now, input);
        if let Some(failure) = core.failure() {
            panic!("co-signer {i} stopped: {failure}");
        }
        for effect in effects {
            if self.happens(FaultKind::Crash) {
                return self.crash(i);
            }
            if self.happens(FaultKind::HostCrash) {
                self.lose_host(i);
            }
            if self.happens(FaultKind::LinkBreak) {
                self.break_link(i);
            }
            self.perform(i, effect);
        }
    }

    fn perform(&mut self, i: usize, effect: Effect) {
        if let Some(watch) = self.on_effect.as_mut() {
            watch(i, &effect);
        }
        if !self.cosigners[i].attached && is_for_host(&effect) {
            return;
        }
        match effect {
            Effect::LoadBlobs => {
                let blobs = self.cosigners[i].disk.blobs.clone();
                let count = blobs.len() as u64;
                for (name, value) in blobs {
                    self.input(i, 1, Input::Blob { name, value });
                }
                self.input(i, 1, Input::BlobsEnd { count });
            }
            Effect::Persist { sequence, writes, .. } => {
                self.note("persist", &sequence.to_be_bytes());
                self.cosigners[i].disk.pending.push_back((sequence, writes));
                let delay = self.delay();
                let (generation, connection) = (self.cosigners[i].generation, self.cosigners[i].connection);
                self.at(delay, Event::Applied { cosigner: i, generation, connection });
            }
            Effect::LinkSend { frame, .. } => self.link_send(i, frame),
            Effect::LinkOpen { pairing, .. } => {
                self.cosigners[i].pairing = Some(pairing);
                self.link_opened(i);
            }
            Effect::LinkClose { .. } => self.cosigners[i].link_open = false,
            Effect::Admin { packet, .. } => self.cosigners[i].admin_mail.push_back(packet),
            Effect::AdminClose { connection } => self.input(i, 1, Input::AdminClosed { connection }),
            Effect::Exchange { id, spec } => self.exchange(i, id, &spec),
            Effect::GenerateSealingKey { instance, wrapping_key } => {
                let answer = self.key_service.make(&instance, &wrapping_key);
                self.input(i, 5, Input::SealingKey(answer));
            }
            Effect::UnwrapSealingKey { instance, wrapped, .. } => {
                let answer = self.key_service.unwrap(&instance, wrapped);
                self.input(i, 5, Input::SealingKey(answer));
            }
            Effect::StartJob { job, spec } => self.start_job(i, job, spec),
            Effect::JobMessage { job, from, broadcast, message } => {
                let Some(machine) = self.cosigners[i].machines.get_mut(&job) else { return };
                match machine.receive(from, broadcast, &message) {
                    Ok(()) => self.drive(i, job),
                    Err(error) => {
                        self.cosigners[i].machines.remove(&job);
                        let event = JobEvent::BadMessage { from, detail: error.to_string() };
                        let delay = self.report_delay(i, job);
                        self.input(i, delay, Input::Job { job, event });
                    }
                }
            }
            // Its machine computed with every message as it came.
            Effect::FinishJob { job } => {
                if self.cosigners[i].machines.remove(&job).is_some() {
                    let delay = self.report_delay(i, job);
                    self.input(i, delay, Input::Job { job, event: JobEvent::Unfinished });
                }
            }
            Effect::DropJob { job } => drop(self.cosigners[i].machines.remove(&job)),
            Effect::WakeAt { at_ms } => {
                self.cosigners[i].wake_at = Some(at_ms);
                let delay = at_ms.saturating_sub(self.now);
                self.at(delay, Event::Wake { cosigner: i, at: at_ms });
            }
            Effect::Report { counters, .. } => self.cosigners[i].counters = counters,
        }
    }

    fn start_job(&mut self, i: usize, job: u64, spec: JobSpec) {
        match spec {
            JobSpec::Primes => {
                self.prime_searches += 1;
                let primes = format!("simulated safe primes {}", self.prime_searches);
                let primes = Primes::from_vec(primes.into_bytes());
                self.input(i, PRIMES_MS, Input::Job { job, event: JobEvent::Primes(primes) });
            }
            JobSpec::CallbackKey => {
                let key = Zeroizing::new(self.callback_key.as_ref().unwrap_or(&self.base.callback_key).clone());
                self.input(i, 50, Input::Job { job, event: JobEvent::CallbackKey(key) });
            }
            JobSpec::Mpc(plan) => {
                let rng = ChaCha20Rng::seed_from_u64(self.rng.next_u64());
                let scheme = self.schemes.get(&i).map_or(&self.scheme as &dyn Scheme, |own| &**own);
                match scheme.start(*plan, Box::new(rng)) {
                    Ok(machine) => {
                        self.cosigners[i].machines.insert(job, machine);
                        self.drive(i, job);
                    }
                    Err(failure) => self.input(i, 1, Input::Job { job, event: JobEvent::Failed(failure) }),
                }
            }
        }
    }

    /// When a worker's next report arrives. It reports in order: nothing overtakes what its machine said before.
    fn report_delay(&self, i: usize, job: u64) -> u64 {
        let computes = self.slow.filter(|(slow, _)| *slow == i).map_or(1, |(_, ms)| ms);
        computes.max(self.cosigners[i].reported.get(&job).map_or(0, |at| at.saturating_sub(self.now)))
    }

    fn drive(&mut self, i: usize, job: u64) {
        let mut delay = self.report_delay(i, job);
        loop {
            let Some(machine) = self.cosigners[i].machines.get_mut(&job) else { return };
            let step = machine.proceed();
            delay += 1;
            self.cosigners[i].reported.insert(job, self.now + delay);
            match step {
                Step::Send { to, message } => {
                    self.input(i, delay, Input::Job { job, event: JobEvent::Send { to, message } })
                }
                Step::NeedMessage => return,
                Step::Yield => {}
                Step::Done(output) => {
                    self.cosigners[i].machines.remove(&job);
                    return self.input(i, delay, Input::Job { job, event: JobEvent::Done(output) });
                }
                Step::Failed(failure) => {
                    self.cosigners[i].machines.remove(&job);
                    return self.input(i, delay, Input::Job { job, event: JobEvent::Failed(failure) });
                }
            }
        }
    }

    fn exchange(&mut self, i: usize, id: u64, spec: &ExchangeSpec) {
        let thinks = if spec.purpose == Purpose::Callback { self.handler_thinks_ms } else { 0 };
        let delay = self.delay() + thinks;
        let answered = self.on_exchange.as_mut().and_then(|answer| answer(i, spec));
        let body = spec.body.clone().bytes().expect("a body");
        let outcome = if let Some(outcome) = answered {
            outcome
        } else if self.happens(FaultKind::Exchange) {
            Err(ExchangeFailure::Timeout(spec.deadline_ms))
        } else {
            match spec.purpose {
                Purpose::KeyService => Err(ExchangeFailure::Unavailable("no key service is simulated".into())),
                Purpose::Pairing => Ok(self.workspace.keys.endpoint(&spec.path, &body)),
                Purpose::Callback if !self.handler.is_asked_by(spec) => {
                    self.misdirected
                        .push(format!("{}:{}{} trusting {:?}", spec.host, spec.port, spec.path, spec.trust));
                    Err(ExchangeFailure::Dns("no such handler".into()))
                }
                Purpose::Callback => match self.handler.answer(&body, self.known_to_handler.as_ref()) {
                    Some(body) => Ok(HttpAnswer { status: 200, body }),
                    None => Err(ExchangeFailure::Timeout(spec.deadline_ms)),
                },
            }
        };
        let mut report = ExchangeReport::from(outcome);
        report.server = self.handler_server.clone().filter(|_| spec.purpose == Purpose::Callback);
        self.input(i, delay, Input::ExchangeDone { id, report });
    }

    /// The workspace's process ends and starts again. The links are its own, so all of them come up again.
    pub fn restart_workspace(&mut self) {
        self.note("workspace crash", &[]);
        self.workspace.restart();
        let connected: Vec<PartyId> = self.cosigners.iter().filter(|c| c.link_open).filter_map(|c| c.party).collect();
        for party in connected {
            self.notify(Notice::Connected { party });
        }
    }

    /// Something happens to the workspace.
    pub fn notify(&mut self, notice: Notice) {
        if self.workspace.silent {
            return;
        }
        let orders = self.workspace.coordinator.step(self.now, &mut self.rng, notice);
        let (records, others): (Vec<_>, Vec<_>) = orders.into_iter().partition(|o| matches!(o, Order::Persist(_)));
        for record in records {
            if let Order::Persist(record) = record {
                self.workspace.store.put(*record);
            }
        }
        if self.happens(FaultKind::WorkspaceCrash) {
            return self.restart_workspace();
        }
        for order in others {
            if let Order::Send { to, message } = order {
                self.say(to, *message);
            }
        }
        let wake = self.workspace.coordinator.next_wake_ms();
        if let Some(at) = wake
            && self.workspace.wake_at.is_none_or(|known| known > at || known < self.now)
        {
            self.workspace.wake_at = Some(at);
            self.at(at.saturating_sub(self.now), Event::WorkspaceWake { at });
        }
    }
}

/// Whether an effect needs the host. Batches that it did not get are sent again when it is back; all else is lost.
fn is_for_host(effect: &Effect) -> bool {
    match effect {
        Effect::LoadBlobs
        | Effect::Persist { .. }
        | Effect::LinkSend { .. }
        | Effect::LinkOpen { .. }
        | Effect::LinkClose { .. }
        | Effect::Admin { .. }
        | Effect::AdminClose { .. }
        | Effect::Exchange { .. }
        | Effect::Report { .. } => true,
        // The key service answers in any case, if only that it was not reached.
        Effect::GenerateSealingKey { .. }
        | Effect::UnwrapSealingKey { .. }
        | Effect::StartJob { .. }
        | Effect::JobMessage { .. }
        | Effect::FinishJob { .. }
        | Effect::DropJob { .. }
        | Effect::WakeAt { .. } => false,
    }
}
