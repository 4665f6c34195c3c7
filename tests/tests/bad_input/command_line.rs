//! What operators get wrong at the command line.

use crate::Scene;
use countersign_stack::StackError;
use countersign_stack::cosigner::Cosigner;
use countersign_stack::keys::{Algorithm, KeyPair};
use serde_json::Value;
use std::path::PathBuf;

/// That the command ends with this exit code and kind, that its message or hint contains each of `words`, and that there
/// is a hint wherever the message alone does not say what to do. Returns the error.
#[track_caller]
fn check(refused: Result<Value, StackError>, code: i32, kind: &str, words: &[&str]) -> Value {
    let (what, got, error) = match refused {
        Err(StackError::Cosigner { arguments, code, error, .. }) => (arguments, code, error),
        other => panic!("expected a refusal with exit code {code}, got {other:?}"),
    };
    assert_eq!((got, &error["kind"]), (code, &Value::from(kind)), "{what}: {error}");
    let said = format!("{} {}", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap_or_default());
    for word in words {
        assert!(said.contains(word), "{what}: does not say {word:?}: {said}");
    }
    let local = kind == "local";
    assert!(local || error["hint"].as_str().is_some_and(|h| !h.is_empty()), "{what}: no hint: {error}");
    error
}

/// [`check`] of a co-signer's refusal with this code.
#[track_caller]
pub fn refused(refused: Result<Value, StackError>, code: &str, words: &[&str]) {
    let exit_code = if code == "not_found" { 6 } else { 3 };
    let error = check(refused, exit_code, "refused", words);
    assert_eq!(error["refusal_code"], code, "{error}");
}

/// [`check`] of a mistake in flags.
#[track_caller]
pub fn usage(refused: Result<Value, StackError>, words: &[&str]) {
    check(refused, 2, "usage", words);
}

pub async fn mistakes_are_explained(scene: &Scene) {
    let stack = &scene.system.stack;
    let customer = &stack.customer().unwrap().operator;
    let folder = &stack.around.folder;
    let status = customer.run(["get-status"]).await.unwrap();
    let group = scene.system.group.as_str();
    let unknown = uuid::Uuid::new_v4().to_string();
    let zeros = "0".repeat(64);

    for (arguments, word) in [
        (vec!["frobnicate"], "frobnicate"),
        (vec!["get-status", "--frobnicate"], "--frobnicate"),
        (vec!["add-user"], "--workspace-key"),
        (vec!["add-user", "--workspace-key", "zz"], "--workspace-key"),
        (vec!["add-user", "--workspace-key", zeros.as_str()], "--token-file"),
        (vec!["add-user", "--callback-url", "https://handler.example"], "--callback-key"),
        (vec!["add-user", "--callback-timeout", "0s"], "1s to 2m"),
        (vec!["add-user", "--role", "king"], "customer"),
        (vec!["add-user", "--role", "cloud", "--auto-approve"], "cloud co-signer"),
        (vec!["add-user", "--initiator", "nobody"], "USER=FILE"),
        (vec!["group", "accept", "--group", "zz"], "--group"),
        (vec!["group", "accept", "--group", group, "--hash", "zz"], "64 hexadecimal digits"),
        (vec!["get-status", "--response-timeout", "1ms"], "100ms to 10m"),
    ] {
        usage(customer.run(arguments).await, &[word]);
    }

    let missing = folder.join("nothing-here").display().to_string();
    let ec = KeyPair::create(folder, "ec-client", Algorithm::Es256).unwrap();
    let initiator = |key: &str| {
        let arguments = ["initiator", "add", "--user", "somebody", "--key", key].map(str::to_owned);
        customer.run(arguments)
    };
    check(initiator(&missing).await, 1, "local", &[&missing]);
    let ec_file = ec.public.display().to_string();
    check_any(initiator(&ec_file).await, &["RSA"]);
    let passphrase = stack.around.passphrase_file.display().to_string();
    usage(initiator(&passphrase).await, &["--key"]);
    check(customer.run(["key", "clear-quarantine", "--key", &unknown]).await, 6, "not_found", &["list-keys"]);
    check(
        customer.run(["group", "accept", "--group", &unknown, "--hash", &zeros]).await,
        6,
        "not_found",
        &["group list"],
    );
    check(customer.run(["group", "accept", "--group", group, "--hash", &zeros]).await, 5, "untrusted", &["hash"]);

    let nowhere = Cosigner { socket: PathBuf::from(&missing), ..customer.clone() };
    check(nowhere.run(["get-status"]).await, 4, "cannot_connect", &["cosigner-host", "--socket"]);
    let wrong = folder.join("wrong-passphrase");
    std::fs::write(&wrong, "wrong").unwrap();
    let forgetful = Cosigner { passphrase_file: wrong, ..customer.clone() };
    let forgot = forgetful.run(["initiator", "remove", "--user", "somebody"]).await;
    check(forgot, 7, "operator_key", &["passphrase"]);
    // Another enclave than the pinned one, and a claim of one that has operators.
    let cloud = &stack.member("cloud-1").unwrap().operator;
    let elsewhere = Cosigner { socket: cloud.socket.clone(), ..customer.clone() };
    check(elsewhere.run(["get-status"]).await, 5, "untrusted", &[]);
    let stranger = Cosigner { name: "mine".to_owned(), ..customer.clone() };
    let claim = ["init", "--operator-name", "mallory", "--sealing-key", "file:0"];
    check_any(stranger.run(claim).await, &[]);

    let after = customer.run(["get-status"]).await.unwrap();
    let epoch = |status: &Value| status["description"]["settings_epoch"].as_u64().unwrap();
    assert_eq!(epoch(&after), epoch(&status), "nothing was changed: {after}");
}

/// Refused by whoever looks first.
#[track_caller]
fn check_any(refused: Result<Value, StackError>, words: &[&str]) {
    let Err(StackError::Cosigner { error, .. }) = &refused else { panic!("expected a refusal, got {refused:?}") };
    let said = error.to_string();
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    assert!(error["kind"].is_string() && error["hint"].as_str().is_some_and(|h| !h.is_empty()), "{said}");
}
