//! Processor time of a full signature: the bare library, our scheme around it, and whole co-signers around that, for the
//! same number of parties in the same run.
//!
//! `COUNTERSIGN_BENCH_REPS=5 cargo bench --profile release --workspace --bench signing_overhead`
//!
//! One repetition makes one signature each way, in turns, all parties on this one thread.
//!
//! - *Bare library*: key shares ready-made, messages as values; nothing is verified that it does not verify on its own.
//! - *Scheme* (`common/mpc`): shares decoded and checked, messages encoded, limited and decoded, every proof verified, the
//!   signature verified.
//! - *Co-signers*: the trusted core of every party around the scheme, from the client's request to the stored signature:
//!   intent, callback, Authorisation, sealed state, Noise channels, signed broadcasts. The simulator's host, coordinator,
//!   client and handler are counted in, since they run on the same thread.
//!
//! Neither has multi-exponentiation tables, which the library takes as an option; `COUNTERSIGN_BENCH_TABLES=1` measures the
//! bare library with them as well, for comparison alone.
//!
//! Scheme and co-signers may cost [`LIMIT`] times the bare library, by the median of the repetitions' ratios. A machine that
//! also does other work makes single ratios waver by a third, so a median over the limit counts only where the ratios show
//! it beyond doubt (a sign test, [`DOUBT`]): until then the bench repeats, [`MOST`] times the repetitions that were asked
//! for. Fails where it is shown; where neither is, it says `NOT DECIDED`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cggmp24::key_share::{AuxInfo, IncompleteKeyShare, KeyShare, Validate};
use cggmp24::signing::msg::Msg;
use cggmp24::signing::{PrehashedDataToSign, Signature, SigningError};
use cosigner_workspace::ceremony::TransactionStatus;
use countersign_mpc::{AuxInfoBytes, Cggmp24, ExecutionId, KeyShareBytes, Machine, Output, Plan, Scheme, Step, public};
use countersign_tests::simulator::{Base, Faults, Setting, World, eip191};
use countersign_wire::ids::TransactionId;
use countersign_wire::key::{DerivationPath, Operation};
use generic_ec::Scalar;
use generic_ec::curves::Secp256k1;
use rand_core::{OsRng, RngCore};
use round_based::state_machine::{ProceedResult, StateMachine, wrap_protocol};
use round_based::{Incoming, MessageDestination, MessageType};
use sha2::Sha256;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Most that ours may cost, in multiples of the bare library.
const LIMIT: f64 = 1.15;
/// Likelihood of as many ratios over the limit by chance, at which a median over it counts.
const DOUBT: f64 = 0.01;
/// Most repetitions, in multiples of those asked for.
const MOST: usize = 3;
const PARTIES: u16 = 3;
const PATH: [u32; 5] = [44, 60, 0, 0, 0];

/// Processor time of this thread, on Linux; elsewhere, wall-clock time, which is right on an idle machine.
fn processor_time(since: Instant) -> Duration {
    let on_processor = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    on_processor
        .and_then(|stat| stat.split_whitespace().next()?.parse().ok())
        .map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// Seconds of processor time that `work` takes.
fn measure<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let origin = Instant::now();
    let before = processor_time(origin);
    let result = work();
    ((processor_time(origin) - before).as_secs_f64(), result)
}

/// Runs our machines to the end, one for each of `parties`.
fn run(parties: &[u16], mut machines: Vec<Box<dyn Machine>>) -> Vec<Output> {
    let mut inboxes: Vec<VecDeque<(u16, bool, Vec<u8>)>> = parties.iter().map(|_| VecDeque::new()).collect();
    let mut outputs: Vec<Option<Output>> = parties.iter().map(|_| None).collect();
    while outputs.iter().any(Option::is_none) {
        for (position, machine) in machines.iter_mut().enumerate() {
            if outputs[position].is_some() {
                continue;
            }
            match machine.proceed() {
                Step::Send { to, message } => {
                    let receives = |party: u16| party != parties[position] && to.is_none_or(|to| to == party);
                    for (inbox, _) in inboxes.iter_mut().zip(parties).filter(|(_, party)| receives(**party)) {
                        inbox.push_back((parties[position], to.is_none(), message.clone()));
                    }
                }
                Step::NeedMessage => {
                    // If there is none, it asks again in the next turn.
                    if let Some((from, broadcast, message)) = inboxes[position].pop_front() {
                        machine.receive(from, broadcast, &message).unwrap();
                    }
                }
                Step::Yield => {}
                Step::Done(output) => outputs[position] = Some(output),
                Step::Failed(failure) => panic!("{failure}"),
            }
        }
    }
    outputs.into_iter().flatten().collect()
}

/// Runs the library's machines to the end, one for each party.
fn run_bare<S>(mut machines: Vec<S>) -> Vec<Signature<Secp256k1>>
where
    S: StateMachine<Msg = Msg<Secp256k1, Sha256>, Output = Result<Signature<Secp256k1>, SigningError>>,
{
    let mut inboxes: Vec<VecDeque<Incoming<S::Msg>>> = machines.iter().map(|_| VecDeque::new()).collect();
    let mut outputs: Vec<Option<Signature<Secp256k1>>> = machines.iter().map(|_| None).collect();
    while outputs.iter().any(Option::is_none) {
        for (position, machine) in machines.iter_mut().enumerate() {
            if outputs[position].is_some() {
                continue;
            }
            match machine.proceed() {
                ProceedResult::SendMsg(outgoing) => {
                    let (msg_type, to) = match outgoing.recipient {
                        MessageDestination::AllParties => (MessageType::Broadcast, None),
                        MessageDestination::OneParty(to) => (MessageType::P2P, Some(usize::from(to))),
                    };
                    let sender = u16::try_from(position).unwrap();
                    let receives = |other: usize| other != position && to.is_none_or(|to| to == other);
                    for (_, inbox) in inboxes.iter_mut().enumerate().filter(|(other, _)| receives(*other)) {
                        inbox.push_back(Incoming { id: 0, sender, msg_type, msg: outgoing.msg.clone() });
                    }
                }
                ProceedResult::NeedsOneMoreMessage => {
                    if let Some(incoming) = inboxes[position].pop_front() {
                        assert!(machine.received_msg(incoming).is_ok());
                    }
                }
                ProceedResult::Yielded => {}
                ProceedResult::Output(signature) => outputs[position] = Some(signature.unwrap()),
                ProceedResult::Error(e) => panic!("{e}"),
            }
        }
    }
    outputs.into_iter().flatten().collect()
}

fn fresh() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

fn keygen(threshold: u16) -> Vec<KeyShareBytes> {
    let (execution, parties) = (ExecutionId(fresh()), PARTIES);
    let machines = (0..parties)
        .map(|index| Cggmp24.start(Plan::Keygen { execution, index, parties, threshold }, Box::new(OsRng)).unwrap())
        .collect();
    let all: Vec<u16> = (0..parties).collect();
    run(&all, machines)
        .into_iter()
        .map(|output| match output {
            Output::KeyShare(share) => share,
            other => panic!("expected a key share, got {other:?}"),
        })
        .collect()
}

/// The first signers of a fresh key, as many as must sign.
struct Group {
    signers: Vec<u16>,
    shares: Vec<KeyShareBytes>,
    aux: Vec<AuxInfoBytes>,
    bare: Vec<KeyShare<Secp256k1>>,
    public_key: [u8; 33],
}

impl Group {
    fn new(threshold: u16) -> Self {
        let signers: Vec<u16> = (0..threshold).collect();
        let shares = keygen(threshold);
        let aux: Vec<AuxInfoBytes> =
            signers.iter().map(|i| cosigner_dev::test_aux_info(usize::from(*i)).unwrap()).collect();
        let bare = shares
            .iter()
            .zip(&aux)
            .map(|(share, aux)| {
                let core: IncompleteKeyShare<Secp256k1> = ciborium::from_reader(share.expose()).unwrap();
                let aux: AuxInfo = ciborium::from_reader(aux.expose()).unwrap();
                KeyShare::from_parts((core, aux)).unwrap()
            })
            .collect();
        let outcome = public::outcome(&shares[0]).unwrap();
        let path = DerivationPath::new(PATH.to_vec()).unwrap();
        let public_key = public::derive(&outcome.public_key, &outcome.chain_code, &path).unwrap();
        Self { signers, shares, aux, bare, public_key }
    }

    fn ours(&self, digest: [u8; 32]) -> f64 {
        let execution = ExecutionId(fresh());
        let (seconds, outputs) = measure(|| {
            let plan = |index: &u16| Plan::Sign {
                execution,
                index: *index,
                signers: self.signers.clone(),
                share: self.shares[usize::from(*index)].duplicate(),
                aux: self.aux[usize::from(*index)].duplicate(),
                path: DerivationPath::new(PATH.to_vec()).unwrap(),
                digest,
            };
            let machines = self.signers.iter().map(|index| Cggmp24.start(plan(index), Box::new(OsRng)).unwrap());
            run(&self.signers, machines.collect())
        });
        for output in outputs {
            let Output::Signature(signature) = output else { panic!("expected a signature, got {output:?}") };
            assert!(public::verify(&self.public_key, &digest, &signature));
        }
        seconds / self.signers.len() as f64
    }

    fn bare(&self, shares: &[KeyShare<Secp256k1>], digest: [u8; 32]) -> f64 {
        let eid = fresh();
        let message = PrehashedDataToSign::from_scalar(Scalar::from_be_bytes_mod_order(digest));
        let (seconds, signatures) = measure(|| {
            let machine = |(index, share): (&u16, _)| {
                let (eid, message, signers, index) = (&eid, &message, &self.signers, *index);
                wrap_protocol(move |party| async move {
                    cggmp24::signing(cggmp24::ExecutionId::new(eid), index, signers, share)
                        .set_derivation_path(PATH)
                        .unwrap()
                        .sign(&mut OsRng, party, message)
                        .await
                })
            };
            run_bare(self.signers.iter().zip(shares).map(machine).collect())
        });
        let same = |signature: &Signature<Secp256k1>| (signature.r, signature.s) == (signatures[0].r, signatures[0].s);
        assert!(signatures.iter().all(same));
        seconds / self.signers.len() as f64
    }

    fn with_tables(&self) -> (f64, Vec<KeyShare<Secp256k1>>) {
        let (seconds, shares) = measure(|| {
            let share = |share: &KeyShare<Secp256k1>| {
                let mut aux = share.aux.clone();
                aux.precompute_multiexp_tables().unwrap();
                let core = share.core.clone();
                KeyShare::from_parts((core.validate().unwrap(), aux.validate().unwrap())).unwrap()
            };
            self.bare.iter().map(share).collect::<Vec<_>>()
        });
        (seconds / self.bare.len() as f64, shares)
    }
}

/// A group of simulated co-signers whose scheme is the real one.
struct CoSigners {
    world: World,
    threshold: u16,
    signed: u8,
}

impl CoSigners {
    /// Simulated time in which a signature is made and told to everybody, in ms.
    const LIMIT_MS: u64 = 30_000;

    fn new(threshold: u16) -> Self {
        let mut world = Base::connected_of(Setting { threshold, ..Setting::default() }, 1, Faults::none());
        for index in 0..usize::from(PARTIES) {
            world.schemes.insert(index, Box::new(Cggmp24));
        }
        Self { world, threshold, signed: 0 }
    }

    fn sign(&mut self) -> f64 {
        self.signed += 1;
        let text = format!("message {}", self.signed);
        let id = TransactionId([self.signed; 16]);
        let request = self.world.request(self.signed, &text, "fine");
        let (seconds, done) = measure(|| {
            self.world.submit(request, eip191(&text), Operation::TypedMessage);
            let done = self.world.run(Self::LIMIT_MS, |w| w.workspace.store.transactions[&id].status.is_final());
            // Whoever was not the first to finish verifies and seals the signature, too.
            self.world.run(2_000, |_| false);
            done
        });
        let transaction = &self.world.workspace.store.transactions[&id];
        assert!(done && transaction.status == TransactionStatus::Completed, "{:?}", transaction.reason);
        seconds / f64::from(self.threshold)
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values.to_vec());
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

fn line(name: &str, seconds: &[f64]) {
    println!("  {name:<28} min {:.3} s  median {:.3} s", sorted(seconds.to_vec())[0], median(seconds));
}

/// What the ratios show of the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Within,
    Over,
    Undecided,
}

impl Verdict {
    fn of(ratios: &[f64]) -> Self {
        let over = ratios.iter().filter(|ratio| **ratio > LIMIT).count();
        match median(ratios) {
            ratio if ratio <= LIMIT => Self::Within,
            _ if at_least(over, ratios.len()) <= DOUBT => Self::Over,
            _ => Self::Undecided,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Over => "OVER",
            Self::Undecided => "NOT DECIDED, limit",
        }
    }
}

/// Likelihood of `successes` or more in `tries` of a fair coin.
fn at_least(successes: usize, tries: usize) -> f64 {
    // The row of Pascal's triangle, each entry halved as often as there are tries.
    let mut row = vec![1.0];
    for _ in 0..tries {
        let next = (0..=row.len()).map(|k| (row.get(k).unwrap_or(&0.0) + if k > 0 { row[k - 1] } else { 0.0 }) / 2.0);
        row = next.collect();
    }
    row[successes..].iter().sum()
}

fn ratios(ours: &[f64], bare: &[f64]) -> Vec<f64> {
    ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect()
}

/// Prints how ours compares.
fn report(name: &str, ours: &[f64], bare: &[f64]) -> Verdict {
    let ratios = ratios(ours, bare);
    let verdict = Verdict::of(&ratios);
    let ratio = median(&ratios);
    let sorted = sorted(ratios);
    let (lowest, highest) = (sorted[0], sorted[sorted.len() - 1]);
    line(name, ours);
    println!(
        "    ratio                      median {ratio:.3} (from {lowest:.3} to {highest:.3}): {} {LIMIT}",
        verdict.word()
    );
    verdict
}

fn compare(threshold: u16, reps: usize, tables: bool) -> [Verdict; 2] {
    let group = Group::new(threshold);
    let mut cosigners = CoSigners::new(threshold);
    let (mut bare, mut scheme, mut whole) = (vec![], vec![], vec![]);
    let undecided = |ours: &[f64], bare: &[f64]| Verdict::of(&ratios(ours, bare)) == Verdict::Undecided;
    for rep in 0..reps * MOST {
        if rep >= reps && !undecided(&scheme, &bare) && !undecided(&whole, &bare) {
            break;
        }
        let digest = fresh();
        // Whoever comes later finds warmer caches: in turns.
        if rep % 2 == 0 {
            bare.push(group.bare(&group.bare, digest));
            scheme.push(group.ours(digest));
            whole.push(cosigners.sign());
        } else {
            whole.push(cosigners.sign());
            scheme.push(group.ours(digest));
            bare.push(group.bare(&group.bare, digest));
        }
    }
    println!("{threshold}-of-{PARTIES}, processor time a party and signature, {} repetitions", bare.len());
    line("bare library", &bare);
    let verdicts = [report("scheme", &scheme, &bare), report("co-signers", &whole, &bare)];
    if tables {
        let (once, shares) = group.with_tables();
        let seconds: Vec<f64> = (0..reps).map(|_| group.bare(&shares, fresh())).collect();
        line("bare library with tables", &seconds);
        println!("  tables are made once, in     {once:.2} s a party");
    }
    verdicts
}

fn main() -> ExitCode {
    let reps =
        std::env::var("COUNTERSIGN_BENCH_REPS").ok().and_then(|reps| reps.parse().ok()).unwrap_or(5_usize).clamp(1, 80);
    let tables = std::env::var("COUNTERSIGN_BENCH_TABLES").is_ok_and(|value| value == "1");
    let verdicts: Vec<Verdict> = [2, 3].into_iter().flat_map(|threshold| compare(threshold, reps, tables)).collect();
    if verdicts.contains(&Verdict::Over) {
        return ExitCode::FAILURE;
    }
    if verdicts.contains(&Verdict::Undecided) {
        println!("overhead NOT DECIDED: this machine is too unquiet; COUNTERSIGN_BENCH_REPS=N repeats it more often");
    }
    ExitCode::SUCCESS
}
