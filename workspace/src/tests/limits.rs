//! What is open is limited, also in bytes.

use super::client::{ok, refused};
use super::running::Running;
use super::signing::{stack_in, typed, with_address};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn t47_the_bytes_of_open_transactions_are_limited() {
    let more = "approve_pairings = 'at_once'\n[limits]\nmax_open_transaction_bytes = 131072\n";
    let mut stack = stack_in(Running::start(more).await, true).await;
    with_address(&stack).await;
    stack.cosigners.clear();
    let client = &stack.client;
    let large = || {
        let mut body = typed("large", None);
        body["extraParameters"]["rawMessageData"]["messages"][0]["content"] = Value::from("ab".repeat(29_000));
        body
    };
    let post = async || client.post("/v1/transactions", &large()).await;
    let first = ok(post().await)["id"].as_str().unwrap().to_owned();
    ok(post().await);
    let answer = post().await;
    refused(&answer, 429, "busy");
    assert!(answer.1["message"].as_str().unwrap().contains("131072"), "{}", answer.1);
    ok(client.post("/v1/transactions", &typed("small", None)).await);
    ok(client.post_empty(&format!("/v1/transactions/{first}/cancel")).await);
    ok(post().await);
}
