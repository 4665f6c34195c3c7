//! Clients that hang up in the middle, and what was stored and never told.

use super::client::{Client, ok, refused};
use super::running::{ended, until};
use super::signing::{Stack, stack, typed, with_address};
use crate::ceremony::TransactionRecord;
use crate::http::auth::Caller;
use crate::http::{App, groups, keys, transactions};
use crate::store::transactions::{Columns, id_of_external, insert};
use axum::extract::State;
use countersign_wire::ids::TransactionId;
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::coop::poll_proceed;

/// Polls a handler so many times and drops it then, as the server does when the client hangs up while it waits.
async fn hung_up<F: Future>(handler: F, polls: usize) -> Option<F::Output> {
    let mut handler = Box::pin(handler);
    let mut left = polls;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match handler.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn caller(app: &App, client: &Client, path: &str, body: &Value, key: &str) -> Caller {
    let user = crate::store::users::get(&mut app.store.read().await.unwrap(), &client.user).await.unwrap().unwrap();
    let body = body.to_string().into_bytes();
    Caller {
        user,
        method: "POST".into(),
        uri: path.into(),
        token: client.signed(&client.claims(path, &body)),
        body: body.into(),
        idempotency_key: Some(key.into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_a_client_that_hangs_up_at_any_await_proceeds() {
    let stack = stack().await;
    let (client, app) = (&stack.client, &stack.running.app);
    with_address(&stack).await;
    for polls in 1.. {
        let external = format!("e-{polls}");
        let body = typed(&external, Some(&external));
        let caller = caller(app, client, "/v1/transactions", &body, &external).await;
        let answer = hung_up(transactions::create(State(Arc::clone(app)), caller), polls).await;
        let path = format!("/v1/transactions/external_tx_id/{external}");
        let stored = until("the transaction", || async { Some(client.get(&path).await).filter(|a| a.0 == 200) }).await;
        let id = ok(stored)["id"].as_str().unwrap().to_owned();
        assert_eq!(ended(client, &id).await["status"], "COMPLETED", "dropped after {polls} polls");
        let again = ok(client.post_once("/v1/transactions", &body, &external).await);
        assert_eq!(again["id"], json!(id));
        if answer.is_some() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_and_a_key_of_a_client_that_hangs_up_are_made() {
    let stack = stack().await;
    let (owner, app) = (&stack.running.owner, &stack.running.app);
    let devices: Vec<&str> = stack.cosigners.iter().map(|c| c.device.as_str()).collect();
    let body = json!({"customerCosignerId": devices[0], "cloudCosignerIds": devices[1..], "threshold": 2});
    let of_group = caller(app, owner, "/v1/signing_groups", &body, "g").await;
    assert!(hung_up(groups::create(State(Arc::clone(app)), of_group), 1).await.is_none());
    let ready = || async {
        let groups = ok(owner.get("/v1/signing_groups").await);
        let both = groups["groups"].as_array().unwrap().iter().filter(|g| g["status"] == "READY").count() == 2;
        both.then_some(())
    };
    until("the second group", ready).await;

    let id = "6f2c1f0e-0d0b-4c58-9a7b-0c8b4a1f2e3d";
    let body = json!({"keyId": id, "coinType": 60, "operations": ["TYPED_MESSAGE"], "signerId": stack.signer});
    let of_key = caller(app, owner, "/v1/keys", &body, "k").await;
    assert!(hung_up(keys::create(State(Arc::clone(app)), of_key), 1).await.is_none());
    let path = format!("/v1/keys/{id}");
    until("the key", || async { (owner.get(&path).await.1["status"] == "READY").then_some(()) }).await;
}

/// Polls with nothing left of the task's share of tokio's time: what waits for the database's own thread goes on, and what
/// waits for another task does not.
async fn starved<F: Future + Unpin>(work: &mut F) -> bool {
    poll_fn(|cx| {
        while let Poll::Ready(share) = poll_proceed(cx) {
            share.made_progress();
        }
        Poll::Ready(work.poll_unpin(cx).is_ready())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_ends_before_the_coordinator_is_told_of_it_does_not_begin_again() {
    let stack = stack().await;
    let (client, app) = (&stack.client, &stack.running.app);
    with_address(&stack).await;
    let body = typed("one", Some("e-1"));
    let caller = caller(app, client, "/v1/transactions", &body, "e-1").await;
    let content = crate::content::read(&caller.body).unwrap();
    let mut submitted = Box::pin(transactions::submit(app, &caller, &content));
    // A commit is written to the disk before it ends: its row is there before the next poll.
    let id = loop {
        assert!(hung_up(&mut submitted, 1).await.is_none());
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Not over HTTP: a request's nonce is stored, too, and what is polled here holds the connection for that.
        let stored = id_of_external(&mut app.store.read().await.unwrap(), "e-1").await.unwrap();
        if let Some(id) = stored {
            break id.to_string();
        }
    };
    // The commit's own end, which frees that connection; what follows it has to wait.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!starved(&mut submitted).await);
    }
    ok(client.post_empty(&format!("/v1/transactions/{id}/cancel")).await);
    let ceremonies = async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let text = stack.running.local("/metrics").await.1;
        text.lines().filter(|line| line.contains("ceremon")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = ceremonies().await;
    assert!(!before.is_empty());
    assert_eq!(submitted.await.unwrap().status(), 200);
    assert_eq!(ceremonies().await, before, "nobody is asked about what was cancelled");
    assert_eq!(ended(client, &id).await["status"], "CANCELLED");
}

/// A transaction that was stored and of which the coordinator was never told.
async fn untold(stack: &Stack, like: &str, external: &str) -> TransactionId {
    let app = &stack.running.app;
    let mut write = app.store.write().await.unwrap();
    let like = crate::store::transactions::get(&mut write, &like.parse().unwrap()).await.unwrap().unwrap();
    let mut request = like.record.request.clone();
    request.transaction = TransactionId(*uuid::Uuid::new_v4().as_bytes());
    let of = like.record;
    let now_ms = app.clock.now_ms();
    let record = TransactionRecord::new(request, of.operation, of.digests, of.path, of.public_key, now_ms, 600_000);
    let columns =
        Columns { initiator: &stack.client.user, external_tx_id: Some(external), asset: "ETH", vault_account: 0 };
    insert(&mut write, &record, &columns).await.unwrap();
    write.commit().await.unwrap();
    record.request.transaction
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_transaction_that_was_never_told_is_taken_up() {
    let stack = stack().await;
    let (client, app) = (&stack.client, &stack.running.app);
    with_address(&stack).await;
    let like = ok(client.post("/v1/transactions", &typed("one", None)).await)["id"].as_str().unwrap().to_owned();
    assert_eq!(ended(client, &like).await["status"], "COMPLETED");

    let cancelled = untold(&stack, &like, "e-1").await;
    ok(client.post_empty(&format!("/v1/transactions/{cancelled}/cancel")).await);
    assert_eq!(ended(client, &cancelled.to_string()).await["status"], "CANCELLED");

    let repeated = untold(&stack, &like, "e-2").await;
    refused(&client.post("/v1/transactions", &typed("two", Some("e-2"))).await, 409, "conflict");
    assert_eq!(ended(client, &repeated.to_string()).await["status"], "COMPLETED");

    let overdue = untold(&stack, &like, "e-3").await;
    let later = app.clock.now_ms() + 3_600_000;
    crate::service::reconcile(&app.store, &app.service, later).await.unwrap();
    assert_eq!(ended(client, &overdue.to_string()).await["status"], "COMPLETED");

    // One that has ended does not begin again.
    app.service.resume(cancelled).await.unwrap();
    app.service.resume(like.parse().unwrap()).await.unwrap();
    assert_eq!(ended(client, &cancelled.to_string()).await["status"], "CANCELLED");
}
