//! Configuration changes over HTTP: pending until the approving API user's handler has spoken.

use super::client::{Client, KEYS, ok, refused, sent};
use super::cosigner::Cosigner;
use super::running::{Running, until};
use crate::ceremony::tests::handler::Forgery;
use countersign_wire::callback::ChangeVerdict;
use countersign_wire::group::Role;
use countersign_wire::refusal::Code;
use reqwest::Method;
use serde_json::{Value, json};

/// A workspace in which one API user, paired with a co-signer, approves configuration changes.
struct Approving {
    running: Running,
    cosigner: Cosigner,
    signer: String,
}

async fn approving(more: &str) -> Approving {
    let mut running = Running::start(&format!("approve_pairings = 'at_once'\n{more}")).await;
    let signer = running.user("signer", "SIGNER", None).await;
    running.add_to_config(&format!("approvals.config_change_signer = '{signer}'"));
    running.restart().await;
    let wallet = json!({"name": "too early"});
    refused(&running.owner.post("/v1/unmanaged_wallets", &wallet).await, 409, "conflict");
    let cosigner = Cosigner::paired(&running, 1, Role::Customer, &signer).await;
    Approving { running, cosigner, signer }
}

impl Approving {
    fn set(&self, set: impl FnOnce(&mut crate::ceremony::tests::handler::Control)) {
        set(&mut self.cosigner.control.lock().unwrap());
    }

    async fn decided(&self, id: &Value) -> Value {
        let path = format!("/v1/config_changes/{}", id.as_str().unwrap());
        until("the change to end", || async {
            let change = ok(self.running.owner.get(&path).await);
            (change["status"] != "PENDING_APPROVAL").then_some(change)
        })
        .await
    }
}

async fn names(owner: &Client) -> Vec<String> {
    let users = ok(owner.get("/v1/management/api_users").await);
    users["users"].as_array().unwrap().iter().map(|u| u["name"].as_str().unwrap().to_owned()).collect()
}

async fn patch(client: &Client, path: &str, body: &Value) -> super::client::Answer {
    sent(client.request(Method::PATCH, path, body.to_string().into_bytes())).await
}

async fn delete(client: &Client, path: &str) -> super::client::Answer {
    sent(client.request(Method::DELETE, path, Vec::new())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_api_user_exists_once_the_handler_approved_it_also_across_a_restart() {
    let mut this = approving("").await;
    this.set(|control| control.holds = true);
    let body = json!({"name": "new", "role": "EDITOR", "publicKeyPem": KEYS[1].public().to_pem()});
    let answer = this.running.owner.post_once("/v1/management/api_users", &body, "k-1").await;
    assert_eq!((answer.0, &answer.1["status"]), (202, &json!("PENDING_APPROVAL")));
    let change = answer.1;
    assert_eq!(change["extraInfo"]["userName"], "new");
    let new = this.running.client(change["id"].as_str().unwrap(), 1);
    let held = || async { (this.cosigner.control.lock().unwrap().asked_changes > 0).then_some(()) };
    until("the handler to be asked", held).await;
    assert_eq!(names(&this.running.owner).await, ["Olga", "signer"]);
    refused(&new.get("/v1/vault/accounts").await, 401, "token_invalid");

    this.running.restart().await;
    let again = this.running.owner.post_once("/v1/management/api_users", &body, "k-1").await;
    assert_eq!((again.0, &again.1), (202, &change), "asked again, the same change");
    assert_eq!(names(&this.running.owner).await, ["Olga", "signer"]);
    this.set(|control| control.holds = false);
    let done = this.decided(&change["id"]).await;
    assert_eq!((&done["status"], &done["reason"]), (&json!("APPROVED"), &Value::Null), "{done}");
    assert_eq!(done["callback"]["attempts"][0]["result"], "approved");
    assert_eq!(names(&this.running.owner).await, ["Olga", "signer", "new"]);
    ok(new.get("/v1/vault/accounts").await);
    refused(
        &this.running.owner.post_empty(&format!("/v1/config_changes/{}/cancel", done["id"].as_str().unwrap())).await,
        409,
        "conflict",
    );
    this.running.stop().await;
    let store = crate::store::Store::open(&this.running.config().database, false).await.unwrap();
    let mut read = store.write().await.unwrap();
    assert!(crate::store::audit::verify(&mut read).await.unwrap().is_some());
    let actions: Vec<String> = sqlx::query_scalar("SELECT action FROM audit WHERE subject = ? ORDER BY sequence")
        .bind(change["id"].as_str().unwrap())
        .fetch_all(&mut *read)
        .await
        .unwrap();
    assert_eq!(actions, ["config_change.request", "config_change.approved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_learns_why_a_change_was_not_approved_and_others_do_not() {
    let mut this = approving("").await;
    let editor = this.running.user_by_change("e", "EDITOR", 1).await;
    let client = this.running.client(&editor, 1);
    for (set, status, code) in [
        (Ok(ChangeVerdict::Reject), "REJECTED", "rejected"),
        (Ok(ChangeVerdict::Ignore), "FAILED", "ignored"),
        (Err(Code::TlsUntrusted), "FAILED", "tls_untrusted"),
    ] {
        this.set(|control| {
            control.verdict = set.unwrap_or(ChangeVerdict::Approve);
            control.refuses = set.err();
        });
        let change = ok(client.post("/v1/unmanaged_wallets", &json!({"name": "w"})).await);
        let done = this.decided(&change["id"]).await;
        assert_eq!((done["status"].as_str(), done["reason"]["code"].as_str()), (Some(status), Some(code)), "{done}");
        assert_eq!(done["callback"]["attempts"][0]["code"], code);
        let own = ok(client.get(&format!("/v1/config_changes/{}", done["id"].as_str().unwrap())).await);
        assert_eq!(own, done, "who asked sees it too");
    }
    assert_eq!(ok(client.get("/v1/unmanaged_wallets").await), json!([]));
    let own = ok(client.get("/v1/config_changes").await);
    assert_eq!(own["data"].as_array().unwrap().len(), 3);
    let rejected = ok(client.get("/v1/config_changes?status=REJECTED&limit=1").await);
    assert_eq!(rejected["data"][0]["reason"]["detail"], "not in my house");
    let page = ok(this.running.owner.get("/v1/config_changes?limit=2").await);
    let rest = format!("/v1/config_changes?limit=100&after={}", page["next"].as_str().unwrap());
    assert_eq!(ok(this.running.owner.get(&rest).await)["data"].as_array().unwrap().len(), 2);
    refused(&client.get("/v1/config_changes?status=MAYBE").await, 400, "malformed");
    refused(&client.get("/v1/config_changes/x").await, 404, "not_found");

    this.set(|control| (control.verdict, control.refuses) = (ChangeVerdict::Approve, None));
    let viewer = this.running.user_by_change("v", "VIEWER", 0).await;
    let viewer = this.running.client(&viewer, 0);
    assert_eq!(ok(viewer.get("/v1/config_changes").await)["data"], json!([]));
    let path = format!("/v1/config_changes/{}", own["data"][0]["id"].as_str().unwrap());
    refused(&viewer.get(&path).await, 404, "not_found");
    let metrics = this.running.local("/metrics").await.1;
    assert!(metrics.contains("config_changes_total{event=\"REJECTED\"} 1"), "{metrics}");
    assert!(metrics.contains("callback_attempts_total{kind=\"change\",result=\"failed\",reason=\"tls_untrusted\"} 1"));
    this.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t25_a_forged_approval_changes_nothing_and_is_counted_and_audited() {
    let mut this = approving("").await;
    this.set(|control| control.forges = Some(Forgery::Key));
    let change = ok(this.running.owner.post("/v1/unmanaged_wallets", &json!({"name": "w"})).await);
    let counted = || async {
        let metrics = this.running.local("/metrics").await.1;
        metrics.contains("config_changes_total{event=\"FORGED_APPROVAL\"}").then_some(())
    };
    until("the forgery to be counted", counted).await;
    let path = format!("/v1/config_changes/{}", change["id"].as_str().unwrap());
    assert_eq!(ok(this.running.owner.get(&path).await)["status"], "PENDING_APPROVAL");
    assert_eq!(ok(this.running.owner.get("/v1/unmanaged_wallets").await), json!([]));
    ok(this.running.owner.post_empty(&format!("{path}/cancel")).await);
    this.set(|control| control.forges = None);
    assert_eq!(ok(this.running.owner.get(&path).await)["status"], "CANCELLED");
    this.running.stop().await;
    let store = crate::store::Store::open(&this.running.config().database, false).await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM audit WHERE action = 'config_change.forged_approval'")
        .fetch_one(&mut *store.read().await.unwrap())
        .await
        .unwrap();
    assert!(count >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmanaged_wallet_and_its_addresses_are_in_force_once_approved() {
    let this = approving("limits.max_pending_changes = 2").await;
    let owner = &this.running.owner;
    let new = json!({"name": "exchange", "customerRefId": "ref"});
    let wallet = ok(owner.post("/v1/unmanaged_wallets", &new).await)["id"].as_str().unwrap().to_owned();
    this.decided(&json!(wallet)).await;
    let path = format!("/v1/unmanaged_wallets/{wallet}");
    let empty = json!({"id": wallet, "name": "exchange", "customerRefId": "ref", "assets": []});
    assert_eq!(ok(owner.get(&path).await), empty);

    this.set(|control| control.holds = true);
    let address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let change = ok(owner.post(&format!("{path}/ETH"), &json!({"address": address.to_lowercase()})).await);
    let shown = ok(owner.get(&format!("{path}/ETH")).await);
    assert_eq!((&shown["status"], &shown["address"]), (&json!("WAITING_FOR_APPROVAL"), &json!(address)));
    refused(&owner.post(&format!("{path}/ETH"), &json!({"address": address})).await, 409, "conflict");
    ok(owner.post(&format!("{path}/ETH_TEST5"), &json!({"address": address})).await);
    refused(&owner.post(&format!("{path}/ETH_TEST6"), &json!({"address": address})).await, 429, "busy");
    this.set(|control| control.holds = false);
    this.decided(&change["id"]).await;
    let shown = ok(owner.get(&format!("{path}/ETH")).await);
    assert_eq!((&shown["status"], &shown["balance"]), (&json!("APPROVED"), &json!("0")));
    assert!(shown["activationTime"].is_string());

    for (body, asset, status, reason) in [
        (json!({"address": "0x12"}), "ETH_TEST6", 400, "malformed"),
        (json!({"address": address.replace('A', "a")}), "ETH_TEST6", 400, "malformed"),
        (json!({"address": address, "more": 1}), "ETH_TEST6", 400, "malformed"),
        (json!({"address": address}), "BTC", 404, "not_found"),
    ] {
        refused(&owner.post(&format!("{path}/{asset}"), &body).await, status, reason);
    }
    refused(&owner.post("/v1/unmanaged_wallets", &json!({"name": ""})).await, 400, "malformed");
    refused(&owner.post("/v1/unmanaged_wallets/x/ETH", &json!({"address": address})).await, 404, "not_found");
    ok(delete(owner, &format!("{path}/ETH")).await);
    refused(&owner.get(&format!("{path}/ETH")).await, 404, "not_found");

    // Removed before an address of it is approved: the approval finds nothing to act on.
    this.set(|control| control.holds = true);
    let late = ok(owner.post(&format!("{path}/ETH_TEST6"), &json!({"address": address})).await);
    ok(delete(owner, &path).await);
    refused(&owner.get(&path).await, 404, "not_found");
    this.set(|control| control.holds = false);
    let late = this.decided(&late["id"]).await;
    assert_eq!((&late["status"], &late["reason"]["code"]), (&json!("FAILED"), &json!("not_found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_named_changes_are_in_force_at_once_and_the_audit_log_says_so() {
    let mut running = Running::start("").await;
    let owner = &running.owner;
    let answer = owner.post("/v1/unmanaged_wallets", &json!({"name": "w"})).await;
    assert_eq!((answer.0, &answer.1["assets"]), (200, &json!([])));
    let address = json!({"address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "tag": "t"});
    let path = format!("/v1/unmanaged_wallets/{}/ETH", answer.1["id"].as_str().unwrap());
    assert_eq!(ok(owner.post(&path, &address).await)["status"], "APPROVED");
    refused(&owner.post(&path, &address).await, 409, "conflict");
    assert_eq!(ok(owner.get("/v1/config_changes").await)["data"], json!([]));
    running.stop().await;
    let store = crate::store::Store::open(&running.config().database, false).await.unwrap();
    let query = "SELECT COUNT(*) FROM audit WHERE action = 'config_change.at_once' AND detail LIKE '%names nobody'";
    let count: i64 = sqlx::query_scalar(query).fetch_one(&mut *store.read().await.unwrap()).await.unwrap();
    assert_eq!(count, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn t57_a_callback_handler_set_through_the_api_alone_stays_pending() {
    let mut this = approving("").await;
    let (device, signer) = (this.cosigner.device.clone(), this.signer.clone());
    let path = format!("/v1/cosigners/{device}/api_keys/{signer}");
    let known = || async { ok(this.running.owner.get(&path).await)["approvalDigest"].as_str().map(str::to_owned) };
    let before = until("what the co-signer says", known).await;
    assert_eq!(before, hex::encode([0x5e; 32]));
    let handler =
        json!({"type": "BASIC", "url": "https://handler.example/base", "publicKey": KEYS[1].public().to_pem()});
    for (name, value) in [
        ("url", json!("http://handler.example")),
        ("url", json!("https://me@handler.example")),
        ("publicKey", json!("x")),
        ("publicKey", Value::Null),
        ("type", json!("MAGIC")),
        ("type", json!("CERTIFICATE")),
        ("more", json!(1)),
        ("countersign", json!({"deadlineMs": 1})),
        ("countersign", json!({"deadlineMs": 120_001})),
        ("countersign", json!({"networks": ["10.0.0.0"]})),
        ("countersign", json!({"retry": {"everySeconds": 3600, "times": 49}})),
    ] {
        let mut bad = handler.clone();
        bad[name] = value;
        refused(&patch(&this.running.owner, &path, &json!({"callbackHandler": bad})).await, 400, "malformed");
    }
    let (status, answer) = patch(&this.running.owner, &path, &json!({"callbackHandler": handler})).await;
    assert_eq!((status, &answer["id"], &answer["status"]), (202, &json!(signer), &json!("WAITING_FOR_APPROVAL")));
    let request = format!("{path}/{}", answer["requestId"].as_str().unwrap());
    assert_eq!(this.decided(&answer["requestId"]).await["status"], "WAITING_FOR_OPERATORS", "the handler approved");
    refused(&patch(&this.running.owner, &path, &json!({"callbackHandler": handler})).await, 409, "conflict");
    let proposed = || async { (!this.cosigner.control.lock().unwrap().proposed.is_empty()).then_some(()) };
    until("the proposal", proposed).await;
    this.running.restart().await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let owner = &this.running.owner;
    let waiting = json!({"status": "WAITING_FOR_APPROVAL", "type": "UPDATE_CALLBACK_HANDLER", "reason": null});
    assert_eq!(ok(owner.get(&request).await), waiting);
    let shown = ok(owner.get(&path).await);
    assert_eq!((&shown["approvalDigest"], shown.get("callbackHandler")), (&json!(before), None), "nothing changed");

    this.set(|control| control.operators_sign = true);
    let completed = || async { (ok(owner.get(&request).await)["status"] == "COMPLETED").then_some(()) };
    until("the operators' signature", completed).await;
    let shown = ok(owner.get(&format!("/v1/cosigners/{device}/api_keys")).await);
    assert_eq!(shown["data"][0]["callbackHandler"]["url"], "https://handler.example/base");
    assert_eq!(shown["data"][0]["approvalDigest"], answer["approvalDigest"]);
    refused(&owner.get(&format!("{path}/x")).await, 404, "not_found");
    refused(&patch(owner, &format!("{path}x"), &json!({"callbackHandler": handler})).await, 404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_operators_removed_is_shown_as_unpaired_and_approves_nothing() {
    let this = approving("").await;
    let owner = &this.running.owner;
    let path = format!("/v1/cosigners/{}", this.cosigner.device);
    let named = || async { (ok(owner.get(&path).await)["name"] == "harbour").then_some(()) };
    until("the co-signer's name", named).await;
    assert_eq!(ok(owner.get(&path).await)["users"][0]["approval"], "HANDLER");
    let setting = (countersign_wire::status::ApprovalKind::None, [0; 32]);
    this.set(|control| control.users = [("somebody".parse().unwrap(), setting)].into());
    let gone = || async { (ok(owner.get(&path).await)["users"][0]["status"] == "UNPAIRED").then_some(()) };
    until("the user to be gone", gone).await;
    let answer = owner.post("/v1/unmanaged_wallets", &json!({"name": "w"})).await;
    refused(&answer, 409, "conflict");
    assert!(answer.1["message"].as_str().unwrap().contains("removed"), "{}", answer.1);
    this.running.token(&this.signer).await;
    this.set(|control| control.users = [(this.signer.parse().unwrap(), setting)].into());
    let back = || async { (ok(owner.get(&path).await)["users"][0]["status"] == "COMPLETED").then_some(()) };
    until("the user to be back", back).await;
}
