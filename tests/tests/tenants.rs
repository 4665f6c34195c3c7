//! One co-signer for two API users of one workspace and one of another, which know nothing of each other: real processes,
//! real signatures. The same cloud co-signers serve both workspaces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use countersign_stack::handler::Handler;
use countersign_stack::keys::Algorithm;
use countersign_stack::member::{Member, Role};
use countersign_stack::workspace::{ApiUser, VaultAccount, Workspace};
use countersign_stack::{ApiError, Approval, Ask, Client, Options, Pairing, Stack, StackError};
use countersign_tests::bench::Bench;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(180);
const GROUP_DEADLINE: Duration = Duration::from_secs(600);

/// An API user that signs with the customer's co-signer.
struct Tenant {
    workspace: usize,
    user: ApiUser,
    client: Client,
    handler: Handler,
    pairing: String,
    callback_key: String,
    vault: VaultAccount,
    key: String,
}

/// A workspace's side of the co-signers.
struct Side {
    cosigners: Vec<String>,
    group: String,
    group_hash: String,
}

async fn paired(stack: &mut Stack, workspace: usize, name: &str) -> (Tenant, String) {
    let handler = stack.start_handler(&format!("handler-{name}"), Algorithm::Es256, &[]).await.unwrap();
    let at = &stack.workspaces[workspace];
    let user = at.create_user(name, "SIGNER", true).await.unwrap();
    let pairing = Pairing { approval: Approval::Handler(&handler), allow_raw: true, require_intent: true };
    let (cosigner, added) = stack.pair(at, &user, stack.customer().unwrap(), &[&user], pairing).await.unwrap();
    let text = |member: &str| added[member].as_str().unwrap().to_owned();
    let tenant = Tenant {
        workspace,
        client: at.client(&user).unwrap(),
        user,
        handler,
        pairing: text("pairing"),
        callback_key: text("callback_public_key_pem"),
        vault: VaultAccount { id: u32::MAX, address: Default::default() },
        key: String::new(),
    };
    (tenant, cosigner)
}

/// Pairs the clouds and makes the group ready.
async fn side(stack: &Stack, workspace: usize, customer: String, initiators: &[&ApiUser]) -> Side {
    let at = &stack.workspaces[workspace];
    let mut cosigners = vec![customer];
    for member in stack.members.iter().filter(|m| m.role == Role::Cloud) {
        let user = at.create_user(&member.name, "CLOUD_COSIGNER", false).await.unwrap();
        let pairing = Pairing { approval: Approval::Nobody, allow_raw: false, require_intent: true };
        cosigners.push(stack.pair(at, &user, member, initiators, pairing).await.unwrap().0);
    }
    let members: Vec<&Member> = stack.members.iter().collect();
    let group = stack.form_group(at, &cosigners, &members, 3).await.unwrap();
    stack.group_ready(at, &group, &members, GROUP_DEADLINE, |_| {}).await.unwrap();
    let shown = at.admin.get(&format!("/v1/signing_groups/{group}")).await.unwrap();
    Side { cosigners, group, group_hash: shown["hash"].as_str().unwrap().to_owned() }
}

async fn with_vault(stack: &Stack, tenant: &mut Tenant) {
    let at = &stack.workspaces[tenant.workspace];
    tenant.vault = at.vault_account("treasury", &tenant.user).await.unwrap();
    let wallet = at.admin.get(&format!("/v1/vault/accounts/{}/ETH", tenant.vault.id)).await.unwrap();
    tenant.key = wallet["keyId"].as_str().unwrap().to_owned();
}

/// Signs a message as the tenant, and returns the transaction.
async fn signs(stack: &Stack, tenant: &Tenant, message: &str) -> Value {
    let ask = Ask::message(tenant.vault.id, message.as_bytes());
    let at = &stack.workspaces[tenant.workspace];
    let ended = at.transact(&tenant.client, &ask, DEADLINE).await.unwrap();
    assert_eq!(ask.verify(&ended, tenant.vault.address).unwrap().len(), 1);
    assert_eq!(ended["keyId"], tenant.key.as_str());
    ended
}

/// The answer must be 404, in words that say nothing of what there is elsewhere, and not because there is no such path.
fn finds_nothing(what: &str, answer: Result<Value, ApiError>) {
    match answer {
        Err(ApiError::Refused { status: 404, message, body, .. }) => {
            assert_eq!(body["reason"], "not_found", "{what}: {body}");
            assert!(message.contains("in this workspace"), "{what}: {message}");
        }
        other => panic!("{what}: expected 404, got {other:?}"),
    }
}

fn kind(answer: Result<Value, StackError>) -> (String, String) {
    match answer {
        Err(StackError::Cosigner { error, .. }) => {
            let text = |member: &str| error[member].as_str().unwrap_or_default().to_owned();
            (text("kind"), text("refusal_code"))
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn texts(values: &Value, member: &str) -> BTreeSet<String> {
    values.as_array().unwrap().iter().map(|v| v[member].as_str().unwrap().to_owned()).collect()
}

/// The owner of `own` asks for everything of `other`, by its ids.
async fn http_finds_nothing(own: &Workspace, own_user: &ApiUser, other: &Tenant, side: &Side, signed: &Value) {
    let (admin, vault) = (&own.admin, other.vault.id);
    let text = |member: &str| signed[member].as_str().unwrap().to_owned();
    let (transaction, external) = (text("id"), text("externalTxId"));
    let cosigner = &side.cosigners[0];
    let group = &side.group;
    for path in [
        format!("/v1/keys/{}", other.key),
        format!("/v1/signing_groups/{group}"),
        format!("/v1/cosigners/{cosigner}"),
        format!("/v1/transactions/{transaction}"),
        format!("/v1/transactions/external_tx_id/{external}"),
        format!("/v1/vault/accounts/{vault}"),
        format!("/v1/vault/accounts/{vault}/ETH"),
        format!("/v1/vault/accounts/{vault}/ETH/key_certificate"),
        format!("/v1/vault/accounts/{vault}/ETH/addresses_paginated"),
        format!("/v1/vault/accounts/{vault}/ETH/0/0/public_key_info"),
    ] {
        finds_nothing(&path, admin.get(&path).await);
    }
    let new_key = |signer: &str| json!({"coinType": 60, "operations": ["RAW"], "signerId": signer});
    let mut in_foreign_group = new_key(&own_user.id);
    in_foreign_group["groupId"] = group.as_str().into();
    let group_of =
        json!({"customerCosignerId": cosigner, "cloudCosignerIds": side.cosigners[1..].to_vec(), "threshold": 3});
    for (path, body) in [
        (format!("/v1/transactions/{transaction}/cancel"), json!({})),
        ("/v1/transactions".to_owned(), Ask::message(vault, b"not mine").body),
        ("/v1/vault/accounts".to_owned(), json!({"name": "x", "signerId": other.user.id})),
        (format!("/v1/vault/accounts/{vault}/ETH"), json!({})),
        (format!("/v1/management/api_users/{}/pairing_token", other.user.id), json!({})),
        (format!("/v1/cosigners/{cosigner}/api_keys/{}/approve", other.user.id), json!({})),
        ("/v1/signing_groups".to_owned(), group_of),
        ("/v1/keys".to_owned(), new_key(&other.user.id)),
        ("/v1/keys".to_owned(), in_foreign_group),
    ] {
        finds_nothing(&format!("POST {path} {body}"), admin.post(&path, &body).await);
    }
    // A user of the other workspace is nobody here, whatever it signs.
    let key = other.user.key.as_ref().unwrap().private_pem().unwrap();
    let ca = std::fs::read_to_string(own.folder.parent().unwrap().join("ca.pem")).unwrap();
    let foreign = Client::new(&own.url, &ca, &other.user.id, &key).unwrap();
    assert_eq!(foreign.get("/v1/transactions").await.unwrap_err().status(), Some(401));
    let transactions = admin.get("/v1/transactions?limit=500").await.unwrap();
    assert!(!texts(&transactions, "id").contains(&transaction));
}

/// Commands of the co-signer's operator that name things of one pairing with the other's id.
async fn commands_find_nothing(member: &Member, own_pairing: &str, other: &Tenant, side: &Side) {
    let run = |arguments: Vec<&str>| member.operator.run(arguments.into_iter().map(str::to_owned).collect::<Vec<_>>());
    let accept = vec!["group", "accept", "--pairing", own_pairing, "--group", &side.group, "--hash", &side.group_hash];
    assert_eq!(kind(run(accept).await).0, "not_found");
    let remove = vec!["initiator", "remove", "--pairing", own_pairing, "--user", &other.user.id];
    assert_eq!(kind(run(remove).await), ("refused".to_owned(), "not_found".to_owned()));
    let clear = vec!["key", "clear-quarantine", "--pairing", own_pairing, "--key", &other.key, "--yes"];
    assert_eq!(kind(run(clear).await), ("refused".to_owned(), "not_found".to_owned()));
    let keys = run(vec!["list-keys", "--pairing", own_pairing]).await.unwrap();
    assert!(!texts(&keys["keys"], "key").contains(&other.key));
    let users = run(vec!["list-users", "--pairing", own_pairing]).await.unwrap();
    assert!(!texts(&users["users"], "user").contains(&other.user.id));
    let initiators = run(vec!["initiator", "list", "--pairing", own_pairing]).await.unwrap();
    assert!(!texts(&initiators["initiators"], "user").contains(&other.user.id));
}

/// A workspace asks for a key under an id that names a key of the other one: it gets a key of its own.
async fn the_same_key_id_is_another_key(own: &Workspace, signer: &ApiUser, other: &Tenant, others_key: &Value) {
    let body = json!({"keyId": other.key, "coinType": 60, "operations": ["RAW"], "signerId": signer.id});
    own.admin.post("/v1/keys", &body).await.unwrap();
    let path = format!("/v1/keys/{}", other.key);
    let made = countersign_stack::wait::until("a key under the other's id", DEADLINE, || async {
        let key = own.admin.get(&path).await?;
        Ok(match key["status"].as_str() {
            Some("READY") => countersign_stack::wait::Seen::Done(key),
            _ => countersign_stack::wait::Seen::NotYet(key.to_string()),
        })
    });
    let made = made.await.unwrap();
    assert!(made["publicKey"].is_string() && made["publicKey"] != others_key["publicKey"], "{made} {others_key}");
}

mod e2e {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn t52_tenants_of_one_cosigner_sign_with_their_own_keys_and_find_nothing_of_each_other() {
        let bench = Bench::new("tenants");
        let options = Options { workspaces: 2, ..Options::default() };
        let mut stack = Stack::start(&bench.stack(), &options).await.unwrap();
        stack.claim_all().await.unwrap();
        let (mut anna, first) = paired(&mut stack, 0, "anna").await;
        let (mut bert, second) = paired(&mut stack, 0, "bert").await;
        let (mut carl, elsewhere) = paired(&mut stack, 1, "carl").await;
        assert_eq!((&first, &anna.pairing), (&second, &bert.pairing));
        assert!(first != elsewhere && anna.pairing != carl.pairing && anna.callback_key != carl.callback_key);
        let here = side(&stack, 0, first, &[&anna.user, &bert.user]).await;
        bench.say("the first workspace's group is ready");
        let there = side(&stack, 1, elsewhere, &[&carl.user]).await;
        bench.say("the second workspace's group is ready");

        // In this order: the first workspace gets a vault account with a number that the second one does not have.
        for tenant in [&mut anna, &mut bert, &mut carl] {
            with_vault(&stack, tenant).await;
        }
        let keys: BTreeSet<&str> = [&anna, &bert, &carl].map(|t| t.key.as_str()).into();
        let addresses: BTreeSet<_> = [&anna, &bert, &carl].map(|t| t.vault.address).into();
        assert_eq!((keys.len(), addresses.len()), (3, 3));
        let mut signed = Vec::new();
        for tenant in [&anna, &bert, &carl] {
            signed.push(signs(&stack, tenant, "each with its own key").await);
        }
        for (tenant, transaction) in [&anna, &bert, &carl].into_iter().zip(&signed) {
            for (other, _) in [&anna, &bert, &carl].into_iter().zip(&signed).filter(|(_, t)| *t != transaction) {
                let log = std::fs::read_to_string(&other.handler.log).unwrap();
                assert!(!log.contains(transaction["id"].as_str().unwrap()), "{}'s handler", other.user.id);
            }
            let log = std::fs::read_to_string(&tenant.handler.log).unwrap();
            assert!(log.contains(transaction["id"].as_str().unwrap()));
        }
        bench.say("three users signed, each with its own key and its own handler");

        // Bert's vault account has a number that is not there in the second workspace.
        http_finds_nothing(&stack.workspaces[1], &carl.user, &bert, &here, &signed[1]).await;
        let customer = stack.customer().unwrap();
        commands_find_nothing(customer, &carl.pairing, &bert, &here).await;
        commands_find_nothing(customer, &bert.pairing, &carl, &there).await;
        let before = stack.workspaces[0].admin.get(&format!("/v1/keys/{}", bert.key)).await.unwrap();
        the_same_key_id_is_another_key(&stack.workspaces[1], &carl.user, &bert, &before).await;
        assert_eq!(stack.workspaces[0].admin.get(&format!("/v1/keys/{}", bert.key)).await.unwrap(), before);
        for tenant in [&bert, &carl] {
            signs(&stack, tenant, "as if nothing had happened").await;
        }
        bench.say("T52: neither HTTP nor commands find anything of the other workspace");

        for (down, up) in [(1, vec![&anna, &bert]), (0, vec![&carl])] {
            let name = stack.workspaces[down].name.clone();
            stack.processes.kill(&name).await.unwrap();
            for tenant in up {
                signs(&stack, tenant, "the other workspace is down").await;
            }
            let status = stack.customer().unwrap().status().await.unwrap();
            assert_eq!(status["pairings"].as_array().unwrap().len(), 2);
            stack.restart(&name).await.unwrap();
            let back = if down == 0 { &anna } else { &carl };
            signs(&stack, back, "back again").await;
            bench.say(&format!("{name} was down, and the other did not notice"));
        }
        stack.stop().await.unwrap();
    }
}
