//! A workspace of the stack, and what its owner does with it.

use crate::asking::Ask;
use crate::certificates::Authority;
use crate::client::Client;
use crate::error::StackError;
use crate::files::{create_folder, write_private};
use crate::keys::{Algorithm, KeyPair};
use crate::process::Plan;
use crate::processes::Processes;
use crate::programs;
use crate::wait::{Seen, until};
use alloy_primitives::Address;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// An API user of a workspace.
#[derive(Clone)]
pub struct ApiUser {
    /// Its id.
    pub id: String,
    /// Its key, where it can call the API.
    pub key: Option<KeyPair>,
}

/// A vault account with asset ETH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultAccount {
    /// Its number.
    pub id: u32,
    /// Its address.
    pub address: Address,
}

/// How long a key may take until it is there.
const KEY_TIMEOUT: Duration = Duration::from_secs(300);

/// Sessions of emulated co-signers, whose arithmetic takes about ten times as long.
const EMULATED_DEADLINES: &str = "\n[deadlines]\nsign_session = 300\nkeygen_session = 300\n";

/// A workspace.
pub struct Workspace {
    /// Its name, also of its process.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Base URL.
    pub url: String,
    /// Fingerprint of its keys, as its owner reads it out to operators.
    pub fingerprint: String,
    /// Its owner.
    pub owner: ApiUser,
    /// Speaks as the owner.
    pub admin: Client,
    authority_pem: String,
}

fn text(value: &Value, member: &str) -> Result<String, StackError> {
    let found = value[member].as_str().map(str::to_owned);
    found.ok_or_else(|| StackError::Unexpected { expected: format!("a text {member}"), got: value.to_string() })
}

impl Workspace {
    /// Bootstraps a workspace with its owner, and starts it. `emulated`: it gives co-signers the time that emulated ones need.
    pub async fn launch(
        name: &str,
        parent: &Path,
        authority: &Authority,
        root_certificate: &Path,
        processes: &mut Processes,
        emulated: bool,
    ) -> Result<Self, StackError> {
        let folder = parent.join(name);
        create_folder(&folder)?;
        let tls = authority.issue(&folder)?;
        let config = folder.join("workspace.toml");
        let ready = folder.join("ready.json");
        let write_config = |address: &str| {
            let path = |p: &Path| toml::Value::from(p.display().to_string()).to_string();
            let content = format!(
                "listen = \"{address}\"\npublic_url = \"https://{address}\"\ndatabase = {}\nready_file = {}\n\
                 approve_pairings = \"owner\"\n\n[tls]\ncertificate = {}\nprivate_key = {}\n\n[metrics]\nlisten = \
                 \"127.0.0.1:0\"\n\n[trust]\ndevelopment_root = {}\n{}",
                path(&folder.join("workspace.db")),
                path(&ready),
                path(&tls.certificate),
                path(&tls.key),
                path(root_certificate),
                if emulated { EMULATED_DEADLINES } else { "" },
            );
            fs::write(&config, content).map_err(StackError::file(&config))
        };
        write_config("127.0.0.1:0")?;
        let owner_key = KeyPair::create(&folder, "owner", Algorithm::Rs256)?;
        let made = init(&config, &owner_key).await?;
        let plan = Plan {
            name: name.to_owned(),
            program: programs::find(programs::WORKSPACE)?,
            arguments: vec!["serve".into(), "--config".into(), config.clone().into()],
            environment: vec![],
            log: folder.join("workspace.log"),
            ready: Some(ready.clone()),
        };
        let address = text(&processes.launch(plan).await?, "api")?;
        // Started again, it must be where co-signers and tokens say that it is.
        write_config(&address)?;
        let url = format!("https://{address}");
        let owner = ApiUser { id: text(&made, "ownerApiKey")?, key: Some(owner_key.clone()) };
        let admin = Client::new(&url, authority.pem(), &owner.id, &owner_key.private_pem()?)?;
        Ok(Self {
            name: name.to_owned(),
            fingerprint: text(&made, "fingerprint")?,
            folder,
            url,
            owner,
            admin,
            authority_pem: authority.pem().to_owned(),
        })
    }

    /// A client that speaks as an API user.
    pub fn client(&self, user: &ApiUser) -> Result<Client, StackError> {
        let key = user.key.as_ref().ok_or_else(|| StackError::Unexpected {
            expected: "an API user with a key".into(),
            got: user.id.clone(),
        })?;
        Ok(Client::new(&self.url, &self.authority_pem, &user.id, &key.private_pem()?)?)
    }

    /// Makes an API user of a role, with a key where `can_call`.
    pub async fn create_user(&self, name: &str, role: &str, can_call: bool) -> Result<ApiUser, StackError> {
        let key = if can_call { Some(KeyPair::create(&self.folder, name, Algorithm::Rs256)?) } else { None };
        let mut body = json!({ "name": name, "role": role });
        if let Some(key) = &key {
            body["publicKeyPem"] = key.public_pem()?.into();
        }
        let made = self.admin.post("/v1/management/api_users", &body).await?;
        Ok(ApiUser { id: text(&made, "id")?, key })
    }

    /// A pairing token for an API user, in a file.
    pub async fn pairing_token(&self, user: &ApiUser) -> Result<PathBuf, StackError> {
        let path = format!("/v1/management/api_users/{}/pairing_token", user.id);
        let made = self.admin.post(&path, &json!({})).await?;
        let file = self.folder.join(format!("{}.token", user.id));
        write_private(&file, text(&made, "pairingToken")?.as_bytes())?;
        Ok(file)
    }

    /// The co-signer with which an API user is paired.
    pub async fn cosigner_of(&self, user: &ApiUser) -> Result<Value, StackError> {
        let all = self.admin.get("/v1/cosigners").await?;
        let is_of_user =
            |c: &&Value| c["users"].as_array().into_iter().flatten().any(|u| u["userId"] == user.id.as_str());
        let found = all["data"].as_array().into_iter().flatten().find(is_of_user).cloned();
        found.ok_or_else(|| StackError::Unexpected {
            expected: format!("a co-signer of API user {}", user.id),
            got: all.to_string(),
        })
    }

    /// As owner: approves the pairing of an API user, after comparing the co-signer's operators with `operators`. Returns
    /// the co-signer's id.
    pub async fn approve_pairing(&self, user: &ApiUser, operators: &[String]) -> Result<String, StackError> {
        let cosigner = self.cosigner_of(user).await?;
        let shown: Vec<&str> =
            cosigner["operators"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if shown != operators {
            let expected = format!("the operators {}", operators.join(", "));
            return Err(StackError::Unexpected { expected, got: cosigner.to_string() });
        }
        let id = text(&cosigner, "id")?;
        self.admin.post(&format!("/v1/cosigners/{id}/api_keys/{}/approve", user.id), &json!({})).await?;
        Ok(id)
    }

    /// Proposes a signing group. Returns its id and its hash.
    pub async fn propose_group(
        &self,
        customer: &str,
        clouds: &[String],
        threshold: u16,
    ) -> Result<(String, String), StackError> {
        let body = json!({ "customerCosignerId": customer, "cloudCosignerIds": clouds, "threshold": threshold });
        let made = self.admin.post("/v1/signing_groups", &body).await?;
        Ok((text(&made, "id")?, text(&made, "hash")?))
    }

    /// Makes a vault account of a signer with asset ETH; its key is generated where there is none yet.
    pub async fn vault_account(&self, name: &str, signer: &ApiUser) -> Result<VaultAccount, StackError> {
        let made = self.admin.post("/v1/vault/accounts", &json!({ "name": name, "signerId": signer.id })).await?;
        let unexpected = |expected: &str| StackError::Unexpected { expected: expected.into(), got: made.to_string() };
        let id: u32 = text(&made, "id")?.parse().map_err(|_| unexpected("a number as id"))?;
        let path = format!("/v1/vault/accounts/{id}/ETH");
        let asset = until(format!("the address of vault account {id}"), KEY_TIMEOUT, || async {
            match self.admin.post(&path, &json!({})).await {
                Ok(asset) => Ok(Seen::Done(asset)),
                Err(e) if e.status() == Some(503) => Ok(Seen::NotYet(e.to_string())),
                Err(e) => Err(e.into()),
            }
        });
        let address = text(&asset.await?, "address")?.parse().map_err(|_| unexpected("an Ethereum address"))?;
        Ok(VaultAccount { id, address })
    }

    /// Asks for a transaction and waits until it has ended.
    pub async fn transact(&self, client: &Client, ask: &Ask, deadline: Duration) -> Result<Value, StackError> {
        let made = client.post("/v1/transactions", &ask.body).await?;
        self.ended(client, &text(&made, "id")?, deadline).await
    }

    /// Waits until a transaction has ended, and returns it.
    pub async fn ended(&self, client: &Client, id: &str, deadline: Duration) -> Result<Value, StackError> {
        const FINAL: [&str; 6] = ["COMPLETED", "REJECTED", "CANCELLED", "FAILED", "BLOCKED", "TIMEOUT"];
        let path = format!("/v1/transactions/{id}");
        until(format!("transaction {id}"), deadline, || async {
            let transaction = client.get(&path).await?;
            let status = transaction["status"].as_str().unwrap_or_default().to_owned();
            Ok(if FINAL.contains(&status.as_str()) { Seen::Done(transaction) } else { Seen::NotYet(status) })
        })
        .await
    }
}

/// `cosigner-workspace init`: keys, database, owner.
async fn init(config: &Path, owner: &KeyPair) -> Result<Value, StackError> {
    let program = programs::find(programs::WORKSPACE)?;
    let output = Command::new(&program)
        .arg("init")
        .arg("--config")
        .arg(config)
        .arg("--owner-name")
        .arg("owner")
        .arg("--owner-public-key")
        .arg(&owner.public)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(StackError::file(&program))?;
    serde_json::from_slice(&output.stdout).map_err(|_| StackError::Unexpected {
        expected: "cosigner-workspace init to print JSON".into(),
        got: format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    })
}
