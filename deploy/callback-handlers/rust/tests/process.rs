//! The real process, asked over HTTPS as a co-signer asks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{CertifiedKey, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// An RSA key as PEM: private (PKCS#8), public (SubjectPublicKeyInfo).
fn rsa() -> (String, String) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair).unwrap();
    let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
    (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
}

struct Running {
    child: Child,
    url: String,
    client: reqwest::Client,
    cosigner: String,
    answer_key: DecodingKey,
    algorithm: Algorithm,
    folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn start(es256: bool, extra: &[&str]) -> Running {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cosigner, cosigner_public) = rsa();
    let (answer_pem, answer_key, algorithm) = if es256 {
        let key = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let public = DecodingKey::from_ec_pem(key.public_key_pem().as_bytes()).unwrap();
        (key.serialize_pem(), public, Algorithm::ES256)
    } else {
        let (private, public) = rsa();
        (private, DecodingKey::from_rsa_pem(public.as_bytes()).unwrap(), Algorithm::RS256)
    };
    let ready = at.join("ready.json");
    let child = Command::new(env!("CARGO_BIN_EXE_callback-handler"))
        .args(["--listen", "127.0.0.1:0", "--ready-file"])
        .arg(&ready)
        .arg("--tls-cert")
        .arg(write(at, "tls.crt", &cert.pem()))
        .arg("--tls-key")
        .arg(write(at, "tls.key", &signing_key.serialize_pem()))
        .arg("--cosigner-key")
        .arg(write(at, "cosigner.pub", &cosigner_public))
        .arg("--answer-key")
        .arg(write(at, "answer.key", &answer_pem))
        .args(extra)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let ready: Value = loop {
        if let Ok(text) = fs::read(&ready) {
            break serde_json::from_slice(&text).unwrap();
        }
        assert!(Instant::now() < deadline, "the handler did not start");
        std::thread::sleep(Duration::from_millis(5));
    };
    let address: std::net::SocketAddr = ready["listen"].as_str().unwrap().parse().unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .add_root_certificate(reqwest::Certificate::from_pem(cert.pem().as_bytes()).unwrap())
        .resolve("localhost", address)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}", address.port());
    Running { child, url, client, cosigner, answer_key, algorithm, folder }
}

impl Running {
    fn token(&self, payload: &Value) -> String {
        let key = EncodingKey::from_rsa_pem(self.cosigner.as_bytes()).unwrap();
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), payload, &key).unwrap()
    }

    async fn post(&self, path: &str, body: String) -> reqwest::Response {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", "application/jwt");
        request.body(body).send().await.unwrap()
    }

    async fn ask(&self, path: &str, payload: &Value) -> Value {
        let response = self.post(path, self.token(payload)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/jwt");
        let mut rules = Validation::new(self.algorithm);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        jsonwebtoken::decode(response.text().await.unwrap(), &self.answer_key, &rules).unwrap().claims
    }
}

fn transaction(id: &str, note: &str) -> Value {
    json!({ "requestId": id, "txId": "t-1", "operation": "RAW", "asset": "ETH", "note": note, "rawTx": [] })
}

#[tokio::test]
async fn it_approves_rejects_with_a_reason_and_says_the_same_again() {
    for es256 in [false, true] {
        let handler = start(es256, &[]);
        let path = "/v2/tx_sign_request";
        let approved = handler.ask(path, &transaction("1", "rent")).await;
        assert_eq!(approved, json!({ "action": "APPROVE", "requestId": "1" }));
        let rejected = handler.ask(path, &transaction("2", "reject-me")).await;
        assert_eq!((&rejected["action"], &rejected["requestId"]), (&json!("REJECT"), &json!("2")));
        assert!(rejected["rejectionReason"].as_str().unwrap().contains("reject-me"));
        assert_eq!(handler.ask(path, &transaction("2", "reject-me")).await, rejected);
        let altered = handler.ask(path, &transaction("2", "rent")).await;
        assert_eq!(altered["action"], "REJECT");
    }
}

#[tokio::test]
async fn it_follows_its_flags() {
    let handler =
        start(true, &["--reject-note", "stop", "--allow-operation", "TRANSFER", "--config-changes", "reject"]);
    let path = "/v2/tx_sign_request";
    assert_eq!(handler.ask(path, &transaction("1", "rent")).await["action"], "REJECT");
    let transfer = |id: &str, note: &str| json!({ "requestId": id, "txId": "t", "note": note });
    assert_eq!(handler.ask(path, &transfer("2", "reject-me")).await["action"], "APPROVE");
    assert_eq!(handler.ask(path, &transfer("3", "stop")).await["action"], "REJECT");
    let change = json!({ "requestId": "4", "type": "ADD_USER", "extraInfo": {} });
    assert_eq!(handler.ask("/v2/config_change_sign_request", &change).await["action"], "REJECT");
}

#[tokio::test]
async fn a_co_signers_key_can_come_and_go_while_it_runs() {
    let handler = start(true, &[]);
    let (path, payload) = ("/v2/tx_sign_request", transaction("1", ""));
    let key = handler.folder.path().join("cosigner.pub");
    let public = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert_eq!(handler.post(path, handler.token(&payload)).await.status(), 401);
    fs::write(&key, public).unwrap();
    assert_eq!(handler.ask(path, &payload).await["action"], "APPROVE");
}

#[tokio::test]
async fn it_answers_nobody_but_its_co_signer() {
    let handler = start(false, &[]);
    let path = "/v2/tx_sign_request";
    let payload = transaction("1", "");
    let (foreign, _) = rsa();
    let foreign = EncodingKey::from_rsa_pem(foreign.as_bytes()).unwrap();
    let foreign = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &payload, &foreign).unwrap();
    let public = fs::read(handler.folder.path().join("cosigner.pub")).unwrap();
    let confused =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &payload, &EncodingKey::from_secret(&public)).unwrap();
    let b64 = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", b64(&json!({ "alg": "none", "typ": "JWT" })), b64(&payload));
    for body in [foreign, confused, unsigned, "not a token".into(), String::new()] {
        assert_eq!(handler.post(path, body).await.status(), 401);
    }
    let mut expired = payload.clone();
    expired["exp"] = json!(1_000_000_000);
    assert_eq!(handler.post(path, handler.token(&expired)).await.status(), 401);
    expired["exp"] = json!("tomorrow");
    assert_eq!(handler.post(path, handler.token(&expired)).await.status(), 401);
    assert_eq!(handler.post(path, handler.token(&json!({ "txId": "t" }))).await.status(), 400);
    assert_eq!(handler.post(path, "x".repeat(300 * 1024)).await.status(), 413);
    assert_eq!(handler.ask(path, &payload).await["action"], "APPROVE");
}
