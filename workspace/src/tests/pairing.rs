//! Pairing: tokens, challenges, attestation, approval.

use super::client::{ok, refused};
use super::cosigner::{Attempt, Cosigner, access_token, connect};
use super::running::{Running, until};
use countersign_wire::group::Role;
use countersign_wire::ids::PartyId;
use countersign_wire::pairing_http::{CHALLENGE_PATH, PAIR_PATH};
use serde_json::json;

const PARTY: PartyId = PartyId([5; 32]);
const OTHER: PartyId = PartyId([6; 32]);

#[tokio::test(flavor = "multi_thread")]
async fn t36_a_pairing_token_is_used_once_also_across_a_restart() {
    let mut running = Running::start("").await;
    let user = running.user("s", "SIGNER", None).await;
    let token = running.token(&user).await;
    let attempt = Attempt::new(PARTY, Role::Customer, &token);
    let first = ok(attempt.pair(&running).await);
    let by_another = Attempt::new(OTHER, Role::Customer, &token);
    refused(&by_another.pair(&running).await, 409, "conflict");

    // The answer was lost: the same co-signer gets it again, and the first refresh token is void.
    let again = ok(attempt.pair(&running).await);
    assert_eq!(again["deviceId"], first["deviceId"]);
    let refresh = |answer: &serde_json::Value| answer["refreshToken"].as_str().unwrap().to_owned();
    refused(&access_token(&running.owner, &refresh(&first)).await, 401, "token_invalid");
    refused(&access_token(&running.owner, &refresh(&again)).await, 403, "waiting_for_owner");
    refused(&attempt.pair(&running).await, 409, "token_used");
    running.restart().await;
    refused(&attempt.pair(&running).await, 409, "token_used");
    let path = format!("/v1/management/api_users/{user}/pairing_token");
    refused(&running.owner.post_empty(&path).await, 409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_expired_or_are_not_ours_are_refused_with_what_to_do() {
    let running = Running::start("").await;
    let user = running.user("s", "SIGNER", None).await;
    let identity = crate::identity::Identity::load(&running.config().keys_path()).unwrap();
    let url = &running.addresses.url;
    let at =
        |seconds: u64| crate::pairing_token::issue(&identity, url, &user.parse().unwrap(), "j", seconds).unwrap().0;
    let now = super::client::now();
    let pair = async |token: &str| Attempt::new(PARTY, Role::Customer, token).pair(&running).await;
    refused(&pair(&at(now - 3601)).await, 401, "token_expired");
    refused(&pair(&at(now + 600)).await, 401, "clock_skew");
    refused(&pair(&at(now)).await, 401, "token_invalid");
    let elsewhere =
        crate::pairing_token::issue(&identity, "https://other", &user.parse().unwrap(), "j", now).unwrap().0;
    refused(&pair(&elsewhere).await, 401, "token_invalid");
    let client_token = running.owner.signed(&json!({"sub": user, "jti": "j"}));
    refused(&pair(&client_token).await, 401, "token_invalid");
    refused(&running.owner.post_bare(CHALLENGE_PATH, &json!({"user_id": "nobody"})).await, 404, "not_found");
    refused(&running.owner.post_bare(CHALLENGE_PATH, &json!({"user_id": user, "more": 1})).await, 400, "malformed");
    refused(&access_token(&running.owner, "nonsense").await, 401, "token_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn t40_an_attestation_document_has_to_be_fresh_bound_and_of_a_trusted_root() {
    let running = Running::start("").await;
    let user = running.user("s", "SIGNER", None).await;
    let token = running.token(&user).await;
    let good = || Attempt::new(PARTY, Role::Customer, &token);
    let refuse = async |attempt: Attempt| refused(&attempt.pair(&running).await, 403, "attestation_refused");
    refuse(Attempt { bound_party: [9; 32], ..good() }).await;
    refuse(Attempt { nonce: Some(vec![7; 32]), ..good() }).await;
    refuse(Attempt { pcr0: [0; 48], ..good() }).await;

    let challenge = good().challenge(&running.owner).await;
    let request = good().request(&running, &challenge);
    let mut foreign = Running::start("").await;
    foreign.made.workspace_id = running.made.workspace_id.clone();
    let under_another_root = good().request(&foreign, &challenge);
    refused(&running.owner.post_bare(PAIR_PATH, &under_another_root).await, 403, "attestation_refused");
    // The challenge is spent, whatever came of it.
    refused(&running.owner.post_bare(PAIR_PATH, &request).await, 403, "attestation_refused");

    for (name, value) in [
        ("party", json!("xx")),
        ("operators", json!([])),
        ("operators", json!(["00", "00"])),
        ("required", json!(2)),
        ("role", json!("KING")),
        ("document", json!("%")),
    ] {
        let challenge = good().challenge(&running.owner).await;
        let mut request = good().request(&running, &challenge);
        request[name] = value;
        refused(&running.owner.post_bare(PAIR_PATH, &request).await, 400, "malformed");
    }
    refused(&Attempt::new(PARTY, Role::Cloud, &token).pair(&running).await, 403, "not_allowed");
    ok(good().pair(&running).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t39_another_measurement_than_the_accepted_ones_is_refused() {
    let accepted = format!(
        "[[trust.measurements]]\npcr0 = '{}'\npcr1 = '{}'\npcr2 = '{}'\n",
        "01".repeat(48),
        "02".repeat(48),
        "03".repeat(48)
    );
    let mut running = Running::start("").await;
    let path = running.folder.path().join("workspace.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + &accepted).unwrap();
    running.restart().await;
    let user = running.user("s", "SIGNER", None).await;
    let token = running.token(&user).await;
    let other = Attempt { pcr0: [4; 48], ..Attempt::new(PARTY, Role::Customer, &token) };
    let answer = other.pair(&running).await;
    refused(&answer, 403, "attestation_refused");
    assert!(answer.1["message"].as_str().unwrap().contains("PCR0"));
    ok(Attempt::new(PARTY, Role::Customer, &token).pair(&running).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_sees_operators_and_measurements_and_then_approves() {
    let running = Running::start("").await;
    let (first, second) = (running.user("s", "SIGNER", None).await, running.user("s2", "SIGNER", None).await);
    let cosigner = Cosigner::paired(&running, 1, Role::Customer, &first).await;
    let path = format!("/v1/cosigners/{}", cosigner.device);
    let shown = ok(running.owner.get(&path).await);
    assert_eq!((&shown["status"], &shown["connected"]), (&json!("WAITING_FOR_APPROVAL"), &json!(false)));
    assert_eq!(shown["operators"], json!([hex::encode(super::cosigner::OPERATOR)]));
    assert_eq!(shown["measurements"]["pcr0"], "01".repeat(48));
    assert_eq!(shown["users"][0]["requireIntent"], true);
    refused(&access_token(&running.owner, &cosigner.refresh_token).await, 403, "waiting_for_owner");

    let editor = running.client(&running.user("e", "EDITOR", Some(1)).await, 1);
    let approve = |user: &str| format!("{path}/api_keys/{user}/approve");
    refused(&editor.post_empty(&approve(&first)).await, 403, "not_allowed");
    refused(&running.owner.post_empty(&approve(&second)).await, 404, "not_found");
    ok(running.owner.post_empty(&approve(&first)).await);
    let connected = || async { (ok(running.owner.get(&path).await)["connected"] == json!(true)).then_some(()) };
    until("the link", connected).await;

    // A second API user of the same co-signer shares its identity, and waits for its own approval.
    let answer = ok(Attempt::new(cosigner.party, Role::Customer, &running.token(&second).await).pair(&running).await);
    assert_eq!((&answer["deviceId"], &answer["status"]), (&json!(cosigner.device), &json!("WAITING_FOR_APPROVAL")));
    ok(running.owner.post_empty(&approve(&second)).await);
    assert_eq!(ok(running.owner.get(&path).await)["users"].as_array().unwrap().len(), 2);
    assert_eq!(ok(running.owner.get("/v1/cosigners").await)["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_needs_a_valid_access_token_and_garbage_on_it_ends_it() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message as Frame;
    let running = Running::start("approve_pairings = 'at_once'").await;
    let user = running.user("s", "SIGNER", None).await;
    let answer = ok(Attempt::new(PARTY, Role::Customer, &running.token(&user).await).pair(&running).await);
    assert!(connect(&running.addresses.url, &running.ca_pem, "nonsense").await.is_err());
    let token = ok(access_token(&running.owner, answer["refreshToken"].as_str().unwrap()).await);
    assert_eq!(token["expiresIn"], 900);
    let token = token["accessToken"].as_str().unwrap();
    let mut first = connect(&running.addresses.url, &running.ca_pem, token).await.unwrap();
    let mut second = connect(&running.addresses.url, &running.ca_pem, token).await.unwrap();
    let ends = async |socket: &mut super::cosigner::Socket| {
        while let Some(Ok(frame)) = socket.next().await {
            if matches!(frame, Frame::Close(_)) {
                break;
            }
        }
    };
    ends(&mut first).await;
    second.send(Frame::Binary(vec![9; 100].into())).await.unwrap();
    ends(&mut second).await;
}
