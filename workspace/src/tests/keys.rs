//! Keys in pages, and reading them while somebody writes.

use super::client::{ok, refused};
use super::signing::{stack, with_address};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_in_pages_oldest_first() {
    let stack = stack().await;
    let owner = &stack.running.owner;
    let mut made = Vec::new();
    for _ in 0..5 {
        let key = json!({"coinType": 60, "operations": ["TYPED_MESSAGE"], "signerId": stack.signer});
        made.push(ok(owner.post("/v1/keys", &key).await)["keyId"].clone());
    }
    let mut listed = Vec::new();
    let mut path = "/v1/keys?limit=2".to_owned();
    loop {
        let page = ok(owner.get(&path).await);
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.len() <= 2);
        listed.extend(keys.iter().map(|k| k["keyId"].clone()));
        let Some(after) = page["paging"]["after"].as_str() else { break };
        path = format!("/v1/keys?limit=2&after={after}");
    }
    made.sort_by_key(ToString::to_string);
    let mut sorted = listed.clone();
    sorted.sort_by_key(ToString::to_string);
    assert_eq!(sorted, made, "each once");
    let all = ok(owner.get("/v1/keys").await);
    let all: Vec<_> = all["keys"].as_array().unwrap().iter().map(|k| k["keyId"].clone()).collect();
    assert_eq!(all, listed, "in the same order");
    for query in ["limit=0", "limit=501", "after=x", "after=6f2c1f0e-0d0b-4c58-9a7b-0c8b4a1f2e3d", "more=1"] {
        refused(&owner.get(&format!("/v1/keys?{query}")).await, 400, "malformed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_there_is_found_while_somebody_else_writes() {
    let stack = stack().await;
    let wallet = with_address(&stack).await;
    let app = &stack.running.app;
    let eth = countersign_wire::evm::Asset::find("ETH").unwrap();
    let writing = app.store.write().await.unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let key = crate::http::wallets::ready_key(app, 0, &eth, until).await.unwrap();
    assert_eq!(wallet["keyId"], key.key.to_string());
    drop(writing);
}
