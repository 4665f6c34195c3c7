//! An enclave that found no state is not one that has none for ever: the host may have lost its disk for a while.

use super::CUSTOMER;
use cosigner_core::{Core, Effect, Input};
use countersign_tests::simulator::{Base, Faults, SimulatedCli, World};
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::command::Change;
use countersign_wire::ids::OperatorId;
use countersign_wire::{List, Text};
use std::sync::{Arc, Mutex};

fn asks_for_blobs(effects: &[Effect]) -> bool {
    effects.iter().any(|e| matches!(e, Effect::LoadBlobs))
}

#[test]
fn a_fresh_enclave_looks_again_whenever_its_host_comes_back() {
    let world = Base::connected(1, Faults::none());
    let blobs = world.cosigners[CUSTOMER].disk.blobs.clone();
    for is_told_that_the_host_went in [true, false] {
        let mut core = Core::new(world.capabilities(CUSTOMER, [5; 32]), world.now);
        assert!(asks_for_blobs(&core.step(world.now, Input::HostConnected)));
        core.step(world.now, Input::BlobsEnd { count: 0 });
        if is_told_that_the_host_went {
            core.step(world.now, Input::HostGone);
        }
        // Now the right disk is there.
        assert!(asks_for_blobs(&core.step(world.now, Input::HostConnected)));
        for (name, value) in &blobs {
            core.step(world.now, Input::Blob { name: name.clone(), value: value.clone() });
        }
        let effects = core.step(world.now, Input::BlobsEnd { count: blobs.len() as u64 });
        assert!(effects.iter().any(|e| matches!(e, Effect::UnwrapSealingKey { .. })), "it opens what is there");
        assert!(core.failure().is_none());
    }
}

#[test]
fn an_admin_who_comes_before_the_state_is_read_is_not_kept_waiting() {
    let world = Base::connected(1, Faults::none());
    let mut core = Core::new(world.capabilities(CUSTOMER, [5; 32]), world.now);
    core.step(world.now, Input::HostConnected);
    core.step(world.now, Input::AdminOpened { connection: 1 });
    let effects = core.step(world.now, Input::Admin { connection: 1, packet: vec![1] });
    assert!(effects.iter().any(|e| matches!(e, Effect::AdminClose { connection: 1 })));
}

/// For each batch, whether it is to be stored only where nothing is.
type Batches = Arc<Mutex<Vec<bool>>>;
/// How often the key service was asked for a root key.
type Questions = Arc<Mutex<usize>>;

/// The customer's co-signer with an empty disk.
fn unclaimed() -> (World, Batches, Questions) {
    let mut world = Base::connected(1, Faults::none());
    world.workspace.silent = true;
    world.crash_keeping(CUSTOMER, 0);
    world.cosigners[CUSTOMER].disk.blobs.clear();
    let (stored, asked) = (Batches::default(), Questions::default());
    let (batches, questions) = (Arc::clone(&stored), Arc::clone(&asked));
    world.on_effect = Some(Box::new(move |i, effect| match effect {
        Effect::Persist { fresh, .. } if i == CUSTOMER => batches.lock().unwrap().push(*fresh),
        Effect::GenerateSealingKey { .. } if i == CUSTOMER => *questions.lock().unwrap() += 1,
        _ => {}
    }));
    world.run(10_000, |_| false);
    (world, stored, asked)
}

fn claim(world: &World) -> Change {
    let operator = (OperatorId(world.base.operator.public()), Text::new("operator").unwrap());
    Change::Claim {
        operators: List::new(vec![operator]).unwrap(),
        required: 1,
        sealing_key: Text::new("simulated").unwrap(),
    }
}

#[test]
fn only_the_first_batch_of_a_claim_asks_for_an_empty_store() {
    let (mut world, stored, _) = unclaimed();
    let mut cli = SimulatedCli::open(&mut world, CUSTOMER, 77);
    let change = claim(&world);
    assert_eq!(cli.change(&mut world, change), AdminResponse::Done(Done::Claimed));
    world.run(60_000, |_| false);
    let client = countersign_tests::simulator::Client::new("client-9");
    let pairing = countersign_wire::ids::PairingId([1; 16]);
    cli.change(&mut world, Change::AddInitiator { pairing, initiator: client.initiator() });
    world.crash_keeping(CUSTOMER, usize::MAX);
    world.run(60_000, |_| false);
    let stored = stored.lock().unwrap();
    assert_eq!(stored.first(), Some(&true), "it must replace nobody's state");
    assert!(stored[1..].iter().all(|fresh| !fresh), "{stored:?}");
}

#[test]
fn a_claim_during_which_the_host_was_away_is_void() {
    for comes_back_before_the_answer in [true, false] {
        let (mut world, stored, asked) = unclaimed();
        let mut cli = SimulatedCli::open(&mut world, CUSTOMER, 77);
        let (change, operator) = (claim(&world), Arc::clone(&world.base));
        let signed = cli.signed(&mut world, change, &operator.operator);
        for packet in cli.sealed(&AdminRequest::Command(signed)) {
            world.input(CUSTOMER, 1, Input::Admin { connection: cli.connection(), packet });
        }
        assert!(world.run(1_000, |_| *asked.lock().unwrap() == 1), "the key service is asked");
        world.input(CUSTOMER, 1, Input::HostGone);
        world.input(CUSTOMER, if comes_back_before_the_answer { 2 } else { 100 }, Input::HostConnected);
        world.run(10_000, |_| false);
        assert!(stored.lock().unwrap().is_empty(), "nothing is stored for it");
        // It can be claimed, as somebody else.
        let mut cli = SimulatedCli::open(&mut world, CUSTOMER, 78);
        let change = claim(&world);
        assert_eq!(cli.change(&mut world, change), AdminResponse::Done(Done::Claimed));
    }
}
