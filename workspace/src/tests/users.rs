//! API users and their roles.

use super::client::{KEYS, ok, refused};
use super::running::Running;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_role_says_what_a_user_may_do() {
    let running = Running::start("").await;
    let viewer = running.client(&running.user("v", "VIEWER", Some(1)).await, 1);
    let editor = running.client(&running.user("e", "EDITOR", Some(1)).await, 1);
    let admin = running.client(&running.user("a", "ADMIN", Some(1)).await, 1);
    let cloud = running.client(&running.user("c", "CLOUD_COSIGNER", None).await, 1);
    refused(&cloud.get("/v1/transactions").await, 401, "token_invalid");
    ok(viewer.get("/v1/vault/accounts").await);
    refused(&viewer.post("/v1/vault/accounts", &json!({"name": "a"})).await, 403, "not_allowed");
    refused(&viewer.get("/v1/management/api_users").await, 403, "not_allowed");
    ok(editor.post("/v1/vault/accounts", &json!({"name": "a"})).await);
    refused(&editor.post("/v1/signing_groups", &json!({})).await, 403, "not_allowed");
    let pem = KEYS[1].public().to_pem();
    let new = |role: &str| json!({"name": "n", "role": role, "publicKeyPem": pem});
    ok(admin.post("/v1/management/api_users", &new("EDITOR")).await);
    refused(&admin.post("/v1/management/api_users", &new("OWNER")).await, 403, "not_allowed");
    refused(&admin.post_empty("/v1/cosigners/x/api_keys/y/approve").await, 403, "not_allowed");
    let users = ok(admin.get("/v1/management/api_users").await);
    let names: Vec<&str> = users["users"].as_array().unwrap().iter().map(|u| u["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Olga", "v", "e", "a", "c", "n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_accounts_are_numbered_from_0_and_listed_in_pages() {
    let running = Running::start("").await;
    let owner = &running.owner;
    for name in ["alpha", "beta", "alpine"] {
        ok(owner.post("/v1/vault/accounts", &json!({"name": name, "hiddenOnUI": false, "autoFuel": false})).await);
    }
    let ids = |accounts: &serde_json::Value| {
        accounts.as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&ok(owner.get("/v1/vault/accounts").await)), ["0", "1", "2"]);
    let page = ok(owner.get("/v1/vault/accounts_paged?limit=2").await);
    assert_eq!(ids(&page["accounts"]), ["0", "1"]);
    let after = page["paging"]["after"].as_str().unwrap();
    let page = ok(owner.get(&format!("/v1/vault/accounts_paged?limit=2&after={after}")).await);
    assert_eq!((ids(&page["accounts"]), &page["paging"]), (vec!["2".to_owned()], &json!({})));
    let page = ok(owner.get("/v1/vault/accounts_paged?namePrefix=alp").await);
    assert_eq!(ids(&page["accounts"]), ["0", "2"]);
    assert_eq!(ok(owner.get("/v1/vault/accounts/1").await)["name"], "beta");
    refused(&owner.post_empty("/v1/vault/accounts/0/BTC").await, 404, "not_found");
    refused(&owner.post_empty("/v1/vault/accounts/0/ETH").await, 409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_gives_the_same_answer_and_another_body_is_a_conflict() {
    let mut running = Running::start("").await;
    let path = "/v1/vault/accounts";
    let first = ok(running.owner.post_once(path, &json!({"name": "a"}), "k-1").await);
    let all = (0..20).map(|_| {
        let owner = running.owner.clone();
        async move { ok(owner.post_once(path, &json!({"name": "a"}), "k-1").await) }
    });
    assert!(futures_util::future::join_all(all).await.iter().all(|answer| *answer == first));
    refused(&running.owner.post_once(path, &json!({"name": "b"}), "k-1").await, 409, "conflict");
    running.restart().await;
    assert_eq!(ok(running.owner.post_once(path, &json!({"name": "a"}), "k-1").await), first);
    let other = running.client(&running.user("a", "ADMIN", Some(1)).await, 1);
    assert_ne!(ok(other.post_once(path, &json!({"name": "a"}), "k-1").await), first, "a key is one user's own");
    refused(&running.owner.post_once(path, &json!({"name": "a"}), &"k".repeat(200)).await, 400, "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrative_acts_are_in_a_log_that_cannot_be_changed_unseen() {
    let mut running = Running::start("").await;
    running.user("v", "VIEWER", Some(1)).await;
    running.stop().await;
    let store = crate::store::Store::open(&running.config().database, false).await.unwrap();
    let mut write = store.write().await.unwrap();
    assert_eq!(crate::store::audit::verify(&mut write).await.unwrap(), Some(3));
    assert!(sqlx::query("UPDATE audit SET actor = 'x'").execute(&mut *write).await.is_err());
    assert!(sqlx::query("DELETE FROM audit").execute(&mut *write).await.is_err());
    sqlx::query("DROP TRIGGER audit_is_not_changed").execute(&mut *write).await.unwrap();
    sqlx::query("UPDATE audit SET detail = 'x' WHERE sequence = 1").execute(&mut *write).await.unwrap();
    assert_eq!(crate::store::audit::verify(&mut write).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_serves_a_workspace_and_it_is_made_once() {
    let running = Running::start("").await;
    let config = running.config();
    let pem = KEYS[0].public().to_pem();
    assert!(matches!(crate::init::init(&config, "x", &pem).await, Err(crate::init::InitError::Exists(_))));
    let second = crate::server::Server::start(config).await;
    assert!(matches!(second, Err(crate::server::ServerError::Store(crate::store::StoreError::InUse(_)))));
    let ready: serde_json::Value =
        serde_json::from_slice(&std::fs::read(running.folder.path().join("ready.json")).unwrap()).unwrap();
    assert_eq!(ready["pid"], std::process::id());
    assert_eq!(ready["url"], running.addresses.url);
    assert_eq!(ready["fingerprint"], running.made.fingerprint);
}
