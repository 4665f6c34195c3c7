//! Configuration changes: the handler's word, under the API user's own approval key.

use super::{CUSTOMER, hostile, restart, set, status};
use countersign_tests::simulator::World;
use countersign_wire::callback::{ChangeApproval, ChangeVerdict, ConfigChange};
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::command::ApprovalSetting;
use countersign_wire::ids::{ApiUserId, ChangeId};
use countersign_wire::refusal::Code;
use countersign_wire::{Bytes, Message, Text};

fn change(signer: &ApiUserId, note: &str) -> ConfigChange {
    ConfigChange {
        id: ChangeId([7; 16]),
        signer: signer.clone(),
        kind: Text::new("UNMANAGED_WALLET").unwrap(),
        extra_info: Bytes::new(format!(r#"{{"note":"{note}","address":"0x00"}}"#).into_bytes()).unwrap(),
    }
}

fn of_signer(world: &World, note: &str) -> ConfigChange {
    change(&world.base.signer_user, note)
}

/// The word about a change, opened with the API user's approval key, or why there is none.
fn ask(world: &mut World, change: &ConfigChange) -> Result<ChangeApproval, Code> {
    let key = status(world).approval_key;
    let said = world.exchange_with(CUSTOMER, WorkspaceMessage::ApproveChange(change.clone()));
    let word = said.iter().find_map(|message| match message {
        CosignerMessage::ChangeDecided { approval, .. } => Some(Ok(approval.open(&key).expect("its own key"))),
        CosignerMessage::ChangeRefused { refusal, .. } => Some(Err(refusal.code)),
        _ => None,
    });
    word.unwrap_or_else(|| panic!("no word: {said:?}"))
}

#[test]
fn the_handlers_word_is_signed_with_the_api_users_own_key_over_exactly_what_was_shown() {
    let mut world = hostile();
    let change = of_signer(&world, "fine");
    let word = ask(&mut world, &change).unwrap();
    assert_eq!((word.verdict, word.change, &word.signer), (ChangeVerdict::Approve, change.id, &change.signer));
    assert_eq!(word.change_hash, change.digest());
    let shown = &world.handler.shown[0];
    assert_eq!(shown["requestId"], word.request_id.as_str());
    assert_eq!(
        (shown["type"].as_str(), shown["extraInfo"]["address"].as_str()),
        (Some("UNMANAGED_WALLET"), Some("0x00"))
    );
    assert_ne!(status(&mut world).approval_key, world.party(CUSTOMER).0, "no key that signs anything else");
}

#[test]
fn a_word_is_final_and_given_once_also_across_a_restart() {
    let mut world = hostile();
    for (n, (note, verdict)) in
        [("fine", ChangeVerdict::Approve), ("reject-me", ChangeVerdict::Reject), ("ignore-me", ChangeVerdict::Ignore)]
            .into_iter()
            .enumerate()
    {
        let change = ConfigChange { id: ChangeId([n as u8; 16]), ..of_signer(&world, note) };
        let word = ask(&mut world, &change).unwrap();
        assert_eq!(word.verdict, verdict, "{note}");
        restart(&mut world);
        assert_eq!(ask(&mut world, &change), Ok(word), "the same word again");
        assert_eq!(world.handler.shown.len(), n + 1, "without asking again");
        let other = ConfigChange { kind: Text::new("ADD_USER").unwrap(), ..change };
        assert_eq!(ask(&mut world, &other), Err(Code::Conflict));
    }
}

#[test]
fn retry_holds_for_changes_too_and_survives_a_restart() {
    let mut world = hostile();
    let change = of_signer(&world, "retry-me");
    world.exchange_with(CUSTOMER, WorkspaceMessage::ApproveChange(change.clone()));
    restart(&mut world);
    assert!(world.run(60_000, |w| w.handler.shown.len() == 2));
    assert_eq!(world.handler.shown[0], world.handler.shown[1]);
    world.run(1_000, |_| false);
    assert_eq!(ask(&mut world, &change).unwrap().verdict, ChangeVerdict::Approve);
}

#[test]
fn t57_a_change_that_nobody_may_approve_gets_no_word() {
    let mut world = hostile();
    let stranger = change(&"stranger".parse().unwrap(), "fine");
    assert_eq!(ask(&mut world, &stranger), Err(Code::NotFound));
    let malformed = ConfigChange { extra_info: Bytes::new(b"[]".to_vec()).unwrap(), ..of_signer(&world, "fine") };
    assert_eq!(ask(&mut world, &malformed), Err(Code::Malformed));
    world.handler.answers = false;
    let unanswered = of_signer(&world, "fine");
    let said = world.exchange_with(CUSTOMER, WorkspaceMessage::ApproveChange(unanswered));
    world.run(10_000, |_| false);
    assert!(said.iter().all(|m| !matches!(m, CosignerMessage::ChangeDecided { .. })));
    set(&mut world, ApprovalSetting::None);
    let change = of_signer(&world, "fine");
    assert_eq!(ask(&mut world, &change), Err(Code::NoHandler));
    assert_eq!(world.handler.approved.len(), 0);
}
