//! Requests that are not what they must be.

use super::client::{now, ok, refused, sent};
use super::running::Running;
use countersign_wire::limits::MAX_REQUEST_BODY_BYTES;
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/v1/transactions";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_good_token_is_a_typed_error() {
    let running = Running::start("").await;
    let owner = &running.owner;
    let (good, body) = (|| owner.claims(PATH, b""), || Vec::new());
    ok(owner.get(PATH).await);

    let bare = || owner.bare(Method::GET, PATH, body());
    refused(&sent(bare()).await, 401, "token_invalid");
    refused(&sent(bare().header("X-API-Key", &owner.user)).await, 401, "token_invalid");
    refused(&sent(bare().bearer_auth(owner.signed(&good()))).await, 401, "token_invalid");
    let with = |token: String| bare().header("X-API-Key", &owner.user).bearer_auth(token);
    let unknown = bare().header("X-API-Key", "6f2c1f0e-0d0b-4c58-9a7b-0c8b4a1f2e3d").bearer_auth(owner.signed(&good()));
    refused(&sent(unknown).await, 401, "token_invalid");
    refused(&sent(with("garbage".into())).await, 401, "token_invalid");
    refused(&sent(with("a".repeat(9000))).await, 401, "token_invalid");
    let other = running.client(&owner.user, 1);
    refused(&sent(with(other.signed(&good()))).await, 401, "token_invalid");

    let changed = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        with(owner.signed(&claims))
    };
    refused(&sent(changed("uri", "/v1/transactions?limit=1".into())).await, 401, "token_invalid");
    refused(&sent(changed("bodyHash", "00".into())).await, 401, "token_invalid");
    refused(&sent(changed("exp", json!("soon"))).await, 401, "token_invalid");
    refused(&sent(changed("exp", json!(now() + 3600))).await, 401, "token_invalid");
    let at = |iat: u64| {
        let mut claims = good();
        claims["iat"] = iat.into();
        claims["exp"] = (iat + 55).into();
        with(owner.signed(&claims))
    };
    refused(&sent(at(now() - 3600)).await, 401, "token_expired");
    refused(&sent(at(now() + 3600)).await, 401, "clock_skew");
}

#[tokio::test(flavor = "multi_thread")]
async fn t36_a_nonce_is_taken_once_also_across_a_restart() {
    let mut running = Running::start("").await;
    let token = running.owner.signed(&running.owner.claims(PATH, b""));
    let again = |running: &Running| {
        let request = running.owner.bare(Method::GET, PATH, Vec::new());
        sent(request.header("X-API-Key", &running.owner.user).bearer_auth(&token))
    };
    ok(again(&running).await);
    refused(&again(&running).await, 401, "token_used");
    running.restart().await;
    refused(&again(&running).await, 401, "token_used");
    let at_once = running.owner.signed(&running.owner.claims(PATH, b""));
    let all = futures_util::future::join_all((0..20).map(|_| {
        let request = running.owner.bare(Method::GET, PATH, Vec::new());
        sent(request.header("X-API-Key", &running.owner.user).bearer_auth(&at_once))
    }));
    let taken = all.await.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(taken, 1, "of twenty at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_and_strict() {
    let running = Running::start("").await;
    let owner = &running.owner;
    let post = |body: Vec<u8>| sent(owner.request(Method::POST, PATH, body));
    refused(&post(vec![b'x'; MAX_REQUEST_BODY_BYTES + 1]).await, 413, "too_large");
    for body in ["", "{", "[]", "nonsense", "{\"operation\":\"RAW\"}", "{\"operation\":\"RAW\",\"operation\":\"RAW\"}"]
    {
        refused(&post(body.into()).await, 400, "malformed");
    }
    refused(&post(vec![0xff, 0xfe]).await, 400, "malformed");
    let users = "/v1/management/api_users";
    refused(&owner.post(users, &json!({"name": "n", "role": "VIEWER", "surprise": 1})).await, 400, "malformed");
    refused(&owner.post(users, &json!({"name": "", "role": "VIEWER"})).await, 400, "malformed");
    refused(&owner.post(users, &json!({"name": "n", "role": "KING"})).await, 400, "malformed");
    refused(&owner.post(users, &json!({"name": "n", "role": "VIEWER", "publicKeyPem": "x"})).await, 400, "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_methods_ids_and_parameters_are_typed_errors() {
    let running = Running::start("").await;
    let owner = &running.owner;
    refused(&owner.get("/v1/nothing").await, 404, "not_found");
    refused(&owner.get("/").await, 404, "not_found");
    let put = sent(owner.request(Method::PUT, PATH, Vec::new())).await;
    refused(&put, 405, "not_allowed");
    let uuid = "6f2c1f0e-0d0b-4c58-9a7b-0c8b4a1f2e3d";
    for path in [
        format!("/v1/transactions/{uuid}"),
        "/v1/transactions/nonsense".into(),
        "/v1/transactions/external_tx_id/none".into(),
        format!("/v1/keys/{uuid}"),
        "/v1/keys/x".into(),
        format!("/v1/signing_groups/{uuid}"),
        format!("/v1/cosigners/{uuid}"),
        "/v1/vault/accounts/0".into(),
        "/v1/vault/accounts/-1".into(),
        "/v1/vault/accounts/99999999999999".into(),
        "/v1/vault/accounts/0/ETH".into(),
        "/v1/vault/accounts/0/ETH/key_certificate".into(),
    ] {
        refused(&owner.get(&path).await, 404, "not_found");
    }
    refused(&owner.post_empty(&format!("/v1/management/api_users/{uuid}/pairing_token")).await, 404, "not_found");
    refused(&owner.post_empty(&format!("/v1/transactions/{uuid}/cancel")).await, 404, "not_found");
    refused(&owner.post_empty("/v1/vault/accounts/0/ETH").await, 404, "not_found");
    for query in ["limit=0", "limit=501", "limit=x", "status=DONE", "sort=UP", "orderBy=id", "unknown=1", "before=-1"] {
        refused(&owner.get(&format!("/v1/transactions?{query}")).await, 400, "malformed");
    }
    ok(owner.get("/v1/transactions?limit=500&status=COMPLETED&sort=ASC&orderBy=lastUpdated").await);
    let long = format!("/v1/transactions?assets={}", "x".repeat(3000));
    refused(&owner.get(&long).await, 414, "too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn t48_no_token_or_key_is_in_the_database_the_metrics_or_an_error() {
    let mut running = Running::start("").await;
    let token = running.owner.signed(&running.owner.claims(PATH, b""));
    let request = running.owner.bare(Method::GET, PATH, Vec::new());
    ok(sent(request.header("X-API-Key", &running.owner.user).bearer_auth(&token)).await);
    // A pairing token is in an answer that is kept for a repeated request.
    let user = running.user("s", "SIGNER", None).await;
    let path = format!("/v1/management/api_users/{user}/pairing_token");
    let answer = ok(running.owner.post_once(&path, &json!({}), "k").await);
    assert_eq!(ok(running.owner.post_once(&path, &json!({}), "k").await), answer);
    let pairing_token = answer["pairingToken"].as_str().unwrap().to_owned();
    let (claims, pairing_signature) = pairing_token.rsplit_once('.').unwrap();
    let claims = claims.rsplit_once('.').unwrap().1;
    let (status, metrics) = running.local("/metrics").await;
    assert!(
        status == 200 && metrics.contains("countersign_workspace_http_requests_total{status=\"200\"}"),
        "{metrics}"
    );
    assert_eq!(running.local("/healthz").await, (200, "ok\n".to_owned()));
    running.stop().await;
    let keys = std::fs::read_to_string(running.config().keys_path()).unwrap();
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let database = std::fs::read(running.folder.path().join("w.db")).unwrap();
    let signature = token.rsplit_once('.').unwrap().1;
    let key = |name: &str| keys[name].as_str().unwrap();
    for secret in [key("message_key"), key("token_key_pkcs8"), signature, pairing_signature, claims] {
        assert!(!database.windows(secret.len()).any(|window| window == secret.as_bytes()));
        assert!(!metrics.contains(secret));
    }
    let raw = hex::decode(keys["message_key"].as_str().unwrap()).unwrap();
    assert!(!database.windows(32).any(|window| window == raw));
    running.restart().await;
    assert_eq!(ok(running.owner.post_once(&path, &json!({}), "k").await), answer, "also after a restart");
}
