//! `callback show`, and the keys that sign requests.

use super::*;

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
        user.last_attempt = Some(failed.clone());
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
    for list in ["list-users", "get-status"] {
        let text = station.run(&enclave, &[list]).stdout;
        assert!(text.contains("2026-11-27 00:00:00Z in 83.6 ms"), "{list}: {text}");
    }
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
