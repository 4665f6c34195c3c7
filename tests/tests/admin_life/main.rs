//! What an admin does with `cosigner` day by day, against a whole system of real processes, and what the admin then sees. The
//! documents show these outputs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod handler;
mod outputs;
#[path = "../scripted_handler/mod.rs"]
mod scripted_handler;

use countersign_stack::cosigner::Cosigner;
use countersign_stack::keys::{Algorithm, KeyPair};
use countersign_stack::member::{Member, Role};
use countersign_stack::wait::{Seen, until};
use countersign_stack::workspace::{ApiUser, VaultAccount};
use countersign_stack::{Ask, Material, Setup, StackError, System};
use handler::{Scripted, Stale};
use outputs::compare;
use scripted_handler::{Answer, Flaw, Server};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(120);

/// What a command showed, on both streams, and its exit code.
struct Run {
    shown: String,
    code: i32,
}

impl Run {
    #[track_caller]
    fn passed(self) -> String {
        assert_eq!(self.code, 0, "{}", self.shown);
        self.shown
    }
}

/// Runs the command line as a person does.
async fn run(operator: &Cosigner, arguments: &[&str]) -> Run {
    let mut command = Command::new(&operator.program);
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("COUNTERSIGN_")) {
        command.env_remove(name);
    }
    let command = command.env("NO_COLOR", "1").args(arguments).args(operator.common_flags());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    // Said on every use of a development root, and of no use in a document.
    let stderr = stderr.lines().filter(|line| !line.starts_with("warning: DEVELOPMENT ROOT"));
    let shown = stderr.fold(stdout, |shown, line| format!("{shown}{line}\n"));
    Run { shown, code: output.status.code().unwrap() }
}

struct Scene {
    system: System,
    vault: VaultAccount,
}

impl Scene {
    fn operator(&self) -> &Cosigner {
        &self.system.stack.customer().unwrap().operator
    }

    fn user(&self) -> &str {
        &self.system.user.id
    }

    async fn run(&self, arguments: &[&str]) -> Run {
        run(self.operator(), arguments).await
    }

    /// A command about the handler of the first API user.
    async fn callback(&self, command: &str, flags: &[&str]) -> Run {
        self.run(&[&["callback", command, self.user()], flags].concat()).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        self.operator().run(arguments.iter().copied()).await.unwrap()
    }

    fn key_pair(&self, name: &str) -> KeyPair {
        KeyPair::create(&self.system.stack.around.folder, name, Algorithm::Es256).unwrap()
    }

    async fn server(&self, name: &str, answer: Arc<dyn Answer>) -> Server {
        let folder = self.system.stack.around.folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Server::start(Flaw::None, &self.system.stack.authority, &folder, answer).await
    }

    /// Operators set the handler of the first API user.
    async fn set(&self, url: &str, key: &Path) {
        let (key, ca) = (key.display().to_string(), self.system.stack.authority.certificate().display().to_string());
        let flags = ["--yes", "--callback-url", url, "--callback-key", &key, "--callback-ca", &ca];
        let shown = self.callback("set", &[&flags[..], &["--callback-network", "127.0.0.0/8"]].concat()).await.passed();
        assert!(shown.contains("next: `cosigner callback test"), "{shown}");
    }

    async fn transact(&self) -> (Ask, Value) {
        let ask = Ask::message(self.vault.id, uuid::Uuid::new_v4().as_bytes());
        let ended = self.system.transact(&ask).await.unwrap();
        (ask, ended)
    }

    #[track_caller]
    fn is_signed(&self, (ask, ended): &(Ask, Value)) {
        let signed = ask.verify(ended, self.vault.address);
        assert!(signed.is_ok_and(|signatures| signatures.len() == 1), "{ended}");
    }

    fn compare(&self, name: &str, run: &Run) {
        compare(name, &run.shown, &self.operator().socket);
    }
}

#[tokio::test]
async fn e2e_an_admins_life_with_one_co_signer() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &Setup::default()).await.unwrap();
    let vault = system.vault_account("admin").await.unwrap();
    let mut scene = Scene { system, vault };

    all_is_well(&scene).await;
    a_handlers_key_rotates(&scene).await;
    a_handler_that_answers_another_request_fails_its_test(&scene).await;
    a_handler_that_is_gone_is_found_by_the_doctor(&mut scene).await;
    let second = pairings_are_refused_and_made(&mut scene).await;
    a_user_is_removed(&scene, &second).await;

    let stopped = scene.system.stack.stop().await.unwrap();
    assert_eq!(stopped, [""; 0], "every process ends by itself");
}

async fn all_is_well(scene: &Scene) {
    let shown = scene.run(&["rename", "paris-1"]).await.passed();
    assert!(shown.contains("paris-1"), "{shown}");
    let shown = scene.run(&["get-status"]).await.passed();
    assert!(shown.contains("named \"paris-1\""), "{shown}");

    let tested = scene.callback("test", &[]).await;
    scene.compare("callback-test-passed", &tested);
    assert_eq!(tested.code, 0);
    scene.is_signed(&scene.transact().await);

    let shown = scene.run(&["logs", "--user", scene.user()]).await.passed();
    let of_call = |line: &&str| line.contains(" callback: ") && line.contains(scene.user());
    assert!(shown.lines().any(|line| of_call(&line)), "{shown}");
    assert_eq!(scene.run(&["logs", "--user", "nobody"]).await.passed(), "no such lines\n");

    let shown = scene.run(&["doctor"]).await.passed();
    assert!(shown.contains("0 failed") && !shown.contains("FAILED"), "{shown}");
}

async fn a_handlers_key_rotates(scene: &Scene) {
    let (old, new) = (scene.key_pair("old"), scene.key_pair("new"));
    let scripted = Arc::new(Scripted::new(&old));
    let server = scene.server("rotating", scripted.clone()).await;
    scene.set(&server.url, &old.public).await;
    let fingerprints = || async {
        let shown = scene.json(&["callback", "show", scene.user()]).await;
        let keys = shown["setting"]["handler"]["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["sha256"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = fingerprints().await;
    let shown = scene.callback("show", &[]).await.passed();
    assert!(shown.contains(&server.url) && shown.contains(&before[0]), "{shown}");
    scene.is_signed(&scene.transact().await);

    let file = new.public.display().to_string();
    scene.callback("rotate-key", &["--yes", "--key", &file]).await.passed();
    let both = fingerprints().await;
    assert_eq!((both.len(), &both[0]), (2, &before[0]));
    scene.is_signed(&scene.transact().await);
    scripted.signs_with(&new);
    scene.is_signed(&scene.transact().await);

    // What waits for another try ends with the key that is retired.
    scripted.says("RETRY");
    let made =
        scene.system.client.post("/v1/transactions", &Ask::message(scene.vault.id, b"later").body).await.unwrap();
    let id = made["id"].as_str().unwrap();
    let waits = until("the RETRY series", DEADLINE, || async {
        let shown = scene.json(&["callback", "show", scene.user()]).await;
        Ok(if shown["user"]["retrying"] == 1 { Seen::Done(()) } else { Seen::NotYet(shown["user"].to_string()) })
    });
    waits.await.unwrap();
    let shown = scene.callback("rotate-key", &["--yes", "--finish"]).await.passed();
    assert!(shown.contains("its RETRY series (1 now): they have to be sent again"), "{shown}");
    assert!(shown.contains("ended: 1 requests that waited"), "{shown}");
    let workspace = scene.system.stack.workspace().unwrap();
    let ended = workspace.ended(&scene.system.client, id, DEADLINE).await.unwrap();
    assert_eq!(ended["rejection"]["code"], "handler_changed", "{ended}");

    assert_eq!(fingerprints().await, both[1..]);
    scripted.says("APPROVE");
    scene.is_signed(&scene.transact().await);
    scripted.signs_with(&old);
    let (ask, ended) = scene.transact().await;
    ask.verify_refused(&ended, "bad_signature").unwrap();
}

async fn a_handler_that_answers_another_request_fails_its_test(scene: &Scene) {
    let pair = scene.key_pair("stale");
    let server = scene.server("stale", Arc::new(Stale(pair.clone()))).await;
    scene.set(&server.url, &pair.public).await;
    let tested = scene.callback("test", &[]).await;
    scene.compare("callback-test-failed", &tested);
    assert_eq!(tested.code, 1);
}

/// A second API user of the co-signer is paired, after one mistake; its token is worth nothing to anybody else.
async fn pairings_are_refused_and_made(scene: &mut Scene) -> ApiUser {
    let spare = spare(scene).await.unwrap();
    let stack = &scene.system.stack;
    let workspace = stack.workspace().unwrap();
    let second = workspace.create_user("second", "SIGNER", true).await.unwrap();
    let token = workspace.pairing_token(&second).await.unwrap().display().to_string();
    let ca = stack.authority.certificate().display().to_string();
    let initiator = format!("{}={}", second.id, second.key.as_ref().unwrap().public.display());
    let (url, key) = (&scene.system.handler.url, scene.system.handler.answers.public.display().to_string());
    let local = ["--workspace-network", "127.0.0.0/8", "--callback-network", "127.0.0.0/8"];
    let of_handler = ["--callback-url", url, "--callback-key", &key, "--callback-ca", &ca];
    let add = |fingerprint| {
        let who = ["add-user", "--token-file", &token, "--workspace-key", fingerprint, "--workspace-ca", &ca];
        [&who[..], &["--initiator", &initiator], &of_handler, &local].concat()
    };

    let wrong = "cc".repeat(32);
    let refused = scene.run(&add(&wrong)).await;
    assert!(refused.shown.contains("workspace_untrusted"), "{}", refused.shown);
    scene.compare("pairing-refused-key", &refused);
    assert_eq!(refused.code, 3);
    scene.run(&add(&workspace.fingerprint)).await.passed();
    let owners = scene.json(&["operator-key", "show"]).await;
    let operators = [owners["keys"][0]["public_key"].as_str().unwrap().to_owned()];
    workspace.approve_pairing(&second, &operators).await.unwrap();

    let refused = run(&spare.operator, &add(&workspace.fingerprint)).await;
    assert!(refused.shown.contains("conflict: "), "{}", refused.shown);
    scene.compare("pairing-refused-twice", &refused);
    assert_eq!(refused.code, 3);
    let users = spare.operator.run(["list-users"]).await.unwrap();
    assert_eq!(users["users"], serde_json::json!([]), "what was refused left nothing behind");
    scene.system.stack.members.push(spare);
    second
}

/// A co-signer that is claimed and paired with nobody.
async fn spare(scene: &mut Scene) -> Result<Member, StackError> {
    let stack = &mut scene.system.stack;
    let mut spare = Member::new("spare", Role::Customer, &stack.around, None)?;
    spare.launch(&mut stack.processes, &stack.around, 0, Material::TestAuxInfo).await?;
    spare.connected(&reqwest::Client::builder().no_proxy().build().unwrap()).await?;
    spare.claim().await?;
    Ok(spare)
}

async fn a_handler_that_is_gone_is_found_by_the_doctor(scene: &mut Scene) {
    let process = scene.system.handler.name.clone();
    scene.set(&scene.system.handler.url, &scene.system.handler.answers.public).await;
    scene.is_signed(&scene.transact().await);
    scene.run(&["doctor"]).await.passed();

    scene.system.stack.processes.kill(&process).await.unwrap();
    let (ask, ended) = scene.transact().await;
    ask.verify_refused(&ended, "connect").unwrap();
    let shown = scene.run(&["logs", "--user", scene.user(), "--severity", "warning"]).await.passed();
    assert!(shown.lines().any(|line| line.contains(" callback: ") && line.contains("code=connect")), "{shown}");
    let examined = scene.run(&["doctor", "--test-callbacks"]).await;
    assert!(examined.shown.contains("  callbacks     FAILED"), "{}", examined.shown);
    scene.compare("doctor-broken", &examined);
    assert_eq!(examined.code, 1);

    scene.system.stack.restart(&process).await.unwrap();
    scene.is_signed(&scene.transact().await);
    scene.run(&["doctor", "--test-callbacks"]).await.passed();
}

async fn a_user_is_removed(scene: &Scene, second: &ApiUser) {
    let listed = || async {
        let users = scene.json(&["list-users"]).await;
        let users = users["users"].as_array().unwrap().iter().map(|user| user["user"].as_str().unwrap().to_owned());
        users.collect::<Vec<_>>()
    };
    assert!(listed().await.contains(&second.id));
    scene.run(&["remove-user", &second.id, "--yes"]).await.passed();
    assert_eq!(listed().await, [scene.user()]);
    scene.is_signed(&scene.transact().await);
}
