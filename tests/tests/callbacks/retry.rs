//! RETRY: asked again with identical parameters, on its schedule, across restarts, and not for ever.

use super::{CUSTOMER, hostile, restart, set, status};
use countersign_tests::simulator::{RETRY, World, eip191, session};
use countersign_token::{SigningKey, generate_p256};
use countersign_wire::admin::{AdminResponse, Done};
use countersign_wire::callback::{Attempt, AttemptResult};
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::command::{ApprovalSetting, Handler, RetrySchedule};
use countersign_wire::refusal::Code;
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{Bytes, List};

const EVERY_MS: u64 = 1_000 * RETRY.every_s as u64;

/// What the customer's co-signer said of a transaction since then: waits, an Authorisation, or a refusal.
#[derive(Debug)]
enum Told {
    Waits(Option<Attempt>),
    Authorised,
    Refused(Code, bool),
}

fn told(world: &World, before: usize) -> Vec<Told> {
    let told = |message: CosignerMessage| match message {
        CosignerMessage::AuthorisationWaiting { attempt, .. } => Some(Told::Waits(attempt)),
        CosignerMessage::Authorised { .. } => Some(Told::Authorised),
        CosignerMessage::AuthorisationRefused { refusal, last, .. } => Some(Told::Refused(refusal.code, last)),
        _ => None,
    };
    world.heard_since(before, CUSTOMER).into_iter().filter_map(told).collect()
}

/// Asks for an Authorisation and waits for the first RETRY.
fn begin(world: &mut World, note: &str) -> TransactionRequest {
    let request = world.request(1, "hello", note);
    let said = world.exchange_with(CUSTOMER, WorkspaceMessage::Authorise(request.clone()));
    let waits = |m: &CosignerMessage| matches!(m, CosignerMessage::AuthorisationWaiting { attempt: Some(_), .. });
    assert!(said.iter().any(waits), "{said:?}");
    assert_eq!(world.handler.shown.len(), 1);
    request
}

#[test]
fn a_handler_that_answers_retry_is_asked_again_on_its_schedule_and_its_approval_counts() {
    let mut world = hostile();
    let before = world.workspace.heard.len();
    let begun = world.now;
    let request = begin(&mut world, "retry-me");
    let told_first = told(&world, before);
    let attempt = told_first.iter().find_map(|told| match told {
        Told::Waits(attempt) => attempt.clone(),
        _ => None,
    });
    let attempt = attempt.unwrap();
    assert_eq!((attempt.number, attempt.result, attempt.code), (1, AttemptResult::Retry, Some(Code::Retry)));
    assert!(attempt.next_at_ms.unwrap() >= begun + EVERY_MS);
    assert!(!world.run(EVERY_MS - 1_000, |w| w.handler.shown.len() > 1), "not before its time");
    assert!(world.run(5_000, |w| w.handler.shown.len() == 2), "and then");
    world.run(1_000, |_| false);
    assert!(matches!(told(&world, before).last(), Some(Told::Authorised)));
    assert_eq!(world.handler.shown[0], world.handler.shown[1], "identical parameters");
    assert!(world.authorise(CUSTOMER, &request).is_ok(), "the decision is on record");
    assert_eq!(world.handler.shown.len(), 2);
}

#[test]
fn a_restart_in_the_middle_of_a_series_continues_it_with_identical_parameters() {
    let mut world = hostile();
    begin(&mut world, "retry-for-ever");
    for attempts in 2..=3 {
        restart(&mut world);
        assert_eq!(status(&mut world).user.retrying, 1, "sealed");
        assert!(world.run(2 * EVERY_MS, |w| w.handler.shown.len() == attempts), "attempt {attempts}");
        world.run(1_000, |_| false);
    }
    let first = world.handler.shown[0].clone();
    assert!(world.handler.shown.iter().all(|shown| *shown == first), "{:?}", world.handler.shown);
    assert_eq!(world.executions(), 0, "and holds nothing of a ceremony");
}

#[test]
fn a_host_that_comes_and_goes_neither_loses_a_series_nor_speeds_it_up_beyond_its_count() {
    let mut world = hostile();
    let before = world.workspace.heard.len();
    begin(&mut world, "retry-for-ever");
    for _ in 0..10 {
        world.lose_host(CUSTOMER);
        world.run(10_000, |_| false);
    }
    let told_refusal = |w: &World| matches!(told(w, before).last(), Some(Told::Refused(Code::RetriesExhausted, true)));
    assert!(world.run(10 * EVERY_MS, told_refusal), "{:?}", told(&world, before));
    // An attempt whose answer was lost with the host is made again under its number.
    assert!(world.handler.shown.len() <= usize::from(RETRY.times) + 1 + 10);
}

#[test]
fn t32_a_handler_that_answers_retry_for_ever_is_asked_a_bounded_number_of_times_and_then_it_is_rejected() {
    let mut world = hostile();
    let before = world.workspace.heard.len();
    let request = begin(&mut world, "retry-for-ever");
    world.run(20 * EVERY_MS, |_| false);
    assert_eq!(world.handler.shown.len(), usize::from(RETRY.times) + 1);
    assert!(matches!(told(&world, before).last(), Some(Told::Refused(Code::RetriesExhausted, true))));
    restart(&mut world);
    let again = world.authorise(CUSTOMER, &request).unwrap_err();
    assert_eq!(again.code, Code::RetriesExhausted, "final, also across a restart");
    assert_eq!(world.handler.shown.len(), usize::from(RETRY.times) + 1, "and asked no more");
    assert!(!world.signed(&eip191("hello")));
}

#[test]
fn a_rejection_in_a_series_is_final() {
    let mut world = hostile();
    let before = world.workspace.heard.len();
    let request = begin(&mut world, "retry-me-then-reject");
    assert!(world.run(2 * EVERY_MS, |w| w.handler.shown.len() == 2));
    world.run(1_000, |_| false);
    assert!(matches!(told(&world, before).last(), Some(Told::Refused(Code::Rejected, true))));
    restart(&mut world);
    assert_eq!(world.authorise(CUSTOMER, &request).unwrap_err().code, Code::Rejected);
    assert_eq!(status(&mut world).user.retrying, 0);
}

#[test]
fn a_changed_handler_ends_its_series_for_good() {
    let mut world = hostile();
    let before = world.workspace.heard.len();
    begin(&mut world, "retry-for-ever");
    let mut handler = world.handler.settings();
    handler.deadline_ms += 1;
    set(&mut world, ApprovalSetting::Handler(handler));
    world.run(1_000, |_| false);
    assert!(matches!(told(&world, before).last(), Some(Told::Refused(Code::HandlerChanged, false))));
    restart(&mut world);
    world.run(3 * EVERY_MS, |_| false);
    assert_eq!(world.handler.shown.len(), 1, "not asked under the new setting");
}

#[test]
fn a_crash_before_the_series_is_durable_leaves_no_word_of_it_and_the_workspace_asks_again() {
    let mut world = hostile();
    world.stalled = Some(CUSTOMER);
    let before = world.workspace.heard.len();
    let request = world.request(1, "hello", "retry-for-ever");
    world.exchange_with(CUSTOMER, WorkspaceMessage::Authorise(request.clone()));
    assert_eq!(world.handler.shown.len(), 1);
    let spoken = told(&world, before);
    assert!(spoken.iter().all(|told| matches!(told, Told::Waits(None))), "nothing before it is stored: {spoken:?}");
    world.stalled = None;
    world.crash_keeping(CUSTOMER, 0);
    world.wait_for_link(CUSTOMER);
    assert_eq!(status(&mut world).user.retrying, 0);
    world.exchange_with(CUSTOMER, WorkspaceMessage::Authorise(request));
    assert_eq!(world.handler.shown[0], world.handler.shown[1], "the same request again");
}

#[test]
fn t55_an_intent_in_a_series_serves_no_second_transaction() {
    let mut world = hostile();
    let request = begin(&mut world, "retry-for-ever");
    let other = TransactionRequest { transaction: countersign_wire::ids::TransactionId([9; 16]), ..request };
    assert_eq!(world.authorise(CUSTOMER, &other).unwrap_err().code, Code::IntentReplayed);
    restart(&mut world);
    assert_eq!(world.authorise(CUSTOMER, &other).unwrap_err().code, Code::IntentReplayed);
}

#[test]
fn an_approval_hours_after_the_request_counts_at_every_co_signer() {
    let mut world = hostile();
    let slow = Handler { retry: RetrySchedule { every_s: 3_600, times: 3 }, ..world.handler.settings() };
    set(&mut world, ApprovalSetting::Handler(slow));
    let request = begin(&mut world, "retry-me");
    assert!(world.run(2 * 3_600_000, |w| w.handler.shown.len() == 2));
    world.run(1_000, |_| false);
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    let work = World::signing(&request, &authorisation, 0);
    for i in 0..3 {
        world.prepare(i, session(1), &work).ready();
    }
}

#[test]
fn a_request_that_the_workspace_withdraws_is_asked_about_no_more() {
    let mut world = hostile();
    let request = begin(&mut world, "retry-for-ever");
    let party = world.party(CUSTOMER);
    world.say(party, WorkspaceMessage::Withdraw { transaction: request.transaction });
    world.run(20 * EVERY_MS, |_| false);
    assert_eq!((world.handler.shown.len(), status(&mut world).user.retrying), (1, 0));
    restart(&mut world);
    world.run(5 * EVERY_MS, |_| false);
    assert_eq!((world.handler.shown.len(), status(&mut world).user.retrying), (1, 0), "also after a restart");
    // One that was decided stays so.
    let decided = world.request(2, "another", "fine");
    let authorisation = world.authorise(CUSTOMER, &decided).unwrap();
    world.say(party, WorkspaceMessage::Withdraw { transaction: decided.transaction });
    world.run(1_000, |_| false);
    assert_eq!(world.authorise(CUSTOMER, &decided), Ok(authorisation));
}

#[test]
fn a_key_in_addition_ends_no_series_and_one_that_goes_ends_them() {
    let mut world = hostile();
    begin(&mut world, "retry-for-ever");
    let old = world.handler.settings();
    let second = SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap();
    let second = Bytes::new(second.public().spki_der()).unwrap();
    let both = Handler { keys: List::new(vec![old.keys[0].clone(), second.clone()]).unwrap(), ..old.clone() };
    let ended = |answer: AdminResponse| match answer {
        AdminResponse::Done(Done::ApprovalSet { ended, .. }) => ended,
        other => panic!("{other:?}"),
    };
    assert_eq!(ended(set(&mut world, ApprovalSetting::Handler(both.clone()))), 0);
    restart(&mut world);
    assert!(world.run(2 * EVERY_MS, |w| w.handler.shown.len() == 2), "the series goes on, also across a restart");
    world.run(1_000, |_| false);
    let new = Handler { keys: List::new(vec![second]).unwrap(), ..both };
    assert_eq!(ended(set(&mut world, ApprovalSetting::Handler(new))), 1);
    world.run(5 * EVERY_MS, |_| false);
    assert_eq!(world.handler.shown.len(), 2);
}
