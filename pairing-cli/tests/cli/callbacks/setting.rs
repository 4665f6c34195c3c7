//! How a handler is set and updated.

use super::*;

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
fn a_cloud_co_signer_has_no_handler_to_set() {
    let station = Workstation::new();
    let enclave = station.paired();
    enclave.state().pairings[0].role = countersign_wire::group::Role::Cloud;
    station.edit_pin(|pin| pin["pairings"][0]["role"] = "cloud".into());
    set(&station, &enclave, &["--auto-approve"]).fails(2, "cloud co-signer");
    assert_eq!(setting(&enclave), ApprovalSetting::None);
}
