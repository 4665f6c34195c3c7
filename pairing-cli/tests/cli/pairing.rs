//! `cosigner add-user` and `cosigner initiator`.

use crate::golden::compare;
use crate::simulated_enclave::{Fault, PAIRING, USER, WORKSPACE};
use crate::workstation::{TOKEN, Workstation};
use countersign_wire::command::{AddUser, ApprovalSetting, Change, HandlerMode};
use countersign_wire::group::Role;
use countersign_wire::ids::PartyId;
use countersign_wire::refusal::Code;
use serde_json::json;

fn args(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

fn last_user(enclave: &crate::simulated_enclave::SimulatedEnclave) -> AddUser {
    match enclave.state().accepted.last().map(|c| c.change.clone()) {
        Some(Change::AddUser(add)) => *add,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_user_is_added_with_everything_that_flags_say_and_its_identity_pinned() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let key = station.public_key("k.pem");
    let ca = station.write("ca.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    let m = "10".repeat(48);
    let peers = station.write("m.json", format!(r#"{{"pcr0":"{m}","pcr1":"{m}","pcr2":"{m}","pcr8":"{m}"}}"#));
    let initiator = format!("{USER}={key}");
    let flags = [
        "--workspace-ca",
        &ca,
        "--workspace-network",
        "127.0.0.0/8",
        "--initiator",
        &initiator,
        "--callback-url",
        "https://handler.example:8443",
        "--callback-key",
        &key,
        "--callback-ca",
        &ca,
        "--callback-network",
        "10.0.0.0/8",
        "--callback-network",
        "fd00::/8",
        "--callback-timeout",
        "5s",
        "--peer-measurements",
        &peers,
        "--allow-raw",
    ];
    let add_user = station.add_user();
    let run = station.json(&enclave, &[&args(&add_user)[..], &flags].concat());
    let result = run.result();
    assert_eq!(result["user"], USER);
    assert_eq!(result["pairing"], PAIRING.to_string());
    assert_eq!(result["party"], "0d".repeat(32));
    assert_eq!(result["workspace"], WORKSPACE.to_string());
    assert_eq!(
        (&result["approval"], &result["require_intent"], &result["allow_raw"]),
        (&json!("handler"), &json!(true), &json!(true))
    );
    assert!(result["callback_public_key_pem"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\nQkJC"));
    assert!(run.warnings().contains(&"raw_allowed".to_owned()));
    assert!(!run.warnings().contains(&"no_handler".to_owned()));

    let add = last_user(&enclave);
    assert_eq!((&*add.token, add.role), (TOKEN, Role::Customer));
    assert!(add.require_intent && add.allow_raw);
    assert_eq!(add.workspace_root.as_ref().map(|r| r.to_vec()), Some(vec![0x30, 0]));
    assert_eq!((add.workspace_networks.len(), add.initiators.len(), add.peer_measurements.len()), (1, 1, 1));
    assert_eq!(add.peer_measurements[0].pcr8, Some([0x10; 48]));
    let ApprovalSetting::Handler(handler) = add.approval else { panic!("no handler") };
    assert_eq!((&*handler.url, handler.deadline_ms, handler.networks.len()), ("https://handler.example:8443", 5000, 2));
    assert_eq!(handler.keys.iter().map(|k| k.to_vec()).collect::<Vec<_>>(), [b"ABCDEFGH"]);
    assert_eq!(handler.mode(), Some(HandlerMode::RootAndKey));
    assert_eq!((handler.retry, handler.dated_requests, handler.own_request_key), Default::default());

    let pin = station.pin("default").unwrap();
    assert_eq!(pin["pairings"][0]["party"], "0d".repeat(32));
    assert_eq!(pin["pairings"][0]["workspace_key"], "cc".repeat(32));
    assert_eq!(pin["settings_epoch"], 2);
}

#[test]
fn t22_without_handler_and_without_auto_approve_everything_is_refused_and_the_command_says_so() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let run = station.json(&enclave, &args(&station.add_user()));
    assert_eq!(run.result()["approval"], "none");
    assert!(run.warnings().contains(&"no_handler".to_owned()));
    assert_eq!(last_user(&enclave).approval, ApprovalSetting::None);
    let cloud = station.claimed_cloud();
    assert!(!cloud.warnings().contains(&"no_handler".to_owned()));
}

impl Workstation {
    fn claimed_cloud(&self) -> crate::workstation::Run {
        let other = Workstation::new();
        let enclave = other.claimed();
        let run = other.json(&enclave, &[&args(&other.add_user())[..], &["--role", "cloud"]].concat());
        assert_eq!(run.result()["role"], "cloud");
        assert_eq!(last_user(&enclave).role, Role::Cloud);
        run
    }
}

#[test]
fn what_weakens_is_announced() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let add_user = station.add_user();
    let run = station.json(&enclave, &[&args(&add_user)[..], &["--auto-approve", "--no-intent"]].concat());
    assert_eq!(run.result()["approval"], "auto");
    for code in ["auto_approve", "no_intent", "workspace_decides_alone", "development_root"] {
        assert!(run.warnings().contains(&code.to_owned()), "{code}");
    }
    assert!(run.stderr.contains("DEVELOPMENT ROOT") && run.stderr.contains("AUTO-APPROVE"));
    let add = last_user(&enclave);
    assert!(!add.require_intent && add.approval == ApprovalSetting::Auto);
    let users = station.run(&enclave, &["list-users"]);
    assert!(users.stdout.contains("AUTO-APPROVE") && users.stdout.contains("NOT REQUIRED"), "{}", users.stdout);
    assert!(station.json(&enclave, &["get-status"]).warnings().contains(&"workspace_decides_alone".to_owned()));
}

#[test]
fn flags_that_contradict_each_other_or_are_wrong_send_nothing() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let key = station.public_key("k.pem");
    let private = station.write("private.pem", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n");
    let empty = station.write("empty", "\n");
    let add_user = station.add_user();
    let base = args(&add_user);
    let with_private = format!("u1={private}");
    let cases: &[(&[&str], &str)] = &[
        (&["--auto-approve", "--callback-url", "https://h", "--callback-key", &key], "cannot be used with"),
        (&["--callback-url", "https://h"], "--callback-key"),
        (&["--callback-url", "ftp://h", "--callback-key", &key], "https://"),
        (&["--callback-timeout", "0s"], "1s to 2m"),
        (&["--workspace-network", "10.0.0.1/8"], "bits set"),
        (&["--role", "cloud", "--auto-approve"], "neither handler nor auto-approve"),
        (&["--role", "cloud", "--allow-raw"], "does not decide about RAW"),
        (&["--initiator", &with_private], "private key"),
        (&["--token", "a.b.c"], "cannot be used with"),
    ];
    for (flags, text) in cases {
        station.run(&enclave, &[&base[..], flags].concat()).fails(2, text);
    }
    let w = "cc".repeat(32);
    station.run(&enclave, &["add-user", "--workspace-key", &w]).fails(2, "--token-file");
    station.run(&enclave, &["add-user", "--token-file", &station.path("token")]).fails(2, "--workspace-key");
    station.run(&enclave, &["add-user", "--workspace-key", &w, "--token-file", &empty]).fails(2, "three parts");
    assert_eq!(enclave.state().accepted.len(), 1);
}

#[test]
fn a_token_on_the_command_line_works_and_is_frowned_upon() {
    let station = Workstation::new();
    let enclave = station.claimed();
    let run = station.json(&enclave, &["add-user", "--workspace-key", &"cc".repeat(32), "--token", TOKEN]);
    run.result();
    assert!(run.warnings().contains(&"token_on_command_line".to_owned()));
    assert_eq!(&*last_user(&enclave).token, TOKEN);
}

#[test]
fn a_lost_confirmation_is_made_up_for_by_the_pinned_co_signers_own_status() {
    let station = Workstation::new();
    let enclave = station.claimed();
    enclave.fault(Fault::LoseAnswers);
    station.run(&enclave, &args(&station.add_user())).fails(8, "closed");
    enclave.fault(Fault::None);
    assert_eq!(station.pin("default").unwrap()["pairings"], json!([]));
    station.json(&enclave, &["get-status"]).result();
    let pin = station.pin("default").unwrap();
    assert_eq!(pin["pairings"][0]["party"], "0d".repeat(32));
    assert_eq!(pin["settings_epoch"], 2);
}

#[test]
fn t54_a_pairing_never_gets_another_identity() {
    let station = Workstation::new();
    let enclave = station.paired();
    let before = station.pin("default");
    enclave.state().pairings[0].party = PartyId([0x66; 32]);
    station.run(&enclave, &["get-status"]).fails(5, "not what was pinned");
    station.run(&enclave, &["print-public-key"]).fails(5, "not what was pinned");
    assert_eq!(station.pin("default"), before);
}

#[test]
fn initiators_are_added_listed_and_removed() {
    let station = Workstation::new();
    let enclave = station.paired();
    let key = station.public_key("k.pem");
    let added = station.json(&enclave, &["initiator", "add", "--user", "client-1", "--key", &key]).result();
    assert_eq!(added["user"], "client-1");
    let state_change = enclave.state().accepted.last().map(|c| c.change.clone());
    assert!(matches!(state_change, Some(Change::AddInitiator { pairing: PAIRING, .. })));
    let listed = station.json(&enclave, &["initiator", "list"]).result();
    assert_eq!(listed["initiators"][0]["user"], "client-1");
    assert_eq!(listed["initiators"][0]["public_key_sha256"], added["public_key_sha256"]);
    station.json(&enclave, &["initiator", "remove", "--user", "client-1"]).result();
    let listed = station.run(&enclave, &["initiator", "list"]);
    assert!(listed.stdout.contains("no initiators"), "{}", listed.stdout);
    let other = "11111111-1111-1111-1111-111111111111";
    station.run(&enclave, &["initiator", "list", "--pairing", other]).fails(6, "there is no pairing");
    station.run(&enclave, &["initiator", "add", "--user", "a.b", "--key", &key]).fails(2, "A-Z");
}

#[test]
fn the_handlers_public_key_comes_from_the_pinned_co_signer_alone() {
    let station = Workstation::new();
    let enclave = station.paired();
    let printed = station.run(&enclave, &["print-public-key"]);
    assert_eq!(printed.code, 0);
    assert!(printed.stdout.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    let json = station.json(&enclave, &["print-public-key"]).result();
    assert_eq!(json["public_key_pem"].as_str().map(str::trim), Some(printed.stdout.trim()));
    Workstation::new().run(&enclave, &["print-public-key"]).fails(5, "no co-signer is pinned");
}

#[test]
fn a_refused_pairing_says_why_and_what_to_do() {
    let station = Workstation::new();
    let enclave = station.claimed();
    enclave.fault(Fault::Refuse(Code::WorkspaceUntrusted));
    // As the enclave words it.
    enclave.state().refusal_detail = format!(
        "the workspace's id and keys have fingerprint {}, the operator named {}",
        "5a".repeat(32),
        "cc".repeat(32)
    );
    let add_user = station.add_user();
    let mut args: Vec<&str> = add_user.iter().map(String::as_str).collect();
    let key = format!("{}/testdata/handler-key.pem", env!("CARGO_MANIFEST_DIR"));
    args.extend(["--callback-url", "https://handler.example", "--callback-key", &key]);
    let run = station.run(&enclave, &args);
    assert_eq!(run.code, 3);
    compare("refused-pairing", &run, &[]);
}
