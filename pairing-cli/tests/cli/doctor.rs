//! `cosigner doctor`, where all is well and where it is not.

use crate::golden::compare;
use crate::simulated_enclave::{Fault, SimulatedEnclave, USER, now_ms, user_status};
use crate::workstation::{Run, Workstation};
use countersign_wire::Text;
use countersign_wire::admin::{CallbackTest, TestStep};
use countersign_wire::callback::{Attempt, AttemptResult, CallbackSubject, StepTimes};
use countersign_wire::host_link::HostHealth;
use countersign_wire::refusal::Code;
use serde_json::Value;
use std::collections::BTreeMap;

const GIB: u64 = 1024 * 1024 * 1024;
const DAY_MS: u64 = 86_400_000;

fn healthy(enclave: &SimulatedEnclave) {
    let now = now_ms();
    let health = HostHealth {
        version: Text::new("0.1.0").unwrap(),
        clock_ms: now,
        disk_free_bytes: 60 * GIB,
        disk_total_bytes: 100 * GIB,
        blobs: 42,
        stored_bytes: 4 * GIB,
        commit_us: 4_200,
        proxied: false,
    };
    enclave.state().host = Some((health, now));
}

fn with_handler(station: &Workstation) -> SimulatedEnclave {
    let enclave = station.claimed();
    let add_user = station.add_user();
    let mut args: Vec<&str> = add_user.iter().map(String::as_str).collect();
    let key = format!("{}/testdata/handler-key.pem", env!("CARGO_MANIFEST_DIR"));
    args.extend(["--callback-url", "https://handler.example:8443", "--callback-key", &key]);
    station.json(&enclave, &args).result();
    healthy(&enclave);
    enclave
}

fn attempt(result: AttemptResult, code: Option<Code>, detail: &str) -> Attempt {
    Attempt {
        number: 1,
        started_at_ms: 1_795_737_600_000,
        waited_ms: 0,
        took_us: 83_571,
        steps: StepTimes::default(),
        reused: false,
        result,
        code,
        detail: Text::new(detail).unwrap(),
        next_at_ms: None,
    }
}

/// The verdicts of each check.
fn verdicts(run: &Run) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let json: Value = run.json();
    for check in json["result"]["checks"].as_array().unwrap() {
        let text = |name: &str| check[name].as_str().unwrap().to_owned();
        all.entry(text("check")).or_default().push(text("verdict"));
    }
    all
}

#[test]
fn where_all_is_well_nothing_fails() {
    let station = Workstation::new();
    let enclave = with_handler(&station);
    let run = station.json(&enclave, &["doctor"]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    let verdicts = verdicts(&run);
    // No group exists yet, and a development root proves nothing.
    for (check, found) in &verdicts {
        let expected = if ["groups", "enclave"].contains(&check.as_str()) { "warning" } else { "passed" };
        assert_eq!(found, &[expected], "{check}");
    }
    assert_eq!(verdicts.len(), 15);
}

#[test]
fn a_broken_set_up_is_told_with_what_to_do() {
    let station = Workstation::new();
    let enclave = with_handler(&station);
    {
        let mut state = enclave.state();
        let behind = 9_020_000;
        state.clock_behind_ms = behind;
        let now = now_ms() - behind;
        state.unstored = 5;
        let (health, at_ms) = state.host.as_mut().unwrap();
        (health.disk_free_bytes, health.clock_ms, *at_ms) = (GIB, now + 9_020_000, now);
        state.pairings[0].link_up = false;
        state.pairings[0].link_trouble = Text::new("connect: connection refused").unwrap();
        // As the enclave words it.
        let detail = "calling the handler: no answer within 30000 ms";
        let failed = attempt(AttemptResult::Failed, Some(Code::CallbackTimeout), detail);
        state.users[0].last_attempt = Some(failed.clone());
        (state.users[0].failed, state.users[0].waiting) = (2, 17);
        state.users[0].certificate_expires_at_ms = Some(now + 5 * DAY_MS + DAY_MS / 2);
        let callback = state.callbacks.get_mut(&USER.parse().unwrap()).unwrap();
        callback.attempts = vec![(CallbackSubject::Test, failed.clone()), (CallbackSubject::Test, failed)];
        state.users.push(user_status("api-user-2", false));
        state.pairings[0].require_intent = false;
        let auto = countersign_wire::command::ApprovalSetting::Auto;
        state.users.push(user_status("api-user-3", false));
        state.put(&"api-user-3".parse().unwrap(), &auto);
    }
    let run = station.run(&enclave, &["doctor"]);
    assert_eq!(run.code, 1);
    compare("doctor-broken", &run, &[(enclave.socket.to_str().unwrap(), "/tmp/cosigner.sock")]);
    let json = station.json(&enclave, &["doctor"]);
    json.fails(1, "not all is well");
    let verdicts = verdicts(&json);
    let failed: Vec<&str> =
        verdicts.iter().filter(|(_, v)| v.iter().any(|v| v == "failed")).map(|(k, _)| k.as_str()).collect();
    assert_eq!(failed, ["certificates", "clock", "disk", "handlers", "links"]);
}

#[test]
fn what_host_workspace_and_handler_say_cannot_write_to_the_terminal() {
    let station = Workstation::new();
    let enclave = with_handler(&station);
    {
        let mut state = enclave.state();
        let evil = "x\u{1b}[2J\u{9b}31m\u{202e}y";
        state.name = evil.to_owned();
        state.host.as_mut().unwrap().0.version = Text::new("1\u{1b}[2J\u{9b}3m").unwrap();
        (state.pairings[0].link_up, state.pairings[0].link_trouble) = (false, Text::new(evil).unwrap());
        state.users[0].last_attempt = Some(attempt(AttemptResult::Failed, Some(Code::Dns), evil));
        state.users[0].handler_url = Text::new(evil).unwrap();
        state.users[0].handler_mode = Text::new(evil).unwrap();
    }
    let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    for command in [&["doctor"][..], &["get-status"], &["list-users"], &["callback", "show", USER]] {
        for run in [station.run(&enclave, command), station.json(&enclave, command)] {
            let all = format!("{}{}", run.stdout, run.stderr);
            assert!(all.len() > 200 && !all.contains(harmful), "{command:?}: {all:?}");
        }
    }
}

#[test]
fn without_a_socket_the_rest_is_not_checked() {
    let station = Workstation::new();
    let missing = station.path("nobody.sock");
    let run = station.offline(&["doctor", "--socket", &missing]);
    assert_eq!(run.code, 1);
    compare("doctor-no-socket", &run, &[(&missing, "/tmp/cosigner.sock")]);
    station.offline(&["doctor"]).fails(1, "admin socket is missing").fails(1, "14 not checked");
}

#[track_caller]
fn fails_at(run: &Run, check: &str) {
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    let verdicts = verdicts(run);
    assert_eq!(verdicts[check], ["failed"], "{verdicts:?}");
    assert!(verdicts.values().any(|v| v == &["not_checked"]), "{verdicts:?}");
}

#[test]
fn broken_set_ups_are_told_from_one_another() {
    let station = Workstation::new();
    let enclave = with_handler(&station);
    let doctor = || station.json(&enclave, &["doctor"]);
    enclave.fault(Fault::SilentHandshake);
    fails_at(&station.json(&enclave, &["doctor", "--response-timeout", "300ms"]), "enclave");
    enclave.fault(Fault::Garbage(b"HTTP/1.1 200 OK\r\n".to_vec()));
    fails_at(&doctor(), "enclave");
    enclave.fault(Fault::None);
    let eve = countersign_wire::ids::OperatorId([0xee; 32]);
    enclave.state().operators.push((eve, Text::new("eve").unwrap()));
    fails_at(&doctor(), "pin");
    enclave.state().operators.pop();
    station.write("config/cosigners/default.json", "{");
    fails_at(&doctor(), "pin");

    let elsewhere = Workstation::new();
    let run = elsewhere.json(&enclave, &["doctor"]);
    assert_eq!((run.code, &verdicts(&run)["pin"]), (0, &vec!["warning".to_owned()]));
    fails_at(&elsewhere.json(&SimulatedEnclave::start(), &["doctor"]), "claim");
    let stranger = SimulatedEnclave::start();
    std::fs::copy(&stranger.root_file, &enclave.root_file).unwrap();
    fails_at(&elsewhere.json(&enclave, &["doctor"]), "enclave");
}

#[test]
fn handlers_are_called_where_it_is_asked_for() {
    let station = Workstation::new();
    let enclave = with_handler(&station);
    let test = CallbackTest {
        url: Text::new("https://handler.example:8443").unwrap(),
        mode: Text::new("public key").unwrap(),
        attempt: attempt(AttemptResult::Failed, Some(Code::Connect), "connection refused"),
        failed: Some(TestStep::Connect),
        address: Text::default(),
        certificate_expires_at_ms: None,
        certificate_pin: None,
        protocol: Text::default(),
        action: Text::default(),
    };
    enclave.state().callbacks.get_mut(&USER.parse().unwrap()).unwrap().test = Some(test.clone());
    let count = enclave.state().accepted.len();
    assert!(!verdicts(&station.json(&enclave, &["doctor"])).contains_key("callbacks"));
    assert_eq!(enclave.state().accepted.len(), count, "nothing is signed");
    let run = station.run(&enclave, &["doctor", "--test-callbacks"]);
    run.fails(1, "callbacks     FAILED       api-user-1: the test failed: connect");
    let passed = attempt(AttemptResult::Approved, None, "");
    enclave.state().callbacks.get_mut(&USER.parse().unwrap()).unwrap().test =
        Some(CallbackTest { failed: None, attempt: passed, ..test });
    assert_eq!(verdicts(&station.json(&enclave, &["doctor", "--test-callbacks"]))["callbacks"], ["passed"]);
    let nobody = station.path("nobody.key");
    let run = station.json(&enclave, &["doctor", "--test-callbacks", "--operator-key", &nobody]);
    assert_eq!(verdicts(&run)["callbacks"], ["failed"]);
    assert_eq!(verdicts(&run)["links"], ["passed"], "the rest is checked all the same");
}
