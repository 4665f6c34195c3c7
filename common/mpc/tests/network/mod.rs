//! Parties in one process with a network between them that a test can tamper with.

#![allow(dead_code)] // Every test binary uses another part of it.

use countersign_mpc::{
    AuxInfoBytes, Cggmp24, ExecutionId, Failure, KeyShareBytes, Machine, Output, Plan, Primes, ReceiveError, Scheme,
    Step,
};
use countersign_wire::key::{DerivationPath, EcdsaSignature};
use rand_core::{OsRng, RngCore};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

/// One message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub from: u16,
    pub to: u16,
    pub broadcast: bool,
    pub message: Vec<u8>,
}

/// What became of one run.
#[derive(Debug, Default)]
pub struct Report {
    /// By party, in order; a party that still waits when nothing moves any more is not in it.
    pub results: BTreeMap<u16, Result<Output, Failure>>,
    /// Messages that were not taken.
    pub refused: Vec<(Packet, ReceiveError)>,
    /// Length of the longest message.
    pub longest: usize,
}

/// Runs all machines to the end. `tamper` sees every packet and says what is delivered instead.
pub fn run(mut machines: BTreeMap<u16, Box<dyn Machine>>, mut tamper: impl FnMut(Packet) -> Vec<Packet>) -> Report {
    let parties: Vec<u16> = machines.keys().copied().collect();
    let mut inboxes: BTreeMap<u16, VecDeque<Packet>> = BTreeMap::new();
    let mut report = Report::default();
    loop {
        let mut moved = false;
        for party in &parties {
            let Some(machine) = machines.get_mut(party) else { continue };
            loop {
                match machine.proceed() {
                    Step::Yield => {}
                    Step::Send { to, message } => {
                        report.longest = report.longest.max(message.len());
                        let receivers: Vec<u16> = match to {
                            Some(to) => vec![to],
                            None => parties.iter().copied().filter(|other| other != party).collect(),
                        };
                        for receiver in receivers {
                            let broadcast = to.is_none();
                            let packet = Packet { from: *party, to: receiver, broadcast, message: message.clone() };
                            for packet in tamper(packet) {
                                inboxes.entry(packet.to).or_default().push_back(packet);
                            }
                        }
                    }
                    Step::NeedMessage => {
                        let mut taken = false;
                        while let Some(packet) = inboxes.entry(*party).or_default().pop_front() {
                            match machine.receive(packet.from, packet.broadcast, &packet.message) {
                                Ok(()) => {
                                    taken = true;
                                    break;
                                }
                                Err(e) => report.refused.push((packet, e)),
                            }
                        }
                        if !taken {
                            break;
                        }
                    }
                    Step::Done(output) => {
                        report.results.insert(*party, Ok(output));
                        machines.remove(party);
                        moved = true;
                        break;
                    }
                    Step::Failed(failure) => {
                        report.results.insert(*party, Err(failure));
                        machines.remove(party);
                        moved = true;
                        break;
                    }
                }
                moved = true;
            }
        }
        let waiting = inboxes.iter().any(|(party, inbox)| machines.contains_key(party) && !inbox.is_empty());
        if !moved || (machines.is_empty() && !waiting) {
            return report;
        }
    }
}

/// A network that delivers everything once, as it is.
pub fn honest(packet: Packet) -> Vec<Packet> {
    vec![packet]
}

pub fn start(plan: Plan) -> Box<dyn Machine> {
    Cggmp24.start(plan, Box::new(OsRng)).unwrap()
}

pub fn fresh_execution() -> ExecutionId {
    let mut id = [0; 32];
    OsRng.fill_bytes(&mut id);
    ExecutionId(id)
}

pub fn machines(plans: impl IntoIterator<Item = Plan>) -> BTreeMap<u16, Box<dyn Machine>> {
    plans.into_iter().map(|plan| (plan.index(), start(plan))).collect()
}

pub fn keygen_plans(parties: u16, threshold: u16) -> Vec<Plan> {
    let execution = fresh_execution();
    (0..parties).map(|index| Plan::Keygen { execution, index, parties, threshold }).collect()
}

pub fn keygen(parties: u16, threshold: u16) -> Vec<KeyShareBytes> {
    shares(run(machines(keygen_plans(parties, threshold)), honest))
}

pub fn shares(report: Report) -> Vec<KeyShareBytes> {
    report
        .results
        .into_values()
        .map(|result| match result {
            Ok(Output::KeyShare(share)) => share,
            other => panic!("expected a key share, got {other:?}"),
        })
        .collect()
}

pub fn aux_infos(report: Report) -> Vec<AuxInfoBytes> {
    report
        .results
        .into_values()
        .map(|result| match result {
            Ok(Output::AuxInfo(aux)) => aux,
            other => panic!("expected auxiliary information, got {other:?}"),
        })
        .collect()
}

pub fn sign_plans(
    signers: &[u16],
    shares: &[KeyShareBytes],
    aux: &[AuxInfoBytes],
    path: &DerivationPath,
    digest: [u8; 32],
) -> Vec<Plan> {
    let execution = fresh_execution();
    signers
        .iter()
        .map(|index| Plan::Sign {
            execution,
            index: *index,
            signers: signers.to_vec(),
            share: shares[usize::from(*index)].duplicate(),
            aux: aux[usize::from(*index)].duplicate(),
            path: path.clone(),
            digest,
        })
        .collect()
}

/// All signatures of a run, one a party.
pub fn signatures(report: Report) -> Vec<EcdsaSignature> {
    report
        .results
        .into_values()
        .map(|result| match result {
            Ok(Output::Signature(signature)) => signature,
            other => panic!("expected a signature, got {other:?}"),
        })
        .collect()
}

pub fn path(elements: &[u32]) -> DerivationPath {
    DerivationPath::new(elements.to_vec()).unwrap()
}

pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../enclave/dev/fixtures")
}

/// The committed primes of one test party.
pub fn fixture_primes(party: usize) -> Primes {
    Primes::from_vec(std::fs::read(fixtures().join(format!("primes-{party}.cbor"))).unwrap())
}

/// The committed auxiliary information of the group of three test parties.
pub fn fixture_aux() -> Vec<AuxInfoBytes> {
    (0..3)
        .map(|party| AuxInfoBytes::from_vec(std::fs::read(fixtures().join(format!("aux-3-{party}.cbor"))).unwrap()))
        .collect()
}
