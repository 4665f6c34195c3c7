//! The workspace may propose how requests are approved. Operators alone decide.

use super::{CUSTOMER, hostile, restart, set, status};
use countersign_wire::admin::{AdminResponse, Done};
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::command::ApprovalSetting;
use countersign_wire::ids::ChangeId;
use countersign_wire::status::ApprovalKind;

#[test]
fn t57_a_handler_proposed_by_the_workspace_stays_a_proposal_until_operators_sign_it() {
    let mut world = hostile();
    let (change, user) = (ChangeId([3; 16]), world.base.signer_user.clone());
    for approval in [ApprovalSetting::Auto, ApprovalSetting::None] {
        let message = WorkspaceMessage::ProposeApproval { change, user: user.clone(), approval: approval.clone() };
        world.exchange_with(CUSTOMER, message);
        let seen = status(&mut world);
        assert_eq!(seen.proposal, Some((change, approval)));
        assert_eq!(seen.approval, ApprovalSetting::Handler(world.handler.settings()), "nothing follows from it");
    }
    let request = world.request(1, "hello", "fine");
    assert!(world.authorise(CUSTOMER, &request).is_ok());
    assert_eq!(world.handler.shown.len(), 1, "the handler that operators set is asked");
}

#[test]
fn what_operators_sign_is_told_to_the_workspace_and_is_no_proposal_any_more() {
    let mut world = hostile();
    let (change, user) = (ChangeId([3; 16]), world.base.signer_user.clone());
    let approval = ApprovalSetting::Auto;
    let message = WorkspaceMessage::ProposeApproval { change, user: user.clone(), approval: approval.clone() };
    world.exchange_with(CUSTOMER, message);
    let before = world.workspace.heard.len();
    assert!(matches!(set(&mut world, approval.clone()), AdminResponse::Done(Done::ApprovalSet { .. })));
    assert_eq!(status(&mut world).proposal, None);
    let told = world.workspace.heard[before..].iter().find_map(|(_, message)| match message {
        CosignerMessage::Users { users, .. } => users.iter().find(|(id, ..)| *id == user).cloned(),
        _ => None,
    });
    assert_eq!(told, Some((user, ApprovalKind::Auto, approval.digest())));
    restart(&mut world);
    assert_eq!(status(&mut world).approval, approval);
}

#[test]
fn a_proposal_for_somebody_else_is_nothing() {
    let mut world = hostile();
    let stranger = "stranger".parse().unwrap();
    let message = WorkspaceMessage::ProposeApproval {
        change: ChangeId([3; 16]),
        user: stranger,
        approval: ApprovalSetting::Auto,
    };
    assert_eq!(world.exchange_with(CUSTOMER, message).len(), 0);
    assert_eq!(status(&mut world).proposal, None);
}
