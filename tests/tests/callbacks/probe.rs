//! An operator's test of a handler.

use super::{CUSTOMER, hostile, set, status};
use countersign_tests::simulator::World;
use countersign_wire::admin::{AdminResponse, CallbackTest, Done, TestStep};
use countersign_wire::callback::{AttemptResult, CallbackSubject};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::command::{ApprovalSetting, Change};
use countersign_wire::refusal::Code;

fn test(world: &mut World) -> Result<CallbackTest, Code> {
    let (pairing, user) = (world.cosigners[CUSTOMER].pairing.unwrap(), world.base.signer_user.clone());
    match world.operator(CUSTOMER, Change::TestCallback { pairing, user }) {
        AdminResponse::Done(Done::CallbackTested(test)) => Ok(*test),
        AdminResponse::Refused(refusal) => Err(refusal.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_test_calls_the_handler_with_a_probe_whose_approval_approves_nothing() {
    let mut world = hostile();
    let before = world.workspace.heard.len();
    let result = test(&mut world).unwrap();
    assert_eq!((result.failed, result.action.as_str()), (None, "APPROVE"));
    assert_eq!(result.attempt.result, AttemptResult::Approved);
    assert_eq!(world.handler.shown[0]["extraParameters"]["countersign"]["test"], true);
    assert_eq!(
        world.handler.shown[0]["rawTx"].as_array().map(Vec::len),
        Some(1),
        "handlers may look into the first one"
    );
    let said = world.heard_since(before, CUSTOMER);
    assert!(said.iter().all(|m| !matches!(m, CosignerMessage::Authorised { .. })), "{said:?}");
    let seen = status(&mut world);
    assert_eq!(seen.attempts[0].0, CallbackSubject::Test);
    assert_eq!(seen.user.last_attempt, None, "no request of the user's");
}

#[test]
fn a_test_names_the_step_that_failed_with_its_reason_code() {
    let mut world = hostile();
    world.handler = countersign_tests::simulator::SimulatedHandler::default();
    let result = test(&mut world).unwrap();
    assert_eq!((result.failed, result.attempt.code), (Some(TestStep::Signature), Some(Code::BadSignature)));
    world.handler.answers = false;
    let result = test(&mut world).unwrap();
    assert_eq!(result.attempt.code, Some(Code::CallbackTimeout));
    set(&mut world, ApprovalSetting::None);
    assert_eq!(test(&mut world), Err(Code::NoHandler));
}
