//! Who is told that nobody wants a transaction any more.

use super::single::{KEY, TX, clouds, customer, ready_world, status};
use super::world::World;
use crate::ceremony::{Input, TransactionStatus};
use countersign_wire::ids::TransactionId;

const MINUTE_MS: u64 = 60_000;

/// A transaction whose handler takes its time.
fn pending(world: &mut World) {
    world.parties[&customer(world)].control.lock().unwrap().retry_ms = 60 * MINUTE_MS;
    let record = world.transaction(1, KEY, &[[0xee; 32]]);
    world.submit(record);
}

fn told(world: &World) -> Vec<TransactionId> {
    world.parties[&customer(world)].withdrawn.clone()
}

fn cancel(world: &mut World) {
    world.input(Input::CancelTransaction { transaction: TX });
    assert_eq!(status(world), TransactionStatus::Cancelled);
    world.input(Input::CancelTransaction { transaction: TX });
    world.run(10 * MINUTE_MS, |_| false);
}

#[test]
fn a_cancelled_transaction_is_withdrawn_once_from_the_customers_co_signer_alone() {
    let mut world = ready_world(3);
    pending(&mut world);
    assert!(world.run(MINUTE_MS, |w| w.disk.transactions[&TX].waiting));
    assert_eq!(status(&world), TransactionStatus::PendingAuthorization);
    cancel(&mut world);
    assert_eq!(told(&world), [TX]);
    for cloud in clouds(&world) {
        assert!(world.parties[&cloud].withdrawn.is_empty());
    }
}

#[test]
fn a_co_signer_that_still_waits_for_its_handler_hears_again_that_the_transaction_ended() {
    let mut world = ready_world(3);
    pending(&mut world);
    let id = customer(&world);
    world.parties[&id].control.lock().unwrap().retries = 5;
    assert!(world.run(MINUTE_MS, |w| status(w) == TransactionStatus::PendingAuthorization));
    world.run(MINUTE_MS, |_| false);
    world.take_down(id);
    cancel(&mut world);
    assert!(told(&world).is_empty());
    world.bring_up(id);
    world.run(120 * MINUTE_MS, |_| false);
    assert_eq!(told(&world), [TX]);
}

#[test]
fn an_authorised_transaction_is_not_withdrawn() {
    let mut world = ready_world(3);
    let away = clouds(&world)[0];
    world.take_down(away);
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(MINUTE_MS, |w| w.disk.transactions[&TX].authorisation.is_some()));
    cancel(&mut world);
    assert!(told(&world).is_empty());
}

#[test]
fn a_transaction_that_nobody_was_asked_about_is_not_withdrawn() {
    let mut world = ready_world(3);
    let away = customer(&world);
    world.take_down(away);
    pending(&mut world);
    cancel(&mut world);
    world.bring_up(away);
    world.run(10 * MINUTE_MS, |_| false);
    assert!(told(&world).is_empty());
}

#[test]
fn a_transaction_that_got_no_authorisation_in_time_is_withdrawn() {
    let mut world = ready_world(3);
    let id = customer(&world);
    // What it says arrives when it is too late.
    world.lag.insert(id, 24 * 60 * MINUTE_MS);
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(12 * 60 * MINUTE_MS, |w| status(w).is_final()));
    assert_eq!(status(&world), TransactionStatus::Timeout);
    world.run(MINUTE_MS, |_| false);
    assert_eq!(told(&world), [TX]);
}
