//! TRANSFER, CONTRACT_CALL and typed data, from the request to what a client can broadcast; what handlers' calls look like.

use super::client::{Client, ok, refused, sent};
use super::running::{Running, ended, until};
use super::signing::{Stack, stack_in, typed, with_address};
use crate::evm::transaction::Unsigned;
use crate::evm::{transaction, typed_data};
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use reqwest::Method;
use serde_json::{Value, json};

const TO: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

async fn stack(more: &str) -> Stack {
    let stack = stack_in(Running::start(&format!("approve_pairings = 'at_once'\n{more}")).await, true).await;
    with_address(&stack).await;
    stack
}

fn transfer(note: &str) -> Value {
    json!({
        "operation": "TRANSFER", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": "0"}, "note": note,
        "destination": {"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": TO}}, "amount": "0.25",
    })
}

async fn done(client: &Client, body: &Value) -> Value {
    let id = ok(client.post("/v1/transactions", body).await)["id"].as_str().unwrap().to_owned();
    ended(client, &id).await
}

fn raw(shown: &Value) -> TxEnvelope {
    let bytes = hex::decode(&shown["countersign"]["signedTransaction"].as_str().unwrap()[2..]).unwrap();
    TxEnvelope::decode_2718(&mut bytes.as_slice()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_ends_as_bytes_that_can_be_broadcast_and_nonces_have_no_gaps() {
    let stack = stack("assets = [{id = 'ETH', max_fee_gwei = '30', priority_fee_gwei = '1.5', first_nonce = 5}]").await;
    let client = &stack.client;
    let first = done(client, &transfer("a")).await;
    assert_eq!((&first["status"], &first["nonce"]), (&json!("COMPLETED"), &json!("5")), "{first}");
    let signed = raw(&first);
    assert_eq!((signed.chain_id(), signed.nonce(), signed.gas_limit()), (Some(1), 5, 21_000));
    assert_eq!((signed.max_fee_per_gas(), signed.max_priority_fee_per_gas()), (30_000_000_000, Some(1_500_000_000)));
    assert_eq!(signed.to().unwrap().to_checksum(None), TO);
    assert_eq!(signed.value(), alloy_primitives::U256::from(250_000_000_000_000_000u64));
    assert_eq!(first["txHash"], format!("0x{}", hex::encode(signed.tx_hash())));
    let bytes = hex::decode(&first["countersign"]["unsignedTransaction"].as_str().unwrap()[2..]).unwrap();
    let digest = Unsigned::read(&bytes).unwrap().digest();
    assert_eq!(first["signedMessages"][0]["content"], hex::encode(digest));
    assert_eq!(first["destinationAddress"], TO);

    // Rejected: nothing was signed with its nonce, so the next one has it.
    let rejected = done(client, &transfer("reject-me")).await;
    assert_eq!((&rejected["status"], &rejected["nonce"]), (&json!("REJECTED"), &json!("6")));
    let mut own_fees = transfer("b");
    (own_fees["maxFee"], own_fees["priorityFee"], own_fees["gasLimit"]) = (json!("9"), json!("0"), json!("22000"));
    let second = done(client, &own_fees).await;
    assert_eq!((&second["status"], &second["nonce"]), (&json!("COMPLETED"), &json!("6")));
    assert_eq!((raw(&second).max_fee_per_gas(), raw(&second).gas_limit()), (9_000_000_000, 22_000));

    let path = "/v1/vault/accounts/0/ETH/next_nonce";
    assert_eq!(ok(client.get(path).await)["nextNonce"], 7);
    let put = |client: &Client, body: Value| sent(client.request(Method::PUT, path, body.to_string().into_bytes()));
    refused(&put(client, json!({"nextNonce": 40})).await, 403, "not_allowed");
    let owner = &stack.running.owner;
    refused(&put(owner, json!({"nextNonce": -1})).await, 400, "malformed");
    refused(&put(owner, json!({"nextNonce": u64::MAX})).await, 400, "malformed");
    assert_eq!(ok(put(owner, json!({"nextNonce": 40})).await)["nextNonce"], 40);
    assert_eq!(done(client, &transfer("c")).await["nonce"], "40");
    assert_eq!(ok(put(owner, json!({"nextNonce": 7})).await)["nextNonce"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_at_once_have_a_nonce_each_and_one_that_was_given_back_is_used_first() {
    let stack = stack("assets = [{id = 'ETH', max_fee_gwei = '30', priority_fee_gwei = '1'}]").await;
    let client = &stack.client;
    let notes = ["a", "reject-me", "b", "reject-me", "c", "d"];
    let all = notes.map(|note| {
        let client = client.clone();
        async move { done(&client, &transfer(note)).await }
    });
    let all = futures_util::future::join_all(all).await;
    let mut nonces: Vec<u64> = all.iter().map(|t| t["nonce"].as_str().unwrap().parse().unwrap()).collect();
    nonces.sort_unstable();
    assert!(nonces.iter().all(|nonce| *nonce < 6), "{nonces:?}");
    let completed = all.iter().filter(|t| t["status"] == "COMPLETED");
    let mut used: Vec<u64> = completed.map(|t| t["nonce"].as_str().unwrap().parse().unwrap()).collect();
    for _ in 0..2 {
        let more = done(client, &transfer("more")).await;
        used.push(more["nonce"].as_str().unwrap().parse().unwrap());
    }
    used.sort_unstable();
    assert_eq!(used, (0..6).collect::<Vec<_>>(), "each once, and no gap is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_cannot_be_built_is_refused_with_what_is_missing() {
    let stack = stack("").await;
    let client = &stack.client;
    let answer = client.post("/v1/transactions", &transfer("no fee")).await;
    refused(&answer, 400, "malformed");
    assert!(answer.1["message"].as_str().unwrap().contains("maxFee"), "{}", answer.1);
    let mut greedy = transfer("greedy");
    (greedy["maxFee"], greedy["priorityFee"]) = (json!("1"), json!("2"));
    refused(&client.post("/v1/transactions", &greedy).await, 400, "malformed");
    for (name, value) in [("amount", json!(0.25)), ("destination", Value::Null), ("gasLimit", json!("1"))] {
        let mut bad = transfer("bad");
        (bad["maxFee"], bad["priorityFee"]) = (json!("3"), json!("2"));
        bad[name] = value;
        refused(&client.post("/v1/transactions", &bad).await, 400, "malformed");
    }
    assert_eq!(ok(client.get("/v1/vault/accounts/0/ETH/next_nonce").await)["nextNonce"], 0, "no nonce was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_above_the_co_signers_cap_is_refused_before_anybody_is_asked() {
    let stack = stack("").await;
    let client = &stack.client;
    // 0.5 Ether are 21,000 gas at a little more than 23,809 Gwei.
    let mut greedy = transfer("greedy");
    (greedy["maxFee"], greedy["priorityFee"]) = (json!("23810"), json!("1"));
    let answer = client.post("/v1/transactions", &greedy).await;
    refused(&answer, 400, "fee_too_high");
    assert!(answer.1["message"].as_str().unwrap().contains("500000000000000000 Wei"), "{}", answer.1);
    let max_fee = 23_810_000_000_000;
    let unsigned = Unsigned::transfer(&transaction::Transfer { max_fee, ..transaction::tests::transfer() });
    let call = json!({
        "operation": "CONTRACT_CALL", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": "0"},
        "extraParameters": {"unsignedTransaction": format!("0x{}", hex::encode(unsigned.bytes()))},
    });
    refused(&client.post("/v1/transactions", &call).await, 400, "fee_too_high");
    greedy["maxFee"] = json!("23809");
    let sent = done(client, &greedy).await;
    assert_eq!((&sent["status"], &sent["nonce"]), (&json!("COMPLETED"), &json!("0")), "no nonce was lost: {sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_transactions_and_typed_data_are_signed_as_they_are() {
    let stack = stack("").await;
    let client = &stack.client;
    let unsigned = Unsigned::transfer(&transaction::tests::transfer());
    let call = json!({
        "operation": "CONTRACT_CALL", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": "0"}, "note": "call",
        "extraParameters": {"unsignedTransaction": format!("0x{}", hex::encode(unsigned.bytes()))},
    });
    let call = done(client, &call).await;
    assert_eq!((&call["status"], &call["operation"]), (&json!("COMPLETED"), &json!("CONTRACT_CALL")), "{call}");
    assert_eq!((raw(&call).nonce(), call["nonce"].as_str()), (7, Some("7")));

    let mail = typed_data::tests::mail();
    let mut body = typed("mail", None);
    body["extraParameters"]["rawMessageData"] = json!({"messages": [{"content": mail, "type": "EIP712"}]});
    let signed = done(client, &body).await;
    assert_eq!(signed["status"], "COMPLETED", "{signed}");
    let digest = typed_data::digest(&mail, 1).unwrap();
    assert_eq!(signed["signedMessages"][0]["content"], hex::encode(digest));
    assert_eq!(signed["extraParameters"]["rawMessageData"]["messages"][0]["content"], mail);
    body["extraParameters"]["rawMessageData"]["messages"][0]["content"]["domain"]["chainId"] = json!(5);
    refused(&client.post("/v1/transactions", &body).await, 400, "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_series_is_shown_call_by_call_and_survives_a_restart() {
    let mut stack = stack("deadlines.authorisation = 1").await;
    {
        let mut control = stack.cosigners[0].control.lock().unwrap();
        (control.retries, control.retry_ms) = (4, 1_500);
    }
    let id =
        ok(stack.client.post("/v1/transactions", &typed("retry-me", None)).await)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/transactions/{id}");
    let calls = |shown: &Value| shown["countersign"]["callback"]["attempts"].as_array().unwrap().len();
    let second = || async {
        let shown = ok(stack.client.get(&path).await);
        (calls(&shown) >= 2).then_some(shown)
    };
    let shown = until("the second call", second).await;
    assert_eq!(
        (&shown["status"], &shown["subStatus"]),
        (&json!("PENDING_AUTHORIZATION"), &json!("WAITING_FOR_CALLBACK_HANDLER"))
    );
    assert!(shown["countersign"]["callback"]["nextAt"].is_u64(), "{shown}");
    assert!(shown["systemMessages"][0]["message"].as_str().unwrap().contains("RETRY"), "{shown}");
    let call = &shown["countersign"]["callback"]["attempts"][0];
    assert_eq!((&call["attempt"], &call["result"], &call["code"]), (&json!(1), &json!("retry"), &json!("retry")));
    assert_eq!((&call["tookMs"], &call["steps"]["answerMs"]), (&json!(2.5), &json!(2.0)));
    assert_eq!(call["steps"]["tlsMs"], Value::Null);

    stack.running.restart().await;
    let done = ended(&stack.client, &id).await;
    assert_eq!((&done["status"], calls(&done)), (&json!("COMPLETED"), 5), "{done}");
    assert_eq!(done["countersign"]["callback"]["nextAt"], Value::Null);
    assert_eq!(done["systemMessages"], json!([]));

    let rejected = ok(stack.client.post("/v1/transactions", &typed("reject-me", None)).await);
    let rejected = ended(&stack.client, rejected["id"].as_str().unwrap()).await;
    assert_eq!(rejected["errorDescription"], "reject-me");
    assert_eq!(rejected["countersign"]["callback"]["attempts"][0]["result"], "rejected");
    let metrics = stack.running.local("/metrics").await.1;
    assert!(metrics.contains("callback_attempts_total{kind=\"sign\",result=\"rejected\",reason=\"rejected\"} 1"));
    assert!(metrics.contains("callback_seconds_bucket"), "{metrics}");
}
