//! `cosigner key verify` (threat T58).

use crate::simulated_enclave::WORKSPACE;
use crate::workstation::Workstation;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::ids::{GroupId, KeyId, PartyId};
use countersign_wire::key::{Algorithm, DerivationPath, Operation};
use countersign_wire::{List, Signed, SigningIdentity, Text};
use serde_json::json;

/// The generator of secp256k1 and its address: an Ethereum key that everybody can check.
const PUBLIC_KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
/// The API user whose approval rules over the key.
const SIGNER: &str = "treasury";
const ADDRESS: &str = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";

fn identity() -> SigningIdentity {
    SigningIdentity::from_secret(&[0x31; 32])
}

fn certificate(change: impl FnOnce(&mut KeyCertificate)) -> KeyCertificate {
    let parties = vec![PartyId(identity().public()), PartyId([0xfe; 32]), PartyId([0xff; 32])];
    let mut certificate = KeyCertificate {
        workspace: WORKSPACE,
        vault_account: 7,
        asset: Text::new("ETH").unwrap(),
        key: KeyId([1; 16]),
        algorithm: Algorithm::EcdsaSecp256k1,
        signer: SIGNER.parse().unwrap(),
        operations: List::new(vec![Operation::TypedMessage]).unwrap(),
        path: DerivationPath::vault(60, 7, 0, 0).unwrap(),
        public_key: hex::decode(PUBLIC_KEY).unwrap().try_into().unwrap(),
        address: Text::new(ADDRESS).unwrap(),
        group: GroupId([2; 16]),
        parties: List::new(parties).unwrap(),
        threshold: 3,
        epoch: 1,
    };
    change(&mut certificate);
    certificate
}

fn encode(certificate: &KeyCertificate, signer: &SigningIdentity) -> String {
    STANDARD.encode(borsh::to_vec(&Signed::sign(certificate, signer)).unwrap())
}

fn party() -> String {
    PartyId(identity().public()).to_string()
}

#[test]
fn a_good_certificate_is_good_as_json_and_alone() {
    let station = Workstation::new();
    let encoded = encode(&certificate(|_| {}), &identity());
    let plain = station.write("plain", format!("{encoded}\n"));
    let json = station.write("json", json!({ "certificate": encoded, "address": "0xliar" }).to_string());
    for file in [&plain, &json] {
        let run = station.offline(&["key", "verify", "--json", "--certificate", file, "--party", &party()]);
        let result = run.result();
        assert_eq!((&result["address"], &result["public_key"]), (&json!(ADDRESS), &json!(PUBLIC_KEY)));
        assert_eq!((&result["vault_account"], &result["path"]), (&json!(7), &json!([44, 60, 7, 0, 0])));
        assert_eq!((&result["threshold"], &result["signer"]["party"]), (&json!(3), &json!(party())));
        assert_eq!((&result["api_user"], &result["operations"]), (&json!(SIGNER), &json!(["TYPED_MESSAGE"])));
        assert_eq!((&result["raw_allowed"], &result["signer"]["anchor"]), (&json!(false), &json!(null)));
    }
    let good = ["--address", ADDRESS, "--vault", "7", "--asset", "ETH", "--signer", SIGNER];
    let base = ["key", "verify", "--certificate", &plain, "--party", &party()];
    let run = station.offline(&[&base[..], &good].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("good") && run.stdout.contains(ADDRESS) && run.stdout.contains(SIGNER));
    let bad: [(&[&str], &str); 4] = [
        (&["--signer", "auto"], "another API user whose approval rules: expected auto, got treasury"),
        (&["--address", "0x0000000000000000000000000000000000000000"], "another address"),
        (&["--vault", "8"], "another vault account"),
        (&["--asset", "BTC"], "another asset"),
    ];
    for (flags, text) in bad {
        station.offline(&[&base[..], flags].concat()).fails(5, text).fails(5, "do NOT send");
    }
}

#[test]
fn t58_a_foreign_key_or_an_altered_certificate_fails() {
    let station = Workstation::new();
    let verify = |content: String| {
        let file = station.write("certificate", content);
        station.offline(&["key", "verify", "--certificate", &file, "--party", &party()])
    };
    let foreign = SigningIdentity::from_secret(&[0x32; 32]);
    verify(encode(&certificate(|_| {}), &foreign)).fails(5, "not signed by the customer's co-signer");

    let mut bytes = STANDARD.decode(encode(&certificate(|_| {}), &identity())).unwrap();
    let at = bytes.windows(ADDRESS.len()).position(|w| w == ADDRESS.as_bytes()).unwrap();
    bytes[at + 5] = b'0';
    verify(STANDARD.encode(&bytes)).fails(5, "not signed by the customer's co-signer");
    verify(STANDARD.encode([bytes, vec![0]].concat())).fails(5, "no key certificate");
    for nonsense in ["", "hello", "{}", "{\"certificate\": 1}", "AAAA"] {
        verify(nonsense.to_owned()).fails(5, "no key certificate");
    }
}

#[test]
fn t58_what_does_not_fit_together_fails_though_it_is_signed() {
    let station = Workstation::new();
    type Change = fn(&mut KeyCertificate);
    let cases: [(&str, Change); 8] = [
        ("none, or not sorted", |c| c.operations = List::default()),
        ("none, or not sorted", |c| c.operations = List::new(vec![Operation::TypedMessage, Operation::Raw]).unwrap()),
        ("not that of the public key", |c| {
            c.address = Text::new("0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb").unwrap()
        }),
        ("not that of the public key", |c| c.address = Text::new(ADDRESS.to_lowercase()).unwrap()),
        ("no point of secp256k1", |c| c.public_key = [0xff; 33]),
        ("not one of vault account", |c| c.path = DerivationPath::vault(60, 8, 0, 0).unwrap()),
        ("the threshold is 1", |c| c.threshold = 1),
        ("no party of the group", |c| {
            c.parties = List::new(vec![PartyId([0xfe; 32]), PartyId([0xff; 32]), PartyId([0xfd; 32])]).unwrap()
        }),
    ];
    for (text, change) in cases {
        let file = station.write("certificate", encode(&certificate(change), &identity()));
        station.offline(&["key", "verify", "--certificate", &file, "--party", &party()]).fails(5, text);
    }
}

#[test]
fn t58_without_a_party_the_pinned_customers_co_signer_must_have_signed() {
    let station = Workstation::new();
    let _enclave = station.paired();
    let file = station.write("certificate", encode(&certificate(|_| {}), &identity()));
    let verify = || station.offline(&["key", "verify", "--json", "--certificate", &file]);
    verify().fails(5, "not signed by the customer's co-signer");
    station.edit_pin(|pin| pin["pairings"][0]["party"] = json!(party()));
    assert_eq!(verify().result()["signer"]["cosigner"], "default");
    station.edit_pin(|pin| pin["pairings"][0]["role"] = json!("cloud"));
    verify().fails(6, "--party HEX");
    Workstation::new().offline(&["key", "verify", "--certificate", &file]).fails(6, "--party HEX");
}

#[test]
fn t58_whose_approval_rules_is_signed_shown_and_demanded() {
    let station = Workstation::new();
    let of_auto = certificate(|c| {
        c.signer = "auto-approved".parse().unwrap();
        c.operations = List::new(vec![Operation::Raw, Operation::TypedMessage]).unwrap();
    });
    let file = station.write("certificate", encode(&of_auto, &identity()));
    let verify = |flags: &[&str]| {
        let base = ["key", "verify", "--certificate", &file, "--party", &party()];
        station.offline(&[&base[..], flags].concat())
    };
    verify(&["--signer", SIGNER]).fails(5, "expected treasury, got auto-approved").fails(5, "do NOT send");
    let run = verify(&[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("auto-approved") && run.stdout.contains("RAW, TYPED_MESSAGE"), "{}", run.stdout);
    assert!(run.stderr.contains("any hash") && run.stderr.contains("--signer"), "{}", run.stderr);
    let run = verify(&["--json"]);
    assert_eq!(run.result()["raw_allowed"], true);
    assert_eq!(run.warnings(), ["raw_key"]);
}

#[test]
fn t58_the_pin_says_under_which_root_and_with_which_workspace_keys_the_signer_was_paired() {
    let station = Workstation::new();
    let _enclave = station.paired();
    station.edit_pin(|pin| pin["pairings"][0]["party"] = json!(party()));
    let file = station.write("certificate", encode(&certificate(|_| {}), &identity()));
    let verify =
        |flags: &[&str]| station.offline(&[&["key", "verify", "--json", "--certificate", &file][..], flags].concat());
    let run = verify(&[]);
    assert_eq!(
        (&run.result()["signer"]["anchor"], run.warnings()),
        (&json!("development"), vec!["development_cosigner".to_owned()])
    );
    assert!(run.stderr.contains("DEVELOPMENT ROOT"), "{}", run.stderr);
    let paired_with = "cc".repeat(32);
    assert_eq!(run.result()["workspace_key"], paired_with);
    verify(&["--workspace-key", &paired_with]).result();
    verify(&["--workspace-key", &"cd".repeat(32)]).fails(6, "is pinned here");
    // A second co-signer was paired with something else that calls itself the same workspace.
    let mut other = station.pin("default").unwrap();
    other["pairings"][0]["workspace_key"] = json!("cd".repeat(32));
    let other = station.write("config/cosigners/other.json", other.to_string());
    verify(&[]).fails(2, "--workspace-key");
    verify(&["--workspace-key", &paired_with]).result();
    std::fs::remove_file(other).unwrap();
    station.edit_pin(|pin| pin["anchor"] = json!("aws"));
    let run = verify(&[]);
    assert_eq!((&run.result()["signer"]["anchor"], run.warnings().len()), (&json!("aws"), 0));
}

#[test]
fn a_file_among_the_pins_that_is_none_is_left_out_with_a_warning() {
    let station = Workstation::new();
    let enclave = station.paired();
    station.edit_pin(|pin| pin["pairings"][0]["party"] = json!(party()));
    station.write("config/cosigners/stray.json", "{}");
    let file = station.write("certificate", encode(&certificate(|_| {}), &identity()));
    let run = station.offline(&["key", "verify", "--json", "--certificate", &file]);
    assert_eq!(run.result()["signer"]["cosigner"], "default");
    assert!(run.warnings().contains(&"pin_unreadable".to_owned()) && run.stderr.contains("stray.json"));
    station.edit_pin(|pin| pin["pairings"][0]["party"] = json!("0d".repeat(32)));
    for command in [&["get-status"][..], &["group", "list"]] {
        assert!(station.json(&enclave, command).warnings().contains(&"pin_unreadable".to_owned()), "{command:?}");
    }
    station.json(&enclave, &["get-status", "--cosigner", "stray"]).fails(1, "stray.json");
}
