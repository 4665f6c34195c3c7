//! Configuration changes: the approving user's word, restarts, forgeries.

use super::handler::Forgery;
use super::single::{clouds, customer};
use super::world::World;
use crate::ceremony::{Approver, CHANGE_LIFE_MS, ChangeRecord, ChangeStatus, Input, Payload};
use countersign_wire::callback::{ChangeVerdict, ConfigChange};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::ids::{ChangeId, PartyId};
use countersign_wire::refusal::Code;
use countersign_wire::{Bytes, Text};

const CHANGE: ChangeId = ChangeId([4; 16]);

fn record(world: &World, payload: Payload) -> ChangeRecord {
    let party = customer(world);
    let change = ConfigChange {
        id: CHANGE,
        signer: "signer".parse().unwrap(),
        kind: Text::new("UNMANAGED_WALLET").unwrap(),
        extra_info: Bytes::new(br#"{"name":"w"}"#.to_vec()).unwrap(),
    };
    let approver = Approver { party, approval_key: world.parties[&party].approval_key.public() };
    ChangeRecord::new(change, Some(approver), payload, "admin".parse().unwrap(), world.now_ms)
}

fn wallet() -> Payload {
    Payload::AddWallet { wallet: "w".into(), name: "w".into(), customer_ref_id: None }
}

fn status(world: &World) -> ChangeStatus {
    world.disk.changes[&CHANGE].status
}

fn reason(world: &World) -> Option<Code> {
    world.disk.changes[&CHANGE].reason.as_ref().map(|reason| reason.code)
}

fn submitted(set: impl FnOnce(&mut super::handler::Control)) -> World {
    let mut world = World::new(3, 3);
    world.run(5_000, |_| false);
    let id = customer(&world);
    set(&mut world.parties[&id].control.lock().unwrap());
    let record = record(&world, wallet());
    world.submit_change(record);
    world
}

#[test]
fn the_handlers_word_decides_and_its_call_is_kept() {
    let ignored = "the callback handler answered IGNORE, and nobody else decides: the handler gave no reason";
    for (verdict, expected, refusal) in [
        (ChangeVerdict::Approve, ChangeStatus::Approved, None),
        (ChangeVerdict::Reject, ChangeStatus::Rejected, Some((Code::Rejected, "not in my house"))),
        (ChangeVerdict::Ignore, ChangeStatus::Failed, Some((Code::Ignored, ignored))),
    ] {
        let mut world = submitted(|control| control.verdict = verdict);
        assert!(world.run(60_000, |w| status(w).is_final()));
        let stored = &world.disk.changes[&CHANGE];
        let got = stored.reason.as_ref().map(|reason| (reason.code, reason.detail.as_str()));
        assert_eq!((stored.status, got), (expected, refusal));
        assert_eq!((stored.attempts.all().len(), stored.approval.is_some()), (1, true));
        assert!(world.disk.audit.is_empty());
    }
    let mut world = submitted(|control| control.refuses = Some(Code::CallbackTimeout));
    assert!(world.run(60_000, |w| status(w).is_final()));
    assert_eq!((status(&world), reason(&world)), (ChangeStatus::Failed, Some(Code::CallbackTimeout)));
    assert_eq!(world.disk.changes[&CHANGE].attempts.all().len(), 1);
}

#[test]
fn t25_a_forged_word_about_a_change_counts_for_nothing_and_is_in_the_audit_log() {
    for forgery in [Forgery::Key, Forgery::Content, Forgery::Change, Forgery::Signer] {
        let mut world = submitted(|control| control.forges = Some(forgery));
        assert!(!world.run(3_600_000, |w| status(w).is_final()), "{forgery:?}");
        let stored = &world.disk.changes[&CHANGE];
        assert_eq!((stored.status, stored.approval.is_some()), (ChangeStatus::PendingApproval, false));
        assert!(stored.attempts.all().is_empty());
        assert_eq!(world.disk.audit.len(), 10, "a flood does not fill the log");
        assert!(world.disk.audit.iter().all(|note| note.action == "config_change.forged_approval"));
        // Once the word is good, it counts.
        let id = customer(&world);
        world.parties[&id].control.lock().unwrap().forges = None;
        assert!(world.run(60_000, |w| status(w) == ChangeStatus::Approved), "{forgery:?}");
    }
}

#[test]
fn t24_another_co_signers_word_counts_for_nothing() {
    let mut world = submitted(|control| control.holds = true);
    let id = customer(&world);
    assert!(world.run(60_000, |w| w.parties[&id].held_changes.contains_key(&CHANGE)));
    world.run(30_000, |_| false);
    let asked = world.parties[&id].control.lock().unwrap().asked_changes;
    assert_eq!(asked, 1, "a co-signer that asks its handler tells by itself");
    world.parties[&id].control.lock().unwrap().holds = false;
    let party = world.parties.get_mut(&id).unwrap();
    let word = party.controlled(1).into_iter().find_map(|out| match out {
        super::party::Out::Up(message @ CosignerMessage::ChangeDecided { .. }) => Some(message),
        _ => None,
    });
    let message = Box::new(word.unwrap());
    let cloud: PartyId = clouds(&world)[0];
    world.input(Input::Message { from: cloud, message: message.clone() });
    assert_eq!(status(&world), ChangeStatus::PendingApproval, "the very word, brought by another");
    world.input(Input::Message { from: id, message });
    assert_eq!(status(&world), ChangeStatus::Approved);
}

#[test]
fn a_pending_change_survives_restarts_and_is_decided_once() {
    let mut world = submitted(|control| control.holds = true);
    let id = customer(&world);
    assert!(world.run(60_000, |w| !w.parties[&id].held_changes.is_empty()));
    world.restart_workspace();
    world.run(30_000, |_| false);
    world.parties.get_mut(&id).unwrap().held_changes.clear();
    world.restart_party(id);
    assert!(world.run(60_000, |w| !w.parties[&id].held_changes.is_empty()), "it is asked again after a restart");
    world.parties[&id].control.lock().unwrap().holds = false;
    assert!(world.run(60_000, |w| status(w) == ChangeStatus::Approved));
    world.restart_workspace();
    world.run(60_000, |_| false);
    assert_eq!(status(&world), ChangeStatus::Approved);
}

#[test]
fn a_change_that_nobody_decides_ends_after_seven_days_and_one_can_be_cancelled() {
    let mut world = submitted(|_| {});
    world.input(Input::CancelChange { change: CHANGE });
    assert_eq!((status(&world), reason(&world)), (ChangeStatus::Cancelled, Some(Code::Cancelled)));
    let mut world = submitted(|control| control.holds = true);
    assert!(!world.run(CHANGE_LIFE_MS - 60_000, |w| status(w).is_final()));
    assert!(world.run(120_000, |w| status(w).is_final()));
    assert_eq!((status(&world), reason(&world)), (ChangeStatus::Failed, Some(Code::Timeout)));
}

#[test]
fn t57_a_handler_is_changed_by_operators_alone() {
    let mut world = World::new(3, 3);
    world.run(5_000, |_| false);
    let party = customer(&world);
    let user = "signer".parse().unwrap();
    let payload = Payload::SetApproval { party, user, approval: Box::new(ApprovalSetting::Auto) };
    let change = record(&world, payload);
    let stays = |world: &mut World| {
        assert!(!world.run(86_400_000, |w| status(w).is_final()));
        assert_eq!(status(world), ChangeStatus::WaitingForOperators);
        assert!(world.parties[&party].control.lock().unwrap().users.is_empty(), "nothing is in force");
    };
    world.submit_change(change);
    stays(&mut world);
    world.restart_workspace();
    world.parties[&party].control.lock().unwrap().proposed.clear();
    stays(&mut world);
    assert_eq!(world.parties[&party].control.lock().unwrap().proposed.len(), 1, "proposed again after a restart");
    // Operators of another co-signer sign, or these sign something else.
    let cloud = clouds(&world)[0];
    let said = |setting: ApprovalSetting| CosignerMessage::Users {
        name: Text::default(),
        users: countersign_wire::List::new(vec![(
            "signer".parse().unwrap(),
            countersign_wire::status::ApprovalKind::Auto,
            setting.digest(),
        )])
        .unwrap(),
    };
    world.input(Input::Message { from: cloud, message: Box::new(said(ApprovalSetting::Auto)) });
    world.input(Input::Message { from: party, message: Box::new(said(ApprovalSetting::None)) });
    assert_eq!(status(&world), ChangeStatus::WaitingForOperators);
    world.input(Input::Message { from: party, message: Box::new(said(ApprovalSetting::Auto)) });
    assert_eq!(status(&world), ChangeStatus::Approved);
}
