//! A co-signer of the stack: an enclave process, a host process, and the operator who commands them.

use crate::cosigner::Cosigner;
use crate::emulator::{self, Image, PartsServer, Sockets};
use crate::error::StackError;
use crate::files::{MAX_SOCKET_PATH_BYTES, create_folder};
use crate::process::Plan;
use crate::processes::Processes;
use crate::programs;
use crate::stack::Material;
use crate::wait::{Seen, until};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How long a host may take until its enclave serves.
const SERVING_TIMEOUT: Duration = Duration::from_secs(60);

/// What a co-signer is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The customer's.
    Customer,
    /// One of the platform's.
    Cloud,
}

impl Role {
    /// As flags name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Cloud => "cloud",
        }
    }
}

/// A co-signer.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name: `customer`, `cloud-1`…
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its folder: sealed state, keys, logs.
    pub folder: PathBuf,
    /// How its operator commands it.
    pub operator: Cosigner,
    enclave_socket: PathBuf,
    emulated: Option<(Image, Sockets)>,
    http: Option<String>,
}

/// What co-signers of one stack share.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The stack's folder.
    pub folder: PathBuf,
    /// Folder for Unix sockets, short enough for them.
    pub sockets: PathBuf,
    /// Folder of the development root.
    pub development_root: PathBuf,
    /// Its certificate.
    pub root_certificate: PathBuf,
    /// The passphrase of all operator keys.
    pub passphrase_file: PathBuf,
    /// An authority that enclaves take for a public one.
    pub public_root: Option<PathBuf>,
}

impl Member {
    /// A co-signer that does not run yet: with an image, in the emulator.
    pub fn new(name: &str, role: Role, around: &Surroundings, image: Option<&Image>) -> Result<Self, StackError> {
        let folder = around.folder.join(name);
        create_folder(&folder)?;
        let socket = |kind: &str| {
            let path = around.sockets.join(format!("{name}-{kind}"));
            let len = path.as_os_str().len();
            if len > MAX_SOCKET_PATH_BYTES {
                let expected = format!("a path of at most {MAX_SOCKET_PATH_BYTES} bytes for a Unix socket");
                return Err(StackError::Unexpected { expected, got: path.display().to_string() });
            }
            Ok(path)
        };
        // Customer and platform are different organisations: each has an operator of its own.
        let operators = around.folder.join("operators").join(role.as_str());
        create_folder(&operators)?;
        let operator = Cosigner {
            program: programs::find(programs::COSIGNER)?,
            socket: socket("admin")?,
            name: name.to_owned(),
            config_dir: operators,
            passphrase_file: around.passphrase_file.clone(),
            development_root: around.root_certificate.clone(),
        };
        let emulated = match image {
            Some(image) => Some((image.clone(), Sockets::new(socket("e")?))),
            None => None,
        };
        let enclave_socket = match &emulated {
            Some((_, sockets)) => sockets.host(),
            None => socket("enclave")?,
        };
        Ok(Self { name: name.to_owned(), role, folder, operator, enclave_socket, emulated, http: None })
    }

    /// Name of its host process.
    pub fn host(&self) -> String {
        format!("{}-host", self.name)
    }

    /// Name of its enclave process.
    pub fn enclave(&self) -> String {
        format!("{}-enclave", self.name)
    }

    /// Its enclave's image, if that runs in the emulator.
    pub fn image(&self) -> Option<&Image> {
        self.emulated.as_ref().map(|(image, _)| image)
    }

    /// `http://IP:PORT` of its host's `/metrics` and `/healthz`.
    pub fn http(&self) -> Option<&str> {
        self.http.as_deref()
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("sealing.key")
    }

    /// Starts host and enclave. `index` is the co-signer's number in the stack. What comes back has to be kept as long as
    /// the enclave may start.
    pub async fn launch(
        &mut self,
        processes: &mut Processes,
        around: &Surroundings,
        index: usize,
        material: Material,
    ) -> Result<Option<PartsServer>, StackError> {
        let config = self.folder.join("host.toml");
        let ready = self.folder.join("host.ready.json");
        fs::write(&config, self.host_config(&ready)).map_err(StackError::file(&config))?;
        let host = Plan {
            name: self.host(),
            program: programs::find(programs::HOST)?,
            arguments: vec!["--config".into(), config.into()],
            environment: vec![],
            log: self.folder.join("host.log"),
            ready: Some(ready),
        };
        let addresses = processes.launch(host).await?;
        self.learn(&addresses);
        if let Some((image, sockets)) = &self.emulated {
            let parts = PartsServer::start(sockets, around, &self.key_file(), index, material)?;
            let names = [self.device(), self.enclave()];
            let [device, machine] = emulator::plans(names, image, sockets, &self.folder.join("enclave.log"))?;
            processes.launch(device).await?;
            sockets.device_is_there().await?;
            processes.launch(machine).await?;
            return Ok(Some(parts));
        }
        let mut arguments = vec!["--host-socket".into(), self.enclave_socket.clone().into()];
        arguments.extend(["--development-root".into(), around.development_root.clone().into()]);
        arguments.extend(["--key-file".into(), self.key_file().into()]);
        if let Some(authority) = &around.public_root {
            arguments.extend(["--public-root".into(), authority.into()]);
        }
        if material != Material::Own {
            arguments.extend(["--test-primes".into(), index.to_string().into()]);
        }
        if material == Material::TestAuxInfo {
            arguments.push("--test-aux-info".into());
        }
        let enclave = Plan {
            name: self.enclave(),
            program: programs::find(programs::ENCLAVE)?,
            arguments,
            environment: vec![],
            log: self.folder.join("enclave.log"),
            ready: None,
        };
        processes.launch(enclave).await?;
        Ok(None)
    }

    fn device(&self) -> String {
        format!("{}-vsock", self.name)
    }

    /// Where its enclave runs in the emulator: a new vsock device for the next machine. One that had a machine takes its
    /// socket away for a moment when that is gone.
    pub async fn renew_device(&self, processes: &mut Processes) -> Result<(), StackError> {
        let Some((_, sockets)) = &self.emulated else { return Ok(()) };
        processes.kill(&self.device()).await?;
        sockets.clear();
        processes.start(&self.device()).await?;
        sockets.device_is_there().await
    }

    /// Takes the addresses of a host's ready file.
    pub fn learn(&mut self, ready: &Value) {
        self.http = ready["http"].as_str().map(|address| format!("http://{address}"));
    }

    fn host_config(&self, ready: &Path) -> String {
        let path = |p: &Path| toml::Value::from(p.display().to_string()).to_string();
        format!(
            "[enclave]\nlisten = {}\n\n[storage]\ndirectory = {}\n\n[admin]\nsocket = {}\n\n[http]\nlisten = \
             \"127.0.0.1:0\"\n\n[links]\nproxy = \"none\"\n\n[process]\nready_file = {}\n",
            toml::Value::from(format!("unix:{}", self.enclave_socket.display())),
            path(&self.folder.join("host")),
            path(&self.operator.socket),
            path(ready),
        )
    }

    /// Waits until the enclave is connected to its host: it can be claimed.
    pub async fn connected(&self, http: &reqwest::Client) -> Result<(), StackError> {
        self.wait_for(http, "enclaveConnected").await
    }

    /// Waits until the claimed enclave has loaded its state and serves.
    pub async fn serving(&self, http: &reqwest::Client) -> Result<(), StackError> {
        self.wait_for(http, "ready").await
    }

    async fn wait_for(&self, http: &reqwest::Client, member: &str) -> Result<(), StackError> {
        let Some(base) = self.http() else {
            return Err(StackError::Unexpected { expected: "an HTTP address".into(), got: self.host() });
        };
        until(format!("the enclave of {} ({member})", self.name), SERVING_TIMEOUT, || async {
            let health: Value = match http.get(format!("{base}/healthz")).send().await {
                Ok(answer) => answer.json().await.unwrap_or_default(),
                Err(e) => return Ok(Seen::NotYet(e.to_string())),
            };
            Ok(if health[member] == true { Seen::Done(()) } else { Seen::NotYet(health.to_string()) })
        })
        .await
    }

    /// Claims it: from then on its operator commands it, and nobody else.
    pub async fn claim(&self) -> Result<Value, StackError> {
        let program = programs::find(programs::ENCLAVE)?;
        let output = Command::new(&program)
            .arg("key-id")
            .arg("--key-file")
            .arg(self.key_file())
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(StackError::file(&program))?;
        let key_id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let name = format!("operator of {}", self.role.as_str());
        self.operator.run(["init", "--operator-name", name.as_str(), "--sealing-key", key_id.as_str()]).await
    }

    /// Its status, as `cosigner get-status --json` says.
    pub async fn status(&self) -> Result<Value, StackError> {
        self.operator.run(["get-status"]).await
    }
}
