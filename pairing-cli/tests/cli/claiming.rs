//! `cosigner init`, and what it protects from (threat T51).

use crate::simulated_enclave::{Fault, SimulatedEnclave};
use crate::workstation::{SEALING_KEY, Workstation};
use countersign_wire::Text;
use countersign_wire::command::Change;
use countersign_wire::ids::OperatorId;
use serde_json::json;

#[test]
fn a_claim_is_pinned_and_repeating_it_changes_nothing() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    let first = station.json(&enclave, &station.init());
    let result = first.result();
    assert_eq!(result["already_claimed"], false);
    assert_eq!(result["instance"], enclave.state().instance.to_string());
    assert_eq!(first.json()["trust"]["anchor"], "development");
    assert!(first.warnings().contains(&"development_root".to_owned()));

    let pin = station.pin("default").unwrap();
    assert_eq!(pin["state"], "claimed");
    assert_eq!(pin["operators"][0]["name"], "alice");
    assert_eq!(pin["operators"][0]["key"], enclave.state().operators[0].0.to_string());
    assert_eq!(pin["sealing_key"], SEALING_KEY);
    assert_eq!(pin["measurements"]["pcr0"], "10".repeat(48));
    assert_eq!(pin["settings_epoch"], 1);

    assert_eq!(station.json(&enclave, &station.init()).result()["already_claimed"], true);
    assert_eq!(enclave.state().accepted.len(), 1);
    let other = ["init", "--operator-name", "alice", "--sealing-key", "file:other"];
    station.run(&enclave, &other).fails(2, "claimed already");
    assert_eq!(station.pin("default").unwrap(), pin);
}

#[test]
fn a_claim_that_lacks_a_flag_makes_no_key() {
    let (station, enclave) = (Workstation::new(), SimulatedEnclave::start());
    station.run(&enclave, &["init", "--operator-name", "alice"]).fails(2, "--sealing-key");
    assert!(!station.file("config/operator.key").exists());
}

#[test]
fn the_command_is_signed_over_change_nonce_and_epoch() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let state = enclave.state();
    let [command] = state.accepted.as_slice() else { panic!("one command") };
    assert_eq!((command.instance, command.settings_epoch), (state.instance, 0));
    assert!(matches!(&command.change, Change::Claim { required: 1, operators, .. } if operators.len() == 1));
}

#[test]
fn t51_an_enclave_that_somebody_claimed_before_is_an_error_that_says_so() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    {
        let mut state = enclave.state();
        state.operators = vec![(OperatorId([0xee; 32]), Text::new("eve").unwrap())];
        (state.required, state.sealing_key) = (1, SEALING_KEY.to_owned());
    }
    station.run(&enclave, &station.init()).fails(5, "claimed already").fails(5, "eve").fails(5, &"ee".repeat(32));
    assert_eq!(station.pin("default"), None);
    assert!(enclave.state().accepted.is_empty());
}

#[test]
fn t51_an_operator_who_was_added_during_the_claim_is_found_and_no_token_is_sent() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    enclave.fault(Fault::ExtraOperatorAfterClaim);
    station.run(&enclave, &station.init()).fails(5, "extra operator").fails(5, "eve");
    assert_eq!(station.pin("default").unwrap()["state"], "claiming");
    let add_user = station.add_user();
    let add_user: Vec<&str> = add_user.iter().map(String::as_str).collect();
    station.run(&enclave, &add_user).fails(5, "no co-signer is pinned");
    station.run(&enclave, &station.init()).fails(5, "extra operator");
    assert_eq!(enclave.state().accepted.len(), 1);
}

#[test]
fn t51_whatever_changes_after_the_claim_is_found_before_anything_secret_is_sent() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let add_user = station.add_user();
    let add_user: Vec<&str> = add_user.iter().map(String::as_str).collect();
    let eve = (OperatorId([0xee; 32]), Text::new("eve").unwrap());

    enclave.state().operators.push(eve);
    station.run(&enclave, &add_user).fails(5, "extra operator").fails(5, "nothing secret was sent");
    enclave.state().operators.pop();

    enclave.state().required = 2;
    station.run(&enclave, &add_user).fails(5, "operators required: expected 1, got 2");
    enclave.state().required = 1;

    enclave.state().sealing_key = "file:eve".to_owned();
    station.run(&enclave, &add_user).fails(5, "sealing key");
    enclave.state().sealing_key = SEALING_KEY.to_owned();

    enclave.state().pending_changes = 1;
    station.run(&enclave, &add_user).fails(5, "pending changes: expected 0, got 1");
    enclave.state().pending_changes = 0;

    enclave.state().settings_epoch = 0;
    station.run(&enclave, &add_user).fails(5, "settings epoch: expected 1 or later, got 0");
    enclave.state().settings_epoch = 1;

    assert_eq!(enclave.state().accepted.len(), 1, "only the claim was sent");
    station.json(&enclave, &add_user).result();
}

#[test]
fn t51_another_instance_behind_the_socket_is_found_though_everything_else_is_equal() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let other = SimulatedEnclave::start();
    other.copy_settings_of(&enclave);
    std::fs::copy(&enclave.root_file, &other.root_file).unwrap();
    let add_user = station.add_user();
    let add_user: Vec<&str> = add_user.iter().map(String::as_str).collect();
    station.run(&other, &add_user).fails(5, "instance: expected");
    station.run(&other, &["get-status"]).fails(5, "instance: expected");
    station.run(&other, &["list-users"]).fails(5, "instance: expected");
    assert!(other.state().accepted.is_empty());
}

#[test]
fn an_interrupted_claim_is_resumed() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    enclave.fault(Fault::LoseAnswers);
    station.run(&enclave, &station.init()).fails(8, "closed");
    assert_eq!(station.pin("default").unwrap()["state"], "claiming");
    enclave.fault(Fault::None);
    station.json(&enclave, &station.init()).result();
    assert_eq!(station.pin("default").unwrap()["state"], "claimed");
    assert_eq!(enclave.state().accepted.len(), 1);
}

#[test]
fn a_claim_names_several_operators_and_each_of_them_signs() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    let (mine, bobs) = (station.path("mine.key"), station.path("bobs.key"));
    let passphrase = station.path("passphrase");
    let new = |file: &str| {
        let run = station.offline(&[
            "operator-key",
            "new",
            "--json",
            "--operator-key",
            file,
            "--passphrase-file",
            &passphrase,
        ]);
        run.result()["public_key"].as_str().unwrap().to_owned()
    };
    new(&mine);
    let bob = format!("bob={}", new(&bobs));
    let init =
        |extra: &[&str]| station.json(&enclave, &[&station.init()[..], &["--operator-key", &mine], extra].concat());
    init(&["--operator", &bob, "--required", "2"]).fails(2, "does not sign");
    init(&["--operator-key", &bobs]).fails(2, "is no operator");
    init(&["--operator", &bob, "--operator-key", &bobs, "--required", "3"]).fails(2, "expected 1 to 2");
    let result = init(&["--operator", &bob, "--operator-key", &bobs, "--required", "2"]).result();
    assert_eq!((result["required"].clone(), result["operators"].as_array().unwrap().len()), (json!(2), 2));

    let add_user = station.add_user();
    let add_user: Vec<&str> = add_user.iter().map(String::as_str).collect();
    let one = [&add_user[..], &["--operator-key", &mine]].concat();
    station.run(&enclave, &one).fails(2, "2 operators must sign, 1 key was given");
    let twice = [&one[..], &["--operator-key", &mine]].concat();
    station.run(&enclave, &twice).fails(2, "twice");
    let both = [&one[..], &["--operator-key", &bobs]].concat();
    station.json(&enclave, &both).result();
}

#[test]
fn two_co_signers_are_pinned_under_two_names() {
    let station = Workstation::new();
    let (one, two) = (SimulatedEnclave::start(), SimulatedEnclave::start());
    station.json(&one, &[&station.init()[..], &["--cosigner", "one"]].concat()).result();
    station.json(&two, &[&station.init()[..], &["--cosigner", "two"]].concat()).result();
    assert_ne!(station.pin("one").unwrap()["instance"], station.pin("two").unwrap()["instance"]);
    std::fs::copy(&one.root_file, &two.root_file).unwrap();
    station.json(&one, &["get-status", "--cosigner", "one"]).result();
    station.run(&one, &["get-status", "--cosigner", "two"]).fails(5, "instance: expected");
}

/// What `cosigner adopt` is told of an enclave that alice claimed.
fn adopt<'a>(instance: &'a str, extra: &[&'a str]) -> Vec<&'a str> {
    let flags = ["adopt", "--instance", instance, "--operator-name", "alice", "--sealing-key", SEALING_KEY];
    [&flags[..], extra].concat()
}

#[test]
fn a_co_signer_whose_pin_was_lost_is_adopted_with_its_pairings_and_commanded_again() {
    let station = Workstation::new();
    let enclave = station.paired();
    let pin = station.pin("default").unwrap();
    let instance = pin["instance"].as_str().unwrap().to_owned();
    std::fs::remove_file(station.file("config/cosigners/default.json")).unwrap();
    let key = station.public_key("client.pem");
    let command = ["initiator", "add", "--user", "client", "--key", &key];
    station.run(&enclave, &command).fails(5, "no co-signer is pinned").fails(5, "cosigner adopt");

    let adopted = station.json(&enclave, &adopt(&instance, &[])).result();
    assert_eq!((&adopted["already_claimed"], &adopted["instance"]), (&json!(false), &pin["instance"]));
    assert_eq!(station.pin("default").unwrap(), pin);
    station.json(&enclave, &command).result();
    assert_eq!(station.json(&enclave, &adopt(&instance, &[])).result()["already_claimed"], true);
    let other = "ab".repeat(32);
    station.run(&enclave, &adopt(&other, &[])).fails(2, "is pinned already");
}

#[test]
fn t51_only_exactly_what_the_flags_say_is_adopted() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let instance = station.pin("default").unwrap()["instance"].as_str().unwrap().to_owned();
    std::fs::remove_file(station.file("config/cosigners/default.json")).unwrap();
    let eve = (OperatorId([0xee; 32]), Text::new("eve").unwrap());
    let other = "ab".repeat(32);
    let eves = format!("eve={}", "ee".repeat(32));
    let wrong_measurements = station.write(
        "measurements.json",
        json!({ "pcr0": "20".repeat(48), "pcr1": "11".repeat(48), "pcr2": "12".repeat(48) }).to_string(),
    );

    station.run(&enclave, &adopt(&other, &[])).fails(5, "instance: expected");
    station.run(&enclave, &adopt(&instance, &["--operator", &eves])).fails(5, "missing operator");
    station.run(&enclave, &adopt(&instance, &["--operator", &eves, "--required", "2"])).fails(5, "operators required");
    station.run(&enclave, &adopt(&instance, &["--required", "2"])).fails(2, "expected 1 to 1");
    let renamed = ["adopt", "--instance", &instance, "--operator-name", "bob", "--sealing-key", SEALING_KEY];
    station.run(&enclave, &renamed).fails(5, "operator name");
    let resealed = ["adopt", "--instance", &instance, "--operator-name", "alice", "--sealing-key", "file:x"];
    station.run(&enclave, &resealed).fails(5, "sealing key");
    station.run(&enclave, &adopt(&instance, &["--measurements", &wrong_measurements])).fails(5, "attestation refused");
    enclave.state().operators.push(eve);
    station.run(&enclave, &adopt(&instance, &[])).fails(5, "extra operator").fails(5, "eve");
    enclave.state().operators.pop();
    // A fresh enclave, and a workstation without the operator's key.
    station.run(&SimulatedEnclave::start(), &adopt(&instance, &[])).fails(5, "missing operator");
    Workstation::new().run(&enclave, &adopt(&instance, &[])).fails(7, "operator.key");
    assert_eq!(station.pin("default"), None);
    station.json(&enclave, &adopt(&instance, &[])).result();
}
