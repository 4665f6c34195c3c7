//! Bodies, paths, queries and headers that cannot be understood.

use crate::{Answer, Scene, send};
use countersign_stack::Ask;
use reqwest::Method;
use serde_json::{Value, json};

const TRANSACTIONS: &str = "/v1/transactions";

pub async fn are_refused(scene: &Scene) {
    let client = &scene.system.client;
    let post = |body: Vec<u8>| send(client, Method::POST, TRANSACTIONS, body);
    let good = Ask::message(scene.vault.id, b"never signed").body;

    let twice = good.to_string().replacen('{', "{\"operation\":\"RAW\",", 1);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (what, body) in [
        ("nothing", b"".to_vec()),
        ("half an object", b"{".to_vec()),
        ("an array", b"[]".to_vec()),
        ("null", b"null".to_vec()),
        ("not UTF-8", b"{\"operation\":\"\xff\"}".to_vec()),
        ("something behind it", format!("{good} {good}").into_bytes()),
        ("a member twice", twice.into_bytes()),
        ("10,000 levels", deep.into_bytes()),
        ("a form", b"operation=RAW".to_vec()),
    ] {
        post(body).await.is(what, 400, "malformed", &["the body cannot be read"]);
    }

    let to_nobody =
        json!({"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": format!("0x{}", "00".repeat(20))}});
    for (path, value, word) in [
        ("/operation", json!("MINT"), "RAW, TYPED_MESSAGE, TRANSFER or CONTRACT_CALL"),
        ("/operation", json!("TRANSFER"), "no extraParameters"),
        ("/operation", json!(7), "expected a string"),
        ("/assetId", json!("NOPE"), "NOPE"),
        ("/assetId", Value::Null, "expected a string"),
        ("/source", json!("0"), "Source"),
        ("/source/id", json!(0), "expected a string"),
        ("/source/id", json!("00"), "id of a vault account"),
        ("/source/type", json!("EXTERNAL"), "VAULT_ACCOUNT"),
        ("/note", json!("n".repeat(5_000)), "4096"),
        ("/externalTxId", json!("x".repeat(129)), "128"),
        ("/extraParameters/rawMessageData/messages", json!([]), "1 to 16"),
        ("/extraParameters/rawMessageData/messages/0/content", json!("0xzz"), "hexadecimal"),
        ("/extraParameters/rawMessageData/messages/0/type", json!("EIP712"), "the content of EIP712"),
        ("/extraParameters/rawMessageData/messages/0/type", json!("EIP1"), "EIP191 or EIP712"),
        ("/extraParameters/rawMessageData/messages/0/bip44AddressIndex", json!(1), "one address"),
        ("/destination", json!({}), "type"),
        ("/destination", to_nobody, "TRANSFER or CONTRACT_CALL only"),
    ] {
        let mut body = good.clone();
        let (parent, name) = path.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.into(), value);
        post(body.to_string().into_bytes()).await.is(path, 400, "malformed", &[word]);
    }

    let mut large = good.clone();
    large["note"] = "n".repeat(64 * 1024).into();
    post(large.to_string().into_bytes()).await.is("over 64 KiB", 413, "too_large", &["65536 bytes"]);
    let wide = format!("{TRANSACTIONS}?x={}", "x".repeat(2_100));
    send(client, Method::GET, &wide, b"").await.is("a long query", 414, "too_large", &["2048 bytes"]);

    for (query, word) in [("status=NOPE", "NOPE"), ("limit=0", "1 to 500"), ("limit=many", "query"), ("nope=1", "nope")]
    {
        send(client, Method::GET, &format!("{TRANSACTIONS}?{query}"), b"").await.is(query, 400, "malformed", &[word]);
    }
    let with_query = format!("{TRANSACTIONS}?x=1");
    let body = good.to_string().into_bytes();
    send(client, Method::POST, &with_query, body.clone()).await.is("a query", 400, "malformed", &["without a query"]);
    let token = client.token(TRANSACTIONS, &body).unwrap();
    let key = "k".repeat(129);
    let answer = Answer::new(client.send(Method::POST, TRANSACTIONS, body, &token, Some(&key)).await.unwrap());
    answer.is("a long Idempotency-Key", 400, "malformed", &["Idempotency-Key", "128"]);
    send(client, Method::PUT, TRANSACTIONS, b"{}").await.is("PUT", 405, "not_allowed", &["method"]);

    let admin = &scene.system.stack.workspace().unwrap().admin;
    for (path, body, word) in [
        ("/v1/management/api_users", r#"{"name":"x","role":"KING"}"#, "role"),
        ("/v1/management/api_users", r#"{"name":"x","role":"EDITOR"}"#, "publicKeyPem"),
        ("/v1/management/api_users", r#"{"name":"x","role":"EDITOR","publicKeyPem":"x"}"#, "publicKeyPem"),
        ("/v1/management/api_users", r#"{"name":"","role":"SIGNER"}"#, "name"),
        ("/v1/vault/accounts", r#"{"name":"x","name":"y"}"#, "name"),
        ("/v1/vault/accounts", r#"{"name":"x","autoFuel":true}"#, "autoFuel"),
        ("/v1/signing_groups", r#"{"customerCosignerId":1}"#, "string"),
        ("/v1/keys", "[", "body"),
    ] {
        send(admin, Method::POST, path, body).await.is(body, 400, "malformed", &[word]);
    }
    send(client, Method::GET, "/v1/management/api_users", b"").await.is("a signer", 403, "not_allowed", &["OWNER"]);
    without_token(scene).await;
}

/// What enclaves call carries no token of an API user.
async fn without_token(scene: &Scene) {
    let client = &scene.system.client;
    let post = |path: &'static str, body: Vec<u8>| async move {
        Answer::new(client.send(Method::POST, path, body, "none", None).await.unwrap())
    };
    for path in ["/v1/pair_device", "/v1/pair_device/challenge", "/v1/access_token"] {
        post(path, b"{".to_vec()).await.is(path, 400, "malformed", &["the body cannot be read"]);
        post(path, b"{\"a\":1,\"a\":1}".to_vec()).await.is(path, 400, "malformed", &["the body cannot be read"]);
        post(path, vec![b' '; 64 * 1024 + 1]).await.is(path, 413, "too_large", &["65536 bytes"]);
    }
    let unknown = json!({ "refreshToken": "0".repeat(64) }).to_string();
    let answer = post("/v1/access_token", unknown.into_bytes()).await;
    answer.is("an unknown refresh token", 401, "token_invalid", &["pair the co-signer again"]);
}
