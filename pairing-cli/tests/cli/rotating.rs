//! `cosigner rotate-sealing-key`, and what the workstations of all operators know of it.

use crate::simulated_enclave::{Fault, SimulatedEnclave};
use crate::workstation::{SEALING_KEY, Workstation};
use countersign_wire::command::Change;
use countersign_wire::refusal::Code;

const ROTATE: [&str; 4] = ["rotate-sealing-key", "--yes", "--sealing-key", "file:next"];

fn last_change(enclave: &SimulatedEnclave) -> Change {
    enclave.state().accepted.last().unwrap().change.clone()
}

#[test]
fn the_sealing_key_is_rotated_and_pinned() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let result = station.json(&enclave, &ROTATE).result();
    assert_eq!((&result["sealing_key"], &result["before"]), (&"file:next".into(), &SEALING_KEY.into()));
    assert!(matches!(last_change(&enclave), Change::RotateSealingKey { sealing_key } if &*sealing_key == "file:next"));
    let pin = station.pin("default").unwrap();
    assert_eq!((&pin["sealing_key"], pin.get("next_sealing_key")), (&"file:next".into(), None));
    assert_eq!(pin["settings_epoch"], 2);
    station.json(&enclave, &["get-status"]).result();

    // Without a key to go to: a new data key under the present one.
    let result = station.json(&enclave, &ROTATE[..2]).result();
    assert_eq!((&result["sealing_key"], &result["before"]), (&"file:next".into(), &"file:next".into()));
    assert_eq!(enclave.state().accepted.len(), 3);
}

#[test]
fn nothing_is_sent_before_somebody_confirms() {
    let station = Workstation::new();
    let enclave = station.claimed();
    station.run(&enclave, &["rotate-sealing-key"]).fails(2, "--yes");
    let long = "x".repeat(5_000);
    station.run(&enclave, &["rotate-sealing-key", "--yes", "--sealing-key", &long]).fails(2, "--sealing-key");
    assert_eq!(enclave.state().accepted.len(), 1);
}

#[test]
fn a_rotation_whose_answer_was_lost_is_recognised() {
    let station = Workstation::new();
    let enclave = station.claimed();
    enclave.state().fault = Fault::LoseAnswers;
    station.run(&enclave, &ROTATE).fails(8, "");
    let pin = station.pin("default").unwrap();
    assert_eq!((&pin["sealing_key"], &pin["next_sealing_key"]), (&SEALING_KEY.into(), &"file:next".into()));
    enclave.state().fault = Fault::None;
    station.json(&enclave, &["rename", "mine"]).result();
    let pin = station.pin("default").unwrap();
    assert_eq!((&pin["sealing_key"], pin.get("next_sealing_key")), (&"file:next".into(), None));
    // From then on the former one is as foreign as any other.
    enclave.state().sealing_key = SEALING_KEY.to_owned();
    station.run(&enclave, &["get-status"]).fails(5, "sealing key: expected");
}

#[test]
fn a_second_rotation_after_a_lost_answer_starts_from_what_the_first_one_did() {
    let station = Workstation::new();
    let enclave = station.claimed();
    enclave.state().fault = Fault::LoseAnswers;
    station.run(&enclave, &ROTATE).fails(8, "");
    enclave.state().fault = Fault::None;
    let third = ["rotate-sealing-key", "--yes", "--sealing-key", "file:third"];
    assert_eq!(station.json(&enclave, &third).result()["before"], "file:next");
    assert_eq!(station.pin("default").unwrap()["sealing_key"], "file:third");
}

#[test]
fn a_rotation_that_never_happened_is_shown_until_another_one_ends() {
    let station = Workstation::new();
    let enclave = station.claimed();
    enclave.state().fault = Fault::LoseAnswers;
    station.run(&enclave, &ROTATE).fails(8, "");
    enclave.state().fault = Fault::None;
    enclave.state().sealing_key = SEALING_KEY.to_owned();
    let warned =
        |arguments: &[&str]| station.json(&enclave, arguments).warnings().contains(&"rotation_unanswered".to_owned());
    assert!(warned(&["get-status"]));
    enclave.state().fault = Fault::Refuse(Code::KeyService);
    station.run(&enclave, &ROTATE).fails(3, "--sealing-key");
    enclave.state().fault = Fault::None;
    assert!(!warned(&["get-status"]));
}

#[test]
fn whose_a_kms_key_is_is_said_before_it_seals_anything() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let key = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let run = station.run(&enclave, &["rotate-sealing-key", "--sealing-key", key]);
    run.fails(2, "is of AWS account 111122223333").fails(2, "owns the shares");
}

#[test]
fn a_refused_rotation_leaves_the_pin_as_it_was() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let before = station.pin("default").unwrap();
    enclave.state().fault = Fault::Refuse(Code::KeyService);
    station.run(&enclave, &ROTATE).fails(3, "--sealing-key");
    assert_eq!(station.pin("default").unwrap(), before);
}

#[test]
fn t51_another_workstation_refuses_the_new_sealing_key_until_its_operator_says_it() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let pin = station.file("config/cosigners/default.json");
    let stale = std::fs::read(&pin).unwrap();
    station.json(&enclave, &ROTATE).result();
    std::fs::write(&pin, &stale).unwrap();
    station.run(&enclave, &["rename", "mine"]).fails(5, "sealing key: expected");
    let instance = station.pin("default").unwrap()["instance"].as_str().unwrap().to_owned();
    let adopt = |key: &'static str| {
        station.json(&enclave, &["adopt", "--instance", &instance, "--operator-name", "alice", "--sealing-key", key])
    };
    adopt(SEALING_KEY).fails(5, "sealing key: expected");
    adopt("file:eve").fails(5, "sealing key: expected");
    assert_eq!(std::fs::read(&pin).unwrap(), stale);
    assert_eq!(adopt("file:next").result()["sealing_key"], "file:next");
    station.json(&enclave, &["rename", "mine"]).result();
    // Anything else that differs is not adopted with it.
    std::fs::write(&pin, &stale).unwrap();
    enclave.state().settings_epoch = 0;
    adopt("file:next").fails(5, "settings epoch");
    assert_eq!(std::fs::read(&pin).unwrap(), stale);
}
