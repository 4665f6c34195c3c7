//! Who approves: nobody by default, and a workspace cannot make it somebody.

use super::requests::handler_calls;
use super::{ALL, CUSTOMER, SECOND_KEY, SECOND_VAULT, second_key, sign};
use countersign_tests::simulator::{Base, Client, Faults, World, add_user, eip191, session};
use countersign_wire::admin::{AdminResponse, Done};
use countersign_wire::command::{ApprovalSetting, Change};
use countersign_wire::key::Operation::TypedMessage;
use countersign_wire::refusal::Code;
use countersign_wire::transaction::{Approval, TransactionRequest};

/// A world with a second API user of this approval, and a key and a vault account of its own.
fn world_of(approval: ApprovalSetting) -> World {
    let mut world = Base::connected(1, Faults::none());
    let mut add = add_user(&world, CUSTOMER, "signer-2", "jti-signer-2");
    add.approval = approval;
    let added = world.operator(CUSTOMER, Change::AddUser(Box::new(add)));
    assert!(matches!(added, AdminResponse::Done(Done::UserAdded { .. })), "{added:?}");
    second_key(world, &[TypedMessage], "signer-2".parse().unwrap())
}

fn request(world: &World, n: u8, text: &str) -> TransactionRequest {
    let body = Client::message_body(text, "fine", None, SECOND_VAULT);
    let request = world.request_with(n, body, &format!("nonce-{n}"));
    TransactionRequest { key: SECOND_KEY, signer: "signer-2".parse().unwrap(), ..request }
}

#[test]
fn t22_a_user_with_neither_handler_nor_auto_approve_gets_nothing_signed() {
    let mut world = world_of(ApprovalSetting::None);
    let calls = handler_calls(&mut world);
    let executions = world.executions();
    let unapproved = request(&world, 1, "hello");
    for _ in 0..2 {
        assert_eq!(world.authorise(CUSTOMER, &unapproved).unwrap_err().code, Code::NoHandler);
        world.crash_keeping(CUSTOMER, usize::MAX);
        assert!(world.run(20_000, |w| w.cosigners[CUSTOMER].link_open));
    }
    // Another user's Authorisation does not stand in for it.
    let of_the_first = world.request(2, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &of_the_first).unwrap();
    for i in ALL {
        let answer = world.prepare(i, session(1), &World::signing(&unapproved, &authorisation, 0));
        assert!(matches!(answer.code(), Some(Code::Mismatch | Code::NotAuthorised)), "{i}: {answer:?}");
    }
    assert_eq!((calls.get(), world.executions()), (1, executions), "only the first user's handler was asked");
    assert!(!world.signed(&eip191("hello")));
}

#[test]
fn t22_a_user_that_an_operator_set_to_auto_approve_is_authorised_without_a_handler() {
    let mut world = world_of(ApprovalSetting::Auto);
    let calls = handler_calls(&mut world);
    let request = request(&world, 1, "hello");
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    assert_eq!(authorisation.peek_unverified().unwrap().approval, Approval::Auto);
    sign(&mut world, session(1), &request);
    assert_eq!(calls.get(), 0);
}

#[test]
fn t60_raw_and_approval_are_no_settings_of_a_cloud_co_signer() {
    let mut world = Base::connected(1, Faults::none()).hostile();
    for i in [1, 2] {
        let mut raw = add_user(&world, i, "cloud-user", &format!("jti-raw-{i}"));
        raw.allow_raw = true;
        let mut auto = add_user(&world, i, "cloud-user", &format!("jti-auto-{i}"));
        auto.approval = ApprovalSetting::Auto;
        for add in [raw, auto] {
            let refused = world.operator(i, Change::AddUser(Box::new(add)));
            assert!(matches!(&refused, AdminResponse::Refused(r) if r.code == Code::NotAllowed), "{refused:?}");
        }
    }
}
