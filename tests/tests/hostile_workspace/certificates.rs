//! The workspace chooses for which API user a key is made: it may prefer one that approves everything.

use super::keys::certify;
use super::{CUSTOMER, SECOND_KEY, SECOND_VAULT, hostile, sign};
use cosigner_workspace::ceremony::Input as Notice;
use countersign_tests::simulator::{Base, Faults, GROUP, KEY, Setting, VAULT, add_user, purpose, session};
use countersign_wire::admin::AdminResponse;
use countersign_wire::ceremony::WorkspaceMessage;
use countersign_wire::command::{ApprovalSetting, Change};
use countersign_wire::ids::ApiUserId;
use countersign_wire::key::KeyPurpose;
use countersign_wire::key::Operation::{Raw, TypedMessage};
use countersign_wire::{List, Text};

#[test]
fn t58_a_certificate_names_the_api_user_whose_approval_rules_and_what_the_key_may_sign() {
    let mut world = Base::connected(1, Faults::none());
    let asked: ApiUserId = world.base.signer_user.clone();
    let automatic: ApiUserId = "automatic".parse().unwrap();
    let mut add = add_user(&world, CUSTOMER, automatic.as_str(), "jti-automatic");
    add.approval = ApprovalSetting::Auto;
    let added = world.operator(CUSTOMER, Change::AddUser(Box::new(add)));
    assert!(matches!(added, AdminResponse::Done(_)), "{added:?}");
    let chosen = KeyPurpose { operations: List::new(vec![TypedMessage]).unwrap(), ..purpose(&automatic) };
    world.notify(Notice::GenerateKey { key: SECOND_KEY, group: GROUP, purpose: chosen });
    assert!(world.run(120_000, |w| w.key_is_ready(&SECOND_KEY)));
    world.run(5_000, |_| false);

    let mut world = world.hostile();
    let customer = world.party(CUSTOMER);
    let both = [(KEY, VAULT, asked, &[Raw, TypedMessage][..]), (SECOND_KEY, SECOND_VAULT, automatic, &[TypedMessage])];
    for (key, vault, user, operations) in both {
        let certificate = certify(&mut world, CUSTOMER, key, vault).unwrap().open(&customer.0).unwrap();
        assert_eq!((certificate.signer, &certificate.operations[..]), (user, operations), "{key}");
    }
}

#[test]
fn t47_a_workspace_that_says_more_than_the_host_stores_in_time_stops_nobody() {
    let mut world = hostile(Setting::default());
    let customer = world.party(CUSTOMER);
    world.stalled = Some(CUSTOMER);
    let asset = Text::new("ETH").unwrap();
    for vault_account in 1_000..3_000 {
        world.say(customer, WorkspaceMessage::Certify { key: KEY, vault_account, asset: asset.clone() });
        world.run(1, |_| false);
    }
    world.run(5_000, |_| false);
    let waiting = world.cosigners[CUSTOMER].disk.pending.len();
    assert!((100..1_024).contains(&waiting), "a batch each, up to the limit: {waiting}");
    world.stalled = None;
    world.lose_host(CUSTOMER);
    assert!(world.run(120_000, |w| w.cosigners[CUSTOMER].disk.pending.is_empty() && w.cosigners[CUSTOMER].link_open));
    world.run(5_000, |_| false);
    let request = world.request(1, "hello", "fine");
    sign(&mut world, session(1), &request);
}
