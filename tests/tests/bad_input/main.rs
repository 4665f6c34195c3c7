//! Bad input by every way in: the HTTPS API, the command line, the admin socket. Each is answered with a typed error that
//! says what to do, and nothing is lost: afterwards the system signs as before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod admin_socket;
mod bodies;
mod command_line;
mod pairing;
mod tokens;
mod unknown_ids;

use countersign_stack::workspace::VaultAccount;
use countersign_stack::{Ask, Client, Options, Setup, System};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// A system with a vault account, and a second workspace beside it.
pub struct Scene {
    /// It.
    pub system: System,
    /// The account.
    pub vault: VaultAccount,
}

/// What the API answered.
pub struct Answer {
    status: u16,
    body: Value,
    text: String,
}

impl Answer {
    fn new((status, text): (StatusCode, String)) -> Self {
        Self { status: status.as_u16(), body: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    /// That it is an error of the API's form with this status and reason, whose message contains each of `words`.
    #[track_caller]
    pub fn is(&self, what: &str, status: u16, reason: &str, words: &[&str]) {
        let Self { body, text, .. } = self;
        assert_eq!((self.status, &body["reason"]), (status, &Value::from(reason)), "{what}: {text}");
        assert_eq!(body["code"], status, "{what}: {text}");
        let message = body["message"].as_str().unwrap_or_default();
        for word in words {
            assert!(message.contains(word), "{what}: the message does not say {word:?}: {message}");
        }
    }
}

/// Sends exactly these bytes with a good token for them.
pub async fn send(client: &Client, method: Method, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    let body = body.into();
    let token = client.token(path, &body).unwrap();
    Answer::new(client.send(method, path, body, &token, None).await.unwrap())
}

impl Scene {
    /// How many transactions there are.
    pub async fn transactions(&self) -> usize {
        self.system.client.get("/v1/transactions").await.unwrap().as_array().unwrap().len()
    }

    /// A good request works.
    pub async fn signs(&self) {
        let ask = Ask::message(self.vault.id, b"a good request");
        let transaction = self.system.transact(&ask).await.unwrap();
        ask.verify(&transaction, self.vault.address).unwrap();
    }
}

#[tokio::test]
async fn e2e_t33_t34_t35_t36_t37_bad_input_is_a_clear_typed_error_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup { options: Options { workspaces: 2, ..Options::default() }, ..Setup::default() };
    let system = System::start(folder.path(), &setup).await.unwrap();
    let vault = system.vault_account("first").await.unwrap();
    let mut scene = Scene { system, vault };
    scene.signs().await;
    let before = scene.transactions().await;

    tokens::are_refused(&scene).await;
    bodies::are_refused(&scene).await;
    unknown_ids::are_not_found(&scene).await;
    command_line::mistakes_are_explained(&scene).await;
    admin_socket::garbage_is_dropped(&scene).await;
    pairing::bad_tokens_are_refused(&mut scene).await;

    assert_eq!(scene.transactions().await, before, "nothing that was refused left a transaction");
    scene.signs().await;
    assert_eq!(scene.system.stack.stop().await.unwrap(), [""; 0], "every process ends by itself");
}
