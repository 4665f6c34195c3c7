//! Ids that name nothing in this workspace.

use crate::{Scene, send};
use countersign_stack::Ask;
use reqwest::Method;
use serde_json::json;

pub async fn are_not_found(scene: &Scene) {
    let workspace = scene.system.stack.workspace().unwrap();
    let (client, admin) = (&scene.system.client, &workspace.admin);
    let id = uuid::Uuid::new_v4().to_string();
    for path in [
        format!("/v1/transactions/{id}"),
        "/v1/transactions/not-an-id".to_owned(),
        format!("/v1/transactions/external_tx_id/{id}"),
        "/v1/vault/accounts/4000".to_owned(),
        "/v1/vault/accounts/00".to_owned(),
        "/v1/vault/accounts/-1".to_owned(),
        "/v1/vault/accounts/0/NOPE".to_owned(),
        "/v1/vault/accounts/4000/ETH".to_owned(),
        "/v1/vault/accounts/4000/ETH/key_certificate".to_owned(),
        format!("/v1/keys/{id}"),
        format!("/v1/signing_groups/{id}"),
        format!("/v1/cosigners/{id}"),
    ] {
        send(admin, Method::GET, &path, b"").await.is(&path, 404, "not_found", &["there is no", "in this workspace"]);
    }
    for (path, body) in [
        (format!("/v1/transactions/{id}/cancel"), json!({})),
        (format!("/v1/management/api_users/{id}/pairing_token"), json!({})),
        (format!("/v1/cosigners/{id}/api_keys/{id}/approve"), json!({})),
        (format!("/v1/cosigners/{}/api_keys/{id}/approve", scene.system.cosigners[0]), json!({})),
        ("/v1/vault/accounts/4000/ETH".to_owned(), json!({})),
        ("/v1/vault/accounts".to_owned(), json!({ "name": "x", "signerId": id })),
        ("/v1/transactions".to_owned(), Ask::message(4000, b"never signed").body),
        ("/v1/signing_groups".to_owned(), json!({ "customerCosignerId": id, "cloudCosignerIds": [id] })),
    ] {
        let answer = send(admin, Method::POST, &path, body.to_string()).await;
        answer.is(&path, 404, "not_found", &["there is no"]);
    }
    for path in ["/", "/v1", "/v2/transactions", "/v1/transactions/", "/v1/../etc/passwd"] {
        send(client, Method::GET, path, b"").await.is(path, 404, "not_found", &["/v1"]);
    }
    // What another workspace knows is nothing here.
    let other = &scene.system.stack.workspaces[1];
    let path = format!("/v1/transactions/{}", first_transaction(scene).await);
    send(&other.admin, Method::GET, &path, b"").await.is(&path, 404, "not_found", &["in this workspace"]);
    let stranger = send(&other_named(scene), Method::GET, "/v1/cosigners", b"").await;
    stranger.is("a user of another workspace", 401, "token_invalid", &["no API user of this workspace"]);
}

async fn first_transaction(scene: &Scene) -> String {
    let all = scene.system.client.get("/v1/transactions").await.unwrap();
    all[0]["id"].as_str().unwrap().to_owned()
}

/// Speaks to the second workspace as the first one's API user.
fn other_named(scene: &Scene) -> countersign_stack::Client {
    let stack = &scene.system.stack;
    let key = scene.system.user.key.as_ref().unwrap().private_pem().unwrap();
    let url = &stack.workspaces[1].url;
    countersign_stack::Client::new(url, stack.authority.pem(), &scene.system.user.id, &key).unwrap()
}
