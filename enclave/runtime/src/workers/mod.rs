//! Worker threads: threshold cryptography, safe primes and RSA keys never run on the thread that runs the core.
//!
//! | lane | threads | work |
//! |---|---|---|
//! | ceremonies | one a core, at least [`MIN_CEREMONY_THREADS`] | key generation, signing |
//! | set-up | 1 | auxiliary information, whose single steps take seconds |
//! | keys | 1 | RSA keys |
//! | primes | 1 | safe primes, which give way to all others |
//!
//! A ceremony stays on one thread; a thread serves many ceremonies, the oldest that can go on first, so that none waits for
//! a free thread while it has nothing else to do.

mod ceremony_lane;
mod job;
mod load;
mod single_lane;

use crate::event::Event;
use crate::limits::{MAX_JOBS, MIN_CEREMONY_THREADS};
use ceremony_lane::{CeremonyLane, Command};
use cosigner_core::JobSpec;
use countersign_mpc::{Plan, Scheme};
use job::Control;
use load::Load;
use single_lane::{SingleLane, Work};
use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// Randomness of one job.
pub type Seed = Zeroizing<[u8; 32]>;

/// A job was not taken, or was given up. Nobody else is to blame for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JobRefused {
    /// As many jobs as may be run already.
    #[error("{MAX_JOBS} jobs run already")]
    TooMany,
    /// The number was used before and is still in use.
    #[error("the job exists already")]
    Exists,
    /// More messages came than it could take. It was dropped.
    #[error("more messages came than the job could take")]
    Flooded,
    /// The thread is gone.
    #[error("the worker thread is gone")]
    ThreadGone,
}

enum Place {
    Ceremony(usize),
    SetUp,
    Single,
}

struct Entry {
    place: Place,
    control: Arc<Control>,
}

/// The threads and their jobs. Dropping it ends all jobs.
pub struct Workers {
    ceremonies: Vec<CeremonyLane>,
    set_up: CeremonyLane,
    keys: SingleLane,
    primes: SingleLane,
    jobs: BTreeMap<u64, Entry>,
}

impl Workers {
    /// Starts the threads; they report to `events`.
    ///
    /// # Errors
    /// The operating system gave no thread.
    pub fn start(scheme: Arc<dyn Scheme>, events: mpsc::Sender<Event>) -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self::with_ceremony_threads(cores.max(MIN_CEREMONY_THREADS), cores, scheme, events)
    }

    /// As [`Self::start`], with this many threads for ceremonies on this many cores.
    ///
    /// # Errors
    /// The operating system gave no thread.
    pub fn with_ceremony_threads(
        threads: usize,
        cores: usize,
        scheme: Arc<dyn Scheme>,
        events: mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let load = Arc::new(Load::new(cores));
        let lane = |name: &'static str| CeremonyLane::start(name, scheme.clone(), load.clone(), events.clone());
        Ok(Self {
            ceremonies: (0..threads.max(1)).map(|_| lane("ceremonies")).collect::<io::Result<_>>()?,
            set_up: lane("set-up")?,
            keys: SingleLane::start("keys", load.clone(), events.clone())?,
            primes: SingleLane::start("primes", load, events)?,
            jobs: BTreeMap::new(),
        })
    }

    /// Starts a job.
    ///
    /// # Errors
    /// [`JobRefused`]; there is no such job then.
    pub fn start_job(&mut self, job: u64, spec: JobSpec, seed: Seed) -> Result<(), JobRefused> {
        if self.jobs.len() >= MAX_JOBS {
            return Err(JobRefused::TooMany);
        }
        if self.jobs.contains_key(&job) {
            return Err(JobRefused::Exists);
        }
        let control = Arc::new(Control::default());
        let place = match spec {
            JobSpec::Mpc(plan) => {
                let place = self.place_for(&plan);
                let lane = self.lane(&place).ok_or(JobRefused::ThreadGone)?;
                lane.send(Command::Start { job, plan, seed, control: control.clone() })?;
                place
            }
            JobSpec::CallbackKey => {
                self.keys.send(Work::CallbackKey { job, control: control.clone() })?;
                Place::Single
            }
            JobSpec::Primes => {
                self.primes.send(Work::Primes { job, seed, control: control.clone() })?;
                Place::Single
            }
        };
        self.jobs.insert(job, Entry { place, control });
        Ok(())
    }

    /// Passes on a peer's message. A job that is gone already needs none.
    ///
    /// # Errors
    /// [`JobRefused`]; the job was dropped.
    pub fn message(&mut self, job: u64, from: u16, broadcast: bool, message: Vec<u8>) -> Result<(), JobRefused> {
        let Some(entry) = self.jobs.get(&job) else {
            return Ok(());
        };
        let Some(lane) = self.lane(&entry.place) else {
            return Ok(());
        };
        let sent = if entry.control.reserve(message.len()) {
            lane.send(Command::Message { job, from, broadcast, message })
        } else {
            Err(JobRefused::Flooded)
        };
        if sent.is_err() {
            self.drop_job(job);
        }
        sent
    }

    /// Has a job finish what it was given, and report as soon as it would need more.
    pub fn finish_job(&mut self, job: u64) {
        // Without the job or its thread its last word is on its way.
        if let Some(lane) = self.jobs.get(&job).and_then(|entry| self.lane(&entry.place)) {
            let _ = lane.send(Command::Finish { job });
        }
    }

    /// Ends a job: at once where it waits, else at its next step.
    pub fn drop_job(&mut self, job: u64) {
        if let Some(entry) = self.jobs.remove(&job) {
            entry.control.cancel();
            if let Some(lane) = self.lane(&entry.place) {
                lane.wake();
            }
        }
    }

    /// To be called when a job reported its end.
    pub fn ended(&mut self, job: u64) {
        self.jobs.remove(&job);
    }

    /// How many jobs there are.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there is no job.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    fn place_for(&self, plan: &Plan) -> Place {
        if matches!(plan, Plan::AuxInfo { .. }) {
            return Place::SetUp;
        }
        let jobs_on = |lane: usize| {
            self.jobs.values().filter(|entry| matches!(entry.place, Place::Ceremony(index) if index == lane)).count()
        };
        Place::Ceremony((0..self.ceremonies.len()).min_by_key(|lane| jobs_on(*lane)).unwrap_or(0))
    }

    fn lane(&self, place: &Place) -> Option<&CeremonyLane> {
        match place {
            Place::Ceremony(index) => self.ceremonies.get(*index),
            Place::SetUp => Some(&self.set_up),
            Place::Single => None,
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for entry in self.jobs.values() {
            entry.control.cancel();
        }
    }
}
