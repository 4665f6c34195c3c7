//! The co-signer under load, and who asks it.

use super::measure::Times;
use super::workspace::BenchWorkspace;
use countersign_stack::keys::{Algorithm, KeyPair};
use countersign_stack::workspace::ApiUser;
use countersign_stack::{Approval, Client, Pairing, Setup, System};
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::ids::{ApiUserId, GroupId, KeyId, PartyId, TransactionId};
use countersign_wire::refusal::Code;
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{Bytes, Text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Time for one call of the handler that never answers.
const STUCK_CALL: &str = "120s";
/// How long a pause of the machine is waited for before a turn.
const SETTLE: Duration = Duration::from_secs(1);

/// An API user's side of a request.
struct Asker {
    user: ApiUser,
    client: Client,
    vault: u32,
    key: KeyId,
}

/// The whole scene.
pub struct Scene {
    system: Option<System>,
    workspace: BenchWorkspace,
    group: GroupId,
    asker: Asker,
    stuck: Asker,
    handler_log: PathBuf,
    next: u128,
    /// Questions that the client signed before the clock ran: what it takes is not the co-signer's.
    ready: VecDeque<TransactionRequest>,
    folder: tempfile::TempDir,
    _silent: JoinHandle<()>,
}

async fn key_of(system: &System, vault: u32) -> KeyId {
    let wallet = system.stack.workspace().unwrap().admin.get(&format!("/v1/vault/accounts/{vault}/ETH")).await.unwrap();
    wallet["keyId"].as_str().unwrap().parse().unwrap()
}

impl Scene {
    /// Sets everything up with real processes, and then takes the place of the workspace.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut system = System::start(folder.path(), &Setup::default()).await.unwrap();
        let vault = system.vault_account("calm").await.unwrap().id;
        let (user, client) = (system.user.clone(), system.client.clone());
        let asker = Asker { user, client, vault, key: key_of(&system, vault).await };

        // Takes connections and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", silent.local_addr().unwrap());
        let silent = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = silent.accept().await {
                kept.push(stream);
            }
        });
        let stuck = stuck_user(&mut system, folder.path().join("stuck"), &url).await;

        let customer = customer_party(&system).await;
        let address = system.stack.workspace().unwrap().url.trim_start_matches("https://").parse().unwrap();
        let place = system.stack.workspace().unwrap().folder.clone();
        system.stack.processes.kill("workspace").await.unwrap();
        let workspace = BenchWorkspace::start(address, &place, customer).await;
        let (group, handler_log) = (system.group.parse().unwrap(), system.handler.log.clone());
        let system = Some(system);
        Self {
            system,
            workspace,
            group,
            asker,
            stuck,
            handler_log,
            next: 0,
            ready: VecDeque::new(),
            folder,
            _silent: silent,
        }
    }

    fn request(&mut self, of_stuck: bool) -> TransactionRequest {
        self.next += 1;
        let asker = if of_stuck { &self.stuck } else { &self.asker };
        let body = json!({
            "operation": "TYPED_MESSAGE", "assetId": "ETH", "note": "reject-me", "externalTxId": format!("load-{}", self.next),
            "source": {"type": "VAULT_ACCOUNT", "id": asker.vault.to_string()},
            "extraParameters": {"rawMessageData": {"messages": [{"content": hex::encode(self.next.to_be_bytes()), "type": "EIP191"}]}},
        });
        let body = body.to_string().into_bytes();
        let token = asker.client.token("/v1/transactions", &body).unwrap();
        TransactionRequest {
            transaction: TransactionId(*uuid::Uuid::new_v4().as_bytes()),
            group: self.group,
            key: asker.key,
            signer: asker.user.id.parse::<ApiUserId>().unwrap(),
            method: Text::new("POST").unwrap(),
            path: Text::new("/v1/transactions").unwrap(),
            body: Bytes::new(body).unwrap(),
            token: Some(Text::new(token).unwrap()),
            unsigned: None,
        }
    }

    /// Has so many questions ready, and none of those that were left.
    pub fn prepare(&mut self, questions: usize) {
        self.ready.clear();
        for _ in 0..questions {
            let request = self.request(false);
            self.ready.push_back(request);
        }
    }

    /// Asks for an Authorisation.
    pub async fn ask(&mut self) -> TransactionId {
        let request = self.ready.pop_front().expect("enough questions were prepared");
        let id = request.transaction;
        self.workspace.say(WorkspaceMessage::Authorise(request));
        id
    }

    /// The next request that the handler rejected.
    pub async fn answered(&mut self, within: Duration) -> Option<TransactionId> {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = tokio::time::timeout(left, self.workspace.said.recv()).await.ok()?.expect("the link is up");
            if let CosignerMessage::AuthorisationRefused { transaction, refusal, .. } = message {
                assert!(
                    matches!(refusal.code, Code::Rejected | Code::CallbackTimeout | Code::Busy),
                    "expected a rejection, got {refusal}"
                );
                if refusal.code == Code::Rejected {
                    return Some(transaction);
                }
            }
        }
    }

    /// So many requests of the other user; returns how many of them were taken in.
    pub async fn stick(&mut self, requests: usize) -> usize {
        for _ in 0..requests {
            let request = self.request(true);
            self.workspace.say(WorkspaceMessage::Authorise(request));
        }
        let mut waiting = 0;
        let end = Instant::now() + Duration::from_secs(20);
        while waiting < requests && Instant::now() < end {
            match tokio::time::timeout(Duration::from_secs(2), self.workspace.said.recv()).await {
                Ok(Some(CosignerMessage::AuthorisationWaiting { .. })) => waiting += 1,
                Ok(Some(CosignerMessage::AuthorisationRefused { refusal, .. })) => panic!("not taken in: {refusal}"),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        assert_eq!(waiting, requests, "all of them wait");
        waiting
    }

    /// They end: operators change the other user's handler, and change it back.
    pub async fn unstick(&mut self) {
        let system = self.system.as_ref().unwrap();
        let operator = &system.stack.customer().unwrap().operator;
        for time in ["119s", STUCK_CALL] {
            operator
                .run(["callback", "update", &self.stuck.user.id, "--yes", "--callback-timeout", time])
                .await
                .unwrap();
        }
    }

    /// Waits for the machine to come to rest, and forgets what was said meanwhile.
    pub async fn settle(&mut self) {
        tokio::time::sleep(SETTLE).await;
        while self.workspace.said.try_recv().is_ok() {}
    }

    /// The times without what the handler says it took itself.
    pub fn without_handler(&self, times: &Times) -> Times {
        let mut own = BTreeMap::new();
        for line in std::fs::read_to_string(&self.handler_log).unwrap().lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let fields = if line["fields"].is_object() { &line["fields"] } else { &line };
            let id = fields["txId"].as_str().and_then(|id| id.parse::<TransactionId>().ok());
            // A wide integer is logged as a text.
            let us = &fields["microseconds"];
            let us = us.as_f64().or_else(|| us.as_str()?.parse().ok());
            if let (Some(id), Some(us)) = (id, us) {
                own.insert(id, us / 1_000.0);
            }
        }
        let less = times.less(&own);
        assert_eq!(less.len(), times.len(), "the handler logged each of them");
        less
    }

    /// Ends everything.
    pub async fn stop(mut self) {
        if let Some(system) = self.system.take() {
            system.stack.stop().await.unwrap();
        }
        drop(self.folder);
    }
}

/// A second API user of the same co-signer, with a key of its own and the handler at `url`.
async fn stuck_user(system: &mut System, folder: PathBuf, url: &str) -> Asker {
    std::fs::create_dir_all(&folder).unwrap();
    let answers = KeyPair::create(&folder, "answers", Algorithm::Es256).unwrap();
    let workspace = system.stack.workspace().unwrap();
    let user = workspace.create_user("stuck", "SIGNER", true).await.unwrap();
    let client = workspace.client(&user).unwrap();
    let pairing = Pairing { approval: Approval::Nobody, allow_raw: true, require_intent: true };
    let member = system.stack.customer().unwrap();
    system.stack.pair(workspace, &user, member, &[&user], pairing).await.unwrap();
    let key = answers.public.display().to_string();
    let ca = system.stack.authority.certificate().display().to_string();
    let flags = [
        "callback",
        "set",
        &user.id,
        "--yes",
        "--callback-url",
        url,
        "--callback-key",
        &key,
        "--callback-ca",
        &ca,
        "--callback-network",
        "127.0.0.0/8",
        "--callback-timeout",
        STUCK_CALL,
    ];
    member.operator.run(flags).await.unwrap();
    let vault = workspace.vault_account("stuck", &user).await.unwrap().id;
    Asker { user, client, vault, key: key_of(system, vault).await }
}

/// The customer's identity in the pairing.
async fn customer_party(system: &System) -> PartyId {
    let status = system.stack.customer().unwrap().status().await.unwrap();
    status["pairings"][0]["party"].as_str().unwrap().parse().unwrap()
}
