//! `callback test`.

use super::*;

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
    // As the enclave words it.
    let detail = "the handler answered another request than 18d8291d-be36-81e4-a553-6fabb6db5968";
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
