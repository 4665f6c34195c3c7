//! Modes × algorithms × actions × faults of a callback handler against a whole system of real processes: each time the
//! expected reason code in the transaction's own record, and no signature where there was no approval.
//!
//! The normal run takes one algorithm a mode; `tests/run --deep callbacks` takes both, three times.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod answers;
#[path = "../scripted_handler/mod.rs"]
mod scripted_handler;

use answers::{Answers, CASES, Case};
use countersign_stack::keys::{Algorithm, KeyPair};
use countersign_stack::wait::{Seen, until};
use countersign_stack::workspace::{ApiUser, VaultAccount};
use countersign_stack::{Approval, Ask, Options, Pairing, Setup, System};
use futures_util::future::join_all;
use scripted_handler::{Flaw, Server};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);
/// Time for one call: enough for an answer on a busy machine, little enough to wait for.
const CALL_TIME: &str = "3s";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    PublicKey,
    Pinned,
    Root,
    PinAndKey,
    RootAndKey,
}

impl Mode {
    const ALL: [Mode; 5] = [Mode::PublicKey, Mode::Pinned, Mode::Root, Mode::PinAndKey, Mode::RootAndKey];

    fn has_tokens(self) -> bool {
        !matches!(self, Mode::Pinned | Mode::Root)
    }

    fn is_pinned(self) -> bool {
        matches!(self, Mode::Pinned | Mode::PinAndKey)
    }
}

/// One mode and algorithm, and its servers.
struct Combination<'a> {
    system: &'a System,
    other: &'a ApiUser,
    vault: VaultAccount,
    mode: Mode,
    key: KeyPair,
    answers: Arc<Answers>,
    good: Server,
    flawed: [(Flaw, Server); 3],
}

impl<'a> Combination<'a> {
    async fn new(
        system: &'a System,
        other: &'a ApiUser,
        vault: VaultAccount,
        mode: Mode,
        algorithm: Algorithm,
        folder: PathBuf,
    ) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::create(&folder, "answers", algorithm).unwrap();
        let answers = Arc::new(Answers::new(&folder, &key, algorithm));
        let authority = &system.stack.authority;
        let start = |flaw| Server::start(flaw, authority, &folder, answers.clone());
        let good = start(Flaw::None).await;
        let flawed = [
            (Flaw::Expired, start(Flaw::Expired).await),
            (Flaw::WrongName, start(Flaw::WrongName).await),
            (Flaw::SelfSigned, start(Flaw::SelfSigned).await),
        ];
        Self { system, other, vault, mode, key, answers, good, flawed }
    }

    /// Operators set the handler: the server at `url`, in this mode.
    async fn set(&self, url: &str) {
        let mut flags: Vec<String> = ["callback", "set", &self.system.user.id, "--yes"].map(str::to_owned).to_vec();
        let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
        flag("--callback-url", url.to_owned());
        flag("--callback-network", "127.0.0.0/8".into());
        flag("--callback-timeout", CALL_TIME.into());
        if self.mode.has_tokens() {
            flag("--callback-key", self.key.public.display().to_string());
        }
        match self.mode {
            Mode::PublicKey => {}
            Mode::Root | Mode::RootAndKey => {
                flag("--callback-ca", self.system.stack.authority.certificate().display().to_string());
            }
            Mode::Pinned | Mode::PinAndKey => {
                // A pin says nothing about dates: that the expired one is refused must not be for its key.
                for server in [&self.good, &self.flawed[0].1] {
                    flag("--callback-pin-certificate", server.certificate.display().to_string());
                }
            }
        }
        self.system.stack.customer().unwrap().operator.run(flags).await.unwrap();
    }

    /// Another API user of the same co-signer has a handler whose key the first one's answers must not be signed with.
    async fn set_other_user(&self) {
        let key = self.answers.other_users_key.display().to_string();
        let flags =
            ["callback", "set", &self.other.id, "--yes", "--callback-url", &self.good.url, "--callback-key", &key];
        let local = ["--callback-network", "127.0.0.0/8"];
        self.system.stack.customer().unwrap().operator.run([&flags[..], &local[..]].concat()).await.unwrap();
    }

    async fn ask(&self, note: &str) -> Value {
        let message = format!("{:?} {note} {}", self.mode, uuid::Uuid::new_v4());
        let ask = Ask::message(self.vault.id, message.as_bytes()).note(note);
        let transaction = self.system.stack.workspace().unwrap().transact(&self.system.client, &ask, DEADLINE).await;
        transaction.unwrap()
    }

    /// A request that the handler approves is signed.
    async fn approval_holds(&self) {
        let ask = Ask::message(self.vault.id, uuid::Uuid::new_v4().as_bytes()).note("approve");
        let workspace = self.system.stack.workspace().unwrap();
        let ended = workspace.transact(&self.system.client, &ask, DEADLINE).await.unwrap();
        assert!(ask.verify(&ended, self.vault.address).is_ok(), "{:?}: {ended}", self.mode);
        let attempt = &ended["countersign"]["callback"]["attempts"][0];
        assert_eq!((&attempt["result"], &attempt["code"]), (&"approved".into(), &Value::Null), "{ended}");
    }

    /// The transaction of a case ends with its reason, and without a signature. Otherwise says what is not so.
    async fn holds(&self, case: &Case) -> Option<String> {
        let ended = self.ask(case.name).await;
        let attempt = &ended["countersign"]["callback"]["attempts"][0];
        let status = if case.code == "rejected" { "REJECTED" } else { "FAILED" };
        let good = ended["rejection"]["code"] == case.code
            && ended["signedMessages"] == serde_json::json!([])
            && attempt["code"] == case.code
            && attempt["tookMs"].is_number()
            && attempt["steps"].is_object()
            && ended["status"] == status;
        (!good).then(|| format!("{:?}, {}: expected {status} for {}: {ended}", self.mode, case.name, case.code))
    }

    async fn certificate_holds(&self, flaw: Flaw, server: &Server) {
        self.set(&server.url).await;
        let before = self.answers.seen.lock().unwrap().len();
        let ended = self.ask("approve").await;
        let expected = if self.mode.is_pinned() && flaw != Flaw::Expired { "pin_mismatch" } else { "tls_untrusted" };
        assert_eq!(ended["rejection"]["code"], expected, "{:?}, {flaw:?}: {ended}", self.mode);
        assert_eq!(ended["status"], "FAILED");
        assert_eq!(self.answers.seen.lock().unwrap().len(), before, "nothing was disclosed");
    }

    /// RETRY is visible in the record while it is waited for, and a changed handler ends it.
    async fn retry_holds(&self) {
        let ask = Ask::message(self.vault.id, uuid::Uuid::new_v4().as_bytes()).note("retry");
        let made = self.system.client.post("/v1/transactions", &ask.body).await.unwrap();
        let (id, path) = (made["id"].as_str().unwrap(), format!("/v1/transactions/{}", made["id"].as_str().unwrap()));
        let retried = until("the RETRY to be in the record", DEADLINE, || async {
            let shown = self.system.client.get(&path).await?;
            let result = &shown["countersign"]["callback"]["attempts"][0]["result"];
            Ok(if result == "retry" { Seen::Done(shown) } else { Seen::NotYet(shown.to_string()) })
        });
        let shown = retried.await.unwrap();
        assert_eq!(shown["status"], "PENDING_AUTHORIZATION", "{shown}");
        assert!(shown["countersign"]["callback"]["nextAt"].is_number(), "{shown}");
        self.set(&format!("{}/moved", self.good.url)).await;
        let ended = self.system.stack.workspace().unwrap().ended(&self.system.client, id, DEADLINE).await.unwrap();
        assert_eq!(ended["rejection"]["code"], "handler_changed", "{ended}");
    }

    async fn holds_everything(&self) {
        for (flaw, server) in &self.flawed {
            self.certificate_holds(*flaw, server).await;
        }
        self.set(&self.good.url).await;
        self.set_other_user().await;
        self.approval_holds().await;
        let cases = CASES.iter().filter(|case| self.mode.has_tokens() || !case.tokens_only);
        let violations: Vec<String> =
            join_all(cases.map(|case| self.holds(case))).await.into_iter().flatten().collect();
        assert!(violations.is_empty(), "{}", violations.join("\n"));
        self.retry_holds().await;
        let seen = self.answers.seen.lock().unwrap();
        let prefix = if self.mode.has_tokens() { "/v2/tx_sign_request " } else { "/tx_sign_request " };
        assert!(seen.values().flatten().all(|request| request.starts_with(prefix)), "{seen:?}");
    }
}

async fn signatures(system: &System) -> u64 {
    system.stack.customer().unwrap().status().await.unwrap()["signatures"].as_u64().unwrap()
}

#[tokio::test]
async fn e2e_t23_t24_t25_t30_t31_t33_every_fault_in_every_mode_has_its_reason_code_and_no_signature() {
    let deep = std::env::var_os("COUNTERSIGN_DEEP").is_some();
    let rounds = if deep { 3 } else { 1 };
    let folder = tempfile::tempdir().unwrap();
    let options = Options { public_root: true, ..Options::default() };
    let system = System::start(folder.path(), &Setup { options, ..Setup::default() }).await.unwrap();
    let vault = system.vault_account("matrix").await.unwrap();
    let workspace = system.stack.workspace().unwrap();
    let other = workspace.create_user("other", "SIGNER", true).await.unwrap();
    let nobody = Pairing { approval: Approval::Nobody, allow_raw: false, require_intent: true };
    let customer = system.stack.customer().unwrap();
    system.stack.pair(workspace, &other, customer, &[&other], nobody).await.unwrap();
    let before = signatures(&system).await;
    let mut combinations = 0;
    for round in 0..rounds {
        for (n, mode) in Mode::ALL.into_iter().enumerate() {
            let both = [Algorithm::Rs256, Algorithm::Es256];
            let algorithms = if deep { &both[..] } else { &both[n % 2..=n % 2] };
            for algorithm in algorithms {
                eprintln!("round {round}: {mode:?}, {algorithm:?}");
                let place = folder.path().join(format!("combination-{round}-{n}-{algorithm:?}"));
                Combination::new(&system, &other, vault, mode, *algorithm, place).await.holds_everything().await;
                combinations += 1;
            }
        }
    }
    assert_eq!(signatures(&system).await - before, combinations, "one approval each, and nothing else");
    assert_eq!(system.stack.stop().await.unwrap(), [""; 0]);
}
