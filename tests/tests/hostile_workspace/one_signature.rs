//! An Authorisation allows one final signature a digest, however many sessions the workspace opens for it at once.

use super::{ALL, CUSTOMER, aborts, hostile, signatures, two_of_three};
use cosigner_core::Effect;
use countersign_tests::simulator::{Answer, Base, Faults, Setting, World, eip191, session};
use countersign_wire::ceremony::{CosignerMessage, Ready, Work, WorkspaceMessage};
use countersign_wire::refusal::Code;
use countersign_wire::{Signed, ids::SessionId};
use std::cell::Cell;
use std::rc::Rc;

fn authorised(world: &mut World) -> Work {
    let request = world.request(1, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    World::signing(&request, &authorisation, 0)
}

/// Prepares everywhere, in the order of the group.
fn prepared(world: &mut World, id: SessionId, work: &Work) -> Vec<Signed<Ready>> {
    [0, 1, 2].map(|index| world.prepare(world.at_index(index), id, work).ready()).to_vec()
}

/// In how many executions a signature over the message came out.
fn completed(world: &World) -> usize {
    world.scheme.memory.lock().unwrap().completed.get(&eip191("hello")).map_or(0, |executions| executions.len())
}

#[test]
fn t56_of_sessions_that_are_prepared_for_one_digest_only_the_newest_can_start() {
    for seed in 0..10 {
        let mut world = Base::connected(seed, Faults::none()).hostile();
        let work = authorised(&mut world);
        let ids: Vec<SessionId> = (1..5).map(session).collect();
        let before = world.workspace.heard.len();
        let readies: Vec<_> = ids.iter().map(|id| prepared(&mut world, *id, &work)).collect();
        let said: Vec<_> = ALL.map(|i| world.heard_since(before, i)).to_vec();
        assert_eq!(aborts(&said).len(), 3 * (ids.len() - 1), "{said:?}");
        assert!(aborts(&said).iter().all(|(refusal, blamed)| refusal.code == Code::Cancelled && blamed.is_none()));
        for i in ALL {
            for (id, readies) in ids.iter().zip(&readies) {
                world.start_at(i, *id, &[0, 1, 2], readies);
            }
        }
        world.run(10_000, |_| false);
        assert_eq!((completed(&world), world.executions()), (1, 1), "seed {seed}");
        for i in ALL {
            assert!(matches!(world.prepare(i, session(9), &work), Answer::Done(_)));
        }
    }
}

#[test]
fn t56_while_a_session_signs_a_digest_no_other_one_is_prepared_for_it() {
    for setting in [Setting::default(), two_of_three()] {
        let mut world = hostile(setting);
        let work = authorised(&mut world);
        let signers: Vec<u16> = if setting.threshold == 2 {
            let mut two = vec![world.index(CUSTOMER), world.index(1)];
            two.sort_unstable();
            two
        } else {
            vec![0, 1, 2]
        };
        let who: Vec<usize> = signers.iter().map(|index| world.at_index(*index)).collect();
        let readies: Vec<_> = who.iter().map(|i| world.prepare(*i, session(1), &work).ready()).collect();
        // It runs at the customer's alone, and waits for the others.
        world.start_at(CUSTOMER, session(1), &signers, &readies);
        world.run(400, |_| false);
        assert_eq!(world.executions(), 1);
        let answer = world.prepare(CUSTOMER, session(2), &work);
        assert_eq!(answer.code(), Some(Code::Busy), "{answer:?}");
        // The others go on with the first one; then there is nothing left to sign.
        for i in who.iter().filter(|i| **i != CUSTOMER) {
            world.start_at(*i, session(1), &signers, &readies);
        }
        world.run(10_000, |_| false);
        assert!(matches!(world.prepare(CUSTOMER, session(3), &work), Answer::Done(_)));
        assert_eq!(completed(&world), 1);
    }
}

#[test]
fn t56_a_session_that_is_cancelled_when_its_signature_is_made_leaves_no_room_for_another() {
    let mut world = hostile(Setting::default());
    world.slow = Some((CUSTOMER, 1_000));
    let work = authorised(&mut world);
    let readies = prepared(&mut world, session(1), &work);
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    world.on_effect = Some(Box::new(move |i, effect| {
        if i == CUSTOMER && matches!(effect, Effect::JobMessage { .. }) {
            counter.set(counter.get() + 1);
        }
    }));
    for i in ALL {
        world.start_at(i, session(1), &[0, 1, 2], &readies);
    }
    assert!(world.run(30_000, |_| count.get() == 4), "the job was given everything");
    let (to, before) = (world.party(CUSTOMER), world.workspace.heard.len());
    world.say(to, WorkspaceMessage::Cancel { session: session(1) });
    world.run(100, |_| false);
    let answer = world.prepare(CUSTOMER, session(2), &work);
    assert_eq!(answer.code(), Some(Code::Busy), "{answer:?}");
    world.run(5_000, |_| false);
    let Answer::Done(first) = world.prepare(CUSTOMER, session(3), &work) else { panic!("no signature is kept") };
    let CosignerMessage::SignatureDone { signature, .. } = *first else { panic!("{first:?}") };
    let said: Vec<_> = ALL.map(|i| world.heard_since(before, i)).to_vec();
    assert!(signatures(&said).iter().all(|s| *s == signature));
    assert_eq!((completed(&world), world.executions()), (1, 1));
}
