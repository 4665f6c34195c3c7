//! Commands that only look, and what scripts rely on.

use crate::simulated_enclave::{PAIRING, SimulatedEnclave};
use crate::workstation::Workstation;
use countersign_wire::group::Role;
use countersign_wire::ids::PairingId;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn json_objects_keep_their_members() {
    let station = Workstation::new();
    let enclave = station.paired();
    let status = station.json(&enclave, &["get-status"]);
    let envelope = status.json();
    let expected = ["schema", "command", "ok", "exit_code", "trust", "warnings", "result"];
    assert_eq!(members(&envelope), BTreeSet::from(expected));
    assert_eq!(
        (&envelope["schema"], &envelope["command"], &envelope["ok"]),
        (&json!(1), &json!("get-status"), &json!(true))
    );
    let trust = ["anchor", "instance", "boot", "measurements_compared", "pinned", "differences"];
    assert_eq!(members(&envelope["trust"]), BTreeSet::from(trust));
    assert_eq!(
        (&envelope["trust"]["pinned"], &envelope["trust"]["measurements_compared"]),
        (&json!(true), &json!(true))
    );
    let result = status.result();
    let expected = [
        "claimed",
        "description",
        "now_ms",
        "booted_at_ms",
        "signatures",
        "sessions",
        "unstored",
        "host",
        "pairings",
        "users",
    ];
    assert_eq!(members(&result), BTreeSet::from(expected));
    let expected = [
        "pairing",
        "workspace",
        "workspace_key",
        "url",
        "party",
        "role",
        "link_up",
        "link_trouble",
        "require_intent",
        "users",
        "initiators",
        "groups",
        "keys_ready",
        "keys_suspended",
    ];
    assert_eq!(members(&result["pairings"][0]), BTreeSet::from(expected));
    let users = station.json(&enclave, &["list-users"]).result();
    let expected = [
        "user",
        "pairing",
        "workspace",
        "approval",
        "handler_url",
        "allow_raw",
        "raw",
        "require_intent",
        "last_callback",
        "approved",
        "rejected",
        "failed",
        "handler_mode",
        "confirmed",
        "last_attempt",
        "retried",
        "waiting",
        "retrying",
        "certificate_expires_at_ms",
    ];
    assert_eq!(members(&users["users"][0]), BTreeSet::from(expected));
    assert_eq!(users["users"][0], result["users"][0]);
}

#[test]
fn a_status_shows_what_is_not_as_pinned_and_fails() {
    let station = Workstation::new();
    let enclave = station.paired();
    enclave.state().pending_changes = 2;
    let status = station.json(&enclave, &["get-status"]);
    status.fails(5, "pending changes: expected 0, got 2");
    assert_eq!(status.json()["result"]["description"]["pending_changes"], 2);
    assert_eq!(status.json()["trust"]["differences"][0]["what"], "pending changes");
    station.run(&enclave, &["list-users"]).fails(5, "pending changes");
}

#[test]
fn a_fresh_enclave_has_a_status_and_says_that_it_is_not_claimed() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    let status = station.run(&enclave, &["get-status"]);
    assert_eq!(status.code, 0);
    assert!(status.stdout.contains("not claimed"), "{}", status.stdout);
    assert_eq!(station.json(&enclave, &["get-status"]).result()["claimed"], false);
    station.run(&enclave, &["list-users"]).fails(3, "not_claimed").fails(3, "cosigner init");
}

#[test]
fn without_a_pin_status_is_shown_with_a_warning() {
    let station = Workstation::new();
    let enclave = station.paired();
    let elsewhere = Workstation::new();
    for command in [["get-status"], ["list-users"], ["list-keys"]] {
        let run = elsewhere.json(&enclave, &command);
        run.result();
        assert!(run.warnings().contains(&"not_pinned".to_owned()), "{command:?}");
        assert_eq!(run.json()["trust"]["pinned"], false);
    }
    assert_eq!(elsewhere.pin("default"), None);
}

#[test]
fn tables_are_plain_where_no_terminal_is() {
    let station = Workstation::new();
    let enclave = station.paired();
    for command in [&["get-status"][..], &["list-users"], &["list-keys"], &["group", "list"], &["attestation", "show"]]
    {
        let run = station.run(&enclave, command);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{command:?}");
        assert!(run.stderr.contains("DEVELOPMENT ROOT"), "every use says so");
    }
}

#[test]
fn the_attestation_document_can_be_taken_away() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let file = station.path("document.cose");
    let shown = station.json(&enclave, &["attestation", "show", "--document-out", &file]).result();
    assert_eq!(shown["measurements"]["pcr1"], "11".repeat(48));
    assert_eq!((&shown["module_id"], &shown["measurements_verdict"]), (&json!("i-0-enc0"), &json!("equal")));
    let document = std::fs::read(&file).unwrap();
    assert!(countersign_attest::parse_unverified(&document).is_ok());
    station.run(&enclave, &["attestation", "show", "--document-out", &file]).fails(1, "document.cose");
    let elsewhere = Workstation::new().json(&enclave, &["attestation", "show"]).result();
    assert_eq!(elsewhere["measurements_verdict"], "not_compared");
}

#[test]
fn usage_errors_are_json_where_json_was_asked_for() {
    let station = Workstation::new();
    for command in
        [&["get-status", "--json", "--no-such-flag"][..], &["initiator", "add", "--json"], &["get-status", "--json"]]
    {
        let run = station.offline(command);
        assert_eq!(run.code, 2, "{}", run.stdout);
        assert_eq!((&run.json()["ok"], &run.json()["error"]["kind"]), (&json!(false), &json!("usage")));
    }
    station.offline(&["get-status"]).fails(2, "COUNTERSIGN_SOCKET");
    station.offline(&["list-users", "--cosigner", "../x"]).fails(2, "do not start with a dot");
}

#[test]
fn help_names_the_exit_codes() {
    let station = Workstation::new();
    let help = station.offline(&["--help"]);
    assert_eq!(help.code, 0);
    for line in ["0  done", "3  refused by the co-signer", "5  not trusted", "8  no answer in time"] {
        assert!(help.stdout.contains(line), "{line}");
    }
    assert_eq!(station.offline(&["--version"]).code, 0);
}

#[test]
fn a_list_of_a_pairing_that_is_not_there_is_not_an_empty_one() {
    let station = Workstation::new();
    let enclave = station.paired();
    let (other, own) = (PairingId([0xab; 16]).to_string(), PAIRING.to_string());
    for list in [&["list-users"][..], &["list-keys"], &["group", "list"]] {
        station.json(&enclave, &[list, &["--pairing", &own]].concat()).result();
        station.json(&enclave, &[list, &["--pairing", &other]].concat()).fails(6, "there is no pairing");
    }
    let unpaired = Workstation::new();
    let enclave = unpaired.claimed();
    unpaired.run(&enclave, &["list-users", "--pairing", &other]).fails(6, "is not paired");
}

#[test]
fn raw_is_not_applicable_at_a_cloud_co_signer() {
    let station = Workstation::new();
    let enclave = station.paired();
    let raw = || station.json(&enclave, &["list-users"]).result()["users"][0]["raw"].clone();
    assert_eq!(raw(), "refused");
    enclave.state().users[0].allow_raw = true;
    assert_eq!(raw(), "allowed");
    assert!(station.run(&enclave, &["list-users"]).stdout.contains("ALLOWED"));
    let clouds = Workstation::new();
    enclave.state().pairings[0].role = Role::Cloud;
    for command in ["list-users", "get-status"] {
        let shown = clouds.run(&enclave, &[command]).stdout;
        assert!(shown.contains("not applicable") && !shown.contains("ALLOWED"), "{shown}");
        assert_eq!(clouds.json(&enclave, &[command]).result()["users"][0]["raw"], "not_applicable");
    }
}
