//! Worker threads with the real scheme, and with machines that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aws_lc_rs::rsa::KeyPair;
use cosigner_core::{Input, JobEvent, JobSpec};
use cosigner_enclave::Event;
use cosigner_enclave::limits::{MAX_JOBS, MAX_WAITING_JOB_BYTES};
use cosigner_enclave::workers::{JobRefused, Workers};
use countersign_mpc::{
    Cggmp24, ExecutionId, Failure, Machine, Output, Plan, Primes, ReceiveError, Scheme, Step, public,
};
use rand_core::CryptoRngCore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

const PATIENCE: Duration = Duration::from_secs(120);

struct Pool {
    workers: Workers,
    events: mpsc::Receiver<Event>,
}

impl Pool {
    /// Two threads for ceremonies.
    fn new(scheme: impl Scheme + 'static) -> Self {
        let (sender, events) = mpsc::channel(16);
        Self { workers: Workers::with_ceremony_threads(2, 2, Arc::new(scheme), sender).unwrap(), events }
    }

    fn start(&mut self, job: u64, plan: Plan) {
        self.start_spec(job, JobSpec::Mpc(Box::new(plan))).unwrap();
    }

    fn start_spec(&mut self, job: u64, spec: JobSpec) -> Result<(), JobRefused> {
        let mut seed = Zeroizing::new([0; 32]);
        seed[..8].copy_from_slice(&job.to_be_bytes());
        self.workers.start_job(job, spec, seed)
    }

    async fn next(&mut self) -> (u64, JobEvent) {
        match tokio::time::timeout(PATIENCE, self.events.recv()).await {
            Ok(Some(Event::Input(Input::Job { job, event }))) => (job, event),
            Ok(Some(Event::WorkerLost(name))) => panic!("{name} is lost"),
            Ok(_) => panic!("another event"),
            Err(_) => panic!("no event"),
        }
    }

    async fn nothing_comes(&mut self) {
        let event = tokio::time::timeout(Duration::from_millis(200), self.events.recv()).await;
        assert!(event.is_err(), "an event came");
    }
}

fn keygen(session: u8, index: u16) -> Plan {
    Plan::Keygen { execution: ExecutionId([session; 32]), index, parties: 3, threshold: 3 }
}

/// Job numbers: session * 3 + party.
#[tokio::test]
async fn many_ceremonies_on_two_threads_all_come_to_their_end() {
    const SESSIONS: u64 = 40;
    let mut pool = Pool::new(Cggmp24);
    for session in 0..SESSIONS {
        for party in 0..3 {
            pool.start(session * 3 + party, keygen(u8::try_from(session).unwrap(), u16::try_from(party).unwrap()));
        }
    }
    let mut commitments: BTreeMap<u64, Vec<[u8; 32]>> = BTreeMap::new();
    while commitments.values().map(Vec::len).sum::<usize>() < usize::try_from(SESSIONS).unwrap() * 3 {
        let (job, event) = pool.next().await;
        let (session, party) = (job / 3, u16::try_from(job % 3).unwrap());
        match event {
            JobEvent::Send { to, message } => {
                for other in (0..3).filter(|other| *other != party && to.is_none_or(|to| to == *other)) {
                    let receiver = session * 3 + u64::from(other);
                    pool.workers.message(receiver, party, to.is_none(), message.clone()).unwrap();
                }
            }
            JobEvent::Done(Output::KeyShare(share)) => {
                pool.workers.ended(job);
                commitments.entry(session).or_default().push(public::outcome(&share).unwrap().commitment);
            }
            _ => panic!("job {job} ended otherwise"),
        }
    }
    assert!(pool.workers.is_empty());
    for (session, commitments) in commitments {
        assert!(commitments.iter().all(|other| *other == commitments[0]), "session {session}");
    }
}

#[tokio::test]
async fn what_is_no_message_of_the_scheme_ends_the_job_and_names_the_sender() {
    let mut pool = Pool::new(Cggmp24);
    pool.start(1, keygen(1, 0));
    assert!(matches!(pool.next().await, (1, JobEvent::Send { .. })));
    pool.workers.message(1, 2, true, b"garbage".to_vec()).unwrap();
    loop {
        match pool.next().await {
            (1, JobEvent::Send { .. }) => {}
            (1, JobEvent::BadMessage { from: 2, .. }) => break,
            _ => panic!("another end"),
        }
    }
    pool.nothing_comes().await;
}

#[tokio::test]
async fn a_callback_key_is_an_rsa_key_and_does_not_wait_for_primes() {
    let mut pool = Pool::new(Cggmp24);
    for job in 0..3 {
        pool.start_spec(job, JobSpec::Primes).unwrap();
    }
    pool.start_spec(9, JobSpec::CallbackKey).unwrap();
    loop {
        match pool.next().await {
            (9, JobEvent::CallbackKey(der)) => {
                assert_eq!(KeyPair::from_pkcs8(&der).unwrap().public_modulus_len(), 256);
                return;
            }
            (0, JobEvent::PrimesFound(_)) => {}
            _ => panic!("something else came first"),
        }
    }
}

#[tokio::test]
async fn a_search_for_primes_that_is_dropped_lets_the_next_one_begin() {
    let mut pool = Pool::new(Cggmp24);
    for job in 0..20 {
        pool.start_spec(job, JobSpec::Primes).unwrap();
    }
    let start = Instant::now();
    for job in 0..20 {
        while pool.next().await.0 != job {}
        pool.workers.drop_job(job);
    }
    // Twenty searches take minutes.
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn t47_no_more_jobs_than_allowed_run_at_once() {
    let mut pool = Pool::new(Misbehaving::default());
    let max = u64::try_from(MAX_JOBS).unwrap();
    for job in 0..max {
        pool.start(job, waiting());
    }
    let more = JobSpec::Mpc(Box::new(waiting()));
    assert_eq!(pool.start_spec(max, more), Err(JobRefused::TooMany));
    pool.workers.drop_job(7);
    assert_eq!(pool.start_spec(0, JobSpec::Mpc(Box::new(waiting()))), Err(JobRefused::Exists));
    pool.start(max, waiting());
    assert_eq!(pool.workers.len(), MAX_JOBS);
}

#[tokio::test]
async fn t47_a_peer_that_floods_a_job_ends_it_and_no_other() {
    let scheme = Misbehaving::default();
    let alive = scheme.alive.clone();
    let mut pool = Pool::new(scheme);
    pool.start(1, computing());
    pool.start(2, computing());
    let part = MAX_WAITING_JOB_BYTES / 8;
    let sent = (0..64).map(|_| pool.workers.message(1, 1, false, vec![0; part])).find(Result::is_err);
    assert_eq!(sent, Some(Err(JobRefused::Flooded)));
    assert_eq!(pool.workers.message(1, 1, false, vec![0; part]), Ok(()), "a job that is gone needs no message");
    becomes(&alive, 1).await;
    assert_eq!(pool.workers.len(), 1);
}

#[tokio::test]
async fn a_job_that_is_dropped_is_gone_at_once_and_says_nothing() {
    let scheme = Misbehaving::default();
    let alive = scheme.alive.clone();
    let mut pool = Pool::new(scheme);
    for job in 0..4 {
        pool.start(job, if job % 2 == 0 { waiting() } else { computing() });
    }
    becomes(&alive, 4).await;
    for job in 0..4 {
        pool.workers.drop_job(job);
    }
    becomes(&alive, 0).await;
    pool.nothing_comes().await;
}

#[tokio::test]
async fn t15_a_job_that_finishes_computes_with_what_it_was_given_and_says_nothing_to_others() {
    let mut pool = Pool::new(Cggmp24);
    pool.start(1, keygen(1, 0));
    assert!(matches!(pool.next().await, (1, JobEvent::Send { .. })));
    pool.workers.finish_job(1);
    assert!(matches!(pool.next().await, (1, JobEvent::Unfinished)), "it needs more");
    pool.workers.ended(1);
    pool.start(2, keygen(2, 0));
    assert!(matches!(pool.next().await, (2, JobEvent::Send { .. })));
    pool.workers.message(2, 1, true, b"garbage".to_vec()).unwrap();
    pool.workers.finish_job(2);
    assert!(matches!(pool.next().await, (2, JobEvent::BadMessage { from: 1, .. })), "it found it");
    pool.workers.ended(2);
    let mut first = Vec::new();
    for party in 0..3 {
        pool.start(10 + u64::from(party), keygen(3, party));
        let (job, JobEvent::Send { message, .. }) = pool.next().await else { panic!("it says nothing") };
        first.push((job, party, message));
    }
    for (_, party, message) in &first[1..] {
        pool.workers.message(10, *party, true, message.clone()).unwrap();
    }
    pool.workers.finish_job(10);
    assert!(matches!(pool.next().await, (10, JobEvent::Unfinished)), "what it would say next does not leave");
    pool.nothing_comes().await;
}

#[tokio::test]
async fn jobs_end_with_their_workers() {
    let scheme = Misbehaving::default();
    let alive = scheme.alive.clone();
    let mut pool = Pool::new(scheme);
    pool.start(1, waiting());
    pool.start(2, computing());
    becomes(&alive, 2).await;
    drop(pool.workers);
    becomes(&alive, 0).await;
}

#[tokio::test]
async fn a_panic_ends_its_own_job_with_a_failure_and_no_other() {
    let scheme = Misbehaving::default();
    let alive = scheme.alive.clone();
    let mut pool = Pool::new(scheme);
    // One bystander on each thread.
    pool.start(100, waiting());
    pool.start(101, waiting());
    for (job, plan) in [(1, misbehaving(1)), (2, misbehaving(2)), (3, misbehaving(3)), (4, misbehaving(4))] {
        pool.start(job, plan);
        if job == 3 {
            pool.workers.message(job, 1, false, vec![]).unwrap();
        }
        let (ended, event) = pool.next().await;
        assert_eq!(ended, job);
        match (job, event) {
            (4, JobEvent::Failed(Failure::Protocol { .. })) => {}
            (_, JobEvent::Failed(Failure::Internal { .. })) => {}
            _ => panic!("job {job} ended otherwise"),
        }
        pool.workers.ended(job);
    }
    becomes(&alive, 2).await;
    for job in [100, 101] {
        pool.workers.message(job, 1, false, b"end".to_vec()).unwrap();
        assert!(matches!(pool.next().await, (ended, JobEvent::Failed(Failure::Protocol { .. })) if ended == job));
    }
}

async fn becomes(alive: &AtomicUsize, expected: usize) {
    let start = Instant::now();
    while alive.load(Ordering::SeqCst) != expected {
        assert!(start.elapsed() < PATIENCE, "{} are alive", alive.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Machines that do what the index of their plan says.
#[derive(Default)]
struct Misbehaving {
    alive: Arc<AtomicUsize>,
}

const PANICS_AT_START: u16 = 1;
const PANICS_IN_PROCEED: u16 = 2;
const PANICS_IN_RECEIVE: u16 = 3;
const PANICS_IN_DROP: u16 = 4;
const WAITS: u16 = 5;
const COMPUTES: u16 = 6;

fn misbehaving(how: u16) -> Plan {
    Plan::Keygen { execution: ExecutionId([0; 32]), index: how, parties: 3, threshold: 3 }
}

fn waiting() -> Plan {
    misbehaving(WAITS)
}

fn computing() -> Plan {
    misbehaving(COMPUTES)
}

impl Scheme for Misbehaving {
    fn start(&self, plan: Plan, _: Box<dyn CryptoRngCore + Send>) -> Result<Box<dyn Machine>, Failure> {
        let how = plan.index();
        if how == PANICS_AT_START {
            panic!("start");
        }
        self.alive.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Odd { how, ended: false, alive: self.alive.clone() }))
    }
}

struct Odd {
    how: u16,
    ended: bool,
    alive: Arc<AtomicUsize>,
}

impl Machine for Odd {
    fn proceed(&mut self) -> Step {
        let end = Step::Failed(Failure::Protocol { culprit: None, detail: "the end".into() });
        match self.how {
            PANICS_IN_PROCEED => panic!("proceed"),
            PANICS_IN_DROP => end,
            COMPUTES => {
                std::thread::sleep(Duration::from_millis(1));
                Step::Yield
            }
            _ if self.ended => end,
            _ => Step::NeedMessage,
        }
    }

    fn receive(&mut self, _: u16, _: bool, message: &[u8]) -> Result<(), ReceiveError> {
        if self.how == PANICS_IN_RECEIVE {
            panic!("receive");
        }
        self.ended = message == b"end";
        Ok(())
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
        if self.how == PANICS_IN_DROP {
            panic!("drop");
        }
    }
}

#[tokio::test]
async fn auxiliary_information_has_its_own_thread() {
    let scheme = Misbehaving::default();
    let alive = scheme.alive.clone();
    let mut pool = Pool::new(scheme);
    let aux =
        |index| Plan::AuxInfo { execution: ExecutionId([0; 32]), index, parties: 3, primes: Primes::from_vec(vec![]) };
    for job in 0..8 {
        pool.start(job, aux(COMPUTES));
    }
    becomes(&alive, 8).await;
    // All eight compute, one after the other; ceremonies do not notice.
    pool.start(100, misbehaving(PANICS_IN_DROP));
    assert!(matches!(pool.next().await, (100, JobEvent::Failed(_))));
}
