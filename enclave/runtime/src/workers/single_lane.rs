//! A thread that does one piece of background work after the other.

use super::ceremony_lane::report;
use super::job::{Control, guarded, internal};
use super::load::Load;
use super::{JobRefused, Seed};
use crate::event::Event;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use cosigner_core::JobEvent;
use countersign_mpc::primes;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as channel;
use std::thread;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// A piece of work.
pub(super) enum Work {
    Primes { job: u64, seed: Seed, control: Arc<Control> },
    CallbackKey { job: u64, control: Arc<Control> },
}

/// The handle of a lane; dropping it ends the thread after the work at hand.
pub(super) struct SingleLane(channel::Sender<Work>);

impl SingleLane {
    pub(super) fn start(name: &'static str, load: Arc<Load>, events: mpsc::Sender<Event>) -> io::Result<Self> {
        let (sender, works) = channel::channel::<Work>();
        let body = move || {
            let all = || {
                while let Ok(work) = works.recv() {
                    work.run(&load, &events);
                }
            };
            if catch_unwind(AssertUnwindSafe(all)).is_err() {
                let _ = events.blocking_send(Event::WorkerLost(name));
            }
        };
        thread::Builder::new().name(name.into()).spawn(body)?;
        Ok(Self(sender))
    }

    pub(super) fn send(&self, work: Work) -> Result<(), JobRefused> {
        self.0.send(work).map_err(|_| JobRefused::ThreadGone)
    }
}

impl Work {
    fn run(self, load: &Load, events: &mpsc::Sender<Event>) {
        let (job, control) = match &self {
            Work::Primes { job, control, .. } | Work::CallbackKey { job, control } => (*job, control.clone()),
        };
        if control.is_cancelled() {
            return;
        }
        let end = match self {
            Work::Primes { seed, .. } => guarded(|| find_primes(job, &seed, &control, load, events)),
            Work::CallbackKey { .. } => guarded(|| Some(callback_key())),
        };
        let event = end.unwrap_or_else(|failure| Some(JobEvent::Failed(failure)));
        if let Some(event) = event.filter(|_| !control.is_cancelled()) {
            report(events, job, event);
        }
    }
}

/// `None` when the job was dropped.
fn find_primes(
    job: u64,
    seed: &Seed,
    control: &Control,
    load: &Load,
    events: &mpsc::Sender<Event>,
) -> Option<JobEvent> {
    let mut progress = |found: u8, _: u8| report(events, job, JobEvent::PrimesFound(found));
    let keep_going = || {
        load.give_way();
        !control.is_cancelled()
    };
    primes::generate(&mut ChaCha20Rng::from_seed(**seed), &mut progress, &keep_going).map(JobEvent::Primes)
}

fn callback_key() -> JobEvent {
    let key = KeyPair::generate(KeySize::Rsa2048).and_then(|key| AsDer::<Pkcs8V1Der>::as_der(&key));
    match key {
        Ok(der) => JobEvent::CallbackKey(Zeroizing::new(der.as_ref().to_vec())),
        Err(_) => JobEvent::Failed(internal("no RSA key could be made")),
    }
}
