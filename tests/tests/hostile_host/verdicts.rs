//! Who ends a session behind a false proof escapes nothing: the job says what it found although the session is gone.

use super::CUSTOMER;
use super::peers::{
    MALLORY, aborts, assert_quarantined_until_cleared, assert_suspended_until_cleared, attempt, world_with,
};
use cosigner_core::Effect;
use countersign_tests::simulator::{Client, Fault, KEY, VAULT, World, session};
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::key::KeyStatus;
use countersign_wire::refusal::Code;
use std::cell::Cell;
use std::rc::Rc;

/// Counts the messages that the customer's job was given.
fn given(world: &mut World) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    world.on_effect = Some(Box::new(move |i, effect| {
        if i == CUSTOMER && matches!(effect, Effect::JobMessage { .. }) {
            counter.set(counter.get() + 1);
        }
    }));
    count
}

/// A session runs at all three until the customer's job was given `messages`; then the workspace cancels it there.
fn cancelled_after(world: &mut World, messages: usize) -> Vec<CosignerMessage> {
    let body = Client::message_body("message 1", "fine", None, VAULT);
    let request = world.request_with(1, body, "nonce-1");
    let authorisation = world.authorise(CUSTOMER, &request).expect("authorised");
    let work = World::signing(&request, &authorisation, 0);
    let readies: Vec<_> =
        [0, 1, 2].map(|index| world.prepare(world.at_index(index), session(1), &work).ready()).to_vec();
    let count = given(world);
    let before = world.workspace.heard.len();
    for i in [0, 1, 2] {
        world.start_at(i, session(1), &[0, 1, 2], &readies);
    }
    assert!(world.run(30_000, |_| count.get() == messages));
    let to = world.party(CUSTOMER);
    world.say(to, WorkspaceMessage::Cancel { session: session(1) });
    world.run(400, |_| false);
    assert!(aborts(&world.heard_since(before, CUSTOMER)).is_empty(), "it found nothing yet");
    world.run(10_000, |_| false);
    world.on_effect = None;
    world.heard_since(before, CUSTOMER)
}

#[test]
fn t15_an_abort_or_the_deadline_behind_a_false_message_saves_nobody_from_quarantine() {
    // The customer's worker needs a second: the other victim, which is faster, gave up by then. Or nine: the session is over.
    for (slow_ms, ended_by) in [(1_000, Code::Cancelled), (9_000, Code::Timeout)] {
        let mut world = world_with(Fault::Garbage, MALLORY);
        world.slow = Some((CUSTOMER, slow_ms));
        if ended_by == Code::Timeout {
            // Nobody else is there to give up: it is not told of the start.
            let customer = world.party(CUSTOMER);
            let mallory = world.party(MALLORY);
            world.on_peer = Some(Box::new(move |from, to, packet| {
                let between = [from, to].contains(&customer) && [from, to].contains(&mallory);
                between.then_some(packet)
            }));
        }
        let said = attempt(&mut world, 1);
        let mut aborted = aborts(&said[CUSTOMER]).into_iter();
        let (refusal, blamed) = aborted.next().unwrap();
        assert_eq!((refusal.code, blamed), (ended_by, None), "the session ended before anything was found");
        let (refusal, blamed) = aborted.next().expect("a verdict");
        assert_eq!((refusal.code, blamed), (Code::PeerMisbehaved, Some(world.party(MALLORY))));
        world.slow = None;
        world.on_peer = None;
        let by: Vec<usize> = if ended_by == Code::Timeout { vec![CUSTOMER] } else { vec![CUSTOMER, 1] };
        if ended_by == Code::Timeout {
            // The other one found it too, by its own channel, if the host let anything through.
            assert!(aborts(&said[1]).iter().all(|(refusal, _)| refusal.code != Code::PeerMisbehaved));
        }
        assert_quarantined_until_cleared(&mut world, &by);
    }
}

#[test]
fn t15_a_cancel_behind_a_false_proof_still_suspends_the_key() {
    let mut world = world_with(Fault::FindsFalseProof, CUSTOMER);
    world.slow = Some((CUSTOMER, 1_000));
    let said = cancelled_after(&mut world, 4);
    let [(refusal, blamed)] = &aborts(&said)[..] else { panic!("{said:?}") };
    assert_eq!((refusal.code, *blamed), (Code::ProtocolAborted, None));
    world.slow = None;
    assert_suspended_until_cleared(&mut world, CUSTOMER);
}

#[test]
fn t15_a_session_that_is_cancelled_behind_honest_messages_blames_nobody() {
    for messages in 1..4 {
        let mut world = world_with(Fault::Garbage, MALLORY);
        world.schemes.clear();
        world.slow = Some((CUSTOMER, 1_000));
        let said = cancelled_after(&mut world, messages);
        assert!(aborts(&said).is_empty(), "{said:?}");
        world.slow = None;
        assert_eq!(world.key_at(CUSTOMER, &KEY).unwrap().status, KeyStatus::Ready);
        let said = attempt(&mut world, 2);
        assert!(said.iter().all(|s| aborts(s).is_empty()), "{said:?}");
    }
}
