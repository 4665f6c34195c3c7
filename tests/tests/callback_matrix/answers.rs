//! What the handler answers to each case: the case is the note of the client's request.

use crate::scripted_handler::{Answer, Reply, payload, response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_stack::keys::{Algorithm, KeyPair};
use countersign_token::SigningKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

/// A case, and how the transaction must end.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The note.
    pub name: &'static str,
    /// Its reason code; `approved` where it is signed.
    pub code: &'static str,
    /// Only where answers are signed.
    pub tokens_only: bool,
}

const fn case(name: &'static str, code: &'static str) -> Case {
    Case { name, code, tokens_only: false }
}

const fn token_case(name: &'static str, code: &'static str) -> Case {
    Case { name, code, tokens_only: true }
}

/// Everything but APPROVE and RETRY, which take part of their own.
pub const CASES: &[Case] = &[
    case("reject", "rejected"),
    case("ignore", "action_unsupported"),
    // Faults.
    case("timeout", "callback_timeout"),
    case("slow-drip", "callback_timeout"),
    case("reset", "connection_lost"),
    case("redirect", "redirect"),
    case("bad-request", "http_status"),
    case("server-error", "http_status"),
    case("empty", "answer_malformed"),
    case("oversized", "answer_too_large"),
    case("not-json", "answer_malformed"),
    case("no-action", "answer_malformed"),
    case("replayed", "request_id_mismatch"),
    case("other-request-id", "request_id_mismatch"),
    case("gzip-bomb", "answer_malformed"),
    case("gzip-unannounced", "answer_malformed"),
    token_case("alg-none", "bad_signature"),
    token_case("hs256-under-the-public-key", "bad_signature"),
    token_case("wrong-key", "bad_signature"),
    token_case("other-users-key", "bad_signature"),
    token_case("expired", "answer_expired"),
    token_case("plain-json", "answer_malformed"),
    // Answers as handlers really wrap them: all of them are understood.
    case("as-text-plain", "rejected"),
    case("as-text-html", "rejected"),
    case("as-application-json", "rejected"),
    case("as-application-jwt", "rejected"),
    case("without-content-type", "rejected"),
    case("with-white-space", "rejected"),
    case("with-null-reason", "rejected"),
    case("with-unknown-members", "rejected"),
    token_case("quoted", "rejected"),
    token_case("quoted-with-white-space", "rejected"),
];

/// The handler of the matrix.
pub struct Answers {
    answering: SigningKey,
    stranger: SigningKey,
    other_user: SigningKey,
    /// The public half of that key, with which another API user's handler signs.
    pub other_users_key: PathBuf,
    public_pem: String,
    /// Paths and ids of the requests that came, by note.
    pub seen: Mutex<BTreeMap<String, Vec<String>>>,
    /// A valid approval of another request.
    approved: Mutex<Option<Vec<u8>>>,
}

fn key(pair: &KeyPair) -> SigningKey {
    SigningKey::from_pem(&pair.private_pem().unwrap()).unwrap()
}

impl Answers {
    /// With this key for answers; the keys that must not count are of the same algorithm.
    pub fn new(folder: &std::path::Path, pair: &KeyPair, algorithm: Algorithm) -> Self {
        let other = |name: &str| KeyPair::create(folder, name, algorithm).unwrap();
        let other_user = other("other-user");
        Self {
            answering: key(pair),
            stranger: key(&other("stranger")),
            other_user: key(&other_user),
            other_users_key: other_user.public,
            public_pem: pair.public_pem().unwrap(),
            seen: Mutex::default(),
            approved: Mutex::default(),
        }
    }

    fn token(&self, key: &SigningKey, answer: &Value) -> Vec<u8> {
        key.sign(answer.to_string().as_bytes(), None).unwrap().into_bytes()
    }

    /// The answer as the path wants it: a token, or plain JSON.
    fn wrapped(&self, signed: bool, answer: &Value) -> Vec<u8> {
        if signed { self.token(&self.answering, answer) } else { answer.to_string().into_bytes() }
    }
}

fn ok(content_type: &str, body: &[u8]) -> Reply {
    let header = if content_type.is_empty() { String::new() } else { format!("Content-Type: {content_type}\r\n") };
    Reply::of("200 OK", &header, body)
}

/// A few KiB that become some MiB of zeros (RFC 1951, 1952): one block of a distance of one and the longest length, over and
/// over, at the fixed codes' two bits or so a byte. No decoder is asked whether it ends well.
fn gzip_bomb() -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true, true, false];
    // A literal zero is 0b00110000.
    bits.extend([false, false, true, true, false, false, false, false]);
    for _ in 0..8 * 1024 {
        // Length 258 is 0b11000101, distance 1 is 0b00000.
        bits.extend([true, true, false, false, false, true, false, true, false, false, false, false, false]);
    }
    bits.extend([false; 7]);
    let bytes = bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |sum, (at, bit)| sum | u8::from(*bit) << at));
    [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec(), bytes.collect()].concat()
}

/// A token whose header and signature are of the caller's making.
fn forged(header: &Value, payload: &Value, sign: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(&signed));
    format!("{signed}.{signature}").into_bytes()
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut block = [0u8; 64];
    let hashed = Sha256::digest(key);
    let short: &[u8] = if key.len() > 64 { &hashed } else { key };
    block[..short.len()].copy_from_slice(short);
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

impl Answer for Answers {
    fn to(&self, path: &str, body: &[u8]) -> Reply {
        let Some(shown) = payload(body) else { return Reply::of("400 Bad Request", "", b"") };
        let note = shown["note"].as_str().unwrap_or_default().to_owned();
        let id = shown["requestId"].as_str().unwrap_or_default().to_owned();
        self.seen.lock().unwrap().entry(note.clone()).or_default().push(format!("{path} {id}"));
        let signed = path.starts_with("/v2/");
        let say = |action: &str| json!({"action": action, "requestId": id, "rejectionReason": "the matrix says so"});
        let approve = self.wrapped(signed, &say("APPROVE"));
        let reject = || self.wrapped(signed, &say("REJECT"));
        match note.as_str() {
            "approve" => {
                *self.approved.lock().unwrap() = Some(approve.clone());
                ok("text/plain", &approve)
            }
            "reject" => ok("text/plain", &reject()),
            "retry" => ok("text/plain", &self.wrapped(signed, &say("RETRY"))),
            "ignore" => ok("text/plain", &self.wrapped(signed, &say("IGNORE"))),
            "timeout" => Reply::Nothing,
            "slow-drip" => Reply::Drip(response("200 OK", "", &approve)),
            "reset" => Reply::Reset,
            "redirect" => Reply::of("302 Found", "Location: /elsewhere\r\n", &approve),
            "bad-request" => Reply::of("400 Bad Request", "", &approve),
            "server-error" => Reply::of("500 Internal Server Error", "", &approve),
            "empty" => ok("text/plain", b""),
            "oversized" => {
                let mut large = approve;
                large.resize(17 * 1024, b' ');
                ok("text/plain", &large)
            }
            "not-json" if signed => ok("text/plain", &self.answering.sign(b"approved", None).unwrap().into_bytes()),
            "not-json" => ok("text/plain", b"approved"),
            "no-action" => ok("text/plain", &self.wrapped(signed, &json!({"requestId": id}))),
            "replayed" => ok("text/plain", &self.approved.lock().unwrap().clone().unwrap_or_default()),
            "other-request-id" => {
                let other = json!({"action": "APPROVE", "requestId": "00000000-0000-8000-8000-000000000000"});
                ok("text/plain", &self.wrapped(signed, &other))
            }
            "gzip-bomb" => {
                // It must not even be looked at.
                Reply::of("200 OK", "Content-Encoding: gzip\r\n", &gzip_bomb())
            }
            "gzip-unannounced" => ok("text/plain", &gzip_bomb()),
            "alg-none" => ok("text/plain", &forged(&json!({"alg": "none"}), &say("APPROVE"), |_| Vec::new())),
            "hs256-under-the-public-key" => {
                let sign = |signed: &str| hmac_sha256(self.public_pem.as_bytes(), signed.as_bytes());
                ok("text/plain", &forged(&json!({"alg": "HS256", "typ": "JWT"}), &say("APPROVE"), sign))
            }
            "wrong-key" => ok("text/plain", &self.token(&self.stranger, &say("APPROVE"))),
            "other-users-key" => ok("text/plain", &self.token(&self.other_user, &say("APPROVE"))),
            "expired" => {
                let mut answer = say("APPROVE");
                answer["exp"] = json!(1_000_000_000);
                ok("text/plain", &self.token(&self.answering, &answer))
            }
            "plain-json" => ok("application/json", say("APPROVE").to_string().as_bytes()),
            "as-text-plain" => ok("text/plain; charset=utf-8", &reject()),
            "as-text-html" => ok("text/html", &reject()),
            "as-application-json" => ok("application/json", &reject()),
            "as-application-jwt" => ok("application/jwt", &reject()),
            "without-content-type" => ok("", &reject()),
            "with-white-space" => ok("text/plain", &[reject(), b" \r\n\t\n".to_vec()].concat()),
            "with-null-reason" => {
                let answer = json!({"action": "REJECT", "requestId": id, "rejectionReason": null});
                ok("text/plain", &self.wrapped(signed, &answer))
            }
            "with-unknown-members" => {
                let mut answer = say("REJECT");
                answer["iat"] = json!(1_700_000_000);
                answer["more"] = json!({"of": ["it"]});
                ok("text/plain", &self.wrapped(signed, &answer))
            }
            "quoted" => ok("application/json", &[b"\"".as_slice(), &reject(), b"\""].concat()),
            "quoted-with-white-space" => ok("application/json", &[b"\"".as_slice(), &reject(), b"\"\n"].concat()),
            _ => Reply::of("404 Not Found", "", b"no such case"),
        }
    }
}
