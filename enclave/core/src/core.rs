//! The state machine: boot, claim, and what happens to a claimed co-signer.

mod boot;
mod claim;

use crate::admin::Admins;
use crate::background::Background;
use crate::capability::Capabilities;
use crate::effect::Effect;
use crate::input::Input;
use crate::limits::MAX_BLOBS;
use crate::outbox::Outbox;
use crate::serving::{Counts, Cx, ExchangeOwner, JobOwner, Running, Serving};
use boot::{Unlock, load};
use claim::{Claim, Fresh};
use countersign_channel::StaticKey;
use countersign_wire::admin::{AdminRequest, AdminResponse};
use countersign_wire::host_link::BlobName;
use countersign_wire::ids::{BootId, InstanceId, PairingId};
use countersign_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The trusted core of one co-signer.
pub struct Core {
    pub(crate) caps: Capabilities,
    pub(crate) boot: BootId,
    pub(crate) booted_at_ms: u64,
    pub(crate) now: u64,
    pub(crate) phase: Phase,
    pub(crate) outbox: Outbox,
    pub(crate) running: Running,
    pub(crate) counts: Counts,
    pub(crate) admins: Admins,
    pub(crate) background: Background,
    last_report_ms: u64,
    next_tick_ms: u64,
}

/// Where a co-signer is.
pub(crate) enum Phase {
    /// The host has not connected yet.
    Waiting,
    /// The host presents its blobs.
    Loading(BTreeMap<BlobName, Vec<u8>>),
    /// The key service unwraps the root key.
    Unlocking(Box<Unlock>),
    /// There is no state: nobody claimed this enclave.
    Fresh(Fresh),
    /// The key service makes the root key for a claim.
    Claiming(Box<Claim>),
    /// Claimed.
    Serving(Box<Serving>),
    /// It cannot go on; nothing is signed.
    Failed(Refusal),
}

impl Core {
    /// A core that boots at `now_ms` (Unix time in ms).
    pub fn new(mut caps: Capabilities, now_ms: u64) -> Self {
        let mut boot = [0u8; 16];
        caps.entropy.fill_bytes(&mut boot);
        let admin_key = StaticKey::generate(&mut *caps.entropy);
        Self {
            boot: BootId(boot),
            booted_at_ms: now_ms,
            now: now_ms,
            phase: Phase::Waiting,
            outbox: Outbox::default(),
            running: Running::default(),
            counts: Counts::default(),
            admins: Admins::new(admin_key),
            background: Background::default(),
            last_report_ms: 0,
            next_tick_ms: 0,
            caps,
        }
    }

    /// Why the core cannot go on, if so: nothing leaves it any more, and only a new boot helps.
    pub fn failure(&self) -> Option<&Refusal> {
        match &self.phase {
            Phase::Failed(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// This boot's id.
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// Takes one input at `now_ms` (Unix time in ms) and returns what to do, in order. Time never goes back in here.
    pub fn step(&mut self, now_ms: u64, input: Input) -> Vec<Effect> {
        self.now = self.now.max(now_ms);
        let phase = std::mem::replace(&mut self.phase, Phase::Waiting);
        let mut cx = Cx {
            now: self.now,
            caps: &mut self.caps,
            out: Vec::new(),
            changes: Vec::new(),
            running: &mut self.running,
            counts: &mut self.counts,
            boot: self.boot,
        };
        let mut parts = Parts {
            outbox: &mut self.outbox,
            admins: &mut self.admins,
            background: &mut self.background,
            booted_at_ms: self.booted_at_ms,
        };
        let woken = matches!(input, Input::Tick);
        let link = match &input {
            Input::LinkData { pairing, .. } => Some(*pairing),
            Input::ExchangeDone { id, .. } => cx.running.exchanges.get(id).and_then(ExchangeOwner::pairing),
            _ => None,
        };
        let mut phase = parts.step(&mut cx, phase, input);
        // Whatever comes in, and however often: what is due by time is done in time.
        let tick = cx.now >= self.next_tick_ms;
        if tick {
            phase = parts.tick(&mut cx, phase);
        }
        if let Phase::Serving(serving) = &mut phase {
            serving.call_handlers(&mut cx);
        }
        parts.background.tend(&mut cx, &mut phase);
        let Cx { out, changes, .. } = cx;
        self.phase = phase;
        self.finish(out, changes, link);
        if tick {
            self.next_tick_ms = self.now.saturating_add(if self.has_urgent_deadlines() { 100 } else { 500 });
        }
        if tick || woken {
            self.report();
        }
        self.outbox.take()
    }

    /// Seals the step's changes and lets its effects out, those that are visible behind the batch.
    fn finish(
        &mut self,
        out: Vec<Effect>,
        changes: Vec<(crate::seal::BlobId, Option<Zeroizing<Vec<u8>>>)>,
        link: Option<PairingId>,
    ) {
        if let Phase::Failed(_) = &self.phase
            && !changes.is_empty()
        {
            return;
        }
        if let Phase::Serving(serving) = &mut self.phase
            && !changes.is_empty()
        {
            let fresh = serving.sealer.is_fresh();
            let sealed = serving.sealer.seal(changes, &mut *self.caps.entropy).map_err(|e| e.to_string());
            let persisted =
                sealed.and_then(|writes| self.outbox.persist(fresh, writes, link).map_err(|e| e.to_string()));
            if let Err(detail) = persisted {
                self.fail(Code::Storage, format!("state cannot be sealed or stored: {detail}"));
                return;
            }
        }
        for effect in out {
            if let Err(error) = self.outbox.push(effect) {
                self.fail(Code::Storage, error.to_string());
                return;
            }
        }
    }

    fn fail(&mut self, code: Code, detail: String) {
        tracing::error!(%code, detail, "the co-signer stops");
        self.phase = Phase::Failed(Refusal::new(code, detail));
    }

    fn report(&mut self) {
        const REPORT_EVERY_MS: u64 = 1_000;
        // Neither effect waits for storage to be of use, and both are bounded, so a full outbox may drop them.
        let _ = self.outbox.push(Effect::WakeAt { at_ms: self.next_tick_ms });
        if self.now.saturating_sub(self.last_report_ms) >= REPORT_EVERY_MS {
            self.last_report_ms = self.now;
            let (ready, counters) = crate::metrics::counters(self);
            let _ = self.outbox.push(Effect::Report { ready, counters });
        }
    }

    fn has_urgent_deadlines(&self) -> bool {
        match &self.phase {
            Phase::Serving(serving) => serving.pairings.values().any(|p| !p.ceremonies.sessions.is_empty()),
            _ => false,
        }
    }
}

/// The host since the key service was asked. When it was away the answer counts for nothing: another host, or another disk,
/// may have come back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinceAsked {
    Same,
    Gone,
    Back,
}

/// What a step works with, apart from the phase.
struct Parts<'a> {
    outbox: &'a mut Outbox,
    admins: &'a mut Admins,
    background: &'a mut Background,
    booted_at_ms: u64,
}

fn failed(code: Code, detail: impl Into<String>) -> Phase {
    let refusal = Refusal::new(code, detail);
    tracing::error!(%refusal, "the co-signer stops");
    Phase::Failed(refusal)
}

impl Parts<'_> {
    fn step(&mut self, cx: &mut Cx<'_>, phase: Phase, input: Input) -> Phase {
        match (phase, input) {
            // That there was nothing is no knowledge that lasts: a host may come back with the disk that was missing.
            (Phase::Waiting | Phase::Loading(_) | Phase::Fresh(_), Input::HostConnected) => {
                self.admins.close_all();
                load(cx)
            }
            (Phase::Claiming(claim), Input::HostConnected) => {
                Phase::Claiming(Box::new(Claim { host: SinceAsked::Back, ..*claim }))
            }
            (Phase::Unlocking(unlock), Input::HostConnected) => {
                Phase::Unlocking(Box::new(Unlock { host: SinceAsked::Back, ..*unlock }))
            }
            (Phase::Loading(mut blobs), Input::Blob { name, value }) => {
                if blobs.len() >= MAX_BLOBS {
                    return failed(Code::Storage, format!("the host presents more than {MAX_BLOBS} blobs"));
                }
                blobs.insert(name, value);
                Phase::Loading(blobs)
            }
            (Phase::Loading(blobs), Input::BlobsEnd { count }) => self.loaded(cx, blobs, count),
            (Phase::Loading(_), Input::HostGone) => Phase::Waiting,
            (Phase::Unlocking(unlock), Input::SealingKey(answer)) => self.unlocked(cx, *unlock, answer),
            (Phase::Claiming(claim), Input::SealingKey(answer)) => self.claimed(cx, *claim, answer),
            (phase, Input::HostConnected) => {
                self.outbox.resend();
                if let Phase::Serving(mut serving) = phase {
                    serving.pairings.values_mut().for_each(|p| p.open_link(cx));
                    return Phase::Serving(serving);
                }
                phase
            }
            (phase, Input::HostGone) => {
                self.admins.close_all();
                cx.running.exchanges.clear();
                cx.running.places.clear();
                self.host_gone(cx, phase)
            }
            (phase, Input::Persisted { sequence }) => match self.outbox.persisted(sequence) {
                Ok(()) => phase,
                Err(error) => failed(Code::Storage, error.to_string()),
            },
            (_, Input::PersistFailed { sequence, detail }) => {
                failed(Code::Storage, format!("the host cannot store batch {sequence}: {detail}"))
            }
            (phase, Input::AdminOpened { connection }) => {
                self.admins.opened(cx, connection);
                phase
            }
            (phase, Input::AdminClosed { connection }) => {
                self.admins.closed(connection);
                phase
            }
            (phase, Input::Admin { connection, packet }) => self.admin(cx, phase, connection, &packet),
            (phase, Input::Job { job, event }) => self.job(cx, phase, job, event),
            (phase, Input::Tick) => phase,
            (phase, Input::HostHealth(health)) => {
                cx.counts.host = Some((health, cx.now));
                phase
            }
            (Phase::Serving(mut serving), input) => {
                self.serve(cx, &mut serving, input);
                Phase::Serving(serving)
            }
            (phase, _) => phase,
        }
    }

    fn host_gone(&mut self, cx: &mut Cx<'_>, phase: Phase) -> Phase {
        match phase {
            Phase::Serving(mut serving) => {
                serving.add = None;
                if let Some(rotation) = &mut serving.rotation {
                    rotation.host_gone();
                }
                for pairing in serving.pairings.values_mut() {
                    pairing.link_lost();
                    pairing.askings_lost(cx.now);
                    pairing.end_all_sessions(cx);
                }
                Phase::Serving(serving)
            }
            // The key service's answer is awaited, so that it is never taken for the answer to a later question.
            Phase::Claiming(claim) => Phase::Claiming(Box::new(Claim { host: SinceAsked::Gone, ..*claim })),
            Phase::Unlocking(unlock) => Phase::Unlocking(Box::new(Unlock { host: SinceAsked::Gone, ..*unlock })),
            Phase::Fresh(_) => Phase::Waiting,
            phase => phase,
        }
    }

    fn job(&mut self, cx: &mut Cx<'_>, mut phase: Phase, job: u64, event: crate::input::JobEvent) -> Phase {
        let Some(owner) = cx.running.jobs.get(&job).copied() else { return phase };
        match owner {
            JobOwner::Primes | JobOwner::CallbackKey => self.background.job_event(cx, &mut phase, job, event),
            JobOwner::Session(pairing, session) => {
                if let Phase::Serving(serving) = &mut phase
                    && let Some(pairing) = serving.pairings.get_mut(&pairing)
                {
                    pairing.job_event(cx, session, job, event);
                }
            }
        }
        self.resume_add_user(cx, &mut phase);
        phase
    }

    /// An `add-user` may have waited for the key for callback requests.
    fn resume_add_user(&mut self, cx: &mut Cx<'_>, phase: &mut Phase) {
        if let Phase::Serving(serving) = phase
            && let Some(connection) = serving.add.as_ref().map(|flow| flow.connection)
            && let Err(refusal) = serving.continue_add_user(cx, self.background.callback_key())
        {
            self.admins.answer(cx, connection, &AdminResponse::Refused(refusal));
        }
    }

    fn tick(&mut self, cx: &mut Cx<'_>, mut phase: Phase) -> Phase {
        self.admins.close_idle(cx);
        if let Phase::Serving(serving) = &mut phase {
            for pairing in serving.pairings.values_mut() {
                pairing.link_tick(cx);
                pairing.expire_sessions(cx);
                pairing.retry_handshakes(cx);
                pairing.askings_tick(cx);
            }
        }
        phase
    }

    fn serve(&mut self, cx: &mut Cx<'_>, serving: &mut Serving, input: Input) {
        match input {
            Input::LinkUp { pairing } => {
                if let Some(pairing) = serving.pairings.get_mut(&pairing) {
                    pairing.link_up(cx);
                    pairing.tell_users(cx, &serving.settings.name);
                }
            }
            Input::LinkDown { pairing, reason } => {
                if let Some(pairing) = serving.pairings.get_mut(&pairing) {
                    pairing.link_down(cx, reason);
                }
            }
            Input::LinkData { pairing, .. } if self.outbox.is_over_share(&pairing) => cx.counts.links_dropped += 1,
            Input::LinkData { pairing, frame } => {
                if let Some(pairing) = serving.pairings.get_mut(&pairing).filter(|p| p.record.is_confirmed()) {
                    pairing.link_data(cx, &frame);
                }
            }
            Input::ExchangeDone { id, report } => match cx.running.exchanges.remove(&id) {
                Some(ExchangeOwner::AccessToken(pairing)) => {
                    if let Some(pairing) = serving.pairings.get_mut(&pairing) {
                        pairing.access_token(cx, report.outcome);
                    }
                }
                Some(ExchangeOwner::Callback(caller, subject)) => {
                    serving.callback_done(cx, id, &caller, subject, &report);
                }
                Some(ExchangeOwner::CallbackTest(test)) => {
                    let connection = test.connection;
                    let done = serving.callback_tested(cx, *test, &report);
                    self.admins.answer(cx, connection, &done.map_or_else(AdminResponse::Refused, AdminResponse::Done));
                }
                Some(ExchangeOwner::AddUser) => {
                    if let Some((connection, result)) = serving.add_user_exchange(cx, report.outcome) {
                        let response = result.map_or_else(AdminResponse::Refused, AdminResponse::Done);
                        self.admins.answer(cx, connection, &response);
                    }
                }
                None => {}
            },
            Input::SealingKey(answer) => {
                if let Some((connection, result)) = serving.sealing_key_answered(cx, answer) {
                    let response = result.map_or_else(AdminResponse::Refused, AdminResponse::Done);
                    self.admins.answer(cx, connection, &response);
                }
            }
            _ => {}
        }
    }

    fn admin(&mut self, cx: &mut Cx<'_>, phase: Phase, connection: u64, packet: &[u8]) -> Phase {
        let identity = match &phase {
            Phase::Fresh(fresh) => &fresh.identity,
            Phase::Claiming(claim) if claim.host == SinceAsked::Same => &claim.fresh.identity,
            Phase::Serving(serving) => &serving.identity,
            // Without its state an enclave has no identity to speak under: the admin connects again later.
            _ => {
                self.admins.close(cx, connection);
                return phase;
            }
        };
        let instance = InstanceId(identity.public());
        let Some(request) = self.admins.packet(cx, identity, connection, packet) else { return phase };
        match (phase, request) {
            (Phase::Serving(mut serving), request) => {
                if let Some(response) = self.request(cx, &mut serving, connection, request) {
                    self.admins.answer(cx, connection, &response);
                }
                Phase::Serving(serving)
            }
            (phase, AdminRequest::Describe) => {
                let description = self.describe_unclaimed(cx, instance, connection);
                self.admins.answer(cx, connection, &AdminResponse::Described(description));
                phase
            }
            (Phase::Fresh(fresh), AdminRequest::Command(signed)) => self.claim(cx, fresh, connection, &signed),
            (phase, _) => {
                let refusal = Refusal::new(Code::NotClaimed, "this co-signer is not claimed: `cosigner init` first");
                self.admins.answer(cx, connection, &AdminResponse::Refused(refusal));
                phase
            }
        }
    }

    /// A request of an admin to a claimed co-signer. `None`: the answer comes later.
    fn request(
        &mut self,
        cx: &mut Cx<'_>,
        serving: &mut Serving,
        connection: u64,
        request: AdminRequest,
    ) -> Option<AdminResponse> {
        match request {
            AdminRequest::Describe => {
                let nonce = self.admins.new_nonce(cx, connection);
                Some(AdminResponse::Described(serving.describe(cx, nonce)))
            }
            AdminRequest::Status => {
                let nonce = self.admins.new_nonce(cx, connection);
                let found = self.background.primes_found();
                Some(AdminResponse::Status(Box::new(serving.status(
                    cx,
                    nonce,
                    self.booted_at_ms,
                    found,
                    self.outbox.backlog(),
                ))))
            }
            AdminRequest::Users => Some(AdminResponse::Users(serving.users())),
            AdminRequest::Keys => Some(AdminResponse::Keys(serving.keys())),
            AdminRequest::Initiators { pairing } => Some(serving.initiators(&pairing)),
            AdminRequest::CallbackPublicKey { pairing } => Some(serving.callback_public_key(&pairing)),
            AdminRequest::Callback { pairing, user } => Some(serving.callback_status(&pairing, &user)),
            AdminRequest::Events { after } => Some(AdminResponse::Events(cx.counts.events.after(cx.boot, after))),
            AdminRequest::Command(signed) => {
                let authority = crate::admin::command::Authority {
                    instance: serving.instance,
                    settings_epoch: serving.settings.epoch,
                    nonce: self.admins.take_nonce(connection),
                    operators: &serving.settings.operators,
                    required: serving.settings.required,
                };
                let verdict = crate::admin::command::verify(&signed, &authority);
                match verdict.and_then(|change| serving.apply(cx, connection, change, self.background.callback_key())) {
                    Ok(done) => done.map(AdminResponse::Done),
                    Err(refusal) => Some(AdminResponse::Refused(refusal)),
                }
            }
        }
    }
}
