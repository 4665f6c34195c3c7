//! The real process, asked over HTTPS as a co-signer asks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{CertifiedKey, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TX: &str = "/v2/tx_sign_request";
const CHANGE: &str = "/v2/config_change_sign_request";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy.example.json");

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

/// How a handler is started.
#[derive(Default)]
struct Options<'a> {
    es256: bool,
    /// Without keys: plain JSON only.
    unsigned: bool,
    flags: &'a [&'a str],
}

fn start(es256: bool, flags: &[&str]) -> Running {
    start_with(&Options { es256, flags, ..Options::default() })
}

fn start_with(options: &Options<'_>) -> Running {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cosigner, cosigner_public) = rsa();
    let (answer_pem, answer_key, algorithm) = if options.es256 {
        let key = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let public = DecodingKey::from_ec_pem(key.public_key_pem().as_bytes()).unwrap();
        (key.serialize_pem(), public, Algorithm::ES256)
    } else {
        let (private, public) = rsa();
        (private, DecodingKey::from_rsa_pem(public.as_bytes()).unwrap(), Algorithm::RS256)
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_callback-handler"));
    command.args(["--listen", "127.0.0.1:0", "--ready-file"]).arg(at.join("ready.json"));
    command.arg("--tls-cert").arg(write(at, "tls.crt", &cert.pem()));
    command.arg("--tls-key").arg(write(at, "tls.key", &signing_key.serialize_pem()));
    if !options.unsigned {
        command.arg("--cosigner-key").arg(write(at, "cosigner.pub", &cosigner_public));
        command.arg("--answer-key").arg(write(at, "answer.key", &answer_pem));
    }
    let log = File::create(at.join("log")).unwrap();
    let mut child =
        command.args(options.flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
        let _ = child.wait();
        panic!("the handler did not start: {}", fs::read_to_string(at.join("log")).unwrap())
    });
    assert_eq!(said["event"], "listening");
    let ready: Value = serde_json::from_slice(&fs::read(at.join("ready.json")).unwrap()).unwrap();
    let address: std::net::SocketAddr = ready["listen"].as_str().unwrap().parse().unwrap();
    assert_eq!((&said["port"], &ready["pid"]), (&json!(address.port()), &json!(child.id())));
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
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

    async fn post_as(&self, media_type: &str, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", media_type);
        request.body(body).send().await.unwrap()
    }

    async fn post(&self, path: &str, body: String) -> reqwest::Response {
        self.post_as("application/jwt", path, body).await
    }

    async fn post_json(&self, path: &str, payload: &Value) -> reqwest::Response {
        self.post_as("application/json", path, payload.to_string()).await
    }

    fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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

fn with(mut payload: Value, more: Value) -> Value {
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    payload
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn it_approves_rejects_with_a_reason_and_says_the_same_again() {
    for es256 in [false, true] {
        let handler = start(es256, &[]);
        let approved = handler.ask(TX, &transaction("1", "rent")).await;
        assert_eq!(approved, json!({ "action": "APPROVE", "requestId": "1" }));
        let rejected = handler.ask(TX, &transaction("2", "reject-me")).await;
        let reason = "the note is \"reject-me\"";
        assert_eq!(rejected, json!({ "action": "REJECT", "requestId": "2", "rejectionReason": reason }));
        assert_eq!(handler.ask(TX, &transaction("2", "reject-me")).await, rejected);
        let altered = handler.ask(TX, &transaction("2", "rent")).await;
        assert_eq!(altered["action"], "REJECT");
        let change = handler.ask(CHANGE, &json!({ "requestId": "2", "type": "ADD_USER" })).await;
        assert_eq!(change, json!({ "action": "IGNORE", "requestId": "2" }));
    }
}

#[tokio::test]
async fn an_attempt_that_is_dated_anew_is_the_same_question() {
    let handler = start(true, &[]);
    for jti in ["a", "b"] {
        let dated = json!({ "iat": now(), "nbf": now(), "exp": now() + 60, "jti": jti });
        let answer = handler.ask(TX, &with(transaction("1", "rent"), dated)).await;
        assert_eq!(answer, json!({ "action": "APPROVE", "requestId": "1" }));
    }
}

#[tokio::test]
async fn it_follows_its_policy() {
    let handler = start(true, &["--policy", EXAMPLE]);
    let address = "0x52908400098527886E0F7030069857D2E4169EE7";
    let transfer = json!({ "operation": "TRANSFER", "amountStr": "1", "destAddress": address });
    let transfer = with(transaction("1", "rent"), transfer);
    assert_eq!(handler.ask(TX, &transfer).await["action"], "APPROVE");
    let raw = handler.ask(TX, &transaction("2", "rent")).await;
    assert_eq!(raw["rejectionReason"], "the operation RAW is not allowed");
    let later = with(transfer, json!({ "requestId": "3", "amountStr": "3" }));
    for _ in 0..2 {
        assert_eq!(handler.ask(TX, &later).await, json!({ "action": "RETRY", "requestId": "3" }));
    }
    let change = json!({ "requestId": "4", "type": "ADD_USER", "extraInfo": {} });
    assert_eq!(handler.ask(CHANGE, &change).await["action"], "APPROVE");
    let change = json!({ "requestId": "5", "type": "COSIGNER_CALLBACK", "extraInfo": {} });
    assert_eq!(handler.ask(CHANGE, &change).await["action"], "REJECT");
}

#[tokio::test]
async fn an_operators_test_is_answered_as_any_other_request() {
    let handler = start(true, &["--policy", EXAMPLE]);
    let probe = json!({ "operation": "TYPED_MESSAGE", "extraParameters": { "countersign": { "test": true } } });
    let answer = handler.ask(TX, &with(transaction("1", ""), probe)).await;
    let reason = "the operation TYPED_MESSAGE is not allowed";
    assert_eq!(answer, json!({ "action": "REJECT", "requestId": "1", "rejectionReason": reason }));
    assert_eq!(handler.log().last().unwrap()["test"], true);
}

#[tokio::test]
async fn a_co_signers_key_can_come_and_go_while_it_runs() {
    let handler = start(true, &[]);
    let payload = transaction("1", "");
    let key = handler.folder.path().join("cosigner.pub");
    let public = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert_eq!(handler.post(TX, handler.token(&payload)).await.status(), 401);
    fs::write(&key, "nonsense").unwrap();
    assert_eq!(handler.post(TX, handler.token(&payload)).await.status(), 401);
    fs::write(&key, public).unwrap();
    assert_eq!(handler.ask(TX, &payload).await["action"], "APPROVE");
}

#[tokio::test]
async fn it_answers_nobody_but_its_co_signers() {
    let (second, second_public) = rsa();
    let other = tempfile::tempdir().unwrap();
    let second_file = write(other.path(), "second.pub", &second_public);
    let handler = start(false, &["--cosigner-key", second_file.to_str().unwrap()]);
    let payload = transaction("1", "");
    let signed =
        |algorithm: Algorithm, key: &EncodingKey| jsonwebtoken::encode(&Header::new(algorithm), &payload, key).unwrap();
    let foreign = EncodingKey::from_rsa_pem(rsa().0.as_bytes()).unwrap();
    let cosigner = EncodingKey::from_rsa_pem(handler.cosigner.as_bytes()).unwrap();
    let public = fs::read(handler.folder.path().join("cosigner.pub")).unwrap();
    let b64 = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claiming = |claims: Value| handler.token(&with(payload.clone(), claims));
    for body in [
        signed(Algorithm::RS256, &foreign),
        signed(Algorithm::RS512, &cosigner),
        signed(Algorithm::HS256, &EncodingKey::from_secret(&public)),
        format!("{}.{}.", b64(&json!({ "alg": "none", "typ": "JWT" })), b64(&payload)),
        claiming(json!({ "exp": now() - 120 })),
        claiming(json!({ "nbf": now() + 120 })),
        claiming(json!({ "exp": "tomorrow" })),
        claiming(json!({ "aud": "somebody else" })),
        payload.to_string(),
        "not a token".into(),
        "é".into(),
        String::new(),
    ] {
        assert_eq!(handler.post(TX, body.clone()).await.status(), 401, "{body}");
    }
    assert_eq!(handler.post(TX, handler.token(&json!({ "txId": "t" }))).await.status(), 400);
    assert_eq!(handler.post(TX, "x".repeat(384 * 1024 + 1)).await.status(), 413);
    // What a co-signer may send fits, though a token is longer than its payload.
    let largest = with(transaction("large", ""), json!({ "padding": "x".repeat(255 * 1024) }));
    assert_eq!(handler.ask(TX, &largest).await["action"], "APPROVE");
    assert_eq!(handler.post_json("/tx_sign_request", &payload).await.status(), 404);
    assert_eq!(handler.ask(TX, &payload).await["action"], "APPROVE");
    let second = EncodingKey::from_rsa_pem(second.as_bytes()).unwrap();
    let also = handler.post_as("text/plain", TX, signed(Algorithm::RS256, &second)).await;
    assert_eq!(also.status(), 200, "a second co-signer, another content type");
}

#[tokio::test]
async fn plain_json_is_served_where_it_is_switched_on() {
    let handler = start_with(&Options { unsigned: true, flags: &["--json"], ..Options::default() });
    let answer = handler.post_json("/tx_sign_request", &transaction("1", "reject-me")).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let reason = "the note is \"reject-me\"";
    let expected = json!({ "action": "REJECT", "requestId": "1", "rejectionReason": reason });
    assert_eq!(answer.json::<Value>().await.unwrap(), expected);
    let change = json!({ "requestId": "1", "type": "ADD_USER" }).to_string();
    let answer =
        handler.post_as("application/json; charset=utf-8", "/config_change_sign_request", change).await.json::<Value>();
    assert_eq!(answer.await.unwrap(), json!({ "action": "IGNORE", "requestId": "1" }));
    let text = handler.post_as("text/plain", "/tx_sign_request", transaction("2", "").to_string()).await;
    assert_eq!(text.status(), 415);
    let deep = format!("{{\"requestId\":\"1\",\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [Vec<u8>; 8] = [
        vec![],
        b"{".into(),
        b"[]".into(),
        b"\"a\"".into(),
        b"{}".into(),
        vec![b'['; 200_000],
        deep.into_bytes(),
        b"\xff{\"requestId\":\"1\"}".into(),
    ];
    for body in bodies {
        assert_eq!(handler.post_as("application/json", "/tx_sign_request", body).await.status(), 400);
    }
    let signed = handler.post(TX, handler.token(&transaction("1", ""))).await;
    assert_eq!(signed.status(), 404, "no keys, no signed endpoint");
}

#[tokio::test]
async fn what_nobody_signed_does_not_answer_for_what_was_signed() {
    let handler = start(true, &["--json"]);
    handler.post_json("/tx_sign_request", &transaction("1", "reject-me")).await;
    assert_eq!(handler.ask(TX, &transaction("1", "")).await["action"], "APPROVE");
}

#[tokio::test]
async fn one_line_is_logged_for_each_request_and_no_secret() {
    let handler = start(true, &[]);
    let token = handler.token(&transaction("id-1", "a private note"));
    handler.post(TX, token.clone()).await;
    handler.post(TX, "nonsense".into()).await;
    let lines = handler.log();
    let [.., answered, refused] = lines.as_slice() else { panic!("expected two lines at least, got {lines:?}") };
    let expected = json!({ "level": "INFO", "message": "transaction", "requestId": "id-1", "txId": "t-1",
        "operation": "RAW", "asset": "ETH", "action": "APPROVE", "reason": "", "again": false, "signed": true });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&answered[name], value, "{name}");
    }
    assert_eq!(refused["path"], TX);
    assert_eq!(
        (&refused["message"], &refused["status"], &refused["level"]),
        (&json!("refused"), &json!(401), &json!("WARN"))
    );
    let text = fs::read_to_string(handler.folder.path().join("log")).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"transaction\"")).count(), 1);
    for secret in ["a private note", &token, token.rsplit('.').next().unwrap(), "PRIVATE KEY"] {
        assert!(!text.contains(secret));
    }
}

#[tokio::test]
async fn it_stops_in_order() {
    let mut handler = start(true, &[]);
    let ended = Command::new("kill").arg(handler.child.id().to_string()).status().unwrap();
    assert!(ended.success());
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = handler.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it did not stop");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(0));
    assert!(!handler.folder.path().join("ready.json").exists());
}

#[test]
fn it_does_not_start_half_configured() {
    let tls = ["--tls-cert", "c", "--tls-key", "k"];
    let cases: [(&[&str], &[&str], i32); 8] = [
        (&[], &[], 2),
        (&tls, &[], 2),
        (&tls, &["--answer-key", "a"], 2),
        (&tls, &["--json", "--listen", "localhost"], 2),
        (&tls, &["--json", "--unknown"], 2),
        (&tls, &["--json"], 1),
        (&tls, &["--cosigner-key", "p", "--answer-key", "a"], 1),
        (&tls, &["--json", "--policy", "p"], 1),
    ];
    for (tls, flags, code) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callback-handler"));
        let output = command.env_clear().args(tls).args(flags).output().unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(code), vec![]), "{flags:?}");
    }
}

#[tokio::test]
async fn the_environment_configures_it_too() {
    let other = start(true, &[]);
    let at = |name: &str| other.folder.path().join(name);
    let mut child = Command::new(env!("CARGO_BIN_EXE_callback-handler"))
        .env_clear()
        .env("HANDLER_LISTEN", "127.0.0.1:0")
        .env("HANDLER_TLS_CERT", at("tls.crt"))
        .env("HANDLER_TLS_KEY", at("tls.key"))
        .env("HANDLER_COSIGNER_KEY", format!("{},{}", at("cosigner.pub").display(), at("later").display()))
        .env("HANDLER_ANSWER_KEY", at("answer.key"))
        .env("HANDLER_POLICY", EXAMPLE)
        .env("HANDLER_JSON", "1")
        .env("HANDLER_READY_FILE", at("second.json"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = serde_json::from_str::<Value>(&line).map(|said| said["port"].clone());
    let asked = match &port {
        Ok(port) => {
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], u16::try_from(port.as_u64().unwrap()).unwrap()));
            let certificate = reqwest::Certificate::from_pem(&fs::read(at("tls.crt")).unwrap()).unwrap();
            let client = reqwest::Client::builder().no_proxy().add_root_certificate(certificate);
            let client = client.resolve("localhost", address).build().unwrap();
            let url = format!("https://localhost:{port}/tx_sign_request");
            client.post(url).json(&transaction("1", "")).send().await.ok()
        }
        Err(_) => None,
    };
    let ready = at("second.json").exists();
    child.kill().unwrap();
    child.wait().unwrap();
    let answer: Value = asked.expect("an answer").json().await.unwrap();
    assert_eq!(answer["rejectionReason"], "the operation RAW is not allowed");
    assert!(ready);
}
