//! Restarts in the middle.

use super::client::ok;
use super::running::ended;
use super::signing::{stack, typed, with_address};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn transactions_survive_restarts_and_end_once() {
    let mut stack = stack().await;
    with_address(&stack).await;
    let mut ids = Vec::new();
    for round in 0..4 {
        for n in 0..5 {
            let external = format!("e-{round}-{n}");
            let body = typed(&external, Some(&external));
            let answer = ok(stack.client.post_once("/v1/transactions", &body, &external).await);
            ids.push((answer["id"].as_str().unwrap().to_owned(), external, body));
        }
        stack.running.restart().await;
    }
    for (id, external, body) in &ids {
        let done = ended(&stack.client, id).await;
        assert_eq!((&done["status"], &done["externalTxId"]), (&json!("COMPLETED"), &json!(external)), "{done}");
        let again = ok(stack.client.post_once("/v1/transactions", body, external).await);
        assert_eq!(again["id"], json!(id));
    }
    assert_eq!(ok(stack.client.get("/v1/transactions").await).as_array().unwrap().len(), ids.len());
}
