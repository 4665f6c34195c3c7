//! Keys that the workspace would like to lose, to make anew, or to show as others.

use super::{ALL, CLOUDS, CUSTOMER, SECOND_KEY, SECOND_VAULT, hostile, sign, with_second_key};
use cosigner_workspace::ceremony::Input as Notice;
use countersign_mpc::public;
use countersign_tests::simulator::{Answer, Base, Client, Faults, GROUP, KEY, Setting, VAULT, World, purpose, session};
use countersign_wire::agreement::{Acknowledgement, NeverHeld, Stage, Subject};
use countersign_wire::ceremony::{CosignerMessage, ToCosigner, Work, WorkspaceMessage};
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::command::{Change, SignedCommand};
use countersign_wire::group::Group;
use countersign_wire::ids::{GroupId, KeyId, SessionId, TransactionId};
use countersign_wire::key::Operation::{Raw, TypedMessage};
use countersign_wire::key::{KeyPurpose, KeyStatus};
use countersign_wire::refusal::Code;
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{List, Message, Signed, Text};

/// Longer than any session, shorter than the coordinator tries to make one key.
const LONG_MS: u64 = 10 * 60_000;

/// What co-signer `i` says of the outcome of a session.
fn query(world: &mut World, i: usize, subject: Subject, session: SessionId) -> Option<Acknowledgement> {
    let said = world.exchange_with(i, WorkspaceMessage::Query { group: GROUP, subject, session });
    said.iter().find_map(|m| match m {
        CosignerMessage::Acknowledged { acknowledgement } => acknowledgement.peek_unverified().ok(),
        _ => None,
    })
}

#[test]
fn t59_a_share_survives_a_crash_after_its_acknowledgement_whatever_the_workspace_says() {
    let subject = Subject::Key(SECOND_KEY);
    for victim in ALL {
        let mut world = Base::connected(1, Faults::none());
        let user = world.base.signer_user.clone();
        world.notify(Notice::GenerateKey { key: SECOND_KEY, group: GROUP, purpose: purpose(&user) });
        let party = world.party(victim);
        let held = |w: &World| {
            w.workspace.heard.iter().find_map(|(from, m)| match m {
                CosignerMessage::Acknowledged { acknowledgement } if *from == party => {
                    acknowledgement.peek_unverified().ok().filter(|a| a.subject == subject)
                }
                _ => None,
            })
        };
        assert!(world.run(120_000, |w| held(w).is_some()));
        let word = held(&world).unwrap();
        assert_eq!(word.stage, Stage::Held);
        world.workspace.silent = true;
        world.crash_keeping(victim, 0);
        world.run(LONG_MS, |_| false);
        assert_eq!(query(&mut world, victim, subject, word.session), Some(word), "victim {victim}");
        // A false word that somebody never held it, and a genuine one about another session.
        let other = ALL[(victim + 1) % 3];
        let elsewhere = WorkspaceMessage::Query { group: GROUP, subject, session: session(77) };
        let genuine = world.exchange_with(other, elsewhere).into_iter().find_map(|m| match m {
            CosignerMessage::NeverHeld { never } => Some(never),
            _ => None,
        });
        let claim = NeverHeld { group: GROUP, subject, session: word.session };
        let forged = Signed::sign(&claim, &world.workspace.keys.message);
        for never in [genuine.unwrap(), forged] {
            let discard =
                WorkspaceMessage::Discard { subject, session: word.session, party: world.party(other), never };
            world.exchange_with(victim, discard);
        }
        assert_eq!(query(&mut world, victim, subject, word.session), Some(word), "victim {victim}");
        // An honest workspace brings the same key to its end.
        world.workspace.silent = false;
        world.workspace.restart();
        for i in ALL {
            world.notify(Notice::Connected { party: world.party(i) });
        }
        assert!(
            world.run(600_000, |w| w.key_is_ready(&SECOND_KEY)),
            "victim {victim}: {:?}",
            world.workspace.store.keys[&SECOND_KEY]
        );
        let agreed = query(&mut world.hostile(), victim, subject, word.session).unwrap();
        assert_eq!((agreed.outcome, agreed.stage), (word.outcome, Stage::Durable));
    }
}

pub fn certify(world: &mut World, i: usize, key: KeyId, vault_account: u32) -> Result<Signed<KeyCertificate>, Code> {
    let asset = Text::new("ETH").unwrap();
    let said = world.exchange_with(i, WorkspaceMessage::Certify { key, vault_account, asset });
    match said.first() {
        Some(CosignerMessage::Certificate { certificate, .. }) => Ok(certificate.clone()),
        Some(CosignerMessage::CertificateRefused { refusal, .. }) => Err(refusal.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn t58_a_vault_account_s_asset_never_moves_to_another_key() {
    let mut world = with_second_key(Setting::default(), &[Raw, TypedMessage]);
    let genuine = certify(&mut world, CUSTOMER, KEY, VAULT).unwrap();
    assert_eq!(certify(&mut world, CUSTOMER, SECOND_KEY, VAULT).unwrap_err(), Code::Conflict);
    assert_eq!(certify(&mut world, CUSTOMER, KEY, SECOND_VAULT).unwrap_err(), Code::Conflict);
    assert_eq!(certify(&mut world, CUSTOMER, KeyId([66; 16]), 7).unwrap_err(), Code::NotFound);
    for i in CLOUDS {
        assert_eq!(certify(&mut world, i, KEY, VAULT).unwrap_err(), Code::NotAllowed);
    }
    world.crash_keeping(CUSTOMER, usize::MAX);
    world.wait_for_link(CUSTOMER);
    assert_eq!(certify(&mut world, CUSTOMER, SECOND_KEY, VAULT).unwrap_err(), Code::Conflict);
    // The request that would use the moved binding is not even shown to the handler.
    let body = Client::message_body("hello", "fine", None, VAULT);
    let request = TransactionRequest { key: SECOND_KEY, ..world.request_with(1, body, "nonce-1") };
    assert_eq!(world.authorise(CUSTOMER, &request).unwrap_err().code, Code::NotFound);

    let customer = world.party(CUSTOMER);
    let certificate = genuine.open(&customer.0).unwrap();
    assert_eq!((certificate.key, certificate.vault_account), (KEY, VAULT));
    let foreign = certify(&mut world, CUSTOMER, SECOND_KEY, SECOND_VAULT).unwrap().open(&customer.0).unwrap();
    assert_ne!(foreign.address, certificate.address);
    let shown = KeyCertificate { address: foreign.address, public_key: foreign.public_key, ..certificate };
    assert!(Signed::sign(&shown, &world.workspace.keys.message).open(&customer.0).is_err());
}

/// Everything that the protocol lets a workspace say. Whoever adds a variant here says why it needs no operators' command.
fn reason_without_operators(message: &WorkspaceMessage) -> &'static str {
    match message {
        WorkspaceMessage::ProposeGroup(_) => "changes nothing until operators accept exactly this group",
        WorkspaceMessage::Authorise(_) => "a client's intent and the handler decide",
        WorkspaceMessage::ApproveChange(_) => "the handler decides, and nothing here changes",
        WorkspaceMessage::ProposeApproval { .. } => "is shown to operators, and nothing else",
        WorkspaceMessage::Prepare { work, .. } => match work {
            Work::Aux { .. } => "in an accepted group, once",
            Work::Keygen { .. } => "a new key in an accepted group",
            Work::Sign { .. } => "under the customer's Authorisation",
        },
        WorkspaceMessage::Start { .. } | WorkspaceMessage::Cancel { .. } => "of a session that was prepared",
        WorkspaceMessage::Query { .. } => "reads",
        WorkspaceMessage::Commit { .. } | WorkspaceMessage::Publish { .. } => "with the words of all parties",
        WorkspaceMessage::Discard { .. } => "with the word of a party that never held it, before all did",
        WorkspaceMessage::Certify { .. } => "binds what is free, and moves nothing",
        WorkspaceMessage::Withdraw { .. } => "asks for less: whoever could withhold an answer can end a question",
    }
}

const KNOWN_MESSAGES: u8 = 13;

#[test]
fn t53_nothing_but_the_known_messages_is_understood_and_none_of_them_deletes_imports_or_reshares() {
    let mut world = hostile(Setting::default());
    let withdraw = WorkspaceMessage::Withdraw { transaction: TransactionId([1; 16]) };
    assert_eq!(borsh::to_vec(&withdraw).unwrap()[0], KNOWN_MESSAGES - 1, "the last one");
    assert!(!reason_without_operators(&withdraw).is_empty());
    let before: Vec<_> = world.cosigners.iter().map(|c| c.disk.blobs.clone()).collect();
    let heard = world.workspace.heard.len();
    // A deletion as operators sign it, genuinely signed, said by the workspace.
    let pairing = world.cosigners[CUSTOMER].pairing.unwrap();
    let operator = std::sync::Arc::clone(&world.base);
    let command =
        world.cli(CUSTOMER).signed(&mut world, Change::ClearQuarantine { pairing, key: KEY }, &operator.operator);
    let command: SignedCommand = command;
    let mut payloads: Vec<Vec<u8>> =
        (KNOWN_MESSAGES..=u8::MAX).map(|unknown| [vec![unknown], vec![0; 200]].concat()).collect();
    payloads.push([vec![4, 3], vec![0; 200]].concat());
    payloads.push(borsh::to_vec(&command).unwrap());
    for i in ALL {
        let to = world.party(i);
        for payload in &payloads {
            let body = [vec![ToCosigner::VERSION], to.0.to_vec(), payload.clone()].concat();
            assert!(ToCosigner::decode(&body).is_err());
            world.say_bytes(to, &body);
        }
        world.run(2_000, |_| false);
        assert!(world.heard_since(heard, i).is_empty());
    }
    assert!(world.cosigners.iter().map(|c| &c.disk.blobs).eq(&before), "nothing was stored");
    let request = world.request(1, "hello", "fine");
    sign(&mut world, session(1), &request);
}

#[test]
fn t53_a_lower_threshold_needs_operators() {
    let mut world = hostile(Setting::default());
    let group = world.group();
    let weaker = Group { threshold: 2, ..group.clone() };
    let another = Group { id: GroupId([8; 16]), ..weaker.clone() };
    for i in ALL {
        world.exchange_with(i, WorkspaceMessage::ProposeGroup(weaker.clone()));
        world.exchange_with(i, WorkspaceMessage::ProposeGroup(another.clone()));
        for work in [
            Work::Aux { group: another.id },
            Work::Keygen { group: another.id, key: SECOND_KEY, purpose: purpose(&world.base.signer_user) },
        ] {
            let answer = world.prepare(i, session(1), &work);
            assert_eq!(answer.code(), Some(Code::GroupNotAccepted), "{answer:?}");
        }
    }
    // The accepted group is still the one that was accepted: two signers are not enough.
    let request = world.request(1, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    for i in ALL {
        let ready = world.prepare(i, session(2), &World::signing(&request, &authorisation, 0)).ready();
        let ready = ready.peek_unverified().unwrap();
        assert_eq!((ready.group_hash, ready.signers_wanted), (group.digest(), 3));
    }
}

#[test]
fn t53_a_key_that_is_ready_is_neither_made_anew_nor_dropped() {
    let mut world = hostile(Setting::default());
    let subject = Subject::Key(KEY);
    let purpose = purpose(&world.base.signer_user);
    let other = KeyPurpose { operations: List::new(vec![TypedMessage]).unwrap(), ..purpose.clone() };
    let keygen = |purpose: &KeyPurpose| Work::Keygen { group: GROUP, key: KEY, purpose: purpose.clone() };
    for i in ALL {
        let answer = world.prepare(i, session(1), &keygen(&purpose));
        let Answer::Done(done) = answer else { panic!("{answer:?}") };
        let CosignerMessage::Acknowledged { acknowledgement } = *done else { panic!("{done:?}") };
        let word = acknowledgement.peek_unverified().unwrap();
        assert_eq!(word.stage, Stage::Durable);
        assert_eq!(world.prepare(i, session(2), &keygen(&other)).code(), Some(Code::Conflict));
        for peer in ALL {
            let words =
                world.exchange_with(peer, WorkspaceMessage::Query { group: GROUP, subject, session: session(3) });
            let Some(CosignerMessage::NeverHeld { never }) = words.first() else { panic!("{words:?}") };
            let party = world.party(peer);
            for session in [session(3), word.session] {
                world.exchange_with(i, WorkspaceMessage::Discard { subject, session, party, never: never.clone() });
            }
        }
        assert_eq!(world.key_at(i, &KEY).unwrap().status, KeyStatus::Ready);
        assert_eq!(query(&mut world, i, subject, word.session), Some(word));
    }
    let request = world.request(1, "hello", "fine");
    let signature = sign(&mut world, session(4), &request);
    assert!(public::verify(&world.vault_key(), &countersign_tests::simulator::eip191("hello"), &signature));
}

#[test]
fn t60_a_key_for_raw_is_not_made_for_a_user_whom_no_operator_allowed_it() {
    let mut world = hostile(Setting::default());
    let mut add = countersign_tests::simulator::add_user(&world, CUSTOMER, "signer-2", "jti-signer-2");
    add.allow_raw = false;
    let added = world.operator(CUSTOMER, Change::AddUser(Box::new(add)));
    assert!(matches!(added, countersign_wire::admin::AdminResponse::Done(_)), "{added:?}");
    let keygen = |user: &str| Work::Keygen { group: GROUP, key: SECOND_KEY, purpose: purpose(&user.parse().unwrap()) };
    assert_eq!(world.prepare(CUSTOMER, session(1), &keygen("signer-2")).code(), Some(Code::RawNotAllowed));
    assert_eq!(world.prepare(CUSTOMER, session(2), &keygen("nobody")).code(), Some(Code::NotFound));
    world.prepare(CUSTOMER, session(3), &keygen("signer-1")).ready();
}

#[test]
fn t53_a_genuine_word_of_never_having_held_a_key_given_too_early_does_not_delete_it_later() {
    let mut world = hostile(Setting::default());
    let (subject, id) = (Subject::Key(SECOND_KEY), session(1));
    // Asked before there was such a session, a party truly says that it never held its outcome.
    let words = world.exchange_with(1, WorkspaceMessage::Query { group: GROUP, subject, session: id });
    let Some(CosignerMessage::NeverHeld { never }) = words.first().cloned() else { panic!("{words:?}") };
    let work = Work::Keygen { group: GROUP, key: SECOND_KEY, purpose: purpose(&world.base.signer_user) };
    // It keeps its word: that session is refused, and in another one the word counts for nothing.
    assert_eq!(world.prepare(1, id, &work).code(), Some(Code::SessionOver));
    let id = session(2);
    let said = world.session_of(id, &[0, 1, 2], &work);
    let word = |m: &CosignerMessage| match m {
        CosignerMessage::Acknowledged { acknowledgement } => Some(acknowledgement.clone()),
        _ => None,
    };
    let held: Vec<_> = [0, 1, 2]
        .iter()
        .zip(&said)
        .map(|(index, said)| (world.party(world.at_index(*index)), said.iter().find_map(word).unwrap()))
        .collect();
    let held = List::new(held).unwrap();
    for i in ALL {
        world.exchange_with(i, WorkspaceMessage::Commit { subject, session: id, held: held.clone() });
        let party = world.party(1);
        world.exchange_with(i, WorkspaceMessage::Discard { subject, session: id, party, never: never.clone() });
        let kept = query(&mut world, i, subject, id).expect("still there");
        assert_eq!(kept.stage, Stage::Durable);
    }
}

#[test]
fn t59_a_key_is_durable_only_with_everybody_s_own_word() {
    let mut world = hostile(Setting::default());
    let (subject, id) = (Subject::Key(SECOND_KEY), session(1));
    let work = Work::Keygen { group: GROUP, key: SECOND_KEY, purpose: purpose(&world.base.signer_user) };
    let said = world.session_of(id, &[0, 1, 2], &work);
    let word = |m: &CosignerMessage| match m {
        CosignerMessage::Acknowledged { acknowledgement } => Some(acknowledgement.clone()),
        _ => None,
    };
    assert!(said.iter().all(|s| s.iter().any(|m| word(m).is_some())), "{said:?}");
    let genuine: Vec<_> = [0u16, 1, 2]
        .iter()
        .zip(&said)
        .map(|(index, said)| (world.party(world.at_index(*index)), said.iter().find_map(word).unwrap()))
        .collect();
    let plain = genuine[0].1.peek_unverified().unwrap();
    let forged = (genuine[1].0, Signed::sign(&plain, &world.workspace.keys.message));
    let twice = (genuine[1].0, genuine[0].1.clone());
    for held in [
        vec![],
        genuine[..2].to_vec(),
        vec![genuine[0].clone(), genuine[0].clone(), genuine[2].clone()],
        vec![genuine[0].clone(), forged, genuine[2].clone()],
        vec![genuine[0].clone(), twice, genuine[2].clone()],
    ] {
        let held = List::new(held).unwrap();
        for i in ALL {
            world.exchange_with(i, WorkspaceMessage::Commit { subject, session: id, held: held.clone() });
            world.exchange_with(i, WorkspaceMessage::Publish { subject, session: id, durable: held.clone() });
            assert_eq!(query(&mut world, i, subject, id).unwrap().stage, Stage::Held);
            assert_eq!(world.key_at(i, &SECOND_KEY).unwrap().public_key, None, "it has not left");
        }
    }
}
