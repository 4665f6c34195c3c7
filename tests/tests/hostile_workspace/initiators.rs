//! An initiator that operators removed asks for nothing any more, whatever it asked for before.

use super::{ALL, CUSTOMER, hostile, sign};
use cosigner_core::{Effect, Purpose};
use countersign_tests::simulator::{Answer, Client, GROUP, KEY, Setting, VAULT, World, eip191, session};
use countersign_wire::admin::{AdminResponse, Done};
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::command::Change;
use countersign_wire::ids::TransactionId;
use countersign_wire::refusal::Code;
use countersign_wire::transaction::TransactionRequest;
use std::cell::Cell;
use std::rc::Rc;

fn add(world: &mut World, client: &Client) {
    for i in ALL {
        let pairing = world.cosigners[i].pairing.unwrap();
        let added = world.operator(i, Change::AddInitiator { pairing, initiator: client.initiator() });
        assert_eq!(added, AdminResponse::Done(Done::InitiatorAdded));
    }
}

fn remove(world: &mut World, i: usize, client: &Client) {
    let pairing = world.cosigners[i].pairing.unwrap();
    let removed = world.operator(i, Change::RemoveInitiator { pairing, user: client.user.clone() });
    assert_eq!(removed, AdminResponse::Done(Done::InitiatorRemoved));
}

fn request(world: &World, client: &Client, n: u8, text: &str) -> TransactionRequest {
    let signer = &world.base.signer_user;
    let body = Client::message_body(text, "fine", None, VAULT);
    client.request(TransactionId([n; 16]), GROUP, KEY, signer, body, &format!("nonce-{n}"), world.now)
}

#[test]
fn t54_what_a_removed_initiator_asked_for_is_not_signed_any_more() {
    for replaced in [false, true] {
        let mut world = hostile(Setting::default());
        let client = Client::new("client-2");
        add(&mut world, &client);
        let done = request(&world, &client, 1, "done before");
        let signature = sign(&mut world, session(1), &done);
        let done_authorisation = world.authorise(CUSTOMER, &done).unwrap();
        let pending = request(&world, &client, 2, "pending");
        let authorisation = world.authorise(CUSTOMER, &pending).unwrap();
        let work = World::signing(&pending, &authorisation, 0);
        // It is on record at all three, and one session is prepared.
        let readies: Vec<_> =
            [0, 1, 2].map(|index| world.prepare(world.at_index(index), session(2), &work).ready()).to_vec();
        if replaced {
            add(&mut world, &Client::new("client-2"));
        } else {
            for i in ALL {
                remove(&mut world, i, &client);
            }
        }
        let executions = world.executions();
        for i in ALL {
            let before = world.workspace.heard.len();
            world.start_at(i, session(2), &[0, 1, 2], &readies);
            world.run(400, |_| false);
            let said = world.heard_since(before, i);
            let untrusted = |m: &CosignerMessage| matches!(m, CosignerMessage::Aborted { refusal, .. } if refusal.code == Code::IntentUntrusted);
            assert!(said.iter().any(untrusted), "{said:?}");
        }
        for n in 3..5 {
            for i in ALL {
                let answer = world.prepare(i, session(n), &work);
                assert_eq!(answer.code(), Some(Code::IntentUntrusted), "{i}: {answer:?}");
            }
            assert_eq!(world.authorise(CUSTOMER, &pending).unwrap_err().code, Code::IntentUntrusted);
            let fresh = request(&world, &client, 10 + n, "fresh");
            assert_eq!(world.authorise(CUSTOMER, &fresh).unwrap_err().code, Code::IntentUntrusted);
            for i in ALL {
                world.crash_keeping(i, usize::MAX);
            }
            assert!(world.run(30_000, |w| w.cosigners.iter().all(|c| c.link_open)));
            world.run(1_000, |_| false);
        }
        assert_eq!(world.executions(), executions);
        assert!(!world.signed(&eip191("pending")) && !world.handler.approved.contains(&eip191("fresh")));
        // A signature that was made is no secret, and told again.
        for i in ALL {
            let answer = world.prepare(i, session(9), &World::signing(&done, &done_authorisation, 0));
            let Answer::Done(told) = answer else { panic!("{answer:?}") };
            assert!(matches!(*told, CosignerMessage::SignatureDone { signature: s, .. } if s == signature));
        }
    }
}

#[test]
fn t54_an_initiator_that_is_removed_while_the_handler_thinks_gets_no_authorisation() {
    let mut world = hostile(Setting::default());
    let client = Client::new("client-2");
    add(&mut world, &client);
    world.handler_thinks_ms = 3_000;
    let asked = Rc::new(Cell::new(false));
    let seen = Rc::clone(&asked);
    world.on_effect = Some(Box::new(move |_, effect| {
        if matches!(effect, Effect::Exchange { spec, .. } if spec.purpose == Purpose::Callback) {
            seen.set(true);
        }
    }));
    let request = request(&world, &client, 1, "hello");
    let (to, before) = (world.party(CUSTOMER), world.workspace.heard.len());
    world.say(to, WorkspaceMessage::Authorise(request.clone()));
    assert!(world.run(2_000, |_| asked.get()));
    remove(&mut world, CUSTOMER, &client);
    world.run(10_000, |_| false);
    let said = world.heard_since(before, CUSTOMER);
    assert!(world.handler.approved.contains(&eip191("hello")), "the handler approved");
    let untrusted = |m: &CosignerMessage| matches!(m, CosignerMessage::AuthorisationRefused { refusal, .. } if refusal.code == Code::IntentUntrusted);
    assert!(said.iter().any(untrusted), "{said:?}");
    assert!(!said.iter().any(|m| matches!(m, CosignerMessage::Authorised { .. })), "{said:?}");
}
