//! A thread that drives many machines, the oldest that can go on first: work that came first ends first, and a burst does
//! not run late as a whole.

use super::job::{Control, guarded};
use super::load::Load;
use super::{JobRefused, Seed};
use crate::event::Event;
use cosigner_core::{Input, JobEvent};
use countersign_mpc::{Machine, Plan, Scheme, Step};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as channel;
use std::thread;
use tokio::sync::mpsc;

/// What a lane is told.
pub(super) enum Command {
    Start {
        job: u64,
        plan: Box<Plan>,
        seed: Seed,
        control: Arc<Control>,
    },
    Message {
        job: u64,
        from: u16,
        broadcast: bool,
        message: Vec<u8>,
    },
    /// There are no more messages, and what it says to others is not heard.
    Finish {
        job: u64,
    },
    /// Look for cancelled jobs.
    Wake,
}

/// The handle of a lane; dropping it ends the thread.
pub(super) struct CeremonyLane(channel::Sender<Command>);

impl CeremonyLane {
    pub(super) fn start(
        name: &'static str,
        scheme: Arc<dyn Scheme>,
        load: Arc<Load>,
        events: mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let (sender, commands) = channel::channel();
        let body = move || {
            let lane = Lane { scheme, load, events: events.clone(), sessions: BTreeMap::new(), ready: BTreeSet::new() };
            if catch_unwind(AssertUnwindSafe(move || lane.run(&commands))).is_err() {
                // Sessions are lost with the thread, and nobody can say which.
                let _ = events.blocking_send(Event::WorkerLost(name));
            }
        };
        thread::Builder::new().name(name.into()).spawn(body)?;
        Ok(Self(sender))
    }

    pub(super) fn send(&self, command: Command) -> Result<(), JobRefused> {
        self.0.send(command).map_err(|_| JobRefused::ThreadGone)
    }

    pub(super) fn wake(&self) {
        // A thread that is gone has no job to drop.
        let _ = self.0.send(Command::Wake);
    }
}

struct Message {
    from: u16,
    broadcast: bool,
    bytes: Vec<u8>,
}

struct Session {
    machine: Box<dyn Machine>,
    control: Arc<Control>,
    inbox: VecDeque<Message>,
    needs_message: bool,
    /// It gets no further message.
    finishes: bool,
}

/// What became of a session in its turn.
enum Turn {
    /// It can go on.
    Ready,
    /// It waits for a message.
    Waits,
    /// It is over, with this.
    Ended(JobEvent),
    /// It is over, without a word: it was dropped, or nobody listens.
    Dropped,
}

struct Lane {
    scheme: Arc<dyn Scheme>,
    load: Arc<Load>,
    events: mpsc::Sender<Event>,
    sessions: BTreeMap<u64, Session>,
    /// Jobs that can go on. Their numbers grow, so the first is the oldest.
    ready: BTreeSet<u64>,
}

impl Lane {
    fn run(mut self, commands: &channel::Receiver<Command>) {
        loop {
            if self.ready.is_empty() {
                match commands.recv() {
                    Ok(command) => self.obey(command),
                    Err(channel::RecvError) => return,
                }
            }
            loop {
                match commands.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(channel::TryRecvError::Empty) => break,
                    Err(channel::TryRecvError::Disconnected) => return,
                }
            }
            self.drop_cancelled();
            self.serve_one();
        }
    }

    /// One turn of the oldest session that can go on. Whether there was one.
    fn serve_one(&mut self) -> bool {
        let job = self.ready.pop_first();
        if let Some(job) = job {
            self.take_turn(job);
        }
        job.is_some()
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start { job, plan, seed, control } => self.start_session(job, *plan, &seed, control),
            Command::Message { job, from, broadcast, message } => {
                // Without a session the job ended or was dropped.
                if let Some(session) = self.sessions.get_mut(&job) {
                    session.inbox.push_back(Message { from, broadcast, bytes: message });
                    if session.needs_message {
                        self.ready.insert(job);
                    }
                }
            }
            Command::Finish { job } => {
                if let Some(session) = self.sessions.get_mut(&job) {
                    session.finishes = true;
                    if session.needs_message {
                        self.ready.insert(job);
                    }
                }
            }
            Command::Wake => {}
        }
    }

    fn start_session(&mut self, job: u64, plan: Plan, seed: &Seed, control: Arc<Control>) {
        if control.is_cancelled() {
            return;
        }
        let _computing = self.load.computing();
        let rng = Box::new(ChaCha20Rng::from_seed(**seed));
        match guarded(|| self.scheme.start(plan, rng)).and_then(|started| started) {
            Ok(machine) => {
                let session =
                    Session { machine, control, inbox: VecDeque::new(), needs_message: false, finishes: false };
                self.sessions.insert(job, session);
                self.ready.insert(job);
            }
            Err(failure) => report(&self.events, job, JobEvent::Failed(failure)),
        }
    }

    fn drop_cancelled(&mut self) {
        let gone: Vec<u64> =
            self.sessions.iter().filter(|(_, session)| session.control.is_cancelled()).map(|(job, _)| *job).collect();
        for job in gone {
            self.end(job);
        }
    }

    fn take_turn(&mut self, job: u64) {
        let Some(session) = self.sessions.get_mut(&job) else {
            return;
        };
        let computing = self.load.computing();
        let turn = session.turn(job, &self.events);
        drop(computing);
        match turn {
            Turn::Ready => drop(self.ready.insert(job)),
            Turn::Waits => {}
            Turn::Ended(event) => {
                self.end(job);
                report(&self.events, job, event);
            }
            Turn::Dropped => self.end(job),
        }
    }

    fn end(&mut self, job: u64) {
        self.ready.remove(&job);
        if let Some(session) = self.sessions.remove(&job)
            && guarded(move || drop(session)).is_err()
        {
            tracing::error!(job, "a panic while a job was dropped");
        }
    }
}

impl Session {
    fn without_message(&self) -> Turn {
        if self.finishes { Turn::Ended(JobEvent::Unfinished) } else { Turn::Waits }
    }

    /// Steps until it needs a message that has not come, or lets go of the thread.
    fn turn(&mut self, job: u64, events: &mpsc::Sender<Event>) -> Turn {
        if self.needs_message {
            let Some(message) = self.inbox.pop_front() else {
                return self.without_message();
            };
            self.control.release(message.bytes.len());
            match guarded(|| self.machine.receive(message.from, message.broadcast, &message.bytes)) {
                Ok(Ok(())) => self.needs_message = false,
                Ok(Err(error)) => {
                    return Turn::Ended(JobEvent::BadMessage { from: message.from, detail: error.to_string() });
                }
                Err(failure) => return Turn::Ended(JobEvent::Failed(failure)),
            }
        }
        loop {
            match guarded(|| self.machine.proceed()) {
                Ok(Step::Send { to, message }) => {
                    if self.control.is_cancelled() {
                        return Turn::Dropped;
                    }
                    if !self.finishes {
                        report(events, job, JobEvent::Send { to, message });
                    }
                }
                Ok(Step::NeedMessage) => {
                    self.needs_message = true;
                    return if self.inbox.is_empty() { self.without_message() } else { Turn::Ready };
                }
                Ok(Step::Yield) => return Turn::Ready,
                Ok(Step::Done(output)) => return Turn::Ended(JobEvent::Done(output)),
                Ok(Step::Failed(failure)) => return Turn::Ended(JobEvent::Failed(failure)),
                Err(failure) => return Turn::Ended(JobEvent::Failed(failure)),
            }
        }
    }
}

/// Waits while the core is behind.
pub(super) fn report(events: &mpsc::Sender<Event>, job: u64, event: JobEvent) {
    if events.blocking_send(Event::Input(Input::Job { job, event })).is_err() {
        tracing::debug!(job, "nobody listens any more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_mpc::{ExecutionId, Failure, ReceiveError};
    use countersign_wire::key::EcdsaSignature;
    use rand_core::CryptoRngCore;
    use zeroize::Zeroizing;

    /// Machines that let go of the thread three times, and after that wait for a message if their index says so.
    struct Yielding;

    struct YieldingMachine {
        turns: u8,
        waits: bool,
    }

    const WAITS: u16 = 7;

    impl Scheme for Yielding {
        fn start(&self, plan: Plan, _rng: Box<dyn CryptoRngCore + Send>) -> Result<Box<dyn Machine>, Failure> {
            Ok(Box::new(YieldingMachine { turns: 3, waits: plan.index() == WAITS }))
        }
    }

    impl Machine for YieldingMachine {
        fn proceed(&mut self) -> Step {
            match (self.turns, self.waits) {
                (0, true) => Step::NeedMessage,
                (0, false) => {
                    Step::Done(countersign_mpc::Output::Signature(EcdsaSignature { r: [1; 32], s: [1; 32], v: 0 }))
                }
                _ => {
                    self.turns -= 1;
                    Step::Yield
                }
            }
        }

        fn receive(&mut self, _from: u16, _broadcast: bool, _message: &[u8]) -> Result<(), ReceiveError> {
            self.waits = false;
            Ok(())
        }
    }

    fn start(lane: &mut Lane, job: u64, index: u16) {
        let plan = Box::new(Plan::Keygen { execution: ExecutionId([0; 32]), index, parties: 3, threshold: 3 });
        lane.obey(Command::Start { job, plan, seed: Zeroizing::new([0; 32]), control: Arc::default() });
    }

    #[test]
    fn the_oldest_session_that_can_go_on_goes_on_first() {
        let (events, mut ended) = mpsc::channel(16);
        let load = Arc::new(Load::new(2));
        let (sessions, ready) = (BTreeMap::new(), BTreeSet::new());
        let mut lane = Lane { scheme: Arc::new(Yielding), load, events, sessions, ready };
        start(&mut lane, 1, WAITS);
        start(&mut lane, 2, 0);
        start(&mut lane, 3, 0);
        // The first waits in the end, the second is in the middle of its work.
        for _ in 0..6 {
            assert!(lane.serve_one());
        }
        start(&mut lane, 4, 0);
        lane.obey(Command::Message { job: 1, from: 0, broadcast: true, message: vec![1] });
        while lane.serve_one() {}
        let mut order = Vec::new();
        while let Ok(Event::Input(Input::Job { job, event: JobEvent::Done(_) })) = ended.try_recv() {
            order.push(job);
        }
        assert_eq!(order, [1, 2, 3, 4]);
    }
}
