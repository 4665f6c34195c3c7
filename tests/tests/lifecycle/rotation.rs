//! Operators rotate the sealing key of a co-signer that works, and whose host and key service do as they like.

use super::CUSTOMER;
use cosigner_core::{Effect, Input};
use countersign_tests::simulator::{Base, Faults, KeyServiceFault, SimulatedCli, World, eip191};
use countersign_wire::Text;
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::command::Change;
use countersign_wire::ids::TransactionId;
use countersign_wire::key::Operation;
use countersign_wire::refusal::Code;
use std::sync::{Arc, Mutex};

const NEXT: &str = "simulated, next";

fn rotation(to: &str) -> Change {
    Change::RotateSealingKey { sealing_key: Text::new(to).unwrap() }
}

fn rotated() -> AdminResponse {
    AdminResponse::Done(Done::SealingKeyRotated)
}

fn sealing_key(world: &mut World) -> (String, u64) {
    let mut cli = world.cli(CUSTOMER);
    let AdminResponse::Described(description) = cli.ask(world, &AdminRequest::Describe) else {
        panic!("no description")
    };
    (description.sealing_key.to_string(), description.settings_epoch)
}

/// It reads what is stored, and serves.
fn restarts(world: &mut World) {
    world.crash_keeping(CUSTOMER, usize::MAX);
    world.run(10_000, |_| false);
    let core = world.cosigners[CUSTOMER].core.as_ref().unwrap();
    assert_eq!(core.failure(), None);
}

#[test]
fn a_co_signer_signs_on_under_its_new_sealing_key_and_after_a_restart() {
    let mut world = Base::connected(1, Faults::none());
    let (before, epoch) = sealing_key(&mut world);
    assert_eq!(before, "simulated");
    let mut cli = world.cli(CUSTOMER);
    assert_eq!(cli.change(&mut world, rotation(NEXT)), rotated());
    assert_eq!(sealing_key(&mut world), (NEXT.to_owned(), epoch + 1));
    sign(&mut world, 1);
    restarts(&mut world);
    assert_eq!(sealing_key(&mut world), (NEXT.to_owned(), epoch + 1));
    // Once more, under the same key of the key service.
    let mut cli = world.cli(CUSTOMER);
    assert_eq!(cli.change(&mut world, rotation(NEXT)), rotated());
    restarts(&mut world);
    sign(&mut world, 2);
}

fn sign(world: &mut World, n: u8) {
    let text = format!("message {n}");
    world.submit(world.request(n, &text, "fine"), eip191(&text), Operation::TypedMessage);
    let id = TransactionId([n; 16]);
    assert!(world.run(60_000, |w| w.workspace.store.transactions[&id].status.is_final()), "it ends");
    assert!(world.signed(&eip191(&text)));
}

#[test]
fn a_key_service_at_fault_leaves_everything_as_it_was() {
    for fault in [
        KeyServiceFault::RefusesToMake,
        KeyServiceFault::RefusesToUnwrap,
        KeyServiceFault::UsesAnotherKey,
        KeyServiceFault::UnwrapsSomethingElse,
    ] {
        let mut world = Base::connected(1, Faults::none());
        let before = sealing_key(&mut world);
        world.key_service.fault = Some(fault);
        let mut cli = world.cli(CUSTOMER);
        let answer = cli.change(&mut world, rotation(NEXT));
        assert!(matches!(&answer, AdminResponse::Refused(refusal) if refusal.code == Code::KeyService), "{fault:?}");
        world.key_service.fault = None;
        assert_eq!(sealing_key(&mut world), before);
        restarts(&mut world);
        assert_eq!(sealing_key(&mut world), before);
        let mut cli = world.cli(CUSTOMER);
        assert_eq!(cli.change(&mut world, rotation(NEXT)), rotated(), "and it can be tried again");
    }
}

/// What the customer's co-signer had stored: for each batch, whether the root was among it.
fn watch(world: &mut World) -> Arc<Mutex<Vec<bool>>> {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&stored);
    world.on_effect = Some(Box::new(move |i, effect| match effect {
        Effect::Persist { writes, .. } if i == CUSTOMER => {
            seen.lock().unwrap().push(writes.iter().any(|write| &*write.name == "root"));
        }
        _ => {}
    }));
    stored
}

fn send(world: &mut World, cli: &mut SimulatedCli, change: Change) {
    let base = Arc::clone(&world.base);
    let signed = cli.signed(world, change, &base.operator);
    for packet in cli.sealed(&AdminRequest::Command(signed)) {
        world.input(CUSTOMER, 1, Input::Admin { connection: cli.connection(), packet });
    }
}

#[test]
fn a_power_failure_leaves_the_former_or_the_new_root_and_both_open() {
    for durable in [false, true] {
        let mut world = Base::connected(1, Faults::none());
        let stored = watch(&mut world);
        world.stalled = Some(CUSTOMER);
        let mut cli = world.cli(CUSTOMER);
        send(&mut world, &mut cli, rotation(NEXT));
        assert!(world.run(10_000, |_| stored.lock().unwrap().contains(&true)), "the new root is to be stored");
        world.stalled = None;
        world.crash_keeping(CUSTOMER, if durable { usize::MAX } else { 0 });
        world.run(10_000, |_| false);
        let (key, _) = sealing_key(&mut world);
        assert_eq!(key, if durable { NEXT } else { "simulated" });
        sign(&mut world, 1);
    }
}

#[test]
fn a_rotation_during_which_the_host_was_away_is_void() {
    for step in 0..2 {
        let mut world = Base::connected(1, Faults::none());
        let before = sealing_key(&mut world);
        let asked = Arc::new(Mutex::new(0));
        let questions = Arc::clone(&asked);
        world.on_effect = Some(Box::new(move |i, effect| {
            if i == CUSTOMER && matches!(effect, Effect::GenerateSealingKey { .. } | Effect::UnwrapSealingKey { .. }) {
                *questions.lock().unwrap() += 1;
            }
        }));
        let mut cli = world.cli(CUSTOMER);
        send(&mut world, &mut cli, rotation(NEXT));
        assert!(world.run(1_000, |_| *asked.lock().unwrap() == step + 1), "the key service is asked");
        world.input(CUSTOMER, 1, Input::HostGone);
        world.input(CUSTOMER, 2, Input::HostConnected);
        world.run(10_000, |_| false);
        assert_eq!(*asked.lock().unwrap(), step + 1, "nothing more is asked for it");
        assert_eq!(sealing_key(&mut world), before);
        let mut cli = world.cli(CUSTOMER);
        assert_eq!(cli.change(&mut world, rotation(NEXT)), rotated(), "the next one is not kept waiting");
    }
}

#[test]
fn one_rotation_at_a_time() {
    let mut world = Base::connected(1, Faults::none());
    let mut cli = world.cli(CUSTOMER);
    let mut second = world.cli(CUSTOMER);
    let base = Arc::clone(&world.base);
    let signed = second.signed(&mut world, rotation("simulated, third"), &base.operator);
    send(&mut world, &mut cli, rotation(NEXT));
    let answer = second.ask(&mut world, &AdminRequest::Command(signed));
    assert!(matches!(&answer, AdminResponse::Refused(refusal) if refusal.code == Code::Busy), "{answer:?}");
    world.run(10_000, |_| false);
    assert_eq!(sealing_key(&mut world).0, NEXT);
}
