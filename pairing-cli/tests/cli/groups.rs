//! `cosigner group` and `cosigner key clear-quarantine`.

use crate::simulated_enclave::{PAIRING, SimulatedEnclave, WORKSPACE};
use crate::workstation::Workstation;
use countersign_wire::ceremony::GroupState;
use countersign_wire::command::Change;
use countersign_wire::group::{Group, Party, Role};
use countersign_wire::ids::{GroupId, KeyId, PartyId};
use countersign_wire::key::{Algorithm, KeyPurpose, KeyStatus, Operation};
use countersign_wire::status::{GroupStatus, KeyEntry};
use countersign_wire::{List, Message, Text};
use serde_json::json;

fn propose(enclave: &SimulatedEnclave, state: GroupState) -> Group {
    let parties = vec![
        Party { id: PartyId([0x0d; 32]), role: Role::Customer },
        Party { id: PartyId([0x21; 32]), role: Role::Cloud },
        Party { id: PartyId([0x22; 32]), role: Role::Cloud },
    ];
    let parties = List::new(parties).unwrap();
    let group = Group { workspace: WORKSPACE, id: GroupId([9; 16]), parties, threshold: 3 };
    let status = GroupStatus { hash: group.digest(), group: group.clone(), state, primes_found: 0 };
    enclave.state().pairings[0].groups = List::new(vec![status]).unwrap();
    group
}

#[test]
fn a_group_is_shown_with_every_partys_identity_and_role() {
    let station = Workstation::new();
    let enclave = station.paired();
    let group = propose(&enclave, GroupState::Proposed);
    let shown = station.run(&enclave, &["group", "list"]);
    assert_eq!(shown.code, 0);
    for text in ["0d".repeat(32), "21".repeat(32), "22".repeat(32), hex::encode(group.digest())] {
        assert!(shown.stdout.contains(&text), "{text} in {}", shown.stdout);
    }
    assert!(shown.stdout.contains("this co-signer") && shown.stdout.contains("3 of 3"));
    let json = station.json(&enclave, &["group", "list"]).result();
    let first = &json["groups"][0];
    assert_eq!((&first["state"], &first["threshold"]), (&json!("proposed"), &json!(3)));
    assert_eq!(
        first["parties"][0],
        json!({"id": "0d".repeat(32), "role": "customer", "self": true, "cosigner": "default"})
    );
    assert_eq!(first["hash"], hex::encode(group.digest()));
}

#[test]
fn a_group_is_accepted_by_its_hash_or_with_yes_and_else_only_after_asking() {
    let station = Workstation::new();
    let enclave = station.paired();
    let group = propose(&enclave, GroupState::Proposed);
    let id = group.id.to_string();
    let accept = |extra: &[&str]| station.json(&enclave, &[&["group", "accept", "--group", &id][..], extra].concat());
    accept(&[]).fails(2, "--hash HEX or --yes");
    accept(&["--hash", &"00".repeat(32)]).fails(5, "the group's hash");
    accept(&["--hash", "00"]).fails(2, "64 hexadecimal digits");
    assert_eq!(enclave.state().accepted.len(), 2, "claim and user only");
    let done = accept(&["--hash", &hex::encode(group.digest())]).result();
    assert_eq!((&done["already_accepted"], &done["group"]), (&json!(false), &json!(id)));
    let change = enclave.state().accepted.last().map(|c| c.change.clone());
    assert_eq!(change, Some(Change::AcceptGroup { pairing: PAIRING, group: group.clone() }));
    accept(&["--yes"]).result();
    propose(&enclave, GroupState::Ready);
    assert_eq!(accept(&["--yes"]).result()["already_accepted"], true);
    let other = "11111111-1111-1111-1111-111111111111";
    station.run(&enclave, &["group", "accept", "--group", other, "--yes"]).fails(6, "no group");
}

#[test]
fn t54_a_group_in_which_this_co_signer_is_not_itself_is_refused() {
    let station = Workstation::new();
    let enclave = station.paired();
    let group = propose(&enclave, GroupState::Proposed);
    {
        let mut state = enclave.state();
        let foreign = state.pairings[0].groups.iter().cloned().map(|mut status| {
            let parties = [0x20, 0x21, 0x22].map(|b| Party { id: PartyId([b; 32]), role: Role::Cloud });
            let mut parties = parties.to_vec();
            parties[0].role = Role::Customer;
            status.group.parties = List::new(parties).unwrap();
            status
        });
        state.pairings[0].groups = List::new(foreign.collect()).unwrap();
    }
    let id = group.id.to_string();
    station.run(&enclave, &["group", "accept", "--group", &id, "--yes"]).fails(5, "not in the group");
    assert_eq!(enclave.state().accepted.len(), 2);
}

#[test]
fn a_quarantine_is_cleared_with_the_operators_word_only() {
    let station = Workstation::new();
    let enclave = station.paired();
    let id = KeyId([5; 16]);
    enclave.state().keys = vec![KeyEntry {
        pairing: PAIRING,
        key: id,
        status: KeyStatus::Error,
        purpose: KeyPurpose {
            algorithm: Algorithm::EcdsaSecp256k1,
            coin_type: 60,
            operations: List::new(vec![Operation::TypedMessage]).unwrap(),
            signer: "api-user-1".parse().unwrap(),
        },
        public_key: Some([2; 33]),
        detail: Text::new("peer_misbehaved: a \u{1b}[31mproof failed").unwrap(),
    }];
    let listed = station.json(&enclave, &["list-keys"]).result();
    assert_eq!((&listed["keys"][0]["status"], &listed["keys"][0]["coin_type"]), (&json!("ERROR"), &json!(60)));
    let table = station.run(&enclave, &["list-keys"]);
    assert!(table.stdout.contains("proof failed") && !table.stdout.contains('\u{1b}'));
    let id = id.to_string();
    station.run(&enclave, &["key", "clear-quarantine", "--key", &id]).fails(2, "--yes");
    station.json(&enclave, &["key", "clear-quarantine", "--key", &id, "--yes"]).result();
    assert!(matches!(enclave.state().accepted.last().map(|c| &c.change), Some(Change::ClearQuarantine { .. })));
    let other = "11111111-1111-1111-1111-111111111111";
    station.run(&enclave, &["key", "clear-quarantine", "--key", other, "--yes"]).fails(6, "there is no key");
}
