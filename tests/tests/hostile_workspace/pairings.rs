//! What belongs to another workspace, another group, or another workspace's keys.

use super::{ALL, CUSTOMER, hostile, sign};
use cosigner_core::Input;
use countersign_tests::simulator::{
    Answer, Client, GROUP, KEY, Keys, Setting, VAULT, World, add_user, purpose, session,
};
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::agreement::Subject;
use countersign_wire::ceremony::{CosignerMessage, GroupState, ToCosigner, Work, WorkspaceMessage};
use countersign_wire::command::Change;
use countersign_wire::group::{Group, Role};
use countersign_wire::ids::{GroupId, PartyId};
use countersign_wire::refusal::Code;
use countersign_wire::relay::RelayDown;
use countersign_wire::{Bytes, List, Message, Signed, Text};
use std::sync::Arc;

fn groups_at(world: &mut World, i: usize) -> Vec<(GroupId, GroupState, u16)> {
    let AdminResponse::Status(status) = world.ask_admin(i, &AdminRequest::Status) else { panic!("no status") };
    let groups = status
        .pairings
        .iter()
        .flat_map(|p| p.groups.iter().map(|g| (g.group.id, g.state, g.group.threshold)).collect::<Vec<_>>());
    groups.collect()
}

#[test]
fn t52_another_workspace_s_key_group_transaction_and_session_are_not_found() {
    let mut world = hostile(Setting::default());
    let of_the_first = world.request(1, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &of_the_first).unwrap();
    let (first_keys, first_group) = (Arc::clone(&world.workspace.keys), world.group());
    let keygen = Work::Keygen { group: GROUP, key: KEY, purpose: purpose(&world.base.signer_user) };
    let Answer::Done(known) = world.prepare(CUSTOMER, session(1), &keygen) else { panic!("the key is there") };
    let CosignerMessage::Acknowledged { acknowledgement } = *known else { panic!("{known:?}") };
    let session_of_key = acknowledgement.peek_unverified().unwrap().session;
    let (first_party, first_pairing) = (world.party(CUSTOMER), world.cosigners[CUSTOMER].pairing);
    let second = world.pair_second(CUSTOMER, "signer-1");
    let second_party = world.party(CUSTOMER);
    assert_ne!(second_party, first_party, "another identity in another pairing");

    let answers = world.exchange_with(CUSTOMER, WorkspaceMessage::ProposeGroup(first_group.clone()));
    assert!(answers.is_empty(), "the first one's group is none of this pairing: {answers:?}");
    let refused = world.authorise(CUSTOMER, &of_the_first).unwrap_err();
    assert_eq!(refused.code, Code::GroupNotAccepted);

    // A group of its own under the same id, which operators accept.
    let mut parties = first_group.parties.to_vec();
    parties.iter_mut().filter(|p| p.id == first_party).for_each(|p| p.id = second_party);
    parties.sort_by_key(|p| p.id);
    let group = Group { workspace: second.id, parties: List::new(parties).unwrap(), ..first_group };
    world.exchange_with(CUSTOMER, WorkspaceMessage::ProposeGroup(group.clone()));
    let pairing = world.cosigners[CUSTOMER].pairing.unwrap();
    let accepted = world.operator(CUSTOMER, Change::AcceptGroup { pairing, group });
    assert_eq!(accepted, AdminResponse::Done(Done::GroupAccepted { group: GROUP }));
    world.run(1_000, |_| false);

    assert_eq!(world.authorise(CUSTOMER, &of_the_first).unwrap_err().code, Code::NotFound);
    let body = Client::message_body("mine", "fine", None, VAULT);
    let fresh = world.request_with(2, body, "nonce-2");
    assert_eq!(world.authorise(CUSTOMER, &fresh).unwrap_err().code, Code::NotFound);
    let answer = world.prepare(CUSTOMER, session(1), &World::signing(&of_the_first, &authorisation, 0));
    assert_eq!(answer.code(), Some(Code::NotAuthorised), "{answer:?}");
    let certify = WorkspaceMessage::Certify { key: KEY, vault_account: VAULT, asset: Text::new("ETH").unwrap() };
    let said = world.exchange_with(CUSTOMER, certify);
    let code = said.iter().find_map(|m| match m {
        CosignerMessage::CertificateRefused { refusal, .. } => Some(refusal.code),
        _ => None,
    });
    assert_eq!(code, Some(Code::NotFound), "{said:?}");
    let query = WorkspaceMessage::Query { group: GROUP, subject: Subject::Key(KEY), session: session_of_key };
    let said = world.exchange_with(CUSTOMER, query);
    assert!(matches!(said.as_slice(), [CosignerMessage::NeverHeld { .. }]), "{said:?}");

    // The host delivers each one's words over the other one's link, and the second claims to speak to the first's party.
    let frame = |keys: &Keys, to: PartyId| {
        let message = WorkspaceMessage::Authorise(fresh.clone());
        let signed = Signed::sign(&ToCosigner { to, message }, &keys.message);
        RelayDown::Workspace(Bytes::new(borsh::to_vec(&signed).unwrap()).unwrap()).encode()
    };
    let before = world.handler.approved.len();
    for (keys, to, over) in [
        (&second, first_party, first_pairing),
        (&second, first_party, Some(pairing)),
        (&second, second_party, first_pairing),
        (&first_keys, first_party, Some(pairing)),
        (&first_keys, second_party, first_pairing),
        (&first_keys, second_party, Some(pairing)),
    ] {
        world.input(CUSTOMER, 1, Input::LinkData { pairing: over.unwrap(), frame: frame(keys, to) });
    }
    world.run(5_000, |_| false);
    assert_eq!(world.handler.approved.len(), before);

    world.workspace.keys = first_keys;
    world.cosigners[CUSTOMER].party = Some(first_party);
    world.cosigners[CUSTOMER].pairing = first_pairing;
    sign(&mut world, session(2), &of_the_first);
}

#[test]
fn t54_a_workspace_with_other_keys_than_the_operator_named_is_not_paired_with() {
    let mut world = hostile(Setting::default());
    let (named, other) = (Keys::new(2), Arc::new(Keys::new(3)));
    let mut add = add_user(&world, CUSTOMER, "signer-9", "jti-9");
    add.token = Text::new(named.pairing_token("signer-9", "jti-9", world.now)).unwrap();
    add.workspace = named.fingerprint();
    world.workspace.keys = Arc::clone(&other);
    let answer = world.operator(CUSTOMER, Change::AddUser(Box::new(add.clone())));
    assert!(matches!(&answer, AdminResponse::Refused(r) if r.code == Code::WorkspaceUntrusted), "{answer:?}");
    // The right keys, and a token under the right id that another workspace's key signed.
    let forger = Keys { id: named.id, ..Keys::new(3) };
    world.workspace.keys = Arc::new(named);
    add.token = Text::new(forger.pairing_token("signer-9", "jti-9", world.now)).unwrap();
    let answer = world.operator(CUSTOMER, Change::AddUser(Box::new(add)));
    assert!(matches!(&answer, AdminResponse::Refused(r) if r.code == Code::TokenInvalid), "{answer:?}");
    let AdminResponse::Status(status) = world.ask_admin(CUSTOMER, &AdminRequest::Status) else { panic!("no status") };
    assert_eq!(status.pairings.len(), 1);
}

#[test]
fn t54_messages_under_another_workspace_key_are_not_heard() {
    let mut world = hostile(Setting::default());
    let genuine = Arc::clone(&world.workspace.keys);
    let request = world.request(1, "hello", "fine");
    world.workspace.keys = Arc::new(Keys::new(7));
    for i in ALL {
        assert!(world.exchange_with(i, WorkspaceMessage::Authorise(request.clone())).is_empty());
    }
    assert!(world.handler.approved.is_empty());
    world.workspace.keys = genuine;
    sign(&mut world, session(1), &request);
}

#[test]
fn t54_a_substituted_peer_is_not_in_a_group_that_operators_accepted() {
    let mut world = hostile(Setting::default());
    let stranger = PartyId([0x33; 32]);
    for i in ALL {
        let same_id = world.group_with_stranger(i, stranger);
        let substituted = Group { id: GroupId([8; 16]), ..same_id.clone() };
        let mut honest = world.group();
        honest.id = substituted.id;
        world.exchange_with(i, WorkspaceMessage::ProposeGroup(same_id.clone()));
        world.exchange_with(i, WorkspaceMessage::ProposeGroup(substituted.clone()));
        assert_eq!(
            groups_at(&mut world, i),
            [(GROUP, GroupState::Ready, 3), (substituted.id, GroupState::Proposed, 3)]
        );
        let pairing = world.cosigners[i].pairing.unwrap();
        // The operator names what it was told by the other operators: not what the workspace proposed.
        let answer = world.operator(i, Change::AcceptGroup { pairing, group: honest });
        assert!(matches!(&answer, AdminResponse::Refused(r) if r.code == Code::Mismatch), "{answer:?}");
        let answer = world.operator(i, Change::AcceptGroup { pairing, group: same_id });
        assert!(matches!(&answer, AdminResponse::Refused(r) if r.code == Code::Mismatch), "{answer:?}");
        let answer = world.prepare(i, session(1), &Work::Aux { group: substituted.id });
        assert_eq!(answer.code(), Some(Code::GroupNotAccepted));
    }
    let request = world.request(1, "hello", "fine");
    sign(&mut world, session(2), &request);
}

#[test]
fn t54_a_group_that_gives_this_co_signer_another_role_or_no_place_is_dropped() {
    let mut world = hostile(Setting::default());
    for i in ALL {
        let mut swapped = world.group();
        let customer = world.party(CUSTOMER);
        let cloud = world.party(if i == CUSTOMER { 1 } else { i });
        for party in swapped.parties.iter_mut() {
            match party.id {
                id if id == customer => party.role = Role::Cloud,
                id if id == cloud => party.role = Role::Customer,
                _ => {}
            }
        }
        let mut without = world.group();
        let own = world.party(i);
        without.parties.iter_mut().filter(|p| p.id == own).for_each(|p| p.id.0[31] ^= 1);
        for (n, group) in [swapped, without].into_iter().enumerate() {
            let group = Group { id: GroupId([20 + n as u8; 16]), ..group };
            world.exchange_with(i, WorkspaceMessage::ProposeGroup(group));
        }
        assert_eq!(groups_at(&mut world, i), [(GROUP, GroupState::Ready, 3)]);
    }
}
