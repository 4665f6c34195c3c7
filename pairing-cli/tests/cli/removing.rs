//! `cosigner remove-user` and `cosigner rename`.

use crate::simulated_enclave::{PAIRING, USER, user_status};
use crate::workstation::Workstation;
use countersign_wire::command::Change;
use countersign_wire::ids::KeyId;
use countersign_wire::key::{Algorithm, KeyPurpose, KeyStatus, Operation};
use countersign_wire::status::{KeyEntry, UserStatus};
use countersign_wire::{List, Text};
use serde_json::json;

fn key(signer: &str) -> KeyEntry {
    KeyEntry {
        pairing: PAIRING,
        key: KeyId([0x11; 16]),
        status: KeyStatus::Ready,
        purpose: KeyPurpose {
            algorithm: Algorithm::EcdsaSecp256k1,
            coin_type: 60,
            operations: List::new(vec![Operation::TypedMessage]).unwrap(),
            signer: signer.parse().unwrap(),
        },
        public_key: None,
        detail: Text::default(),
    }
}

#[test]
fn the_last_user_of_a_pairing_without_keys_takes_it_away_and_its_pin() {
    let station = Workstation::new();
    let enclave = station.paired();
    assert_eq!(station.pin("default").unwrap()["pairings"].as_array().map(Vec::len), Some(1));
    station.run(&enclave, &["remove-user", USER]).fails(2, "--yes").fails(2, "the pairing goes with it");
    assert_eq!(enclave.state().users.len(), 1);
    let removed = station.json(&enclave, &["remove-user", USER, "--yes"]).result();
    assert_eq!((&removed["pairing_removed"], &removed["user"]), (&json!(true), &json!(USER)));
    let change = enclave.state().accepted.last().map(|c| c.change.clone());
    assert!(matches!(change, Some(Change::RemoveUser { pairing: PAIRING, .. })));
    let pin = station.pin("default").unwrap();
    assert_eq!((&pin["pairings"], &pin["settings_epoch"]), (&json!([]), &json!(3)));
    station.run(&enclave, &["remove-user", USER, "--yes"]).fails(6, "no API user");
}

#[test]
fn keys_keep_the_pairing_and_nobody_approves_for_them() {
    let station = Workstation::new();
    let enclave = station.paired();
    enclave.state().keys = vec![key(USER)];
    let run = station.run(&enclave, &["remove-user", USER, "--yes"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("1 keys were made for it: they stay in the pairing, and nobody approves"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("which stays because it holds 1 keys"), "{}", run.stderr);
    assert_eq!(station.pin("default").unwrap()["pairings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_user_that_the_workspace_never_confirmed_is_shown_as_such_and_can_be_removed() {
    let station = Workstation::new();
    let enclave = station.paired();
    enclave.state().users.push(UserStatus { confirmed: false, ..user_status("offered-1", false) });
    for command in ["list-users", "get-status"] {
        let shown = station.run(&enclave, &[command]).stdout;
        assert!(shown.contains("not confirmed by the workspace"), "{shown}");
        assert_eq!(station.json(&enclave, &[command]).result()["users"][1]["confirmed"], false);
    }
    let run = station.run(&enclave, &["remove-user", "offered-1", "--yes"]);
    assert!(run.stderr.contains("the workspace never confirmed API user offered-1"), "{}", run.stderr);
    assert!(!run.stdout.contains("pairing"), "{}", run.stdout);
    assert_eq!(enclave.state().users.len(), 1);
}

#[test]
fn a_name_is_for_people_and_readable() {
    let station = Workstation::new();
    let enclave = station.paired();
    let renamed = station.json(&enclave, &["rename", "treasury, Zürich"]).result();
    assert_eq!((&renamed["name"], &renamed["before"]), (&json!("treasury, Zürich"), &json!("")));
    let shown = station.run(&enclave, &["get-status"]).stdout;
    assert!(shown.contains("named \"treasury, Zürich\""), "{shown}");
    assert_eq!(station.json(&enclave, &["get-status"]).result()["description"]["name"], "treasury, Zürich");
    for (bad, why) in [
        ("a\u{1b}[2Jb", "readable"),
        ("a\u{202e}b", "readable"),
        (" a", "readable"),
        (&*"a".repeat(129), "at most 128"),
    ] {
        station.run(&enclave, &["rename", bad]).fails(2, why);
    }
    station.json(&enclave, &["rename", ""]).result();
    assert_eq!(enclave.state().name, "");
}
