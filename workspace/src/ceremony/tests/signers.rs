//! Who signs, when some of those who consented spoil the session.

use super::party::Spoils;
use super::single::{KEY, TX, clouds, ready_world, status};
use super::world::World;
use crate::ceremony::TransactionStatus;
use countersign_wire::ids::PartyId;
use countersign_wire::refusal::Code;

/// One transaction, in a world in which these clouds spoil; the healthy one is the last to answer.
fn signed_with(threshold: u16, spoilers: &[(usize, Spoils)]) -> (World, Vec<PartyId>) {
    let mut world = ready_world(threshold);
    let clouds = clouds(&world);
    for (n, id) in clouds.iter().enumerate() {
        let spoils = spoilers.iter().find(|(cloud, _)| *cloud == n).map(|(_, spoils)| *spoils);
        world.parties.get_mut(id).unwrap().spoils = spoils;
        if spoils.is_none() {
            world.lag.insert(*id, 300);
        }
    }
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(1_200_000, |w| status(w).is_final()));
    (world, clouds)
}

fn starts(world: &World, party: &PartyId) -> usize {
    world.parties[party].sign_starts.len()
}

#[test]
fn a_cloud_that_consents_first_and_then_aborts_does_not_keep_the_healthy_one_out() {
    for code in [Code::ProtocolAborted, Code::Internal, Code::Quarantined] {
        let (world, clouds) = signed_with(2, &[(0, Spoils::With(code))]);
        assert_eq!(status(&world), TransactionStatus::Completed, "{code:?}");
        assert_eq!((starts(&world, &clouds[0]), starts(&world, &clouds[1])), (1, 1), "{code:?}");
    }
}

#[test]
fn a_cloud_that_consents_first_and_then_says_nothing_does_not_keep_the_healthy_one_out() {
    let (world, clouds) = signed_with(2, &[(0, Spoils::Silently)]);
    assert_eq!(status(&world), TransactionStatus::Completed);
    assert_eq!((starts(&world, &clouds[0]), starts(&world, &clouds[1])), (1, 1));
}

#[test]
fn a_suspected_cloud_signs_where_the_other_one_is_away() {
    let mut world = ready_world(2);
    let clouds = clouds(&world);
    world.lag.insert(clouds[1], 300);
    world.parties.get_mut(&clouds[0]).unwrap().spoils = Some(Spoils::With(Code::Internal));
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(60_000, |w| starts(w, &clouds[0]) == 1));
    world.take_down(clouds[1]);
    world.parties.get_mut(&clouds[0]).unwrap().spoils = None;
    assert!(world.run(60_000, |w| status(w) == TransactionStatus::Completed));
}

#[test]
fn an_abort_that_no_retry_changes_ends_the_transaction_once_no_other_signers_are_left() {
    let lasting = Spoils::With(Code::Quarantined);
    let (world, clouds) = signed_with(3, &[(0, lasting)]);
    let record = &world.disk.transactions[&TX];
    assert_eq!((record.status, record.reason.as_ref().unwrap().code), (TransactionStatus::Failed, Code::Quarantined));
    assert!(record.reason.as_ref().unwrap().detail.contains(&clouds[0].to_string()));
    assert_eq!(starts(&world, &clouds[0]), 1, "tried once");

    let (world, clouds) = signed_with(2, &[(0, lasting), (1, lasting)]);
    assert_eq!(status(&world), TransactionStatus::Failed);
    assert_eq!(clouds.iter().map(|id| starts(&world, id)).sum::<usize>(), 2, "each tried once");
}

#[test]
fn an_abort_that_may_pass_is_tried_again() {
    let mut world = ready_world(3);
    let bad = clouds(&world)[0];
    world.parties.get_mut(&bad).unwrap().spoils = Some(Spoils::With(Code::ProtocolAborted));
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(60_000, |w| starts(w, &bad) == 3));
    world.parties.get_mut(&bad).unwrap().spoils = None;
    assert!(world.run(60_000, |w| status(w) == TransactionStatus::Completed));
}
