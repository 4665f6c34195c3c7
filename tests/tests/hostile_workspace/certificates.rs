//! The workspace chooses for which API user a key is made: it may prefer one that approves everything.

use super::keys::certify;
use super::{CUSTOMER, SECOND_KEY, SECOND_VAULT};
use cosigner_workspace::ceremony::Input as Notice;
use countersign_tests::simulator::{Base, Faults, GROUP, KEY, VAULT, add_user, purpose};
use countersign_wire::List;
use countersign_wire::admin::AdminResponse;
use countersign_wire::command::{ApprovalSetting, Change};
use countersign_wire::ids::ApiUserId;
use countersign_wire::key::KeyPurpose;
use countersign_wire::key::Operation::{Raw, TypedMessage};

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
