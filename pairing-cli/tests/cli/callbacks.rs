//! `cosigner callback`, and the flags that describe a handler.

use crate::golden::compare;
use crate::simulated_enclave::{Fault, OWN_CALLBACK_KEY, PAIRING, SimulatedEnclave, USER, user_status};
use crate::workstation::{Run, Workstation};
use countersign_wire::Text;
use countersign_wire::admin::{CallbackTest, TestStep};
use countersign_wire::callback::{Attempt, AttemptResult, CallbackSubject, StepTimes};
use countersign_wire::command::{ApprovalSetting, Change, Handler, HandlerMode, HandlerTls, RetrySchedule};
use countersign_wire::ids::{ChangeId, PairingId, TransactionId};
use countersign_wire::refusal::Code;
use serde_json::json;

const URL: &str = "https://handler.example:8443";
/// SHA-256 of the SubjectPublicKeyInfo of `testdata/handler-certificate.pem`, as OpenSSL computes it.
const PIN: &str = "8ac8a83306a274aec2d4d9a5236b56748e42784baa8fcf04021d77867a2d2e2c";
/// 2026-11-27 00:00:00Z.
const THEN_MS: u64 = 1_795_737_600_000;
const DAY_MS: u64 = 86_400_000;
const CHANGE: ChangeId = ChangeId([0xce; 16]);

fn testdata(name: &str) -> String {
    format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn ca(station: &Workstation) -> String {
    station.write("ca.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
}

fn with_key(station: &Workstation) -> SimulatedEnclave {
    let enclave = station.claimed();
    let add_user = station.add_user();
    let mut args: Vec<&str> = add_user.iter().map(String::as_str).collect();
    let key = testdata("handler-key.pem");
    args.extend(["--callback-url", URL, "--callback-key", &key]);
    station.json(&enclave, &args).result();
    enclave
}

fn setting(enclave: &SimulatedEnclave) -> ApprovalSetting {
    enclave.state().callbacks[&USER.parse().unwrap()].setting.clone()
}

fn handler(enclave: &SimulatedEnclave) -> Handler {
    match setting(enclave) {
        ApprovalSetting::Handler(handler) => handler,
        other => panic!("{other:?}"),
    }
}

fn commands(enclave: &SimulatedEnclave) -> usize {
    enclave.state().accepted.len()
}

fn set(station: &Workstation, enclave: &SimulatedEnclave, flags: &[&str]) -> Run {
    station.json(enclave, &[&["callback", "set", USER, "--yes"], flags].concat())
}

fn attempt(result: AttemptResult, code: Option<Code>, detail: &str) -> Attempt {
    Attempt {
        number: 1,
        started_at_ms: THEN_MS,
        waited_ms: 3,
        took_us: 83_571,
        steps: StepTimes {
            resolve_us: Some(1_234),
            connect_us: Some(12_000),
            tls_us: Some(30_120),
            answer_us: Some(40_217),
        },
        reused: false,
        result,
        code,
        detail: Text::new(detail).unwrap(),
        next_at_ms: None,
    }
}

fn probe(failed: Option<TestStep>, attempt: Attempt) -> CallbackTest {
    CallbackTest {
        url: Text::new(URL).unwrap(),
        mode: Text::new(HandlerMode::PublicKey.as_str()).unwrap(),
        attempt,
        failed,
        address: Text::new("203.0.113.7").unwrap(),
        certificate_expires_at_ms: Some(THEN_MS + 94 * DAY_MS),
        certificate_pin: Some([0x5e; 32]),
        protocol: Text::new("HTTP/2").unwrap(),
        action: Text::new(if failed.is_none() { "APPROVE" } else { "" }).unwrap(),
    }
}

fn test_brings(enclave: &SimulatedEnclave, test: CallbackTest) {
    enclave.state().callbacks.get_mut(&USER.parse().unwrap()).unwrap().test = Some(test);
}

fn propose(enclave: &SimulatedEnclave, setting: ApprovalSetting) {
    enclave.state().callbacks.get_mut(&USER.parse().unwrap()).unwrap().proposal = Some((CHANGE, setting));
}

#[test]
fn each_of_the_five_modes_can_be_set() {
    let station = Workstation::new();
    let enclave = station.paired();
    let (key, certificate, ca) = (testdata("handler-key.pem"), testdata("handler-certificate.pem"), ca(&station));
    let modes: [(&[&str], HandlerMode); 5] = [
        (&["--callback-key", &key], HandlerMode::PublicKey),
        (&["--callback-pin-certificate", &certificate], HandlerMode::PinnedCertificate),
        (&["--callback-ca", &ca], HandlerMode::CustomRoot),
        (&["--callback-key", &key, "--callback-pin", PIN], HandlerMode::PinAndKey),
        (&["--callback-key", &key, "--callback-ca", &ca], HandlerMode::RootAndKey),
    ];
    for (flags, mode) in modes {
        let result = set(&station, &enclave, &[&["--callback-url", URL], flags].concat()).result();
        assert_eq!((&result["changed"], &result["after"]["handler"]["mode"]), (&json!(true), &json!(mode.as_str())));
        assert_eq!(handler(&enclave).mode(), Some(mode));
    }
    let change = enclave.state().accepted.last().map(|c| c.change.clone());
    assert!(matches!(change, Some(Change::SetApproval { pairing: PAIRING, user, .. }) if user.as_str() == USER));
}

#[test]
fn everything_that_flags_say_is_signed() {
    let station = Workstation::new();
    let enclave = station.paired();
    let (p256, rsa) = (testdata("handler-key.pem"), testdata("handler-key-rsa.pem"));
    let certificate = testdata("handler-certificate.pem");
    let other = "ab".repeat(32);
    #[rustfmt::skip]
    let flags = [
        "--callback-url", URL, "--callback-key", &p256, "--callback-key", &rsa, "--callback-pin", &other,
        "--callback-pin-certificate", &certificate, "--callback-network", "10.0.0.0/8", "--callback-timeout", "5s",
        "--callback-retry-every", "1h", "--callback-retry-times", "48", "--callback-dated-requests",
        "--callback-own-request-key",
    ];
    let result = set(&station, &enclave, &flags).result();
    let handler = handler(&enclave);
    assert_eq!((&*handler.url, handler.deadline_ms, handler.networks.len()), (URL, 5_000, 1));
    assert_eq!(handler.retry, RetrySchedule { every_s: 3_600, times: 48 });
    assert!(handler.dated_requests && handler.own_request_key);
    let HandlerTls::Pinned(pins) = &handler.tls else { panic!("{:?}", handler.tls) };
    assert_eq!(pins.iter().map(hex::encode).collect::<Vec<_>>(), [other, PIN.to_owned()]);
    let keys = &result["after"]["handler"]["keys"];
    assert_eq!((&keys[0]["algorithm"], &keys[1]["algorithm"]), (&json!("ES256"), &json!("RS256")));
    assert_eq!(keys[0]["sha256"], PIN, "the certificate is of the same key");
    assert!(result["request_key"]["public_key_pem"].as_str().unwrap().contains("Q0ND"), "{result}");
}

#[test]
fn nonsense_is_refused_before_anything_is_asked_and_by_add_user_and_set_alike() {
    let station = Workstation::new();
    let enclave = station.paired();
    let (key, ca) = (testdata("handler-key.pem"), ca(&station));
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["--callback-url", URL], "neither key nor pin nor certificate authority"),
        (&["--callback-key", &key], "--callback-url"),
        (&["--callback-timeout", "5s"], "--callback-url"),
        (&["--callback-url", URL, "--callback-pin", PIN, "--callback-ca", &ca], "either a certificate authority or pinned"),
        (&["--callback-url", URL, "--callback-ca", &ca, "--callback-dated-requests"], "carry no dates"),
        (&["--callback-url", URL, "--callback-ca", &ca, "--callback-own-request-key"], "not signed"),
        (&["--callback-url", URL, "--callback-key", &key, "--callback-key", &key], "given twice"),
        (&["--callback-url", URL, "--callback-key", &key, "--callback-key", &key, "--callback-key", &key], "at most 2"),
        (&["--callback-url", URL, "--callback-key", &key, "--callback-retry-every", "29s"], "30s to 1h"),
        (&["--callback-url", URL, "--callback-key", &key, "--callback-retry-every", "1h", "--callback-retry-times", "49"], "48 hours"),
        (&["--callback-url", URL, "--callback-pin", "abcd"], "64 hexadecimal digits"),
        (&["--callback-url", URL, "--callback-pin-certificate", &ca], "no certificate"),
        (&["--callback-url", URL, "--callback-key", &key, "--auto-approve"], "cannot be used with"),
        (&["--callback-key", &key, "--auto-approve"], "--callback-"),
    ];
    // No passphrase would be right: whoever comes to ask for it, fails with another code.
    let nobody = station.path("nobody.key");
    for (flags, text) in cases {
        let add_user = ["add-user", "--operator-key", &nobody];
        station.run(&enclave, &[&add_user[..], flags].concat()).fails(2, text);
        let set = ["callback", "set", USER, "--yes", "--operator-key", &nobody];
        station.run(&enclave, &[&set[..], flags].concat()).fails(2, text);
    }
    let set = ["callback", "set", USER, "--yes", "--operator-key", &nobody];
    station.run(&enclave, &set).fails(2, "how requests are to be approved is missing");
    station.run(&enclave, &[&set[..], &["--none", "--auto-approve"]].concat()).fails(2, "cannot be used with");
    station.run(&enclave, &["callback", "update", USER, "--operator-key", &nobody]).fails(2, "at least one");
    assert_eq!(commands(&enclave), 2);
}

#[test]
fn an_update_changes_what_flags_say_and_nothing_else() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let before = handler(&enclave);
    let update = |flags: &[&str]| station.json(&enclave, &[&["callback", "update", USER, "--yes"], flags].concat());
    let result = update(&["--callback-timeout", "7s", "--callback-dated-requests"]).result();
    assert_eq!(handler(&enclave), Handler { deadline_ms: 7_000, dated_requests: true, ..before.clone() });
    let fields: Vec<&str> =
        result["differences"].as_array().unwrap().iter().map(|d| d["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["one call", "dates"]);
    update(&["--callback-dated-requests=false", "--callback-timeout", "30s"]).result();
    assert_eq!(handler(&enclave), before);

    let count = commands(&enclave);
    assert_eq!(update(&["--callback-timeout", "30s"]).result()["changed"], false);
    assert_eq!(commands(&enclave), count, "nothing changes, so nothing is signed");
    update(&["--callback-retry-every", "1h", "--callback-retry-times", "60"]).fails(2, "48 hours");
    station.run(&enclave, &["callback", "update", USER, "--callback-timeout", "9s"]).fails(2, "--yes");
    assert_eq!(commands(&enclave), count);
}

#[test]
fn old_and_new_are_shown_and_what_weakens_is_red() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let run = station.run(&enclave, &["callback", "set", USER, "--auto-approve", "--yes"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("approval     - by its handler\n"), "{}", run.stderr);
    assert!(run.stderr.contains("+ AUTO-APPROVE: nobody is asked"), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("URL          - {URL}")), "{}", run.stderr);
    assert!(run.stderr.contains("warning: AUTO-APPROVE"), "{}", run.stderr);
    assert_eq!(setting(&enclave), ApprovalSetting::Auto);
    let none = set(&station, &enclave, &["--none"]);
    assert!(none.warnings().contains(&"no_handler".to_owned()));
    assert_eq!((none.result()["after"]["approval"].as_str(), setting(&enclave)), (Some("none"), ApprovalSetting::None));
    station.run(&enclave, &["callback", "update", USER, "--callback-timeout", "9s", "--yes"]).fails(2, "no handler");
}

#[test]
fn a_key_rotates_in_place_and_a_third_one_waits_for_the_end_of_the_second() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let (old, new) = (testdata("handler-key.pem"), testdata("handler-key-rsa.pem"));
    let rotate = |flags: &[&str]| station.json(&enclave, &[&["callback", "rotate-key", USER, "--yes"], flags].concat());
    let before = handler(&enclave);
    rotate(&["--finish"]).fails(2, "only one key is active");
    rotate(&["--key", &old]).fails(2, "active already");
    rotate(&[]).fails(2, "--key");
    rotate(&["--key", &new]).result();
    assert_eq!((handler(&enclave).keys.len(), &handler(&enclave).keys[0]), (2, &before.keys[0]));
    let third = station.public_key("third.pem");
    rotate(&["--key", &third]).fails(2, "rotate-key USER --finish");
    rotate(&["--finish"]).result();
    let after = handler(&enclave);
    assert_eq!(after.keys.len(), 1);
    assert_ne!(after.keys, before.keys);
    assert_eq!(Handler { keys: before.keys.clone(), ..after }, before, "nothing else changed");
    station
        .run(&enclave, &["callback", "rotate-pin", USER, "--yes", "--pin", PIN])
        .fails(2, "--callback-pin-certificate");
}

#[test]
fn a_pin_rotates_in_place() {
    let station = Workstation::new();
    let enclave = station.paired();
    let (first, certificate) = ("ab".repeat(32), testdata("handler-certificate.pem"));
    set(&station, &enclave, &["--callback-url", URL, "--callback-pin", &first]).result();
    let rotate = |flags: &[&str]| station.json(&enclave, &[&["callback", "rotate-pin", USER, "--yes"], flags].concat());
    let pins = || match handler(&enclave).tls {
        HandlerTls::Pinned(pins) => pins.iter().map(hex::encode).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    rotate(&["--certificate", &certificate]).result();
    assert_eq!(pins(), [first.clone(), PIN.to_owned()]);
    rotate(&["--pin", &"cd".repeat(32)]).fails(2, "--finish");
    rotate(&["--finish"]).result();
    assert_eq!(pins(), [PIN]);
    rotate(&["--pin", &first, "--finish"]).fails(2, "cannot be used with");
    station.run(&enclave, &["callback", "rotate-key", USER, "--yes", "--finish"]).fails(2, "has no key");
}

#[test]
fn t49_a_setting_that_was_decided_on_seeing_an_older_one_is_refused() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let (before, count) = (setting(&enclave), commands(&enclave));
    enclave.fault(Fault::SettingsChangeMeanwhile);
    set(&station, &enclave, &["--none"]).fails(3, "settings_epoch");
    let update = ["callback", "update", USER, "--yes", "--callback-timeout", "9s"];
    station.run(&enclave, &update).fails(3, "settings_epoch").fails(3, "run the command again");
    assert_eq!((setting(&enclave), commands(&enclave)), (before, count));
    enclave.fault(Fault::None);
    station.json(&enclave, &update).result();
}

#[test]
fn t49_no_foreign_key_changes_a_handler() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let (count, key, passphrase) = (commands(&enclave), station.path("foreign.key"), station.path("passphrase"));
    station.offline(&["operator-key", "new", "--operator-key", &key, "--passphrase-file", &passphrase]);
    for command in [
        &["callback", "set", USER, "--yes", "--none"][..],
        &["callback", "test", USER],
        &["remove-user", USER, "--yes"],
        &["rename", "mine"],
    ] {
        station.run(&enclave, &[command, &["--operator-key", &key]].concat()).fails(7, "is no operator");
    }
    assert_eq!(commands(&enclave), count);
}

#[test]
fn t50_the_host_reads_no_setting_on_its_way() {
    let station = Workstation::new();
    let enclave = station.paired();
    let key = testdata("handler-key.pem");
    set(&station, &enclave, &["--callback-url", "https://hidden.example", "--callback-key", &key]).result();
    assert!(!crate::workstation::contains(&enclave.state().seen_by_host, b"hidden.example"));
}

#[test]
fn t57_a_proposal_is_shown_and_only_exactly_that_is_signed() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let before = setting(&enclave);
    let proposed = ApprovalSetting::Handler(Handler {
        url: Text::new("https://new.example\u{1b}[2J").unwrap(),
        ..handler(&enclave)
    });
    propose(&enclave, proposed.clone());
    let shown = station.json(&enclave, &["callback", "show", USER]).result();
    assert_eq!(setting(&enclave), before, "looking changes nothing");
    let (change, hash) = (CHANGE.to_string(), hex::encode(proposed.digest()));
    assert_eq!((&shown["proposal"]["change"], &shown["proposal"]["setting"]["hash"]), (&json!(change), &json!(hash)));
    let text = station.run(&enclave, &["callback", "show", USER]).stdout;
    assert!(text.contains(&format!("cosigner callback set {USER} --accept-proposal {change} --hash {hash}")), "{text}");
    assert!(text.contains("URL          - https://handler.example:8443"), "{text}");
    assert!(text.contains("+ https://new.example\u{fffd}[2J") && !text.contains('\u{1b}'), "{text}");

    let accept =
        |flags: &[&str]| station.json(&enclave, &[&["callback", "set", USER, "--accept-proposal"], flags].concat());
    let (count, zeros) = (commands(&enclave), "00".repeat(32));
    accept(&[&change]).fails(2, "--hash HEX or --yes");
    accept(&[&ChangeId([1; 16]).to_string(), "--yes"]).fails(5, "proposes another change");
    accept(&[&change, "--hash", &zeros]).fails(5, "something else under");
    accept(&[&change, "--yes", "--none"]).fails(2, "cannot be used with");
    assert_eq!((commands(&enclave), setting(&enclave)), (count, before));

    accept(&[&change, "--hash", &hash]).result();
    assert_eq!(setting(&enclave), proposed);
    accept(&[&change, "--hash", &hash]).fails(6, "proposes nothing");
}

#[test]
fn t57_a_proposal_that_changes_between_look_and_signature_is_refused() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let before = setting(&enclave);
    propose(&enclave, ApprovalSetting::None);
    let change = CHANGE.to_string();
    enclave.fault(Fault::ProposalChangesMeanwhile(ApprovalSetting::Auto));
    let accept = ["callback", "set", USER, "--accept-proposal", &change, "--yes"];
    station.run(&enclave, &accept).fails(5, "something else under").fails(5, "nothing was changed");
    assert_eq!(setting(&enclave), before);
}

#[test]
fn a_passed_test_is_shown_step_by_step() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    test_brings(&enclave, probe(None, attempt(AttemptResult::Approved, None, "")));
    let run = station.run(&enclave, &["callback", "test", USER]);
    assert_eq!(run.code, 0);
    compare("callback-test-passed", &run, &[]);
    let change = enclave.state().accepted.last().map(|c| c.change.clone());
    assert!(matches!(change, Some(Change::TestCallback { pairing: PAIRING, .. })));
    let json = station.json(&enclave, &["callback", "test", USER]).result();
    assert_eq!((&json["passed"], &json["steps"][2]["took_us"]), (&json!(true), &json!(30_120)));
    assert_eq!(json["attempt"]["steps"]["resolve_us"], 1_234);
}

#[test]
fn a_failed_test_says_where_and_why_and_what_to_do() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let detail = "expected requestId 7f3c…, got 1b20…";
    let mismatch = attempt(AttemptResult::Failed, Some(Code::RequestIdMismatch), detail);
    test_brings(&enclave, probe(Some(TestStep::Payload), mismatch));
    let run = station.run(&enclave, &["callback", "test", USER]);
    assert_eq!(run.code, 1);
    compare("callback-test-failed", &run, &[]);
    let run = station.json(&enclave, &["callback", "test", USER]);
    run.fails(1, "request_id_mismatch");
    let json = run.json();
    assert_eq!((&json["error"]["kind"], &json["result"]["passed"]), (&json!("check_failed"), &json!(false)));
    assert_eq!(json["result"]["steps"][5]["outcome"], "failed");
}

#[test]
fn what_was_not_reached_says_so_and_a_foreign_certificate_shows_its_pin() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let mut test = probe(
        Some(TestStep::Tls),
        attempt(AttemptResult::Failed, Some(Code::PinMismatch), "\u{1b}[2Jexpected another"),
    );
    test.attempt.steps.answer_us = None;
    test_brings(&enclave, test);
    let run = station.run(&enclave, &["callback", "test", USER]);
    run.fails(1, "TLS        FAILED").fails(1, &"5e".repeat(32)).fails(1, "HTTP       not reached\n");
    run.fails(1, "signature  not reached\n").fails(1, "rotate-pin api-user-1");
    assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'));
    let json = station.json(&enclave, &["callback", "test", USER]).json();
    let outcomes: Vec<&str> =
        json["result"]["steps"].as_array().unwrap().iter().map(|s| s["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["passed", "passed", "failed", "not_reached", "not_reached", "not_reached"]);

    let ca = ca(&station);
    set(&station, &enclave, &["--callback-url", URL, "--callback-ca", &ca]).result();
    test_brings(&enclave, probe(None, attempt(AttemptResult::Rejected, Some(Code::Rejected), "no")));
    let run = station.run(&enclave, &["callback", "test", USER]);
    assert_eq!(run.code, 0, "a rejection is an answer: {}", run.stderr);
    assert!(!run.stdout.contains("signature"), "plain JSON has no such step: {}", run.stdout);
    set(&station, &enclave, &["--none"]).result();
    station.run(&enclave, &["callback", "test", USER]).fails(2, "no handler to call");
}

#[test]
fn all_of_a_handler_is_shown() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    {
        let mut state = enclave.state();
        let now = crate::simulated_enclave::now_ms();
        let user = &mut state.users[0];
        (user.approved, user.failed, user.waiting, user.retrying) = (41, 2, 3, 1);
        user.certificate_expires_at_ms = Some(now + 5 * DAY_MS + DAY_MS / 2);
        let about = TransactionId([0x7a; 16]);
        let failed = attempt(AttemptResult::Failed, Some(Code::Dns), "no such name\u{1b}[31m");
        state.callbacks.get_mut(&USER.parse().unwrap()).unwrap().attempts =
            vec![(CallbackSubject::Transaction(about), failed)];
    }
    let text = station.run(&enclave, &["callback", "show", USER]).stdout;
    for part in [
        "mode         public key",
        &format!("keys         ES256 {PIN}"),
        "TLS          public certificate authorities",
        "after RETRY  every 180 s, 20 times",
        "one call     30000 ms at most",
        "requests     3 waiting, 1 asked again later",
        "calls        41 approved, 0 rejected, 0 to be asked again, 2 failed",
        "(5 days)",
        "transaction",
        "7a7a7a7a-7a7a-7a7a-7a7a-7a7a7a7a7a7a",
        "83.6 ms",
        "2026-11-27 00:00:00Z",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    assert!(!text.contains('\u{1b}'));
    let json = station.json(&enclave, &["callback", "show", USER]).result();
    let members: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["approval_key", "attempts", "own_request_key", "proposal", "request_key", "setting", "user"]);
    assert_eq!(json["attempts"][0]["subject"]["kind"], "transaction");
    let warned = station.json(&enclave, &["get-status"]);
    assert!(warned.warnings().contains(&"certificate".to_owned()), "{:?}", warned.warnings());
}

#[test]
fn the_same_id_in_two_pairings_needs_a_pairing() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let other = PairingId([0xba; 16]);
    {
        let mut state = enclave.state();
        state.users.push(countersign_wire::status::UserStatus { pairing: other, ..user_status(USER, false) });
    }
    station.run(&enclave, &["callback", "show", USER]).fails(2, "several pairings").fails(2, &other.to_string());
    station.json(&enclave, &["callback", "show", USER, "--pairing", &PAIRING.to_string()]).result();
    station.run(&enclave, &["callback", "show", "nobody"]).fails(6, "no API user nobody");
    station.run(&enclave, &["remove-user", USER, "--yes"]).fails(2, "several pairings");
}

#[test]
fn the_request_key_of_a_user_is_printed() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let print = |flags: &[&str]| station.json(&enclave, &[&["print-public-key"], flags].concat()).result();
    let shared = print(&[]);
    assert_eq!(print(&["--user", USER])["public_key_pem"], shared["public_key_pem"]);
    let update = ["callback", "update", USER, "--yes", "--callback-own-request-key"];
    let told = station.run(&enclave, &update);
    assert!(told.stdout.contains("give the handler this one\n-----BEGIN PUBLIC KEY-----\nQ0ND"), "{}", told.stdout);
    let own = print(&["--user", USER]);
    assert_eq!((&own["own_request_key"], own["public_key_pem"] != shared["public_key_pem"]), (&json!(true), true));
    assert_eq!(own["sha256"], hex::encode(sha2_of(&OWN_CALLBACK_KEY)));
    station.run(&enclave, &["print-public-key", "--user", "nobody"]).fails(6, "no API user");
}

fn sha2_of(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

#[test]
fn a_cloud_co_signer_has_no_handler_to_set() {
    let station = Workstation::new();
    let enclave = station.paired();
    enclave.state().pairings[0].role = countersign_wire::group::Role::Cloud;
    station.edit_pin(|pin| pin["pairings"][0]["role"] = "cloud".into());
    set(&station, &enclave, &["--auto-approve"]).fails(2, "cloud co-signer");
    assert_eq!(setting(&enclave), ApprovalSetting::None);
}
