//! Which peers are accepted: of the own image, or of one that operators listed, and under the own root.

use countersign_attest::TrustAnchor;
use countersign_tests::simulator::{Base, Faults, Setting, World, eip191, measurements};
use countersign_wire::command::Measurements;
use countersign_wire::ids::TransactionId;
use countersign_wire::key::Operation;

/// The image of the second cloud co-signer.
fn other_image() -> Measurements {
    Measurements { pcr2: [9; 48], ..measurements() }
}

/// Boots the second cloud co-signer from `image`, and submits a request.
fn signing_with(setting: Setting, image: Measurements) -> World {
    let mut world = Base::connected_of(setting, 1, Faults::none());
    world.images.insert(2, image);
    world.crash_keeping(2, usize::MAX);
    world.run(10_000, |_| false);
    world.submit(world.request(1, "hello", "fine"), eip191("hello"), Operation::TypedMessage);
    world
}

fn is_over(world: &World) -> bool {
    world.workspace.store.transactions[&TransactionId([1; 16])].status.is_final()
}

#[test]
fn t54_a_peer_with_another_image_takes_part_only_where_operators_listed_it() {
    let own_only = Setting::default();
    let listed = Setting { second_image: Some(9), ..own_only };
    let third = Measurements { pcr2: [8; 48], ..measurements() };
    for (setting, image, signs) in [
        (own_only, measurements(), true),
        (own_only, other_image(), false),
        (listed, measurements(), true),
        (listed, other_image(), true),
        (listed, third, false),
    ] {
        let mut world = signing_with(setting, image.clone());
        let over = world.run(60_000, is_over);
        assert_eq!((over, world.signed(&eip191("hello"))), (signs, signs), "{setting:?}, PCR2 {}", image.pcr2[0]);
    }
}

#[test]
fn t41_a_co_signer_that_believes_aws_alone_signs_with_no_development_peer() {
    for strict in [0, 2] {
        let mut world = Base::connected(1, Faults::none());
        world.anchors.insert(strict, TrustAnchor::aws());
        world.crash_keeping(strict, usize::MAX);
        world.run(10_000, |_| false);
        world.submit(world.request(1, "hello", "fine"), eip191("hello"), Operation::TypedMessage);
        assert!(!world.run(60_000, is_over) && !world.signed(&eip191("hello")), "co-signer {strict}");
        // Nothing else stood in the way.
        world.anchors.clear();
        world.crash_keeping(strict, usize::MAX);
        assert!(world.run(60_000, is_over) && world.signed(&eip191("hello")), "co-signer {strict}");
    }
}
