//! Requests that are not what a client asked for or a handler approved.

use super::{
    ALL, CLOUDS, CUSTOMER, SECOND_KEY, SECOND_VAULT, hostile, sign, signatures, with_second_key, without_intent,
};
use cosigner_core::{Effect, Purpose};
use countersign_tests::simulator::{Base, Client, Faults, GROUP, KEY, Setting, VAULT, World, eip191, session};
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::ids::TransactionId;
use countersign_wire::key::Operation::{Raw, TypedMessage};
use countersign_wire::refusal::Code;
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{Bytes, Text};
use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::Rc;

fn with_body(request: &TransactionRequest, body: Vec<u8>) -> TransactionRequest {
    TransactionRequest { body: Bytes::new(body).unwrap(), ..request.clone() }
}

/// A message's body with one member of its message set.
fn body_with(text: &str, member: &str, value: Value) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(&Client::message_body(text, "fine", None, VAULT)).unwrap();
    body["extraParameters"]["rawMessageData"]["messages"][0][member] = value;
    body.to_string().into_bytes()
}

#[test]
fn t11_whatever_is_altered_after_the_approval_is_refused_by_everybody() {
    let mut world = with_second_key(without_intent(), &[Raw, TypedMessage]);
    let mut request = world.request_with(1, Client::message_body("pay bob", "fine", None, VAULT), "nonce-1");
    request.token = None;
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    let altered = [
        ("message", with_body(&request, Client::message_body("pay mallory", "fine", None, VAULT))),
        ("path", with_body(&request, body_with("pay bob", "bip44AddressIndex", json!(1)))),
        ("algorithm", with_body(&request, Client::raw_body(&eip191("pay bob"), VAULT))),
        ("vault account", with_body(&request, Client::message_body("pay bob", "fine", None, SECOND_VAULT))),
        ("note", with_body(&request, Client::message_body("pay bob", "finer", None, VAULT))),
        ("key", TransactionRequest { key: SECOND_KEY, ..request.clone() }),
        ("transaction", TransactionRequest { transaction: TransactionId([9; 16]), ..request.clone() }),
    ];
    for (n, (what, altered)) in altered.iter().enumerate() {
        let work = World::signing(altered, &authorisation, 0);
        for i in CLOUDS {
            let answer = world.prepare(i, session(50 + n as u8), &work);
            assert_eq!(answer.code(), Some(Code::Mismatch), "{what} at {i}: {answer:?}");
        }
        let answer = world.prepare(CUSTOMER, session(50 + n as u8), &work);
        assert!(answer.code().is_some(), "{what} at the customer's: {answer:?}");
    }
    let said = world.session_of(session(1), &[0, 1, 2], &World::signing(&request, &authorisation, 0));
    assert_eq!(signatures(&said).len(), 3, "{said:?}");
    assert!(!world.signed(&eip191("pay mallory")));
}

#[test]
fn t11_a_client_s_request_that_was_altered_is_no_intent_of_the_client() {
    let mut world = hostile(Setting::default());
    let request = world.request(1, "pay bob", "fine");
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    let altered = with_body(&request, Client::message_body("pay mallory", "fine", Some("external-1"), VAULT));
    for i in CLOUDS {
        let answer = world.prepare(i, session(1), &World::signing(&altered, &authorisation, 0));
        assert_eq!(answer.code(), Some(Code::IntentMismatch), "{answer:?}");
    }
    let altered = TransactionRequest { transaction: TransactionId([2; 16]), ..altered };
    assert_eq!(world.authorise(CUSTOMER, &altered).unwrap_err().code, Code::IntentMismatch);
}

#[test]
fn t12_a_key_serves_no_other_coin_and_no_other_signer() {
    let mut world = hostile(Setting::default());
    let genuine = world.request(1, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &genuine).unwrap();
    let mut body: Value = serde_json::from_slice(&Client::message_body("hello", "fine", None, VAULT)).unwrap();
    body["assetId"] = json!("ETH_TEST5");
    let other_coin = world.request_with(2, body.to_string().into_bytes(), "nonce-2");
    let other_signer = TransactionRequest { signer: "cloud-1".parse().unwrap(), ..world.request(3, "hello", "fine") };
    for request in [other_coin, other_signer] {
        assert_eq!(world.authorise(CUSTOMER, &request).unwrap_err().code, Code::PurposeMismatch);
        for i in CLOUDS {
            let answer = world.prepare(i, session(1), &World::signing(&request, &authorisation, 0));
            assert_eq!(answer.code(), Some(Code::PurposeMismatch), "{answer:?}");
        }
    }
}

#[test]
fn t60_raw_is_not_signed_with_a_key_that_was_not_made_for_it() {
    let mut world = with_second_key(Setting::default(), &[TypedMessage]);
    let of_second_key = |world: &World, n: u8, body: Vec<u8>| {
        let request = world.request_with(n, body, &format!("nonce-{n}"));
        TransactionRequest { key: SECOND_KEY, ..request }
    };
    let message = of_second_key(&world, 1, Client::message_body("hello", "fine", None, SECOND_VAULT));
    let authorisation = world.authorise(CUSTOMER, &message).unwrap();
    let raw = of_second_key(&world, 2, Client::raw_body(&[7; 32], SECOND_VAULT));
    assert_eq!(world.authorise(CUSTOMER, &raw).unwrap_err().code, Code::PurposeMismatch);
    for i in ALL {
        let answer = world.prepare(i, session(1), &World::signing(&raw, &authorisation, 0));
        assert_eq!(answer.code(), Some(Code::PurposeMismatch), "{answer:?}");
    }
    // The key that was made for it signs it.
    let raw = world.request_with(3, Client::raw_body(&[7; 32], VAULT), "nonce-3");
    assert_eq!(raw.key, KEY);
    sign(&mut world, session(2), &raw);
    assert!(world.signed(&[7; 32]));
}

/// Counts how often handlers are asked.
pub fn handler_calls(world: &mut World) -> Rc<Cell<u32>> {
    let calls = Rc::new(Cell::new(0));
    let counter = Rc::clone(&calls);
    world.on_effect = Some(Box::new(move |_, effect| {
        if matches!(effect, Effect::Exchange { spec, .. } if spec.purpose == Purpose::Callback) {
            counter.set(counter.get() + 1);
        }
    }));
    calls
}

#[test]
fn t09_a_request_that_was_decided_is_answered_from_the_record_and_its_signature_too() {
    let mut world = hostile(Setting::default());
    let calls = handler_calls(&mut world);
    let request = world.request(1, "hello", "fine");
    let first = world.authorise(CUSTOMER, &request).unwrap();
    assert_eq!(world.authorise(CUSTOMER, &request), Ok(first.clone()));
    let signature = sign(&mut world, session(1), &request);
    let executions = world.executions();
    for i in ALL {
        world.crash_keeping(i, usize::MAX);
        world.run(20_000, |w| w.cosigners[i].link_open);
        let again = world.prepare(i, session(2), &World::signing(&request, &first, 0));
        let countersign_tests::simulator::Answer::Done(done) = again else { panic!("{again:?}") };
        assert_eq!(signatures(&[vec![*done]]), [signature]);
    }
    assert_eq!(world.authorise(CUSTOMER, &request), Ok(first));
    assert_eq!((calls.get(), world.executions()), (1, executions));
}

/// Says both at once. Returns what was decided, in order.
fn at_once(world: &mut World, requests: [&TransactionRequest; 2]) -> Vec<Result<TransactionId, Code>> {
    let (party, before) = (world.party(CUSTOMER), world.workspace.heard.len());
    for request in requests {
        world.say(party, WorkspaceMessage::Authorise(request.clone()));
    }
    world.run(2_000, |_| false);
    let decided = |m: CosignerMessage| match m {
        CosignerMessage::Authorised { transaction, .. } => Some(Ok(transaction)),
        CosignerMessage::AuthorisationRefused { refusal, .. } => Some(Err(refusal.code)),
        _ => None,
    };
    world.heard_since(before, CUSTOMER).into_iter().filter_map(decided).collect()
}

#[test]
fn t10_a_transaction_id_with_other_content_is_a_conflict_also_while_the_handler_thinks() {
    for seed in 0..10 {
        let mut world = Base::connected(seed, Faults::none()).hostile();
        let request = world.request(1, "hello", "fine");
        let other = TransactionRequest { transaction: request.transaction, ..world.request(2, "other", "fine") };
        let decided = at_once(&mut world, [&request, &other]);
        let conflicts = decided.iter().filter(|d| **d == Err(Code::Conflict)).count();
        assert_eq!((decided.len(), conflicts), (2, 1), "{decided:?}");
        assert_eq!(world.handler.approved.len(), 1, "one of them was approved");
        let first_won = world.handler.approved.contains(&eip191("hello"));
        let loser = if first_won { &other } else { &request };
        assert_eq!(world.authorise(CUSTOMER, loser).unwrap_err().code, Code::Conflict);
    }
}

#[test]
fn t54_a_substituted_initiator_s_key_is_untrusted_everywhere() {
    let mut world = hostile(Setting::default());
    let genuine = world.request(1, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &genuine).unwrap();
    for user in ["client-1", "client-of-the-workspace"] {
        let forger = Client::new(user);
        let signer = world.base.signer_user.clone();
        let body = Client::message_body("pay mallory", "fine", None, VAULT);
        let forged = forger.request(TransactionId([2; 16]), GROUP, KEY, &signer, body, "nonce-2", world.now);
        assert_eq!(world.authorise(CUSTOMER, &forged).unwrap_err().code, Code::IntentUntrusted);
        for i in CLOUDS {
            let answer = world.prepare(i, session(1), &World::signing(&forged, &authorisation, 0));
            assert_eq!(answer.code(), Some(Code::IntentUntrusted), "{answer:?}");
        }
    }
    assert!(!world.handler.approved.contains(&eip191("pay mallory")));
}

#[test]
fn t55_only_a_post_to_the_transactions_is_an_intent_and_only_with_its_token() {
    let mut world = hostile(Setting::default());
    let request = world.request(1, "hello", "fine");
    let others = [
        TransactionRequest { method: Text::new("PUT").unwrap(), ..request.clone() },
        TransactionRequest { path: Text::new("/v1/transactions/estimate_fee").unwrap(), ..request.clone() },
        TransactionRequest { path: Text::new("/v1/transactions?dry=1").unwrap(), ..request.clone() },
    ];
    for other in others {
        assert_eq!(world.authorise(CUSTOMER, &other).unwrap_err().code, Code::IntentMismatch);
    }
    let none = TransactionRequest { token: None, ..request.clone() };
    assert_eq!(world.authorise(CUSTOMER, &none).unwrap_err().code, Code::IntentMissing);
    assert!(world.authorise(CUSTOMER, &request).is_ok(), "a refused form does not use the intent up");
}

#[test]
fn t55_one_intent_serves_one_transaction_and_one_list_of_digests() {
    let mut world = hostile(Setting::default());
    let first = world.request(1, "hello", "fine");
    let second = TransactionRequest { transaction: TransactionId([2; 16]), ..first.clone() };
    let same_nonce = world.request_with(3, Client::message_body("other", "fine", None, VAULT), "nonce-1");
    let same_external =
        world.request_with(4, Client::message_body("other", "fine", Some("external-1"), VAULT), "nonce-4");
    let authorisation = world.authorise(CUSTOMER, &first).unwrap();
    for replay in [&second, &same_nonce, &same_external] {
        assert_eq!(world.authorise(CUSTOMER, replay).unwrap_err().code, Code::IntentReplayed);
    }
    for i in CLOUDS {
        world.prepare(i, session(1), &World::signing(&first, &authorisation, 0)).ready();
        for replay in [&second, &same_nonce, &same_external] {
            let answer = world.prepare(i, session(2), &World::signing(replay, &authorisation, 0));
            assert!(matches!(answer.code(), Some(Code::Mismatch | Code::IntentReplayed)), "{answer:?}");
        }
    }
}

#[test]
fn t55_one_intent_is_not_in_front_of_a_handler_for_two_transactions_at_once() {
    for seed in 0..10 {
        let mut world = Base::connected(seed, Faults::none()).hostile();
        let first = world.request(1, "hello", "fine");
        let second = TransactionRequest { transaction: TransactionId([2; 16]), ..first.clone() };
        let decided = at_once(&mut world, [&first, &second]);
        let replays = decided.iter().filter(|d| **d == Err(Code::IntentReplayed)).count();
        assert_eq!((decided.len(), replays), (2, 1), "{decided:?}");
    }
}

#[test]
fn t55_after_a_rollback_of_the_customer_s_ledger_the_others_still_remember_the_intent() {
    let mut world = hostile(Setting::default());
    let earlier = world.cosigners[CUSTOMER].disk.clone();
    let roll_back = |world: &mut World| {
        world.crash_keeping(CUSTOMER, usize::MAX);
        world.cosigners[CUSTOMER].disk = earlier.clone();
        assert!(world.run(20_000, |w| w.cosigners[CUSTOMER].link_open));
    };
    let first = world.request(1, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &first).unwrap();
    for i in CLOUDS {
        world.prepare(i, session(1), &World::signing(&first, &authorisation, 0)).ready();
    }
    roll_back(&mut world);
    let second = TransactionRequest { transaction: TransactionId([2; 16]), ..first.clone() };
    let under_another_id = world.authorise(CUSTOMER, &second).expect("the rolled-back ledger knows nothing");
    roll_back(&mut world);
    let again = world.authorise(CUSTOMER, &first).expect("the rolled-back ledger knows nothing");
    assert_ne!(again, authorisation);
    for i in CLOUDS {
        let answer = world.prepare(i, session(2), &World::signing(&second, &under_another_id, 0));
        assert_eq!(answer.code(), Some(Code::IntentReplayed), "{answer:?}");
        let answer = world.prepare(i, session(3), &World::signing(&first, &again, 0));
        assert_eq!(answer.code(), Some(Code::NotAuthorised), "{answer:?}");
    }
}
