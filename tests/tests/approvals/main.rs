//! What a handler approves beside transactions, and what it approves late, in a whole system of real processes:
//! configuration changes, a handler that the workspace proposes, and a RETRY series through the death of every process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod recording;
#[path = "../scripted_handler/mod.rs"]
mod scripted_handler;

use countersign_stack::keys::{Algorithm, KeyPair};
use countersign_stack::wait::{Seen, until};
use countersign_stack::workspace::VaultAccount;
use countersign_stack::{Ask, Setup, System};
use recording::Recording;
use reqwest::Method;
use scripted_handler::{Flaw, Server};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);
const TRANSACTIONS: &str = "/v1/transactions";

/// A handler of the test's own.
struct Own {
    recording: Arc<Recording>,
    server: Server,
    answers: KeyPair,
}

struct Scene {
    system: System,
    vault: VaultAccount,
}

impl Scene {
    async fn start(folder: &Path) -> Self {
        let system = System::start(folder, &Setup::default()).await.unwrap();
        let vault = system.vault_account("approvals").await.unwrap();
        Self { system, vault }
    }

    async fn handler(&self, name: &str) -> Own {
        let folder = self.system.stack.around.folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let answers = KeyPair::create(&folder, "answers", Algorithm::Es256).unwrap();
        let recording = Arc::new(Recording::new(&answers));
        let server = Server::start(Flaw::None, &self.system.stack.authority, &folder, recording.clone()).await;
        Own { recording, server, answers }
    }

    /// Operators say this about the handler of the only API user.
    async fn callback(&self, command: &str, flags: &[&str]) -> Value {
        let all = [&["callback", command, &self.system.user.id], flags].concat();
        self.system.stack.customer().unwrap().operator.run(all).await.unwrap()
    }

    async fn set(&self, own: &Own) {
        let key = own.answers.public.display().to_string();
        let ca = self.system.stack.authority.certificate().display().to_string();
        let flags = ["--yes", "--callback-url", &own.server.url, "--callback-key", &key, "--callback-ca", &ca];
        let local = ["--callback-network", "127.0.0.0/8", "--callback-retry-every", "30s"];
        self.callback("set", &[&flags[..], &local[..]].concat()).await;
    }

    /// The API user approves configuration changes from now on.
    async fn let_the_user_approve_changes(&mut self) {
        let file = self.system.stack.workspace().unwrap().folder.join("workspace.toml");
        let mut config = std::fs::read_to_string(&file).unwrap();
        config.push_str(&format!("\n[approvals]\nconfig_change_signer = \"{}\"\n", self.system.user.id));
        std::fs::write(&file, config).unwrap();
        self.system.stack.processes.kill("workspace").await.unwrap();
        self.system.stack.restart("workspace").await.unwrap();
    }

    /// As the workspace's owner. Until the customer's link is up again nobody can be asked, and nothing is made.
    async fn as_owner(&self, method: Method, path: &str, body: &Value) -> Value {
        let owner = &self.system.stack.workspace().unwrap().admin;
        let bytes = body.to_string().into_bytes();
        let answer = until(format!("{method} {path}"), DEADLINE, || async {
            let token = owner.token(path, &bytes)?;
            let (status, text) = owner.send(method.clone(), path, bytes.clone(), &token, None).await?;
            Ok(if status.is_success() { Seen::Done(text) } else { Seen::NotYet(format!("{status}: {text}")) })
        });
        serde_json::from_str(&answer.await.unwrap()).unwrap()
    }

    async fn wallets(&self) -> Vec<String> {
        let all = self.as_owner(Method::GET, "/v1/unmanaged_wallets", &Value::Null).await;
        let all = all.as_array().or_else(|| all["data"].as_array()).expect("a list").clone();
        all.iter().map(|wallet| wallet["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until a configuration change is in this state.
    async fn change_is(&self, id: &str, status: &str) -> Value {
        let owner = &self.system.stack.workspace().unwrap().admin;
        let path = format!("/v1/config_changes/{id}");
        let seen = until(format!("configuration change {id} to be {status}"), DEADLINE, || async {
            let change = owner.get(&path).await?;
            Ok(if change["status"] == status { Seen::Done(change) } else { Seen::NotYet(change.to_string()) })
        });
        seen.await.unwrap()
    }

    async fn signs(&self) {
        let ask = Ask::message(self.vault.id, uuid::Uuid::new_v4().as_bytes());
        let ended = self.system.transact(&ask).await.unwrap();
        assert_eq!(ask.verify(&ended, self.vault.address).unwrap().len(), 1, "{ended}");
    }
}

#[tokio::test]
async fn e2e_t57_changes_wait_for_the_handler_and_a_proposed_handler_for_the_operators() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::start(folder.path()).await;
    let old = scene.handler("old").await;
    scene.set(&old).await;
    scene.let_the_user_approve_changes().await;

    // A wallet exists once the handler has approved it, and it sees which one.
    let change = scene.as_owner(Method::POST, "/v1/unmanaged_wallets", &json!({"name": "suppliers"})).await;
    assert_eq!(change["status"], "PENDING_APPROVAL", "{change}");
    let done = scene.change_is(change["id"].as_str().unwrap(), "APPROVED").await;
    assert_eq!(done["callback"]["attempts"][0]["result"], "approved", "{done}");
    assert_eq!(scene.wallets().await, ["suppliers"]);
    let (path, shown) = old.recording.last();
    assert_eq!(path, "/v2/config_change_sign_request");
    assert_eq!(shown["type"], "UNMANAGED_WALLET", "{shown}");

    // One that it rejects does not.
    old.recording.says("REJECT");
    let change = scene.as_owner(Method::POST, "/v1/unmanaged_wallets", &json!({"name": "thieves"})).await;
    let done = scene.change_is(change["id"].as_str().unwrap(), "REJECTED").await;
    assert_eq!(done["reason"]["code"], "rejected", "{done}");
    assert_eq!(scene.wallets().await, ["suppliers"]);
    old.recording.says("APPROVE");

    // Another handler, approved by the old one, is still no more than a proposal.
    let new = scene.handler("new").await;
    let cosigner = &scene.system.cosigners[0];
    let proposed = json!({"callbackHandler": {
        "url": new.server.url, "publicKey": new.answers.public_pem().unwrap(),
        "countersign": {
            "rootCertificate": scene.system.stack.authority.pem(), "networks": ["127.0.0.0/8"], "deadlineMs": 20_000,
        },
    }});
    let path = format!("/v1/cosigners/{cosigner}/api_keys/{}", scene.system.user.id);
    let answer = scene.as_owner(Method::PATCH, &path, &proposed).await;
    let change = answer["requestId"].as_str().unwrap().to_owned();
    scene.change_is(&change, "WAITING_FOR_OPERATORS").await;
    scene.signs().await;
    assert_eq!(new.recording.count(), 0, "the proposed handler was asked for nothing");
    let shown = until("the proposal to be shown to operators", DEADLINE, || async {
        let shown = scene.callback("show", &[]).await;
        Ok(if shown["proposal"]["change"] == change.as_str() {
            Seen::Done(shown)
        } else {
            Seen::NotYet(shown["proposal"].to_string())
        })
    });
    let shown = shown.await.unwrap();
    assert!(shown["setting"].to_string().contains(&old.server.url), "{shown}");

    // Operators put it in force: exactly that one, by its hash.
    let hash = answer["approvalDigest"].as_str().unwrap();
    scene.callback("set", &["--yes", "--accept-proposal", &change, "--hash", hash]).await;
    scene.change_is(&change, "APPROVED").await;
    let asked = old.recording.count();
    scene.signs().await;
    assert_eq!((new.recording.count(), old.recording.count()), (1, asked), "the new handler, and it alone, was asked");
    assert_eq!(scene.system.stack.stop().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn e2e_a_retry_series_outlives_every_process_and_shows_the_handler_the_same_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::start(folder.path()).await;
    let own = scene.handler("own").await;
    scene.set(&own).await;
    own.recording.says("RETRY");
    let ask = Ask::message(scene.vault.id, b"somebody has to look at this");
    let made = scene.system.client.post(TRANSACTIONS, &ask.body).await.unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("{TRANSACTIONS}/{id}");
    let waits = until("the first RETRY to be in the record", DEADLINE, || async {
        let shown = scene.system.client.get(&path).await?;
        let next = &shown["countersign"]["callback"]["nextAt"];
        Ok(if next.is_number() { Seen::Done(()) } else { Seen::NotYet(shown.to_string()) })
    });
    waits.await.unwrap();
    own.recording.says("APPROVE");

    scene.system.stack.kill_all().await.unwrap();
    scene.system.stack.start_all().await.unwrap();
    let workspace = scene.system.stack.workspace().unwrap();
    let ended = workspace.ended(&scene.system.client, &id, DEADLINE).await.unwrap();
    assert_eq!(ask.verify(&ended, scene.vault.address).unwrap().len(), 1, "{ended}");
    let results: Vec<&str> = ended["countersign"]["callback"]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["retry", "approved"], "{ended}");
    let seen = own.recording.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[0], seen[1], "the same path and the same parameters");
    assert_eq!(scene.system.stack.stop().await.unwrap(), [""; 0]);
}
