//! One malicious co-signer of the group: what its own channel proves is held against it, and what nobody can prove
//! suspends the key without a name.

use super::{ALL, CUSTOMER};
use countersign_tests::simulator::{
    Base, Client, Echoing, Fault, Faults, Faulty, KEY, SimulatedCosigner, VAULT, World, session,
};
use countersign_wire::admin::{AdminResponse, Done};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::command::Change;
use countersign_wire::ids::PartyId;
use countersign_wire::key::KeyStatus;
use countersign_wire::refusal::{Code, Refusal};

/// The malicious one.
pub const MALLORY: usize = 2;
/// Its victims.
const HONEST: [usize; 2] = [0, 1];

pub fn world_with(fault: Fault, at: usize) -> World {
    let mut world = Base::connected(1, Faults::none()).hostile();
    let inner = Box::new(world.scheme.clone());
    world.schemes.insert(at, Box::new(Faulty { inner, fault }));
    world
}

/// Everybody signs a new message. Returns what each said, in the order of `ALL`.
pub fn attempt(world: &mut World, n: u8) -> Vec<Vec<CosignerMessage>> {
    let body = Client::message_body(&format!("message {n}"), "fine", None, VAULT);
    let request = world.request_with(n, body, &format!("nonce-{n}"));
    let authorisation = world.authorise(CUSTOMER, &request).expect("authorised");
    let said = world.session_of(session(n), &[0, 1, 2], &World::signing(&request, &authorisation, 0));
    ALL.map(|i| said[usize::from(world.index(i))].clone()).to_vec()
}

pub fn aborts(said: &[CosignerMessage]) -> Vec<(Refusal, Option<PartyId>)> {
    let abort = |m: &CosignerMessage| match m {
        CosignerMessage::Aborted { refusal, blamed, .. } => Some((refusal.clone(), *blamed)),
        _ => None,
    };
    said.iter().filter_map(abort).collect()
}

fn is_done(said: &[CosignerMessage]) -> bool {
    said.iter().any(|m| matches!(m, CosignerMessage::SignatureDone { .. }))
}

fn restart(world: &mut World) {
    for i in ALL {
        world.crash_keeping(i, usize::MAX);
    }
    assert!(world.run(30_000, |w| w.cosigners.iter().take(3).all(|c| c.link_open)));
}

fn clear(world: &mut World, i: usize) {
    let pairing = world.cosigners[i].pairing.unwrap();
    let cleared = world.operator(i, Change::ClearQuarantine { pairing, key: KEY });
    assert_eq!(cleared, AdminResponse::Done(Done::QuarantineCleared));
}

/// The key stays quarantined at `by` for good: Mallory is honest again, time passes, everybody restarts.
pub fn assert_quarantined_until_cleared(world: &mut World, by: &[usize]) {
    world.schemes.clear();
    for n in [101, 102] {
        let said = attempt(world, n);
        for i in by {
            let codes: Vec<Code> = aborts(&said[*i]).iter().map(|(refusal, _)| refusal.code).collect();
            assert_eq!(codes, [Code::Quarantined], "{i}: {:?}", said[*i]);
        }
        assert!(!said.iter().any(|s| is_done(s)), "{said:?}");
        world.run(3_600_000, |_| false);
        restart(world);
    }
    for i in by {
        clear(world, *i);
    }
    let said = attempt(world, 103);
    assert!(said.iter().all(|s| is_done(s)), "{said:?}");
}

/// The key is suspended at `at` for good, and nobody is named.
pub fn assert_suspended_until_cleared(world: &mut World, at: usize) {
    world.schemes.clear();
    for n in [101, 102] {
        assert_eq!(world.key_at(at, &KEY).unwrap().status, KeyStatus::Error);
        let body = Client::message_body("again", "fine", None, VAULT);
        let request = world.request_with(n, body, &format!("nonce-{n}"));
        assert_eq!(world.authorise(at, &request).unwrap_err().code, Code::Quarantined);
        world.run(3_600_000, |_| false);
        restart(world);
    }
    clear(world, at);
    let said = attempt(world, 103);
    assert!(said.iter().all(|s| is_done(s)), "{said:?}");
}

#[test]
fn t15_a_peer_that_sends_what_no_honest_one_sends_is_quarantined_until_operators_lift_it() {
    let mut world = world_with(Fault::Garbage, MALLORY);
    let said = attempt(&mut world, 1);
    let mallory = world.party(MALLORY);
    let mut by = Vec::new();
    for i in HONEST {
        for (refusal, blamed) in aborts(&said[i]) {
            match blamed {
                Some(party) => {
                    assert_eq!((party, refusal.code), (mallory, Code::PeerMisbehaved));
                    by.push(i);
                }
                None => assert_eq!(refusal.code, Code::Cancelled, "the other one gave up first: {refusal}"),
            }
        }
        assert_eq!(world.key_at(i, &KEY).unwrap().status, KeyStatus::Ready, "the key itself is sound");
    }
    assert!(!by.is_empty(), "{said:?}");
    assert!(aborts(&said[MALLORY]).iter().all(|(_, blamed)| blamed.is_none()));
    assert_quarantined_until_cleared(&mut world, &by);
}

#[test]
fn t15_a_peer_whose_proof_is_shown_to_be_false_is_quarantined_until_operators_lift_it() {
    let index = Base::connected(1, Faults::none()).index(MALLORY);
    let mut world = world_with(Fault::Convicts(index), CUSTOMER);
    let said = attempt(&mut world, 1);
    let [(refusal, blamed)] = &aborts(&said[CUSTOMER])[..] else { panic!("{said:?}") };
    assert_eq!((refusal.code, *blamed), (Code::PeerMisbehaved, Some(world.party(MALLORY))));
    assert_quarantined_until_cleared(&mut world, &[CUSTOMER]);
}

#[test]
fn t15_where_the_culprit_cannot_be_shown_the_key_is_suspended_and_nobody_named() {
    for fault in [Fault::FindsFalseProof, Fault::WrongSignature] {
        let mut world = world_with(fault, CUSTOMER);
        let said = attempt(&mut world, 1);
        let [(refusal, blamed)] = &aborts(&said[CUSTOMER])[..] else { panic!("{fault:?}: {said:?}") };
        assert_eq!((refusal.code, *blamed), (Code::ProtocolAborted, None), "{fault:?}");
        assert!(!is_done(&said[CUSTOMER]), "{fault:?}");
        assert_suspended_until_cleared(&mut world, CUSTOMER);
    }
}

#[test]
fn t15_a_timeout_is_retryable_under_the_same_authorisation() {
    let mut world = world_with(Fault::Silent, MALLORY);
    let request = world.request(1, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    let work = World::signing(&request, &authorisation, 0);
    for n in 1..4 {
        let said = world.session_of(session(n), &[0, 1, 2], &work);
        for (refusal, blamed) in said.iter().flat_map(|s| aborts(s)) {
            assert_eq!((refusal.code, blamed), (Code::Timeout, None));
        }
        assert!(!said.iter().any(|s| is_done(s)));
    }
    world.schemes.clear();
    let said = world.session_of(session(9), &[0, 1, 2], &work);
    assert!(said.iter().all(|s| is_done(s)), "{said:?}");
}

#[test]
fn t18_a_false_alarm_about_broadcasts_suspends_the_key_and_convicts_nobody() {
    let mut world = world_with(Fault::FindsInconsistency, CUSTOMER);
    let said = attempt(&mut world, 1);
    assert!(said.iter().flat_map(|s| aborts(s)).all(|(_, blamed)| blamed.is_none()), "{said:?}");
    for i in [1, 2] {
        assert_eq!(world.key_at(i, &KEY).unwrap().status, KeyStatus::Ready);
    }
    assert_suspended_until_cleared(&mut world, CUSTOMER);
}

/// A world in which Mallory's machine runs twice from the same randomness, one for each victim: what each victim gets is
/// genuinely signed, and differs.
fn equivocating(seed: u64) -> World {
    const TWIN: usize = 3;
    let mut world = Base::world(seed, Faults::none()).hostile();
    let mallory = &world.cosigners[MALLORY];
    let mut twin = SimulatedCosigner::new(mallory.disk.clone());
    (twin.party, twin.pairing) = (mallory.party, mallory.pairing);
    world.cosigners.push(twin);
    for i in [MALLORY, TWIN] {
        world.boot_with(i, [9; 32]);
    }
    let parties: Vec<PartyId> = ALL.iter().map(|i| world.party(*i)).collect();
    world.on_route = Some(Box::new(move |from, to| {
        let to = parties.iter().position(|p| *p == to)?;
        match (from, to) {
            (0, MALLORY) => Some(MALLORY),
            (1, MALLORY) => Some(TWIN),
            (MALLORY, 1) | (TWIN, 0) => None,
            _ => Some(to),
        }
    }));
    for (i, lie) in [(0, None), (1, None), (MALLORY, Some(1)), (TWIN, Some(2))] {
        let inner = world.scheme.clone();
        world.schemes.insert(i, Box::new(Echoing { inner, lie }));
    }
    assert!(world.run(60_000, |w| w.cosigners.iter().all(|c| c.link_open)));
    world.run(1_000, |_| false);
    world
}

#[test]
fn t18_a_party_that_says_different_things_to_different_parties_is_named_by_all_of_them() {
    for seed in 0..25 {
        let mut world = equivocating(seed);
        let mallory = world.party(MALLORY);
        let said = attempt(&mut world, 1);
        for i in HONEST {
            assert!(!is_done(&said[i]), "seed {seed}");
            let named: Vec<PartyId> = aborts(&said[i]).iter().filter_map(|(_, blamed)| *blamed).collect();
            assert_eq!(named, [mallory], "seed {seed}, at {i}: {:?}", said[i]);
            let key = world.key_at(i, &KEY).unwrap();
            assert_eq!(key.status, KeyStatus::Ready, "seed {seed}: the culprit is known: {}", key.detail);
        }
        if seed == 0 {
            let twin = &mut world.cosigners[3];
            (twin.core, twin.party, twin.link_open, twin.wake_at) = (None, None, false, None);
            twin.generation += 1;
            world.on_route = None;
            world.crash_keeping(MALLORY, usize::MAX);
            assert!(world.run(30_000, |w| w.cosigners[MALLORY].link_open));
            assert_quarantined_until_cleared(&mut world, &HONEST);
        }
    }
}

#[test]
fn t15_a_conviction_resolves_no_failure_but_the_one_that_it_is_about() {
    let mut convictions = 0;
    for seed in 0..10 {
        let mut world = equivocating(seed);
        let inner = Box::new(Echoing { inner: world.scheme.clone(), lie: None });
        world.schemes.insert(CUSTOMER, Box::new(Faulty { inner, fault: Fault::MistakesInconsistency }));
        let said = attempt(&mut world, 1);
        let aborted = aborts(&said[CUSTOMER]);
        if aborted.iter().any(|(refusal, blamed)| refusal.code == Code::ProtocolAborted && blamed.is_none()) {
            convictions += aborted.iter().filter(|(_, blamed)| blamed.is_some()).count();
            assert_eq!(world.key_at(CUSTOMER, &KEY).unwrap().status, KeyStatus::Error, "seed {seed}: {aborted:?}");
        }
    }
    assert!(convictions > 0, "no seed showed it");
}

#[test]
fn t15_a_failure_ends_the_other_sessions_with_that_key_too() {
    let mut world = world_with(Fault::FindsFalseProof, CUSTOMER);
    let mut prepared = Vec::new();
    for n in 1..4 {
        let body = Client::message_body(&format!("message {n}"), "fine", None, VAULT);
        let request = world.request_with(n, body, &format!("nonce-{n}"));
        let authorisation = world.authorise(CUSTOMER, &request).unwrap();
        let work = World::signing(&request, &authorisation, 0);
        let readies: Vec<_> =
            [0, 1, 2].map(|index| world.prepare(world.at_index(index), session(n), &work).ready()).to_vec();
        prepared.push((session(n), readies));
    }
    // One hangs because a peer hears nothing of it, one fails, one is not started yet.
    let before = world.workspace.heard.len();
    world.start_at(CUSTOMER, prepared[0].0, &[0, 1, 2], &prepared[0].1);
    for i in ALL {
        world.start_at(i, prepared[1].0, &[0, 1, 2], &prepared[1].1);
    }
    world.run(1_500, |_| false);
    let after_failure: Vec<Code> = aborts(&world.heard_since(before, CUSTOMER)).iter().map(|(r, _)| r.code).collect();
    assert_eq!(after_failure.len(), 2, "{after_failure:?}");
    assert!(
        after_failure.contains(&Code::ProtocolAborted) && after_failure.contains(&Code::Quarantined),
        "{after_failure:?}"
    );
    let executions = world.executions();
    let before = world.workspace.heard.len();
    world.start_at(CUSTOMER, prepared[2].0, &[0, 1, 2], &prepared[2].1);
    world.run(400, |_| false);
    let codes: Vec<Code> = aborts(&world.heard_since(before, CUSTOMER)).iter().map(|(r, _)| r.code).collect();
    assert_eq!((codes, world.executions()), (vec![Code::Quarantined], executions));
}
