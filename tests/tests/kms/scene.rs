//! Two co-signers whose keys a simulated key service wraps, each behind a broker that leads its calls there.

use super::broker::{Broker, Dials, Said};
use super::metadata;
use super::policy;
use super::simulated_kms::{Caller, SimulatedKms};
use cosigner_dev::DevelopmentRoot;
use countersign_stack::certificates::ServerCertificate;
use countersign_stack::member::Member;
use countersign_stack::wait::{Seen, until};
use countersign_stack::{Options, Stack, StackError};
use countersign_wire::Bytes;
use countersign_wire::host_link::FromEnclave;
use countersign_wire::limits::MAX_BLOB_BYTES;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

pub const CUSTOMER: &str = "customer";
pub const CLOUD: &str = "cloud-1";
const SERVICE: &str = "kms.eu-central-1.amazonaws.com";
const DEADLINE: Duration = Duration::from_secs(60);

fn caller(name: &str) -> Caller {
    Caller {
        arn: format!("arn:aws:iam::111122223333:role/{name}"),
        id: format!("AKIA{}", name.to_uppercase()),
        secret: format!("secret of {name}"),
    }
}

/// The host's role.
pub fn host() -> Caller {
    caller("host")
}

/// Who may change the policy.
pub fn administrator() -> Caller {
    caller("administrator")
}

pub struct Scene {
    pub stack: Stack,
    pub kms: Arc<SimulatedKms>,
    brokers: BTreeMap<&'static str, Broker>,
    servers: Vec<JoinHandle<()>>,
}

impl Scene {
    pub async fn start(folder: &Path) -> Self {
        let options = Options { clouds: 1, workspaces: 0, ..Options::default() };
        let mut stack = Stack::start(&folder.join("stack"), &options).await.unwrap();
        let root = DevelopmentRoot::load(&stack.around.development_root).unwrap();
        let certificate = certificate(&stack, folder);
        let (kms, server) =
            SimulatedKms::start(&certificate, vec![host(), administrator()], root.trust_anchor().unwrap());
        let (metadata, role) = metadata::start(host());
        let authority = stack.authority.certificate().to_owned();
        let mut brokers = BTreeMap::new();
        for (name, config) in [
            (CUSTOMER, format!("\n[kms]\ncredentials = \"instance-role\"\nmetadata_service = \"{metadata}\"\n")),
            (CLOUD, "\n[kms]\ncredentials = \"environment\"\n".to_owned()),
        ] {
            let member = stack.member(name).unwrap().clone();
            let file = member.folder.join("host.toml");
            let before = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, before + &config).unwrap();
            let environment = [("AWS_ACCESS_KEY_ID", host().id), ("AWS_SECRET_ACCESS_KEY", host().secret)];
            let process = stack.processes.get(&member.host()).unwrap().plan_mut();
            process.environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
            let arguments = &mut stack.processes.get(&member.enclave()).unwrap().plan_mut().arguments;
            let place = arguments.iter().position(|a| a == "--key-file").unwrap();
            arguments[place] = "--kms-root".into();
            arguments[place + 1] = authority.clone().into();
            let middle = folder.join(name);
            std::fs::create_dir(&middle).unwrap();
            let broker = Broker::between(&mut stack, name, &middle);
            broker.dial(Dials::To(kms.port));
            stack.processes.kill(&member.host()).await.unwrap();
            stack.restart(&member.host()).await.unwrap();
            broker.restart(&mut stack).await;
            brokers.insert(name, broker);
        }
        let scene = Self { stack, kms, brokers, servers: vec![server, role] };
        for name in [CUSTOMER, CLOUD] {
            scene.member(name).connected(&reqwest::Client::new()).await.unwrap();
            scene.member(name).operator.run(["operator-key", "new"]).await.unwrap();
        }
        scene
    }

    pub fn member(&self, name: &str) -> &Member {
        self.stack.member(name).unwrap()
    }

    pub fn broker(&self, name: &str) -> &Broker {
        &self.brokers[name]
    }

    /// PCR0, 1 and 2, in hexadecimal digits.
    pub async fn measurements(&self, name: &str) -> [String; 3] {
        let shown = self.member(name).operator.run(["attestation", "show"]).await.unwrap();
        ["pcr0", "pcr1", "pcr2"].map(|register| shown["measurements"][register].as_str().unwrap().to_owned())
    }

    pub fn policy(&self, pcrs: &[String; 3], instances: &[&str]) -> Value {
        policy::filled(&host().arn, &administrator().arn, pcrs.each_ref().map(String::as_str), instances)
    }

    pub fn set_policy(&self, key: &str, policy: Value) {
        self.kms.keys.lock().unwrap().get_mut(key).unwrap().policy = policy;
    }

    /// Claims it; its instance, or why not.
    pub async fn claim(&self, name: &str, key: &str) -> Result<String, String> {
        let flags = ["init", "--operator-name", "operator", "--sealing-key", key];
        match self.member(name).operator.run(flags).await {
            Ok(claimed) => Ok(claimed["instance"].as_str().unwrap().to_owned()),
            Err(StackError::Cosigner { message, .. }) => Err(message),
            Err(other) => panic!("{other}"),
        }
    }

    /// Rotates its sealing key; what the command said, or why not.
    pub async fn rotate(&self, name: &str, key: &str) -> Result<Value, String> {
        match self.member(name).operator.run(["rotate-sealing-key", "--yes", "--sealing-key", key]).await {
            Ok(rotated) => Ok(rotated),
            Err(StackError::Cosigner { message, .. }) => Err(message),
            Err(other) => panic!("{other}"),
        }
    }

    pub async fn restarts_and_serves(&mut self, name: &str) {
        self.restart(name).await;
        self.member(name).serving(&reqwest::Client::new()).await.unwrap();
    }

    /// Starts it again; it ends by itself, and its log says why.
    pub async fn restarts_and_ends(&mut self, name: &str, why: &str) {
        let log = self.member(name).folder.join("enclave.log");
        let before = std::fs::read_to_string(&log).unwrap_or_default().len();
        self.restart(name).await;
        let enclave = self.member(name).enclave();
        let process = self.stack.processes.get(&enclave).unwrap();
        until(format!("{name} to end: {why}"), DEADLINE, || {
            let ended = process.ended().map(|ended| ended.map_or(Seen::NotYet("it runs".into()), Seen::Done));
            std::future::ready(ended)
        })
        .await
        .unwrap();
        let said = std::fs::read_to_string(&log).unwrap();
        let said = said.get(before..).unwrap_or_default();
        assert!(said.contains(why), "expected {why:?}: {said}");
    }

    async fn restart(&mut self, name: &str) {
        let enclave = self.member(name).enclave();
        self.stack.processes.kill(&enclave).await.unwrap();
        self.stack.processes.start(&enclave).await.unwrap();
    }

    /// What it last had stored, by name.
    pub fn blobs(&self, name: &str) -> BTreeMap<String, Bytes<MAX_BLOB_BYTES>> {
        let mut blobs = BTreeMap::new();
        for said in self.broker(name).shared.seen.lock().unwrap().iter() {
            let Said::Up(FromEnclave::Persist { writes, .. }) = said else { continue };
            for write in writes.iter() {
                match &write.value {
                    Some(value) => blobs.insert(write.name.to_string(), value.clone()),
                    None => blobs.remove(&write.name.to_string()),
                };
            }
        }
        blobs
    }

    /// The wrapped root key, out of the root: version, instance, name of the key, wrapped key, sealed data keys.
    pub fn wrapped_key(&self, name: &str) -> Vec<u8> {
        let root = &self.blobs(name)["root"];
        let part = |at: usize| {
            let length = u32::from_le_bytes(root[at..at + 4].try_into().unwrap()) as usize;
            (root[at + 4..at + 4 + length].to_vec(), at + 4 + length)
        };
        let (_, at) = part(1 + 32);
        part(at).0
    }

    /// A key service with a certificate for the right name, of an authority that nobody believes.
    pub fn impostor(&mut self, folder: &Path) -> Arc<SimulatedKms> {
        let (own, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let params = CertificateParams::new(vec![SERVICE.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &Issuer::from_params(&authority, &own)).unwrap();
        let certificate = written(&signed.pem(), &key, folder, "impostor");
        let root = DevelopmentRoot::load(&self.stack.around.development_root).unwrap();
        let (kms, server) = SimulatedKms::start(&certificate, vec![host()], root.trust_anchor().unwrap());
        self.servers.push(server);
        kms
    }

    pub async fn stop(self) {
        self.servers.iter().for_each(JoinHandle::abort);
        self.stack.stop().await.unwrap();
    }
}

/// A certificate for the service's name, under the stack's authority.
fn certificate(stack: &Stack, folder: &Path) -> ServerCertificate {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![SERVICE.to_owned()]).unwrap();
    let signed = stack.authority.sign(params, &key).unwrap();
    written(&signed.pem(), &key, folder, "kms")
}

fn written(certificate: &str, key: &KeyPair, folder: &Path, name: &str) -> ServerCertificate {
    let file = |extension: &str| folder.join(name).with_extension(extension);
    let files = ServerCertificate { certificate: file("crt"), key: file("key") };
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}
