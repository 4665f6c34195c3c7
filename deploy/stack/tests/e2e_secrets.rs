//! Secrets of a system that has worked for a while are nowhere but where they belong. The programs must be built before:
//! `tests/run` does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_stack::{Ask, Setup, System};
use std::fs;
use std::path::{Path, PathBuf};

/// A secret, and the one file in which it may be.
struct Secret {
    what: String,
    home: PathBuf,
    bytes: Vec<u8>,
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Everything in the folder that must not be anywhere else.
fn secrets(folder: &Path) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let mut add = |home: &Path, what: &str, bytes: &[u8]| {
        let what = format!("{what} of {}", home.display());
        secrets.push(Secret { what, home: home.to_owned(), bytes: bytes.to_vec() });
    };
    for path in files(folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = || fs::read_to_string(&path).unwrap();
        if name == "passphrase" || name.ends_with(".token") {
            add(&path, "the text", text().trim().as_bytes());
        } else if name == "sealing.key" {
            let hex = text().trim().to_owned();
            add(&path, "the hex", hex.as_bytes());
            add(
                &path,
                "the bytes",
                &(0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect::<Vec<_>>(),
            );
        } else if name == "workspace.db.keys" {
            let keys: serde_json::Value = serde_json::from_str(&text()).unwrap();
            add(&path, "the message key", keys["message_key"].as_str().unwrap().as_bytes());
            add(&path, "the token key", keys["token_key_pkcs8"].as_str().unwrap().as_bytes());
        } else if name.ends_with(".key") && text().starts_with("-----BEGIN PRIVATE KEY") {
            // The last whole line of the base64: the first ones are alike in keys of one kind.
            add(&path, "a line", text().lines().rfind(|line| line.len() == 64).unwrap().as_bytes());
        }
    }
    secrets
}

/// The limits, soft and hard, of what a process leaves behind when it is aborted.
fn largest_core_dump(pid: u32) -> [String; 2] {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    [words.next().unwrap(), words.next().unwrap()]
}

#[tokio::test]
async fn e2e_t48_secrets_are_in_no_log_no_metric_no_database_and_no_status() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &Setup::default()).await.unwrap();
    let vault = system.vault_account("first").await.unwrap();
    let note = "canary-5f1c";
    let ask = Ask::message(vault.id, b"canary-7a90").note(note);
    ask.verify(&system.transact(&ask).await.unwrap(), vault.address).unwrap();
    let ask = Ask::message(vault.id, b"never").note("reject-me");
    ask.verify_refused(&system.transact(&ask).await.unwrap(), "rejected").unwrap();

    let mut shown: Vec<(String, Vec<u8>)> = Vec::new();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for member in &system.stack.members {
        let metrics = http.get(format!("{}/metrics", member.http().unwrap())).send().await.unwrap();
        shown.push((format!("metrics of {}", member.name), metrics.bytes().await.unwrap().to_vec()));
        shown.push((format!("status of {}", member.name), member.status().await.unwrap().to_string().into_bytes()));
    }
    let ready: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("workspace/ready.json")).unwrap()).unwrap();
    let metrics = http.get(format!("http://{}/metrics", ready["metrics"].as_str().unwrap())).send().await.unwrap();
    shown.push(("metrics of the workspace".into(), metrics.bytes().await.unwrap().to_vec()));
    assert!(shown.iter().all(|(_, bytes)| bytes.len() > 100), "empty answers prove nothing");
    let mut enclaves = 0;
    for process in system.stack.running().iter().filter(|p| p.name.ends_with("-enclave")) {
        assert_eq!(largest_core_dump(process.pid), ["0", "0"], "{}", process.name);
        enclaves += 1;
    }
    assert_eq!(enclaves, system.stack.members.len());
    assert_eq!(system.stack.stop().await.unwrap(), [""; 0]);

    let root = folder.path();
    let secrets = secrets(root);
    // Three sealing keys twice, the passphrase, three tokens, the workspace's two, and the keys of owner, user, handler, TLS.
    assert!(secrets.len() >= 3 * 2 + 1 + 3 + 2 + 5, "{} secrets", secrets.len());
    let all = files(root);
    for path in &all {
        shown.push((path.display().to_string(), fs::read(path).unwrap()));
    }
    for secret in &secrets {
        let homes: Vec<&String> =
            shown.iter().filter(|(_, b)| contains(b, &secret.bytes)).map(|(name, _)| name).collect();
        // The bytes of a sealing key are not even in its own file, which has them in hex.
        let elsewhere: Vec<_> = homes.iter().filter(|name| Path::new(name) != secret.home).collect();
        assert!(elsewhere.is_empty(), "{} is in {elsewhere:?}", secret.what);
        assert!(!homes.is_empty() || secret.what.starts_with("the bytes"), "the search does not find {}", secret.what);
    }
    let logs = shown.iter().filter(|(name, _)| name.ends_with(".log") && !name.contains("handler"));
    for (name, log) in logs {
        assert!(!contains(log, note.as_bytes()) && !contains(log, b"canary-7a90"), "a client's content is in {name}");
    }
    let database = shown.iter().find(|(name, _)| name.ends_with("workspace.db")).unwrap();
    assert!(contains(&database.1, note.as_bytes()), "the search does not find what is there");
}
