//! The secrets of a system, each with its home.

use crate::recorder::Recorder;
use crate::scanner::Canary;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_stack::System;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What an enclave gives its host, and nobody else.
pub const ACCESS_TOKEN: &str = "access token";
/// What clients give to the workspace, which keeps it for the co-signers.
pub const REQUEST_TOKEN: &str = "request token";

/// The DER of a PEM file.
fn der(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).unwrap()
}

/// A part of a PKCS#8 key that its public half does not show.
fn private_part(der: &[u8]) -> Vec<u8> {
    // P-256 (RFC 5915): the private scalar behind its header. RSA: well inside the private exponent.
    let scalar = der.get(36..68).filter(|_| der.len() < 200 && der[34..36] == [0x04, 0x20]);
    scalar.map_or_else(|| der.get(320..368).expect("an RSA key of 2048 bits").to_vec(), <[u8]>::to_vec)
}

fn signature(token: &str) -> Vec<u8> {
    let text = token.trim().rsplit('.').next().unwrap();
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// All of them.
pub fn all(system: &System, folder: &Path, recorder: &Recorder, request_token: &str) -> Vec<Canary> {
    let mut all = Vec::new();
    let inside = |path: &Path| path.strip_prefix(folder).unwrap().to_owned();
    let workspace = system.stack.workspace().unwrap();

    // Each once as text, and once as what the text stands for: a program may keep either.
    let mut both = |name: &str, text: &str, bytes: Vec<u8>, home: &[PathBuf]| {
        all.push(Canary::new(name, text, home));
        all.push(Canary::new(name, bytes, home));
    };
    for entry in std::fs::read_dir(&workspace.folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "token") {
            let token = std::fs::read_to_string(&path).unwrap();
            let text = token.trim().rsplit('.').next().unwrap();
            both("pairing token", text, signature(&token), &[inside(&path)]);
        }
    }
    let refresh = recorder.values_of("refreshToken");
    let access = recorder.values_of("accessToken");
    assert!(refresh.len() >= 3 && access.len() >= 3, "{} refresh and {} access tokens", refresh.len(), access.len());
    for token in &refresh {
        both("refresh token", token, hex::decode(token).unwrap(), &[]);
    }
    for token in &access {
        both(ACCESS_TOKEN, token, hex::decode(token).unwrap(), &[]);
    }
    for member in &system.stack.members {
        let path = member.folder.join("sealing.key");
        let text = std::fs::read_to_string(&path).unwrap();
        both("sealing key", text.trim(), hex::decode(text.trim()).unwrap(), &[inside(&path)]);
    }
    let keys = PathBuf::from("workspace/workspace.db.keys");
    let stored: Value = serde_json::from_slice(&std::fs::read(folder.join(&keys)).unwrap()).unwrap();
    let message_key = stored["message_key"].as_str().unwrap();
    both("workspace's message key", message_key, hex::decode(message_key).unwrap(), std::slice::from_ref(&keys));
    let token_key = STANDARD.decode(stored["token_key_pkcs8"].as_str().unwrap()).unwrap();
    all.push(Canary::new("workspace's token key", private_part(&token_key), &[keys]));

    let passphrase = &system.stack.around.passphrase_file;
    let text = std::fs::read_to_string(passphrase).unwrap();
    all.push(Canary::new("operator's passphrase", text.trim(), &[inside(passphrase)]));
    let mut files = vec![system.handler.answers.private.clone(), folder.join("handler/tls.key")];
    files.push(workspace.folder.join("tls.key"));
    files.extend([&workspace.owner, &system.user].map(|u| u.key.as_ref().unwrap().private.clone()));
    for path in files {
        all.push(Canary::new(format!("private key {}", path.display()), private_part(&der(&path)), &[inside(&path)]));
    }
    // Databases hold it in the main file or in the log of writes, as it comes.
    let databases = ["workspace/workspace.db", "workspace/workspace.db-wal"].map(PathBuf::from);
    all.push(Canary::new(REQUEST_TOKEN, signature(request_token), &databases));
    all.push(Canary::new(REQUEST_TOKEN, request_token.rsplit('.').next().unwrap(), &databases));
    for index in 0..system.stack.members.len() {
        let primes = cosigner_dev::test_primes(index).unwrap();
        let bytes = primes.expose();
        for part in [1, 3, 5, 7] {
            let at = bytes.len() * part / 8;
            all.push(Canary::new(format!("safe primes {index}"), &bytes[at - 16..at + 16], &[]));
        }
    }
    all
}
