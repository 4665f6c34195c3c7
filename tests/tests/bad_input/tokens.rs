//! Tokens of requests that are not what they must be.

use crate::{Answer, Scene};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_stack::{Ask, Client};
use countersign_token::{SigningKey, generate_p256, generate_rsa_2048};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

const URI: &str = "/v1/transactions";
const HOUR: u64 = 3600;

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The claims of a good token.
fn claims(client: &Client, body: &[u8]) -> Value {
    let nonce = uuid::Uuid::new_v4().to_string();
    json!({
        "uri": URI, "nonce": nonce, "iat": now(), "exp": now() + 55, "sub": client.user(),
        "bodyHash": hex::encode(Sha256::digest(body)),
    })
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// RFC 2104 with SHA-256.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    let short = if key.len() > block.len() { Sha256::digest(key).to_vec() } else { key.to_vec() };
    block[..short.len()].copy_from_slice(&short);
    let pad = |with: u8| block.map(|b| b ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// A good token under another header.
fn with_header(token: &str, header: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", b64(header))
}

pub async fn are_refused(scene: &Scene) {
    let client = &scene.system.client;
    let user_key = scene.system.user.key.as_ref().unwrap();
    let key = SigningKey::from_pem(&user_key.private_pem().unwrap()).unwrap();
    let body = Ask::message(scene.vault.id, b"never signed").body.to_string().into_bytes();
    let good = || claims(client, &body);
    let sign = |claims: &Value| key.sign(claims.to_string().as_bytes(), None).unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        sign(&claims)
    };
    let send = |token: String| {
        let body = body.clone();
        async move { Answer::new(client.send(Method::POST, URI, body, &token, None).await.unwrap()) }
    };

    // The algorithm is the stored key's, whatever the token says.
    let payload = b64(good().to_string());
    let none = format!("{}.{payload}.", b64(r#"{"alg":"none","typ":"JWT"}"#));
    send(none).await.is("alg none", 401, "token_invalid", &["RS256"]);
    let public_pem = user_key.public_pem().unwrap();
    let public_der = key.public().spki_der().to_vec();
    for secret in [public_pem.as_bytes(), &public_der] {
        let signed = format!("{}.{payload}", b64(r#"{"alg":"HS256","typ":"JWT"}"#));
        let token = format!("{signed}.{}", b64(hmac(secret, signed.as_bytes())));
        send(token).await.is("HS256 with the public key", 401, "token_invalid", &["RS256"]);
    }
    let other =
        |der: &[u8]| SigningKey::from_pkcs8_der(der).unwrap().sign(good().to_string().as_bytes(), None).unwrap();
    let ec = other(&generate_p256().unwrap());
    send(ec).await.is("another kind of key", 401, "token_invalid", &["RS256"]);
    let rsa = other(&generate_rsa_2048().unwrap());
    send(rsa).await.is("another key", 401, "token_invalid", &["signature", "expected key"]);

    // The header brings no key.
    for (header, word) in [
        (r#"{"alg":"RS256","jku":"https://example.com/keys"}"#, "jku"),
        (r#"{"alg":"RS256","jwk":{"kty":"oct","k":"AA"}}"#, "jwk"),
        (r#"{"alg":"RS256","x5u":"https://example.com/key"}"#, "x5u"),
        (r#"{"alg":"RS256","typ":"secevent+jwt"}"#, "typ"),
        (r#"{"alg":"RS256","alg":"none"}"#, "header"),
    ] {
        send(with_header(&sign(&good()), header)).await.is(header, 401, "token_invalid", &[word]);
    }
    let list = |kid: &'static str| {
        let mut claims = claims(client, b"");
        claims["uri"] = format!("{URI}?limit=1").into();
        key.sign(claims.to_string().as_bytes(), Some(kid)).unwrap()
    };
    let ignored = client.send(Method::GET, &format!("{URI}?limit=1"), vec![], &list("../../etc/passwd"), None).await;
    assert_eq!(ignored.unwrap().0, 200, "a kid leads nowhere");

    // Claims that are not about this request, and the time.
    for (claim, value, word) in [
        ("uri", json!("/v1/transactions?limit=1"), URI),
        ("bodyHash", json!(hex::encode(Sha256::digest(b"other"))), "SHA-256"),
        ("sub", json!(scene.system.stack.workspace().unwrap().owner.id), "X-API-Key"),
        ("exp", json!(now() + HOUR), "60 s"),
        ("exp", json!(now() - 10), "after iat"),
        ("nonce", json!("n".repeat(129)), "128"),
    ] {
        send(with(claim, value)).await.is(claim, 401, "token_invalid", &[claim, word]);
    }
    for claim in ["uri", "nonce", "iat", "exp", "sub", "bodyHash"] {
        send(without(claim)).await.is("missing", 401, "token_invalid", &[claim]);
        send(with(claim, json!(["x"]))).await.is("of another type", 401, "token_invalid", &[claim]);
    }
    send(with("exp", json!((now() + 55).to_string()))).await.is("exp as text", 401, "token_invalid", &["exp"]);
    let twice = good().to_string().replacen('{', "{\"sub\":\"somebody\",", 1);
    let twice = key.sign(twice.as_bytes(), None).unwrap();
    send(twice).await.is("a claim twice", 401, "token_invalid", &["sub"]);
    let clock = |iat: u64| {
        let mut claims = good();
        claims["iat"] = iat.into();
        claims["exp"] = (iat + 55).into();
        sign(&claims)
    };
    send(clock(now() - HOUR)).await.is("an hour late", 401, "token_expired", &["expired", "clock"]);
    send(clock(now() + HOUR)).await.is("an hour early", 401, "clock_skew", &["future", "set this machine's clock"]);

    // Once.
    let token = key.sign(list_claims(client).to_string().as_bytes(), None).unwrap();
    let get = || async { Answer::new(client.send(Method::GET, "/v1/cosigners", vec![], &token, None).await.unwrap()) };
    assert_eq!(get().await.status, 200);
    get().await.is("a nonce again", 401, "token_used", &["nonce", "new token"]);

    // Not base64url, not three parts, too long.
    let parts: Vec<String> = sign(&good()).split('.').map(str::to_owned).collect();
    send(format!("{}.{}", parts[0], parts[1])).await.is("two parts", 401, "token_invalid", &["three parts"]);
    let padded = format!("{}=.{}.{}", parts[0], parts[1], parts[2]);
    send(padded).await.is("padding", 401, "token_invalid", &["base64url"]);
    let signed = format!("{}.{}.{}", parts[0], parts[1], STANDARD.encode(b"\xff\xfe\xfd\xfc"));
    send(signed).await.is("another alphabet", 401, "token_invalid", &["base64url"]);
    send("x".repeat(8 * 1024 + 1)).await.is("too long", 401, "token_invalid", &["8192"]);
    headers(scene).await;
}

fn list_claims(client: &Client) -> Value {
    let mut claims = claims(client, b"");
    claims["uri"] = "/v1/cosigners".into();
    claims
}

/// Who calls, and with what, is said once.
async fn headers(scene: &Scene) {
    let client = &scene.system.client;
    let ca = std::fs::read(scene.system.stack.authority.certificate()).unwrap();
    let ca = reqwest::Certificate::from_pem(&ca).unwrap();
    let http = reqwest::Client::builder().add_root_certificate(ca).no_proxy().build().unwrap();
    let url = format!("{}/v1/cosigners", client.base());
    let get = |headers: &[(&'static str, String)]| {
        let request = headers.iter().fold(http.get(&url), |r, (name, value)| r.header(*name, value));
        async move {
            let response = request.send().await.unwrap();
            Answer::new((response.status(), response.text().await.unwrap()))
        }
    };
    let user = || ("X-API-Key", client.user().to_owned());
    let bearer = || ("Authorization", format!("Bearer {}", client.token("/v1/cosigners", b"").unwrap()));
    get(&[bearer()]).await.is("no user", 401, "token_invalid", &["X-API-Key"]);
    get(&[user()]).await.is("no token", 401, "token_invalid", &["Authorization", "Bearer"]);
    get(&[user(), ("Authorization", "Basic eA==".into())]).await.is("Basic", 401, "token_invalid", &["Bearer"]);
    get(&[user(), user(), bearer()]).await.is("two users", 401, "token_invalid", &["X-API-Key"]);
    get(&[user(), bearer(), bearer()]).await.is("two tokens", 401, "token_invalid", &["Authorization"]);
    let nobody = ("X-API-Key", uuid::Uuid::new_v4().to_string());
    get(&[nobody, bearer()]).await.is("unknown user", 401, "token_invalid", &["X-API-Key", "no API user"]);
    assert_eq!(get(&[user(), bearer()]).await.status, 200);
}
