//! From a group to signatures, over HTTP and links.

use super::client::{Client, ok, refused};
use super::cosigner::Cosigner;
use super::running::{Running, ended, until};
use base64::Engine;
use countersign_wire::Signed;
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::group::Role;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A workspace with three co-signers, a READY group, and vault account 0 with ETH.
pub struct Stack {
    pub running: Running,
    pub cosigners: Vec<Cosigner>,
    pub client: Client,
    pub signer: String,
}

pub async fn stack() -> Stack {
    stack_with(true).await
}

async fn stack_with(allow_raw: bool) -> Stack {
    stack_in(Running::start("approve_pairings = 'at_once'").await, allow_raw).await
}

/// The same in a workspace that runs already and approves pairings at once.
pub async fn stack_in(running: Running, allow_raw: bool) -> Stack {
    let signer = running.user("signer", "SIGNER", None).await;
    let customer = Cosigner::paired_with(&running, 1, Role::Customer, &signer, |p| p.allow_raw = allow_raw).await;
    let mut cosigners = vec![customer];
    for secret in [2, 3] {
        let user = running.user("cloud", "CLOUD_COSIGNER", None).await;
        cosigners.push(Cosigner::paired(&running, secret, Role::Cloud, &user).await);
    }
    let client = running.client(&running.user("app", "EDITOR", Some(1)).await, 1);
    let owner = running.owner.clone();
    let clouds: Vec<&str> = cosigners.iter().skip(1).map(|c| c.device.as_str()).collect();
    let group = json!({"customerCosignerId": cosigners[0].device, "cloudCosignerIds": clouds, "name": "main"});
    let made = ok(owner.post("/v1/signing_groups", &group).await);
    assert_eq!((&made["threshold"], &made["status"]), (&json!(3), &json!("PROPOSED")));
    refused(&owner.post("/v1/signing_groups", &group).await, 409, "conflict");
    let path = format!("/v1/signing_groups/{}", made["id"].as_str().unwrap());
    until("the group", || async { (ok(owner.get(&path).await)["status"] == "READY").then_some(()) }).await;
    Stack { running, cosigners, client, signer }
}

pub fn typed(note: &str, external: Option<&str>) -> Value {
    let mut body = json!({
        "operation": "TYPED_MESSAGE", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": "0"}, "note": note,
        "extraParameters": {"rawMessageData": {"messages": [{"content": hex::encode(note), "type": "EIP191"}]}},
    });
    if let Some(external) = external {
        body["externalTxId"] = external.into();
    }
    body
}

pub async fn with_address(stack: &Stack) -> Value {
    ok(stack.client.post("/v1/vault/accounts", &json!({"name": "zero"})).await);
    ok(stack.client.post("/v1/vault/accounts/0/ETH", &json!({})).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_comes_with_a_certificate_and_one_key_serves_all_accounts_of_a_signer() {
    let stack = stack().await;
    let (client, owner) = (&stack.client, &stack.running.owner);
    refused(&client.post("/v1/transactions", &typed("x", None)).await, 404, "not_found");
    ok(client.post("/v1/vault/accounts", &json!({"name": "zero"})).await);
    refused(&client.post("/v1/transactions", &typed("x", None)).await, 409, "conflict");
    ok(client.post("/v1/vault/accounts", &json!({"name": "one", "signerId": stack.signer})).await);
    let at_once = (0..10).map(|n| {
        let client = client.clone();
        async move { ok(client.post_empty(&format!("/v1/vault/accounts/{}/ETH", n % 2)).await) }
    });
    let answers = futures_util::future::join_all(at_once).await;
    let keys: BTreeSet<&str> = answers.iter().map(|a| a["keyId"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 1, "one key for one signer and coin");
    assert_eq!(ok(owner.get("/v1/keys").await)["keys"].as_array().unwrap().len(), 1);

    let wallet = ok(client.get("/v1/vault/accounts/1/ETH/key_certificate").await);
    let bytes = base64::engine::general_purpose::STANDARD.decode(wallet["certificate"].as_str().unwrap()).unwrap();
    let signed: Signed<KeyCertificate> = borsh::from_slice(&bytes).unwrap();
    assert_eq!(wallet["party"], stack.cosigners[0].party.to_string());
    let word = signed.open(&stack.cosigners[0].party.0).unwrap();
    assert_eq!((word.vault_account, word.address.as_str()), (1, wallet["fields"]["address"].as_str().unwrap()));
    let info = ok(client.get("/v1/vault/accounts/1/ETH/0/0/public_key_info").await);
    assert_eq!(info["derivationPath"], json!([44, 60, 1, 0, 0]));
    assert_eq!(info["publicKey"], hex::encode(word.public_key));
    refused(&client.get("/v1/vault/accounts/1/ETH/0/1/public_key_info").await, 404, "not_found");
    let addresses = ok(client.get("/v1/vault/accounts/1/ETH/addresses_paginated").await);
    assert_eq!(addresses["addresses"][0]["address"], word.address.as_str());
    assert_eq!(ok(client.get("/v1/vault/accounts/1").await)["assets"][0]["id"], "ETH");
}

#[tokio::test(flavor = "multi_thread")]
async fn t60_where_no_operator_allowed_raw_a_vault_account_gets_a_key_without_it() {
    let stack = stack_with(false).await;
    let (client, owner) = (&stack.client, &stack.running.owner);
    let wallet = with_address(&stack).await;
    let key = ok(owner.get(&format!("/v1/keys/{}", wallet["keyId"].as_str().unwrap())).await);
    assert_eq!(
        (&key["operations"], &key["status"]),
        (&json!(["TYPED_MESSAGE", "TRANSFER", "CONTRACT_CALL"]), &json!("READY"))
    );
    let mut raw = typed("raw", None);
    raw["operation"] = "RAW".into();
    raw["extraParameters"]["rawMessageData"] = json!({"messages": [{"content": hex::encode([1; 32])}]});
    refused(&client.post("/v1/transactions", &raw).await, 409, "purpose_mismatch");
    let key = json!({"coinType": 60, "operations": ["RAW"], "signerId": stack.signer});
    let id = ok(owner.post("/v1/keys", &key).await)["keyId"].as_str().unwrap().to_owned();
    let error = || async {
        let key = ok(owner.get(&format!("/v1/keys/{id}")).await);
        (key["status"] == "ERROR").then_some(key)
    };
    assert_eq!(until("the key's error", error).await["reason"]["code"], "raw_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_idempotent_by_id() {
    let stack = stack().await;
    let owner = &stack.running.owner;
    let id = "6f2c1f0e-0d0b-4c58-9a7b-0c8b4a1f2e3d";
    let key = json!({"keyId": id, "coinType": 60, "operations": ["TYPED_MESSAGE"], "signerId": stack.signer});
    let at_once = (0..20).map(|_| {
        let (owner, key) = (owner.clone(), key.clone());
        async move { ok(owner.post("/v1/keys", &key).await) }
    });
    futures_util::future::join_all(at_once).await;
    let ready = || async {
        let key = ok(owner.get(&format!("/v1/keys/{id}")).await);
        (key["status"] == "READY").then_some(key)
    };
    let ready = until("the key", ready).await;
    assert_eq!(ready["publicKey"].as_str().unwrap().len(), 66);
    assert_eq!(ok(owner.post("/v1/keys", &key).await), ready);
    let mut other = key.clone();
    other["operations"] = json!(["RAW"]);
    refused(&owner.post("/v1/keys", &other).await, 409, "conflict");
    let unpaired = stack.running.user("s", "SIGNER", None).await;
    let key = json!({"coinType": 60, "operations": ["RAW"], "signerId": unpaired});
    refused(&owner.post("/v1/keys", &key).await, 409, "conflict");
    for bad in [json!([]), json!(["MINT"])] {
        let key = json!({"coinType": 60, "operations": bad, "signerId": stack.signer});
        refused(&owner.post("/v1/keys", &key).await, 400, "malformed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_signed_and_a_rejection_shows_its_reason() {
    let stack = stack().await;
    let client = &stack.client;
    with_address(&stack).await;
    let answer = ok(client.post("/v1/transactions", &typed("hello", Some("e-1"))).await);
    assert_eq!(answer["status"], "SUBMITTED");
    let id = answer["id"].as_str().unwrap();
    let done = ended(client, id).await;
    assert_eq!((&done["status"], &done["subStatus"]), (&json!("COMPLETED"), &json!("")), "{done}");
    let signed = &done["signedMessages"][0];
    assert_eq!(signed["content"], hex::encode("hello"));
    assert_eq!(signed["derivationPath"], json!([44, 60, 0, 0, 0]));
    let (r, s) = (signed["signature"]["r"].as_str().unwrap(), signed["signature"]["s"].as_str().unwrap());
    assert_eq!(signed["signature"]["fullSig"], format!("{r}{s}"));
    assert_eq!(ok(client.get("/v1/transactions/external_tx_id/e-1").await), done);
    refused(&client.post_empty(&format!("/v1/transactions/{id}/cancel")).await, 409, "conflict");

    let rejected = ok(client.post("/v1/transactions", &typed("reject-me", None)).await);
    let rejected = ended(client, rejected["id"].as_str().unwrap()).await;
    assert_eq!((&rejected["status"], &rejected["rejection"]["code"]), (&json!("REJECTED"), &json!("rejected")));
    assert_eq!(rejected["rejection"]["detail"], "reject-me");
    assert_eq!(rejected["signedMessages"], json!([]));

    let mut raw = typed("raw", None);
    raw["operation"] = "RAW".into();
    let messages: Vec<Value> = (1..=3).map(|n| json!({"content": hex::encode([n; 32])})).collect();
    raw["extraParameters"]["rawMessageData"] = json!({"messages": messages});
    let raw = ok(client.post("/v1/transactions", &raw).await);
    let raw = ended(client, raw["id"].as_str().unwrap()).await;
    assert_eq!((&raw["status"], raw["signedMessages"].as_array().unwrap().len()), (&json!("COMPLETED"), 3));

    let listed = ok(client.get("/v1/transactions?status=COMPLETED&sort=ASC").await);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let newest = ok(client.get("/v1/transactions?limit=1").await);
    assert_eq!(newest[0]["id"], raw["id"]);
    let path = format!("/v1/transactions?before={}", done["createdAt"]);
    assert_eq!(ok(client.get(&path).await), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_equal_posts_at_once_are_one_transaction() {
    let stack = stack().await;
    let client = &stack.client;
    with_address(&stack).await;
    let body = typed("hello", Some("e-1"));
    let post = |key: Option<&str>| {
        let (client, body, key) = (client.clone(), body.clone(), key.map(str::to_owned));
        async move {
            match key {
                Some(key) => client.post_once("/v1/transactions", &body, &key).await,
                None => client.post("/v1/transactions", &body).await,
            }
        }
    };
    let answers = futures_util::future::join_all((0..100).map(|_| post(Some("k")))).await;
    let answers: BTreeSet<String> = answers.into_iter().map(|a| ok(a).to_string()).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let id = serde_json::from_str::<Value>(answers.first().unwrap()).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(ended(client, &id).await["status"], "COMPLETED");
    assert_eq!(ok(client.get("/v1/transactions").await).as_array().unwrap().len(), 1);

    let mut other = body.clone();
    other["note"] = "other".into();
    refused(&client.post_once("/v1/transactions", &other, "k").await, 409, "conflict");
    for answer in [post(None).await, post(Some("k-2")).await] {
        refused(&answer, 409, "conflict");
        assert_eq!(answer.1["existingId"], id);
        assert!(answer.1["message"].as_str().unwrap().contains(&id));
    }
    let without_key = futures_util::future::join_all((0..20).map(|_| {
        let (client, body) = (client.clone(), typed("again", Some("e-2")));
        async move { client.post("/v1/transactions", &body).await.0 }
    }));
    assert_eq!(without_key.await.iter().filter(|status| **status == 200).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_nobody_can_authorise_is_cancelled_without_a_signature() {
    let mut stack = stack().await;
    with_address(&stack).await;
    stack.cosigners.clear();
    let client = &stack.client;
    let id = ok(client.post("/v1/transactions", &typed("late", None)).await)["id"].as_str().unwrap().to_owned();
    assert_eq!(ok(client.post_empty(&format!("/v1/transactions/{id}/cancel")).await), json!({"success": true}));
    let done = ended(client, &id).await;
    assert_eq!((&done["status"], &done["subStatus"]), (&json!("CANCELLED"), &json!("CANCELLED")));
}
