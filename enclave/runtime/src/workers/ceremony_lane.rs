//! A thread that drives many machines in turns.

use super::job::{Control, guarded};
use super::load::Load;
use super::{JobRefused, Seed};
use crate::event::Event;
use cosigner_core::{Input, JobEvent};
use countersign_mpc::{Machine, Plan, Scheme, Step};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::{BTreeMap, VecDeque};
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
            let lane = Lane { scheme, load, events: events.clone(), sessions: BTreeMap::new(), ready: VecDeque::new() };
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
    /// Jobs that can go on, in the order of their turns.
    ready: VecDeque<u64>,
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
            if let Some(job) = self.ready.pop_front() {
                self.take_turn(job);
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start { job, plan, seed, control } => self.start_session(job, *plan, &seed, control),
            Command::Message { job, from, broadcast, message } => {
                // Without a session the job ended or was dropped.
                if let Some(session) = self.sessions.get_mut(&job) {
                    session.inbox.push_back(Message { from, broadcast, bytes: message });
                    if session.needs_message && !self.ready.contains(&job) {
                        self.ready.push_back(job);
                    }
                }
            }
            Command::Finish { job } => {
                if let Some(session) = self.sessions.get_mut(&job) {
                    session.finishes = true;
                    if session.needs_message && !self.ready.contains(&job) {
                        self.ready.push_back(job);
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
                self.ready.push_back(job);
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
            Turn::Ready => self.ready.push_back(job),
            Turn::Waits => {}
            Turn::Ended(event) => {
                self.end(job);
                report(&self.events, job, event);
            }
            Turn::Dropped => self.end(job),
        }
    }

    fn end(&mut self, job: u64) {
        self.ready.retain(|ready| *ready != job);
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
