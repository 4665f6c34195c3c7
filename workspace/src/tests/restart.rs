//! Restarts in the middle.

use super::client::ok;
use super::running::{ended, until};
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_when_the_coordinator_has_ended_is_acknowledged_and_taken_up_after_a_restart() {
    let mut stack = stack().await;
    with_address(&stack).await;
    stack.running.stop().await;
    let server = stack.running.server_again().await;
    let (client, owner, app) = (&stack.client, &stack.running.owner, &stack.running.app);
    let sql = async |sql| {
        let mut write = app.store.write().await.unwrap();
        sqlx::query(sql).execute(&mut *write).await.unwrap();
        write.commit().await.unwrap();
    };
    sql("CREATE TRIGGER full BEFORE UPDATE ON transactions BEGIN SELECT RAISE(ABORT, 'disk full'); END").await;
    let post = async |external: &str| {
        let answer = ok(client.post_once("/v1/transactions", &typed(external, Some(external)), external).await);
        answer["id"].as_str().unwrap().to_owned()
    };
    let first = post("e-1").await;
    until("the coordinator to end", || async { (!app.service.is_running()).then_some(()) }).await;
    let second = post("e-2").await;
    let key = "6f2c1f0e-0d0b-4c58-9a7b-0c8b4a1f2e3d";
    let wanted = json!({"keyId": key, "coinType": 60, "operations": ["TYPED_MESSAGE"], "signerId": stack.signer});
    ok(owner.post("/v1/keys", &wanted).await);
    let devices: Vec<&str> = stack.cosigners.iter().map(|c| c.device.as_str()).collect();
    let group = json!({"customerCosignerId": devices[0], "cloudCosignerIds": devices[1..], "threshold": 2});
    let group = ok(owner.post("/v1/signing_groups", &group).await)["id"].as_str().unwrap().to_owned();

    sql("DROP TRIGGER full").await;
    // With its connections, and with an error or none, whichever it comes to first.
    let _ = server.run_until(async {}).await;
    stack.running.restart().await;
    let owner = &stack.running.owner;
    for id in [first, second] {
        assert_eq!(ended(&stack.client, &id).await["status"], "COMPLETED");
    }
    for path in [format!("/v1/keys/{key}"), format!("/v1/signing_groups/{group}")] {
        until(&path, || async { (ok(owner.get(&path).await)["status"] == "READY").then_some(()) }).await;
    }
}
