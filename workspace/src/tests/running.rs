//! A workspace that runs in this process, in a folder of its own, on ports that the system gave.

use super::client::{Client, KEYS, ok};
use crate::ceremony::tests::party::FakeScheme;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::App;
use crate::init::{Made, init};
use crate::server::{Addresses, Server, ServerError};
use cosigner_dev::DevelopmentRoot;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub struct Running {
    pub folder: TempDir,
    pub root: DevelopmentRoot,
    pub made: Made,
    pub addresses: Addresses,
    pub ca_pem: String,
    pub owner: Client,
    pub app: Arc<App>,
    pub clock: Arc<Clock>,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<JoinHandle<Result<(), ServerError>>>,
}

fn config(folder: &TempDir, more: &str) -> PathBuf {
    let path = folder.path().join("workspace.toml");
    let text = format!(
        "listen = '127.0.0.1:0'\npublic_url = 'https://localhost:0'\ndatabase = 'w.db'\nready_file = 'ready.json'\n{more}\n\
         [tls]\ncertificate = 'tls.pem'\nprivate_key = 'tls.key'\n[metrics]\nlisten = '127.0.0.1:0'\n\
         [trust]\ndevelopment_root = 'root.pem'\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

impl Running {
    /// `more` are top-level keys of the configuration.
    pub async fn start(more: &str) -> Self {
        Self::start_at(more, Clock::system()).await
    }

    pub async fn start_at(more: &str, clock: Clock) -> Self {
        let clock = Arc::new(clock);
        let folder = tempfile::tempdir().unwrap();
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ca_pem = certificate.cert.pem();
        std::fs::write(folder.path().join("tls.pem"), &ca_pem).unwrap();
        std::fs::write(folder.path().join("tls.key"), certificate.signing_key.serialize_pem()).unwrap();
        let root = DevelopmentRoot::generate().unwrap();
        std::fs::write(folder.path().join("root.pem"), root.certificate_pem()).unwrap();
        let loaded = Config::load(&config(&folder, more)).unwrap();
        let made = init(&loaded, "Olga", &KEYS[0].public().to_pem()).await.unwrap();
        let server = Server::start_with(loaded, Box::new(FakeScheme), Arc::clone(&clock)).await.unwrap();
        let addresses = server.addresses().clone();
        let owner = Client::new(&addresses.url, &ca_pem, &made.owner_api_key, 0);
        let app = server.app();
        let mut this = Self { folder, root, made, addresses, ca_pem, owner, app, clock, stop: None, ended: None };
        this.run(server);
        this
    }

    /// Starts again on the same port, which links and tokens name. Nobody looks after the server: it goes on where a part of
    /// it ends.
    pub async fn server_again(&mut self) -> Server {
        let mut config = self.config();
        config.listen = self.addresses.api;
        let server = Server::start_with(config, Box::new(FakeScheme), Arc::clone(&self.clock)).await.unwrap();
        assert_eq!(server.addresses().url, self.addresses.url);
        self.addresses = server.addresses().clone();
        self.app = server.app();
        server
    }

    fn run(&mut self, server: Server) {
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        self.ended = Some(tokio::spawn(server.run_until(async {
            let _ = stopped.await;
        })));
    }

    pub fn config(&self) -> Config {
        Config::load(&self.folder.path().join("workspace.toml")).unwrap()
    }

    /// More top-level keys of the configuration, for the next start.
    pub fn add_to_config(&self, more: &str) {
        let path = self.folder.path().join("workspace.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{more}\n{text}")).unwrap();
    }

    /// An API user whose creation waits for an approval, which comes.
    pub async fn user_by_change(&self, name: &str, role: &str, key: usize) -> String {
        let id = self.user(name, role, Some(key)).await;
        let exists = || async {
            let users = ok(self.owner.get("/v1/management/api_users").await);
            users["users"].as_array().unwrap().iter().any(|user| user["id"] == id.as_str()).then_some(())
        };
        until("a user to be approved", exists).await;
        id
    }

    pub async fn stop(&mut self) {
        if let (Some(stop), Some(ended)) = (self.stop.take(), self.ended.take()) {
            let _ = stop.send(());
            ended.await.unwrap().unwrap();
        }
    }

    /// Stops and starts again.
    pub async fn restart(&mut self) {
        self.stop().await;
        let server = self.server_again().await;
        self.run(server);
    }

    pub async fn user(&self, name: &str, role: &str, key: Option<usize>) -> String {
        let pem = key.map(|k| KEYS[k].public().to_pem());
        let body = json!({"name": name, "role": role, "publicKeyPem": pem});
        ok(self.owner.post("/v1/management/api_users", &body).await)["id"].as_str().unwrap().to_owned()
    }

    pub fn client(&self, user: &str, key: usize) -> Client {
        Client { user: user.to_owned(), key: std::sync::Arc::clone(&KEYS[key]), ..self.owner.clone() }
    }

    pub async fn token(&self, user: &str) -> String {
        let path = format!("/v1/management/api_users/{user}/pairing_token");
        ok(self.owner.post_empty(&path).await)["pairingToken"].as_str().unwrap().to_owned()
    }

    pub async fn local(&self, path: &str) -> (u16, String) {
        let response = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = response.get(format!("http://{}{path}", self.addresses.metrics)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// Polls until `read` says something.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, read: impl Fn() -> F) -> T {
    for _ in 0..600 {
        if let Some(value) = read().await {
            return value;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("waited too long for {what}");
}

/// The transaction once it has ended.
pub async fn ended(client: &Client, id: &str) -> Value {
    until("a transaction to end", || async move {
        let transaction = ok(client.get(&format!("/v1/transactions/{id}")).await);
        let status = transaction["status"].as_str().unwrap();
        let running = ["SUBMITTED", "PENDING_AUTHORIZATION", "QUEUED", "PENDING_SIGNATURE"].contains(&status);
        (!running).then_some(transaction)
    })
    .await
}
