//! Handlers of other people's making in front of a real co-signer: the samples in three languages, and what public client
//! libraries make of the protocol when they are used as their own documents show.
//!
//! `deploy/callback-handlers/prepare` sets up what they need; `tests/run` calls it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod handlers;

use countersign_stack::keys::Algorithm;
use countersign_stack::workspace::VaultAccount;
use countersign_stack::{Ask, Setup, System};
use handlers::{Foreign, LIBRARIES, SAMPLES};
use serde_json::{Value, json};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);
/// Who may receive, by the policy of the samples.
const FRIEND: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const STRANGER: &str = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb";

struct Scene {
    system: System,
    vault: VaultAccount,
}

impl Scene {
    async fn start(folder: &std::path::Path) -> Self {
        let system = System::start(folder, &Setup::default()).await.unwrap();
        let vault = system.vault_account("samples").await.unwrap();
        Self { system, vault }
    }

    /// Operators set this handler.
    async fn set(&self, foreign: &Foreign) {
        let key = foreign.answers.public.display().to_string();
        let ca = self.system.stack.authority.certificate().display().to_string();
        let user = self.system.user.id.as_str();
        let flags = [
            "callback",
            "set",
            user,
            "--yes",
            "--callback-url",
            &foreign.url,
            "--callback-key",
            &key,
            "--callback-ca",
            &ca,
            "--callback-network",
            "127.0.0.0/8",
        ];
        self.system.stack.customer().unwrap().operator.run(flags).await.unwrap();
    }

    async fn message(&self, note: &str) -> (Ask, Value) {
        let text = format!("{note} {}", uuid::Uuid::new_v4());
        let ask = Ask::message(self.vault.id, text.as_bytes()).note(note);
        let ended = self.system.transact(&ask).await.unwrap();
        (ask, ended)
    }

    async fn transfer(&self, amount: &str, to: &str) -> Value {
        let body = json!({
            "operation": "TRANSFER", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": self.vault.id.to_string()},
            "destination": {"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": to}}, "amount": amount,
            "maxFee": "30", "priorityFee": "1", "externalTxId": uuid::Uuid::new_v4().to_string(),
        });
        let made = self.system.client.post("/v1/transactions", &body).await.unwrap();
        let id = made["id"].as_str().unwrap();
        self.system.stack.workspace().unwrap().ended(&self.system.client, id, DEADLINE).await.unwrap()
    }

    async fn signs(&self, what: &str) {
        let (ask, ended) = self.message("fine").await;
        let signed = ask.verify(&ended, self.vault.address);
        assert!(signed.is_ok_and(|signatures| signatures.len() == 1), "{what}: {ended}");
    }
}

#[tokio::test]
async fn e2e_the_samples_in_three_languages_verify_decide_and_answer_for_a_real_co_signer() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::start(folder.path()).await;
    let policy = folder.path().join("policy.json");
    let rules = json!({
        "operations": ["TYPED_MESSAGE", "TRANSFER"], "assets": {"ETH": {"maxAmount": "1"}}, "destinations": [FRIEND],
        "rejectNotes": ["reject-me"],
    });
    std::fs::write(&policy, rules.to_string()).unwrap();
    for (name, program) in SAMPLES {
        let sample = Foreign::sample(name, &program(), &policy, &mut scene.system).await;
        scene.set(&sample).await;
        let operator = &scene.system.stack.customer().unwrap().operator;
        let tested = operator.run(["callback", "test", scene.system.user.id.as_str()]).await.unwrap();
        assert_eq!(tested["passed"], true, "{name}: {tested}");
        scene.signs(name).await;
        let (ask, rejected) = scene.message("reject-me").await;
        ask.verify_refused(&rejected, "rejected").unwrap();
        let moved = scene.transfer("0.25", FRIEND).await;
        assert_eq!(moved["status"], "COMPLETED", "{name}: {moved}");
        assert!(moved["countersign"]["signedTransaction"].as_str().unwrap().starts_with("0x02"), "{name}: {moved}");
        for (amount, to) in [("1.000000000000000001", FRIEND), ("0.25", STRANGER)] {
            let refused = scene.transfer(amount, to).await;
            assert_eq!(refused["rejection"]["code"], "rejected", "{name}, {amount} to {to}: {refused}");
        }
    }
    assert_eq!(scene.system.stack.stop().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn e2e_handlers_made_with_public_libraries_as_their_documents_show_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::start(folder.path()).await;
    for library in LIBRARIES {
        for (algorithm, name) in [(Algorithm::Rs256, "RS256"), (Algorithm::Es256, "ES256")] {
            let approving = Foreign::library(library, name, algorithm, "APPROVE", &mut scene.system).await;
            scene.set(&approving).await;
            scene.signs(&format!("{library} {name}")).await;
            let rejecting = Foreign::library(library, name, algorithm, "REJECT", &mut scene.system).await;
            scene.set(&rejecting).await;
            let (ask, rejected) = scene.message("fine").await;
            ask.verify_refused(&rejected, "rejected").unwrap();
        }
    }
    assert_eq!(scene.system.stack.stop().await.unwrap(), [""; 0]);
}
