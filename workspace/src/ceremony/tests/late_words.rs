//! Answers to messages that were delayed on their way.

use super::single::{KEY, clouds};
use super::world::{GROUP, World};
use crate::ceremony::{AgreementPhase, GroupStatus, Input};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::ids::SessionId;
use countersign_wire::key::KeyStatus;
use countersign_wire::refusal::{Code, Refusal};

fn started(world: &World) -> Option<SessionId> {
    match world.disk.keys.get(&KEY)?.agreement.phase {
        AgreementPhase::Started { session } => Some(session),
        _ => None,
    }
}

/// A key generation whose session was just started.
fn world_with_started_session(seed: u64) -> (World, SessionId) {
    let mut world = World::new(seed, 3);
    let group = world.group(3);
    world.input(Input::ProposeGroup { group });
    assert!(world.run(600_000, |w| w.disk.groups.get(&GROUP).is_some_and(|g| g.status == GroupStatus::Ready)));
    world.input(Input::GenerateKey { key: KEY, group: GROUP, purpose: World::purpose() });
    assert!(world.run(60_000, |w| started(w).is_some()));
    let session = started(&world).unwrap();
    (world, session)
}

const LATE: [Code; 8] = [
    Code::SessionOver,
    Code::Conflict,
    Code::KeyPending,
    Code::GroupNotAccepted,
    Code::Malformed,
    Code::NotFound,
    Code::RawNotAllowed,
    Code::PartyIndex,
];

#[test]
fn a_refusal_of_a_delayed_prepare_never_ends_a_key_whose_session_was_started() {
    for code in LATE {
        let (mut world, session) = world_with_started_session(1);
        let from = clouds(&world)[0];
        // It loses the session, and will say that it never held its outcome; the refusal comes first.
        world.restart_party(from);
        for aborted in [false, true] {
            let refusal = Refusal::new(code, "a word that comes late");
            let message = match aborted {
                false => CosignerMessage::Refused { session, refusal },
                true => CosignerMessage::Aborted { session, refusal, blamed: None },
            };
            world.input(Input::Message { from, message: Box::new(message) });
        }
        let ended = |w: &World| w.disk.keys[&KEY].status != KeyStatus::Pending;
        assert!(world.run(600_000, ended), "{code:?}");
        let record = &world.disk.keys[&KEY];
        assert_eq!(record.status, KeyStatus::Ready, "{code:?}: {:?}", record.reason);
    }
}

#[test]
fn a_refusal_of_a_delayed_prepare_does_not_stop_the_session() {
    for code in [Code::SessionOver, Code::KeyPending, Code::Conflict] {
        let (mut world, session) = world_with_started_session(2);
        for from in world.party_ids() {
            let refusal = Refusal::new(code, "a word that comes late");
            world.input(Input::Message { from, message: Box::new(CosignerMessage::Refused { session, refusal }) });
        }
        assert!(world.run(600_000, |w| w.disk.keys[&KEY].status == KeyStatus::Ready), "{code:?}");
        let agreement = &world.disk.keys[&KEY].agreement;
        assert!(
            matches!(agreement.phase, AgreementPhase::Published { session: last, .. } if last == session),
            "{code:?}"
        );
    }
}

#[test]
fn a_refusal_to_begin_that_lasts_still_ends_the_key() {
    let mut world = World::new(3, 3);
    let group = world.group(3);
    let customer = group.customer().unwrap();
    world.parties.get_mut(&customer).unwrap().allow_raw = false;
    world.input(Input::ProposeGroup { group });
    world.input(Input::GenerateKey { key: KEY, group: GROUP, purpose: World::purpose() });
    assert!(world.run(600_000, |w| w.disk.keys.get(&KEY).is_some_and(|k| k.status == KeyStatus::Error)));
    assert_eq!(world.disk.keys[&KEY].reason.as_ref().map(|r| r.code), Some(Code::RawNotAllowed));
}
