//! T08, T16, T19, T26, T27: the host of the customer's co-signer is hostile. A real enclave, two more with their honest hosts, a
//! real workspace and handler; between the enclave and its host sits somebody who alters, repeats, drops, reorders and
//! misdelivers messages, speaks in the workspace's name, lies about names, ends TLS itself, and about what it stored. What
//! is signed was approved, no key is suspended for what a host did, and with an honest host all is well again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../broker/mod.rs"]
mod broker;
mod network;
mod relay;
mod storage;
mod workspace;

use broker::{Broker, honest};
use countersign_stack::wait::{Seen, until};
use countersign_stack::workspace::VaultAccount;
use countersign_stack::{Ask, Setup, System};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Generous: the machine may be busy, and a session that lost a message runs into its deadline first.
const DEADLINE: Duration = Duration::from_secs(150);

/// A system whose customer has a hostile host.
pub struct Scene {
    /// It.
    pub system: System,
    /// Whose key is asked for.
    pub vault: VaultAccount,
    /// The host.
    pub broker: Broker,
}

impl Scene {
    /// Asks for a signature and waits until the transaction has ended, however that is: with the signature asked for, or
    /// with none. Says whether it was signed.
    pub async fn asks(&self, what: &str) -> bool {
        let ask = Ask::message(self.vault.id, what.as_bytes());
        let workspace = self.system.stack.workspace().unwrap();
        let ended = workspace.transact(&self.system.client, &ask, DEADLINE).await;
        let ended = ended.unwrap_or_else(|e| panic!("{what}: {e}"));
        if ended["status"] == "COMPLETED" {
            ask.verify(&ended, self.vault.address).unwrap_or_else(|e| panic!("{what}: a wrong signature: {e}"));
            return true;
        }
        assert_eq!(ended["signedMessages"], serde_json::json!([]), "{what}: {ended}");
        false
    }

    /// How often the handler was asked.
    pub fn times_asked(&self) -> usize {
        let log = std::fs::read_to_string(&self.system.handler.log).unwrap();
        log.lines().filter(|line| line.contains("\"transaction\"")).count()
    }

    /// With an honest host it signs, at once or when sessions that were disturbed have ended; and no co-signer holds
    /// anything against anybody.
    pub async fn is_well(&self, after: &str) {
        self.broker.set(honest());
        self.broker.dial(broker::Dials::Honest);
        self.reachable().await;
        assert!(self.asks(&format!("well after {after}")).await, "after {after} nothing is signed");
        for member in &self.system.stack.members {
            let status = member.status().await.unwrap();
            for pairing in status["pairings"].as_array().unwrap() {
                assert_eq!(pairing["keys_suspended"], 0, "{} after {after}: {pairing}", member.name);
            }
            let keys = member.operator.run(["list-keys"]).await.unwrap();
            for key in keys["keys"].as_array().unwrap() {
                assert_eq!(
                    (&key["status"], &key["detail"]),
                    (&"READY".into(), &"".into()),
                    "{} after {after}",
                    member.name
                );
            }
        }
    }

    /// Waits until the customer's enclave serves and its link is up.
    pub async fn reachable(&self) {
        self.system.stack.serving().await.unwrap();
        let customer = self.system.stack.customer().unwrap();
        let up = until("the customer's link", DEADLINE, || async {
            let status = customer.status().await?;
            let up = status["pairings"].as_array().into_iter().flatten().all(|p: &Value| p["link_up"] == true);
            Ok(if up { Seen::Done(()) } else { Seen::NotYet(status["pairings"].to_string()) })
        });
        up.await.unwrap();
    }
}

/// A system whose customer's enclave came to a hostile host, which is honest so far.
async fn scene(folder: &Path) -> Scene {
    let mut system = System::start(folder, &Setup::default()).await.unwrap();
    let vault = system.vault_account("first").await.unwrap();
    let broker = Broker::between(&mut system.stack, "customer", folder);
    broker.restart(&mut system.stack).await;
    let scene = Scene { system, vault, broker };
    scene.is_well("nothing").await;
    assert!(!scene.broker.shared.seen.lock().unwrap().is_empty(), "the host is in the middle");
    scene
}

/// The enclave goes back to its own host, and all ends in order.
async fn back_to_an_honest_host(scene: Scene) {
    let Scene { mut system, vault, broker } = scene;
    broker.leave(&mut system).await;
    system.stack.serving().await.unwrap();
    let ask = Ask::message(vault.id, b"with an honest host");
    ask.verify(&system.transact(&ask).await.unwrap(), vault.address).unwrap();
    assert_eq!(system.stack.stop().await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_t16_t19_a_host_that_disturbs_packets_gets_correct_signatures_or_none_and_nobody_is_blamed() {
    let folder = tempfile::tempdir().unwrap();
    let scene = scene(folder.path()).await;
    relay::disturbs_packets(&scene).await;
    back_to_an_honest_host(scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_t08_t26_t27_a_host_that_lies_gets_no_signature_that_was_not_approved() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = scene(folder.path()).await;
    workspace::speaks_in_the_workspaces_name(&scene).await;
    network::ends_tls_itself(&scene).await;
    storage::does_not_store(&mut scene).await;
    back_to_an_honest_host(scene).await;
}
