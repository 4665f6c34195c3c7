//! What was promised holds later too: a session that was forsworn is not entered, and none starts under an Authorisation
//! that expired after it was prepared.

#![allow(clippy::expect_used, reason = "this crate is tests only")]

use countersign_tests::simulator::{Base, Faults, GROUP, KEY, World, purpose};
use countersign_wire::List;
use countersign_wire::agreement::Subject;
use countersign_wire::ceremony::{CosignerMessage, Work, WorkspaceMessage};
use countersign_wire::ids::{KeyId, PartyId, SessionId};
use countersign_wire::refusal::Code;

const SESSION: SessionId = SessionId([33; 16]);

fn parties(world: &World) -> Vec<PartyId> {
    let mut parties: Vec<PartyId> = world.cosigners.iter().map(|c| c.party.expect("paired")).collect();
    parties.sort();
    parties
}

#[test]
fn t59_a_party_that_signed_never_held_does_not_enter_that_session() {
    let mut world = Base::connected(1, Faults::none());
    world.workspace.silent = true;
    let party = parties(&world)[0];
    let key = KeyId([44; 16]);
    world.say(party, WorkspaceMessage::Query { group: GROUP, subject: Subject::Key(key), session: SESSION });
    let said = |w: &World, find: fn(&CosignerMessage) -> bool| w.workspace.heard.iter().any(|(_, m)| find(m));
    assert!(world.run(5_000, |w| said(w, |m| matches!(m, CosignerMessage::NeverHeld { .. }))));
    let work = Work::Keygen { group: GROUP, key, purpose: purpose(&world.base.signer_user) };
    world.say(party, WorkspaceMessage::Prepare { session: SESSION, deadline_ms: 10_000, work });
    let refused = |m: &CosignerMessage| matches!(m, CosignerMessage::Refused { refusal, .. } if refusal.code == Code::SessionOver);
    assert!(
        world.run(5_000, |w| w.workspace.heard.iter().any(|(_, m)| refused(m))),
        "{:?}",
        world.workspace.heard.last()
    );
    assert!(!said(&world, |m| matches!(m, CosignerMessage::Ready { .. })));
}

#[test]
fn t56_a_session_prepared_in_time_does_not_start_after_its_authorisation_expired() {
    let mut world = Base::connected(2, Faults::none());
    world.workspace.silent = true;
    let parties = parties(&world);
    let customer = world.cosigners[0].party.expect("paired");
    let request = world.request(1, "hello", "fine");
    world.say(customer, WorkspaceMessage::Authorise(request.clone()));
    assert!(
        world.run(10_000, |w| w.workspace.heard.iter().any(|(_, m)| matches!(m, CosignerMessage::Authorised { .. })))
    );
    let authorisation = world.workspace.heard.iter().find_map(|(_, m)| match m {
        CosignerMessage::Authorised { authorisation, .. } => Some(authorisation.clone()),
        _ => None,
    });
    let work = Work::Sign { request, authorisation: authorisation.expect("heard"), digest_index: 0 };
    for party in &parties {
        let prepare = WorkspaceMessage::Prepare { session: SESSION, deadline_ms: 1_800_000, work: work.clone() };
        world.say(*party, prepare);
    }
    let readies = |w: &World| -> Vec<_> {
        let of = |party: &PartyId| {
            w.workspace.heard.iter().find_map(|(from, m)| match m {
                CosignerMessage::Ready { ready, .. } if from == party => Some(ready.clone()),
                _ => None,
            })
        };
        parties.iter().filter_map(of).collect()
    };
    assert!(world.run(10_000, |w| readies(w).len() == 3), "all consent while it is valid");
    world.run(11 * 60_000, |_| false);
    let all = readies(&world);
    for party in &parties {
        let (signers, readies) = (List::new(vec![0, 1, 2]).expect("three"), List::new(all.clone()).expect("three"));
        world.say(*party, WorkspaceMessage::Start { session: SESSION, signers, readies });
    }
    let aborted = |m: &CosignerMessage| matches!(m, CosignerMessage::Aborted { refusal, .. } if refusal.code == Code::AuthorisationExpired);
    assert!(world.run(10_000, |w| w.workspace.heard.iter().filter(|(_, m)| aborted(m)).count() == 3));
    assert!(world.scheme.memory.lock().expect("not poisoned").executions.is_empty(), "no machine started");
    assert_eq!(world.workspace.store.keys[&KEY].key, KEY);
}
