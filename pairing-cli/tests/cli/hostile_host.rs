//! What a host in front of the enclave, or in its place, can try.

use crate::simulated_enclave::{Fault, SimulatedEnclave, real_measurements};
use crate::workstation::{TOKEN, Workstation, contains};
use countersign_attest::Measurements;
use countersign_wire::frame;
use countersign_wire::refusal::Code;

fn args(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

#[test]
fn t50_the_host_sees_no_pairing_token_and_changes_to_what_it_carries_fail() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let add_user = station.add_user();
    enclave.fault(Fault::TamperAnswers);
    station.run(&enclave, &args(&add_user)).fails(5, "the admin channel does not hold");
    enclave.fault(Fault::None);
    station.json(&enclave, &args(&add_user)).result();
    let state = enclave.state();
    assert!(state.seen_by_host.len() > TOKEN.len() + 500);
    assert!(!contains(&state.seen_by_host, TOKEN.as_bytes()));
    assert!(!contains(&state.seen_by_host, b"canary-token"));
}

#[test]
fn a_document_under_another_root_is_refused() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let stranger = SimulatedEnclave::start();
    std::fs::copy(&stranger.root_file, &enclave.root_file).unwrap();
    for command in [vec!["get-status"], args(&station.add_user()), vec!["attestation", "show"]] {
        station.run(&enclave, &command).fails(5, "attestation refused").fails(5, "expected a chain to root");
    }
}

#[test]
fn a_development_enclave_passes_for_no_real_one() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    let socket = enclave.socket.to_str().unwrap();
    let m = "10".repeat(48);
    let file = station
        .write("m.json", format!(r#"{{"pcr0":"{m}","pcr1":"{}","pcr2":"{}"}}"#, "11".repeat(48), "12".repeat(48)));
    let passphrase = station.path("passphrase");
    let init = [&station.init()[..], &["--socket", socket, "--passphrase-file", &passphrase]].concat();
    station.offline(&init).fails(2, "--measurements FILE");
    let with_measurements = [&init[..], &["--measurements", &file]].concat();
    station.offline(&with_measurements).fails(5, "no genuine Nitro enclave");
    assert!(enclave.state().accepted.is_empty());
}

#[test]
fn a_co_signer_of_the_aws_root_is_never_spoken_to_under_a_development_root() {
    let station = Workstation::new();
    let enclave = station.claimed();
    station.edit_pin(|pin| pin["anchor"] = "aws".into());
    station.run(&enclave, &["get-status"]).fails(5, "claimed under the AWS root");
    station.edit_pin(|pin| pin["anchor"] = "development".into());
    let socket = enclave.socket.to_str().unwrap();
    station.offline(&["get-status", "--socket", socket]).fails(2, "--development-root FILE");
}

#[test]
fn t39_another_image_is_refused_and_the_register_named() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    let (m0, m1, m2) = ("10".repeat(48), "11".repeat(48), "12".repeat(48));
    let right = station.write("right.json", format!(r#"{{"pcr0":"{m0}","pcr1":"{m1}","pcr2":"{m2}"}}"#));
    let wrong = station.write("wrong.json", format!(r#"{{"pcr0":"{m0}","pcr1":"{m1}","pcr2":"{m1}"}}"#));
    station.run(&enclave, &[&station.init()[..], &["--measurements", &wrong]].concat()).fails(5, "PCR2");
    station.json(&enclave, &[&station.init()[..], &["--measurements", &right]].concat()).result();
    station.run(&enclave, &["get-status", "--measurements", &wrong]).fails(5, "PCR2");
    // Later the pinned ones are expected, without the flag.
    enclave.state().measurements = Measurements { pcr0: [0x99; 48], ..real_measurements() };
    station.run(&enclave, &["get-status"]).fails(5, "PCR0");
    station.run(&enclave, &args(&station.add_user())).fails(5, "PCR0");
    let shown = station.json(&enclave, &["attestation", "show"]);
    shown.fails(5, "another image");
    assert_eq!(shown.json()["result"]["measurements_verdict"], "different");
}

#[test]
fn an_upgraded_image_is_pinned_by_its_measurements_and_only_where_all_else_is_as_before() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let before = station.pin("default");
    let file = |name: &str, pcr0: &str| {
        let (m0, m1, m2) = (pcr0.repeat(48), "11".repeat(48), "12".repeat(48));
        station.write(name, format!(r#"{{"pcr0":"{m0}","pcr1":"{m1}","pcr2":"{m2}"}}"#))
    };
    let (new, other) = (file("new.json", "99"), file("other.json", "98"));
    enclave.state().measurements = Measurements { pcr0: [0x99; 48], ..real_measurements() };
    let accept = |file: &str| station.json(&enclave, &["attestation", "accept", "--measurements", file]);
    station.run(&enclave, &["attestation", "accept"]).fails(2, "--measurements FILE");
    accept(&other).fails(5, "PCR0");
    enclave.state().required = 2;
    accept(&new).fails(5, "operators required");
    enclave.state().required = 1;
    assert_eq!(station.pin("default"), before);
    assert_eq!(accept(&new).result()["changed"], true);
    assert_eq!(station.json(&enclave, &["get-status"]).result()["claimed"], true);
    Workstation::new()
        .run(&enclave, &["attestation", "accept", "--measurements", &new])
        .fails(5, "no co-signer is pinned");
}

#[test]
fn t38_an_enclave_in_debug_mode_is_refused_though_no_measurements_are_expected() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    enclave.state().measurements = Measurements { pcr0: [0; 48], pcr1: [0; 48], pcr2: [0; 48], pcr8: None };
    station.run(&enclave, &station.init()).fails(5, "all zero");
}

#[test]
fn t40_an_old_document_is_refused() {
    let station = Workstation::new();
    let enclave = SimulatedEnclave::start();
    enclave.state().document_age_ms = 600_000;
    station.run(&enclave, &station.init()).fails(5, "stale");
    assert_eq!(station.pin("default"), None);
}

#[test]
fn t40_a_replayed_handshake_is_refused() {
    let station = Workstation::new();
    let enclave = station.claimed();
    enclave.fault(Fault::ReplayHandshake);
    station.run(&enclave, &["get-status"]).fails(5, "the admin channel does not hold");
}

#[test]
fn an_answer_that_is_repeated_is_refused() {
    let station = Workstation::new();
    let enclave = station.claimed();
    enclave.fault(Fault::RepeatAnswers);
    station.run(&enclave, &["get-status"]).fails(5, "repeated");
}

#[test]
fn t49_a_command_with_a_foreign_key_is_not_even_sent() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let (key, passphrase) = (station.path("foreign.key"), station.path("passphrase"));
    station.offline(&["operator-key", "new", "--operator-key", &key, "--passphrase-file", &passphrase]);
    let add_user = station.add_user();
    station.run(&enclave, &[&args(&add_user)[..], &["--operator-key", &key]].concat()).fails(7, "is no operator");
    assert_eq!(enclave.state().accepted.len(), 1);
}

#[test]
fn silence_ends_in_time_with_its_own_exit_code() {
    let station = Workstation::new();
    let enclave = station.claimed();
    for fault in [Fault::SilentHandshake, Fault::SilentRequests] {
        enclave.fault(fault);
        station.run(&enclave, &["get-status", "--response-timeout", "300ms"]).fails(8, "waited 0.3 s");
    }
}

#[test]
fn t45_a_host_that_speaks_something_else_or_declares_too_much_is_an_error() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let long = frame::header(1024 * 1024).unwrap().to_vec();
    for garbage in [
        b"HTTP/1.1 200 OK\r\n".to_vec(),
        long,
        vec![0xC5, 0x16, 9, 0, 0, 0, 0, 0],
        Vec::from([0xC5, 0x16, 1, 0, 0, 0, 0, 1, 9]),
    ] {
        enclave.fault(Fault::Garbage(garbage));
        station.run(&enclave, &["get-status"]).fails(8, "speaks something else");
    }
}

#[test]
fn nobody_at_the_socket_is_its_own_exit_code() {
    let station = Workstation::new();
    let missing = station.path("nobody.sock");
    let root = station.write("root", "x");
    station.offline(&["get-status", "--socket", &missing, "--measurements", &root]).fails(2, "pcr0");
    let run = station.offline(&["attestation", "show", "--socket", &missing]);
    run.fails(4, "cannot connect").fails(4, "cosigner-host");
}

#[test]
fn a_refusal_comes_with_its_code_and_what_to_do() {
    let station = Workstation::new();
    let enclave = station.claimed();
    enclave.fault(Fault::Refuse(Code::TokenExpired));
    let run = station.json(&enclave, &args(&station.add_user()));
    run.fails(3, "token_expired");
    assert_eq!(run.json()["error"]["refusal_code"], "token_expired");
    assert!(run.json()["error"]["hint"].as_str().unwrap().contains("new one"));
    assert_eq!(run.json()["ok"], false);
    enclave.fault(Fault::Refuse(Code::NotFound));
    station.run(&enclave, &args(&station.add_user())).fails(6, "not_found");
}
