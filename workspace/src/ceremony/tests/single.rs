//! Single statements about the coordinator.

use super::party::{fake_address, public_key_of};
use super::world::{Faults, GROUP, World};
use crate::ceremony::{Input, TransactionStatus};
use countersign_wire::Text;
use countersign_wire::agreement::Subject;
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::ids::{KeyId, PartyId, SessionId, TransactionId};
use countersign_wire::key::{DerivationPath, EcdsaSignature, KeyStatus};
use countersign_wire::refusal::Code;

pub const KEY: KeyId = KeyId([7; 16]);
pub const TX: TransactionId = TransactionId([1; 16]);

pub fn ready_world(threshold: u16) -> World {
    let mut world = World::new(1, 3);
    let group = world.group(threshold);
    world.input(Input::ProposeGroup { group });
    world.input(Input::GenerateKey { key: KEY, group: GROUP, purpose: World::purpose() });
    assert!(world.run(600_000, |w| w.disk.keys.get(&KEY).is_some_and(|k| k.status == KeyStatus::Ready)));
    world
}

pub fn status(world: &World) -> TransactionStatus {
    world.disk.transactions[&TX].status
}

pub fn customer(world: &World) -> PartyId {
    world.group(2).customer().unwrap()
}

pub fn clouds(world: &World) -> Vec<PartyId> {
    world.party_ids().into_iter().filter(|id| *id != customer(world)).collect()
}

#[test]
fn a_key_waits_for_its_group_and_a_hundred_requests_make_one_key() {
    let mut world = ready_world(3);
    let record = world.disk.keys[&KEY].clone();
    for _ in 0..100 {
        world.input(Input::GenerateKey { key: KEY, group: GROUP, purpose: World::purpose() });
    }
    world.run(60_000, |_| false);
    assert_eq!(world.disk.keys[&KEY], record);
}

#[test]
fn a_key_whose_co_signer_stays_away_ends_in_an_error_that_names_it_and_asking_again_leads_on() {
    let mut world = World::new(3, 3);
    world.settings.keygen_give_up_ms = 120_000;
    world.restart_workspace();
    let group = world.group(3);
    world.input(Input::ProposeGroup { group });
    assert!(world.run(600_000, |w| w.disk.groups.values().any(|g| g.status == crate::ceremony::GroupStatus::Ready)));
    let away = clouds(&world)[0];
    world.take_down(away);
    let ask = || Input::GenerateKey { key: KEY, group: GROUP, purpose: World::purpose() };
    world.input(ask());
    assert!(world.run(600_000, |w| w.disk.keys.get(&KEY).is_some_and(|k| k.status == KeyStatus::Error)));
    let reason = world.disk.keys[&KEY].reason.clone().unwrap();
    assert!(reason.detail.contains(&away.to_string()), "{reason}");
    for party in world.parties.values() {
        assert!(!party.outcomes.contains_key(&Subject::Key(KEY)), "no share is left behind");
    }
    world.bring_up(away);
    world.input(ask());
    assert!(world.run(600_000, |w| w.disk.keys[&KEY].status == KeyStatus::Ready));
}

#[test]
fn two_of_three_sign_while_one_cloud_co_signer_is_away() {
    let mut world = ready_world(2);
    let away = clouds(&world)[0];
    world.take_down(away);
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(60_000, |w| status(w) == TransactionStatus::Completed));
    assert!(world.parties[&away].signatures.is_empty());
}

#[test]
fn t56_nothing_is_signed_without_the_customers_co_signer() {
    let mut world = ready_world(2);
    let away = customer(&world);
    world.take_down(away);
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(3_600_000, |w| status(w).is_final()));
    let record = &world.disk.transactions[&TX];
    assert_eq!(record.status, TransactionStatus::Timeout);
    assert!(!record.signature_may_exist(world.now_ms));
    assert!(world.parties.values().all(|p| p.signatures.is_empty()));
}

#[test]
fn an_authorisation_that_runs_out_unused_rules_a_signature_out_and_a_started_session_does_not() {
    let mut world = ready_world(3);
    let away = clouds(&world)[0];
    world.take_down(away);
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(60_000, |w| w.disk.transactions[&TX].not_after_ms.is_some()));
    world.input(Input::CancelTransaction { transaction: TX });
    assert_eq!(status(&world), TransactionStatus::Cancelled);
    let record = world.disk.transactions[&TX].clone();
    assert!(record.signature_may_exist(world.now_ms), "the Authorisation still holds");
    assert!(!record.signature_may_exist(record.not_after_ms.unwrap()), "it ran out, and no session was started");

    let mut world = ready_world(3);
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(60_000, |w| w.disk.transactions[&TX].started[0].is_some()));
    world.input(Input::CancelTransaction { transaction: TX });
    let record = &world.disk.transactions[&TX];
    assert!(record.signature_may_exist(u64::MAX), "a session was started");
}

#[test]
fn a_signature_that_is_not_one_of_the_certified_key_is_not_taken() {
    let mut world = ready_world(3);
    let record = world.transaction(1, KEY, &[[5; 32]]);
    let public_key = record.public_key;
    world.submit(record);
    assert!(world.run(60_000, |w| w.disk.transactions[&TX].authorisation.is_some()));
    let forged = EcdsaSignature { r: [3; 32], s: [3; 32], v: 1 };
    let from = clouds(&world)[0];
    for (public_key, digest_index) in [(public_key, 0), (public_key, 9), ([3; 33], 0)] {
        let message = CosignerMessage::SignatureDone {
            session: SessionId([0; 16]),
            transaction: TX,
            digest_index,
            public_key,
            signature: forged,
        };
        world.input(Input::Message { from, message: Box::new(message) });
    }
    assert!(world.disk.transactions[&TX].signatures[0].is_none());
    assert!(world.run(60_000, |w| status(w) == TransactionStatus::Completed));
}

#[test]
fn an_authorisation_for_something_else_fails_the_transaction_before_any_session() {
    let mut world = ready_world(3);
    let record = world.transaction(1, KEY, &[[5; 32]]);
    let other = world.transaction(1, KEY, &[[6; 32]]);
    let from = customer(&world);
    let authorisation = world.parties[&from].authorise(world.now_ms, &other.request);
    world.submit(record);
    let message = CosignerMessage::Authorised { transaction: TX, authorisation, attempt: None };
    world.input(Input::Message { from, message: Box::new(message) });
    let record = &world.disk.transactions[&TX];
    assert_eq!(record.status, TransactionStatus::Failed);
    assert_eq!(record.reason.as_ref().map(|r| r.code), Some(Code::Mismatch));
    assert!(record.started[0].is_none());
}

#[test]
fn an_authorisation_of_a_cloud_co_signer_counts_for_nothing() {
    let mut world = ready_world(3);
    let record = world.transaction(1, KEY, &[[5; 32]]);
    let from = clouds(&world)[0];
    let authorisation = world.parties[&from].authorise(world.now_ms, &record.request);
    let away = customer(&world);
    world.take_down(away);
    world.submit(record);
    let message = CosignerMessage::Authorised { transaction: TX, authorisation, attempt: None };
    world.input(Input::Message { from, message: Box::new(message) });
    assert!(world.disk.transactions[&TX].authorisation.is_none());
}

#[test]
fn sessions_over_the_limit_wait_their_turn() {
    let mut world = ready_world(3);
    world.settings.max_sign_sessions = 1;
    world.restart_workspace();
    world.run(5_000, |_| false);
    for id in 1..=20u8 {
        let record = world.transaction(id, KEY, &[[id; 32], [id + 100; 32]]);
        world.submit(record);
    }
    let all = |w: &World| w.disk.transactions.values().all(|t| t.status == TransactionStatus::Completed);
    assert!(world.run(600_000, all));
}

#[test]
fn t58_a_certificate_for_another_asset_path_or_key_is_refused() {
    let mut world = ready_world(3);
    let asset = Text::new("ETH").unwrap();
    let path = |vault| DerivationPath::vault(60, vault, 0, 0).unwrap();
    world.input(Input::Certify { key: KEY, vault_account: 3, asset: asset.clone(), path: path(3) });
    assert!(world.run(60_000, |w| w.disk.certificates.contains_key(&(3, "ETH".into()))));
    let record = &world.disk.certificates[&(3, "ETH".to_owned())];
    let word = record.certificate.as_ref().unwrap().open(&customer(&world).0).unwrap();
    let session = world.parties[&customer(&world)].outcomes[&Subject::Key(KEY)].session;
    assert_eq!(word.address.as_str(), fake_address("ETH", &public_key_of(session)));

    world.input(Input::Certify { key: KEY, vault_account: 4, asset, path: path(5) });
    assert!(world.run(60_000, |w| w.disk.certificates.contains_key(&(4, "ETH".into()))));
    let record = &world.disk.certificates[&(4, "ETH".to_owned())];
    assert!(record.certificate.is_none());
    assert_eq!(record.refusal.as_ref().map(|r| r.code), Some(Code::Mismatch));
}

#[test]
fn an_idle_coordinator_asks_for_no_wake_up() {
    let mut world = ready_world(3);
    world.faults = Faults::default();
    world.run(120_000, |_| false);
    let before = world.now_ms;
    let record = world.transaction(1, KEY, &[[5; 32]]);
    world.submit(record);
    assert!(world.run(60_000, |w| status(w).is_final()));
    assert!(world.now_ms - before < 10_000, "a signature takes no more than the messages it needs");
}
