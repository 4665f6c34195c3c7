//! Clients that ask again, at the same time and later: real processes, real signatures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use countersign_stack::workspace::VaultAccount;
use countersign_stack::{Ask, Client, Setup, System};
use countersign_tests::bench::{Bench, rounds};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Equal requests at once.
const AT_ONCE: usize = 100;
/// Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(180);
const TRANSACTIONS: &str = "/v1/transactions";

/// One request, with a token of its own.
async fn post(client: &Client, body: &Value, idempotency_key: Option<&str>) -> (u16, String) {
    let body = body.to_string().into_bytes();
    let token = client.token(TRANSACTIONS, &body).unwrap();
    let (status, text) = client.send(Method::POST, TRANSACTIONS, body, &token, idempotency_key).await.unwrap();
    (status.as_u16(), text)
}

async fn post_at_once(client: &Client, body: &Value, idempotency_key: Option<&str>) -> Vec<(u16, String)> {
    let all = (0..AT_ONCE).map(|_| {
        let (client, body, key) = (client.clone(), body.clone(), idempotency_key.map(str::to_owned));
        tokio::spawn(async move { post(&client, &body, key.as_deref()).await })
    });
    join_all(all).await.into_iter().map(Result::unwrap).collect()
}

/// How many lines of a handler's log are about this transaction: it is asked once for each Authorisation.
fn times_asked(system: &System, transaction: &str) -> usize {
    let log = std::fs::read_to_string(&system.handler.log).unwrap();
    log.lines().filter(|line| line.contains("\"transaction\"") && line.contains(transaction)).count()
}

/// Transactions signed since the workspace's start.
async fn signed(system: &System) -> u64 {
    let ready = std::fs::read(system.stack.workspace().unwrap().folder.join("ready.json")).unwrap();
    let ready: Value = serde_json::from_slice(&ready).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/metrics", ready["metrics"].as_str().unwrap());
    let text = http.get(url).send().await.unwrap().text().await.unwrap();
    let is_it = |line: &&str| {
        let name = "countersign_workspace_ceremonies_total{";
        line.starts_with(name) && line.contains("kind=\"sign\"") && line.contains("event=\"succeeded\"")
    };
    text.lines().find(is_it).map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

async fn transactions(client: &Client) -> Vec<Value> {
    client.get("/v1/transactions?limit=500").await.unwrap().as_array().unwrap().clone()
}

mod e2e {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn idempotency_a_hundred_equal_requests_at_once_are_one_transaction_and_one_signature() {
        let bench = Bench::new("idempotency");
        let mut system = System::start(&bench.stack(), &Setup::default()).await.unwrap();
        let vault = system.vault_account("treasury").await.unwrap();
        bench.say("ready");
        let waves = rounds(1, 10);
        for wave in 0..waves {
            let before = signed(&system).await;
            let known = transactions(&system.client).await.len();
            same_key(&bench, &mut system, vault, wave).await;
            same_external_id(&bench, &system, vault, wave).await;
            // Two transactions, each signed once.
            assert_eq!(signed(&system).await, before + 2);
            assert_eq!(transactions(&system.client).await.len(), known + 2);
        }
        after_a_crash(&bench, &mut system, vault).await;
        system.stack.stop().await.unwrap();
    }

    async fn same_key(bench: &Bench, system: &mut System, vault: VaultAccount, wave: u64) {
        // Without an externalTxId: the header alone has to do it.
        let message = format!("once, wave {wave}");
        let ask = Ask::message(vault.id, message.as_bytes()).external_id(None);
        let key = format!("wave-{wave}");
        let answers = post_at_once(&system.client, &ask.body, Some(&key)).await;
        let first = answers.first().unwrap().clone();
        assert_eq!(first.0, 200, "{}", first.1);
        assert!(answers.iter().all(|answer| *answer == first), "{answers:?}");
        let id = serde_json::from_str::<Value>(&first.1).unwrap()["id"].as_str().unwrap().to_owned();
        let other = Ask::message(vault.id, b"something else").external_id(None);
        let (status, text) = post(&system.client, &other.body, Some(&key)).await;
        assert_eq!(status, 409, "{text}");
        let workspace = system.stack.workspace().unwrap();
        let ended = workspace.ended(&system.client, &id, DEADLINE).await.unwrap();
        assert_eq!(ask.verify(&ended, vault.address).unwrap().len(), 1);
        assert_eq!(times_asked(system, &id), 1);
        // Afterwards the answer is still the first one, and the conflict a conflict.
        assert_eq!(post(&system.client, &ask.body, Some(&key)).await, first);
        assert_eq!(post(&system.client, &other.body, Some(&key)).await.0, 409);
        // Nothing of that touched the transaction.
        assert_eq!(system.client.get(&format!("{TRANSACTIONS}/{id}")).await.unwrap(), ended);
        bench.say(&format!("wave {wave}: {AT_ONCE} equal requests with one Idempotency-Key: transaction {id}"));
    }

    async fn same_external_id(bench: &Bench, system: &System, vault: VaultAccount, wave: u64) {
        let external = format!("external-{wave}");
        let ask = Ask::message(vault.id, b"by the client's own id").external_id(Some(&external));
        let answers = post_at_once(&system.client, &ask.body, None).await;
        let parsed: Vec<(u16, Value)> =
            answers.iter().map(|(status, text)| (*status, serde_json::from_str(text).unwrap())).collect();
        let taken: Vec<&Value> = parsed.iter().filter(|(status, _)| *status == 200).map(|(_, body)| body).collect();
        assert_eq!(taken.len(), 1, "{parsed:?}");
        let id = taken[0]["id"].as_str().unwrap();
        for (_, refused) in parsed.iter().filter(|(status, _)| *status != 200) {
            assert_eq!((&refused["code"], &refused["reason"]), (&json!(409), &json!("conflict")), "{refused}");
            assert_eq!(refused["existingId"], id, "{refused}");
            assert!(refused["message"].as_str().unwrap().contains(id), "{refused}");
        }
        let workspace = system.stack.workspace().unwrap();
        let ended = workspace.ended(&system.client, id, DEADLINE).await.unwrap();
        assert_eq!(ask.verify(&ended, vault.address).unwrap().len(), 1);
        assert_eq!(times_asked(system, id), 1);
        let other = Ask::message(vault.id, b"something else").external_id(Some(&external));
        let (status, text) = post(&system.client, &other.body, None).await;
        assert_eq!((status, text.contains(id)), (409, true), "{text}");
        let found = system.client.get(&format!("{TRANSACTIONS}/external_tx_id/{external}")).await.unwrap();
        assert_eq!(found, ended);
        bench.say(&format!("wave {wave}: {AT_ONCE} equal requests with one externalTxId: transaction {id}"));
    }

    async fn after_a_crash(bench: &Bench, system: &mut System, vault: VaultAccount) {
        let ask = Ask::message(vault.id, b"before the crash").external_id(Some("crash"));
        let first = post(&system.client, &ask.body, Some("crash")).await;
        assert_eq!(first.0, 200, "{}", first.1);
        // Answered means durable: whatever was going on, the workspace is killed now.
        let name = system.stack.workspace().unwrap().name.clone();
        system.stack.processes.kill(&name).await.unwrap();
        system.stack.restart(&name).await.unwrap();
        assert_eq!(post(&system.client, &ask.body, Some("crash")).await, first);
        let (status, text) = post(&system.client, &ask.body, None).await;
        let id = serde_json::from_str::<Value>(&first.1).unwrap()["id"].as_str().unwrap().to_owned();
        assert_eq!((status, text.contains(&id)), (409, true), "{text}");
        let workspace = system.stack.workspace().unwrap();
        let ended = workspace.ended(&system.client, &id, DEADLINE).await.unwrap();
        assert_eq!(ask.verify(&ended, vault.address).unwrap().len(), 1);
        assert_eq!(times_asked(system, &id), 1);
        bench.say("the same after a crash of the workspace");
    }
}
