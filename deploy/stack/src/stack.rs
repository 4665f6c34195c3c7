//! The whole system, put together.

use crate::certificates::Authority;
use crate::emulator::{Image, PartsServer};
use crate::error::StackError;
use crate::files::{create_folder, write_private};
use crate::handler::Handler;
use crate::keys::Algorithm;
use crate::member::{Member, Role, Surroundings};
use crate::processes::{Processes, Running};
use crate::programs;
use crate::sockets;
use crate::workspace::{ApiUser, Workspace};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How a request of an API user is approved at its co-signer.
#[derive(Debug, Clone, Copy)]
pub enum Approval<'a> {
    /// By nobody: everything is refused.
    Nobody,
    /// By a handler.
    Handler(&'a Handler),
    /// Without asking.
    Auto,
}

/// How an API user is paired.
#[derive(Debug, Clone, Copy)]
pub struct Pairing<'a> {
    /// How its requests are approved.
    pub approval: Approval<'a>,
    /// Whether RAW is allowed.
    pub allow_raw: bool,
    /// Whether a client's own request is demanded.
    pub require_intent: bool,
}

/// A stack.
pub struct Stack {
    /// Its processes.
    pub processes: Processes,
    /// Its co-signers: the customer's first, then the cloud's.
    pub members: Vec<Member>,
    /// Its workspaces.
    pub workspaces: Vec<Workspace>,
    /// What its co-signers share.
    pub around: Surroundings,
    /// Signs its servers' certificates.
    pub authority: Authority,
    http: reqwest::Client,
    parts_servers: Vec<PartsServer>,
    // Dropped last: the processes are gone by then.
    _sockets: Option<tempfile::TempDir>,
}

/// What a group needs before it can make keys, and what takes long to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Material {
    /// Co-signers make their safe primes and the auxiliary information.
    Own,
    /// They take committed safe primes, which everybody knows, and make the auxiliary information.
    TestPrimes,
    /// In groups of three they take committed auxiliary information, too.
    TestAuxInfo,
}

/// Options of [`Stack::start`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Cloud co-signers beside the customer's.
    pub clouds: usize,
    /// Workspaces.
    pub workspaces: usize,
    /// What co-signers make themselves, and what they are given.
    pub material: Material,
    /// Enclaves take the stack's own authority for a public one.
    pub public_root: bool,
    /// Co-signers, by number (the customer's is 0), whose enclaves are images in the emulator; the others are processes.
    pub images: BTreeMap<usize, Image>,
    /// What ends whoever started it from outside (an interrupt of the terminal, a test runner that ends a test) leaves its
    /// processes alone. Only for one who takes care of them: nothing else ends them then.
    pub outlives_terminal: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clouds: 2,
            workspaces: 1,
            material: Material::TestAuxInfo,
            public_root: false,
            images: BTreeMap::new(),
            outlives_terminal: false,
        }
    }
}

impl Stack {
    /// Starts all processes in a new folder and waits until they serve. Nothing is claimed or paired yet.
    pub async fn start(folder: &Path, options: &Options) -> Result<Self, StackError> {
        create_folder(folder)?;
        let folder = folder.canonicalize().map_err(StackError::file(folder))?;
        let (sockets, guard) = sockets::create(&folder)?;
        let authority = Authority::create(&folder)?;
        let passphrase_file = folder.join("passphrase");
        write_private(&passphrase_file, uuid::Uuid::new_v4().to_string().as_bytes())?;
        let development_root = folder.join("development-root");
        let around = Surroundings {
            root_certificate: make_root(&development_root).await?,
            development_root,
            folder: folder.clone(),
            sockets,
            passphrase_file,
            public_root: options.public_root.then(|| authority.certificate().to_owned()),
        };
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
        let http =
            http.map_err(|e| StackError::Unexpected { expected: "an HTTP client".into(), got: e.to_string() })?;
        let mut stack = Self {
            processes: Processes::new(folder.join("processes.json")).with_own_groups(options.outlives_terminal),
            members: Vec::new(),
            workspaces: Vec::new(),
            around,
            authority,
            http,
            parts_servers: Vec::new(),
            _sockets: guard,
        };
        for index in 1..=options.workspaces {
            stack.start_workspace(index, !options.images.is_empty()).await?;
        }
        for index in 0..=options.clouds {
            stack.start_member(index, options).await?;
        }
        for member in &stack.members {
            member.connected(&stack.http).await?;
        }
        Ok(stack)
    }

    async fn start_workspace(&mut self, index: usize, emulated: bool) -> Result<(), StackError> {
        let name = if index == 1 { "workspace".to_owned() } else { format!("workspace-{index}") };
        let root = &self.around.root_certificate;
        let (folder, processes) = (&self.around.folder, &mut self.processes);
        let made = Workspace::launch(&name, folder, &self.authority, root, processes, emulated).await?;
        self.workspaces.push(made);
        Ok(())
    }

    async fn start_member(&mut self, index: usize, options: &Options) -> Result<(), StackError> {
        let (name, role) = match index {
            0 => ("customer".to_owned(), Role::Customer),
            n => (format!("cloud-{n}"), Role::Cloud),
        };
        let mut member = Member::new(&name, role, &self.around, options.images.get(&index))?;
        let parts = member.launch(&mut self.processes, &self.around, index, options.material).await?;
        self.parts_servers.extend(parts);
        self.members.push(member);
        Ok(())
    }

    /// Starts a handler.
    pub async fn start_handler(
        &mut self,
        name: &str,
        algorithm: Algorithm,
        flags: &[String],
    ) -> Result<Handler, StackError> {
        Handler::launch(name, &self.around.folder, &self.authority, algorithm, flags, &mut self.processes).await
    }

    /// A member by its name.
    pub fn member(&self, name: &str) -> Result<&Member, StackError> {
        let found = self.members.iter().find(|m| m.name == name);
        found.ok_or_else(|| StackError::UnknownProcess(name.to_owned()))
    }

    /// The customer's co-signer.
    pub fn customer(&self) -> Result<&Member, StackError> {
        self.member("customer")
    }

    /// The first workspace.
    pub fn workspace(&self) -> Result<&Workspace, StackError> {
        self.workspaces.first().ok_or_else(|| StackError::UnknownProcess("workspace".to_owned()))
    }

    /// Makes the operators' keys and claims every co-signer.
    pub async fn claim_all(&self) -> Result<(), StackError> {
        for role in [Role::Customer, Role::Cloud] {
            if let Some(member) = self.members.iter().find(|m| m.role == role) {
                member.operator.run(["operator-key", "new"]).await?;
            }
        }
        for member in &self.members {
            member.claim().await?;
        }
        self.serving().await
    }

    /// Pairs an API user with a co-signer: token, `cosigner add-user`, the owner's approval. Returns the co-signer's id in
    /// the workspace and what the command said.
    pub async fn pair(
        &self,
        workspace: &Workspace,
        user: &ApiUser,
        member: &Member,
        initiators: &[&ApiUser],
        pairing: Pairing<'_>,
    ) -> Result<(String, Value), StackError> {
        let token = workspace.pairing_token(user).await?;
        let ca = self.authority.certificate();
        let mut arguments: Vec<OsString> = vec!["add-user".into(), "--role".into(), member.role.as_str().into()];
        arguments.extend(["--token-file".into(), token.into()]);
        arguments.extend(["--workspace-key".into(), workspace.fingerprint.clone().into()]);
        arguments.extend(["--workspace-ca".into(), ca.into(), "--workspace-network".into(), LOOPBACK.into()]);
        for initiator in initiators {
            if let Some(key) = &initiator.key {
                let named = format!("{}={}", initiator.id, key.public.display());
                arguments.extend(["--initiator".into(), named.into()]);
            }
        }
        match pairing.approval {
            Approval::Nobody => {}
            Approval::Auto => arguments.push("--auto-approve".into()),
            Approval::Handler(handler) => {
                arguments.extend(["--callback-url".into(), handler.url.clone().into()]);
                arguments.extend(["--callback-key".into(), handler.answers.public.clone().into()]);
                arguments.extend(["--callback-ca".into(), ca.into(), "--callback-network".into(), LOOPBACK.into()]);
            }
        }
        for file in self.measurements().await? {
            arguments.extend(["--peer-measurements".into(), file.into()]);
        }
        if pairing.allow_raw {
            arguments.push("--allow-raw".into());
        }
        if !pairing.require_intent {
            arguments.push("--no-intent".into());
        }
        let added = member.operator.run(arguments).await?;
        if let (Approval::Handler(handler), Some(key)) = (pairing.approval, added["callback_public_key_pem"].as_str()) {
            handler.trust(key)?;
        }
        let id = workspace.approve_pairing(user, &self.operators_of(member).await?).await?;
        Ok((id, added))
    }

    /// Files with the measurements that operators accept of each other's co-signers, each once; none where all run the same
    /// program.
    async fn measurements(&self) -> Result<Vec<PathBuf>, StackError> {
        let mut found = BTreeMap::new();
        if self.members.iter().any(|member| member.image().is_some()) {
            for member in &self.members {
                let shown = member.operator.run(["attestation", "show"]).await?["measurements"].to_string();
                let file = member.folder.join("measurements.json");
                fs::write(&file, &shown).map_err(StackError::file(&file))?;
                found.insert(shown, file);
            }
        }
        Ok(found.into_values().collect())
    }

    /// The operators' keys of a co-signer, as its operator knows them.
    async fn operators_of(&self, member: &Member) -> Result<Vec<String>, StackError> {
        let shown = member.operator.run(["operator-key", "show"]).await?;
        let keys = shown["keys"].as_array().into_iter().flatten();
        Ok(keys.filter_map(|k| k["public_key"].as_str().map(str::to_owned)).collect())
    }

    /// Those of its processes that run.
    pub fn running(&self) -> Vec<Running> {
        self.processes.running()
    }

    /// Starts a process that was killed. A host gets new addresses.
    pub async fn restart(&mut self, name: &str) -> Result<(), StackError> {
        if let Some(member) = self.members.iter().find(|m| m.enclave() == name) {
            member.renew_device(&mut self.processes).await?;
        }
        let ready = self.processes.start(name).await?;
        if let Some(member) = self.members.iter_mut().find(|m| m.host() == name) {
            member.learn(&ready);
        }
        Ok(())
    }

    /// How often enclaves in the emulator came for development parts.
    pub fn parts_asked_for(&self) -> usize {
        self.parts_servers.iter().map(PartsServer::asked).sum()
    }

    /// Ends every process at once (SIGKILL).
    pub async fn kill_all(&mut self) -> Result<(), StackError> {
        for name in self.processes.names() {
            self.processes.kill(&name).await?;
        }
        Ok(())
    }

    /// Starts every process that does not run, and waits until all enclaves serve.
    pub async fn start_all(&mut self) -> Result<(), StackError> {
        // Enclaves need their hosts; whatever else there is finds each other.
        let (enclaves, others): (Vec<String>, Vec<String>) =
            self.processes.names().into_iter().partition(|name| self.members.iter().any(|m| m.enclave() == *name));
        for name in others.into_iter().chain(enclaves) {
            if self.processes.get(&name)?.pid().is_none() {
                self.restart(&name).await?;
            }
        }
        self.serving().await
    }

    /// Waits until every claimed enclave serves.
    pub async fn serving(&self) -> Result<(), StackError> {
        for member in &self.members {
            member.serving(&self.http).await?;
        }
        Ok(())
    }

    /// Ends all processes in order: enclaves and handlers first, workspaces last. Names those that had to be forced.
    pub async fn stop(mut self) -> Result<Vec<String>, StackError> {
        let hosts: Vec<String> = self.members.iter().map(Member::host).collect();
        let workspaces: Vec<String> = self.workspaces.iter().map(|w| w.name.clone()).collect();
        let last: Vec<&str> = hosts.iter().chain(&workspaces).map(String::as_str).collect();
        self.processes.stop_all(&last).await
    }

    /// Lets everything run on after this program ends.
    pub fn keep(mut self) {
        self.processes.release();
        if let Some(sockets) = self._sockets.take() {
            let _ = sockets.keep();
        }
    }
}

/// Where everything of a local stack is.
const LOOPBACK: &str = "127.0.0.0/8";

/// Makes the development root in a folder; the path of its certificate.
async fn make_root(folder: &Path) -> Result<PathBuf, StackError> {
    let program = programs::find(programs::ENCLAVE)?;
    let output = Command::new(&program)
        .arg("make-root")
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(StackError::file(&program))?;
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || printed.is_empty() {
        let got = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(StackError::Unexpected { expected: "make-root to print a path".into(), got });
    }
    Ok(PathBuf::from(printed))
}
