//! The sample callback handler of the stack: its own process, its own keys, its own certificate.

use crate::certificates::Authority;
use crate::error::StackError;
use crate::files::create_folder;
use crate::keys::{Algorithm, KeyPair};
use crate::process::Plan;
use crate::processes::Processes;
use crate::programs;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A callback handler.
#[derive(Debug, Clone)]
pub struct Handler {
    /// Its name, also of its process.
    pub name: String,
    /// The key that signs its answers.
    pub answers: KeyPair,
    /// Where it reads the co-signer's public key.
    pub cosigner_key: PathBuf,
    /// Base URL.
    pub url: String,
    /// Where it logs.
    pub log: PathBuf,
}

impl Handler {
    /// Starts one. It knows no co-signer until [`Handler::trust`]. `flags` are added to its command line.
    pub async fn launch(
        name: &str,
        parent: &Path,
        authority: &Authority,
        algorithm: Algorithm,
        flags: &[String],
        processes: &mut Processes,
    ) -> Result<Self, StackError> {
        let folder = parent.join(name);
        create_folder(&folder)?;
        let tls = authority.issue(&folder)?;
        let answers = KeyPair::create(&folder, "answer", algorithm)?;
        let cosigner_key = folder.join("cosigner.pub");
        let log = folder.join("handler.log");
        let ready = folder.join("ready.json");
        let files: [(&str, &Path); 5] = [
            ("--tls-cert", &tls.certificate),
            ("--tls-key", &tls.key),
            ("--cosigner-key", &cosigner_key),
            ("--answer-key", &answers.private),
            ("--ready-file", &ready),
        ];
        let mut arguments: Vec<OsString> = files.iter().flat_map(|(f, p)| [(*f).into(), (*p).into()]).collect();
        arguments.extend(flags.iter().map(Into::into));
        arguments.extend(["--log-json".into(), "--listen".into(), "127.0.0.1:0".into()]);
        let plan = Plan {
            name: name.to_owned(),
            program: programs::find(programs::HANDLER)?,
            arguments,
            environment: vec![],
            log: log.clone(),
            ready: Some(ready),
        };
        let address = listen_address(&processes.launch(plan).await?)?;
        // Started again, it must be where it was.
        if let Some(last) = processes.get(name)?.plan_mut().arguments.last_mut() {
            *last = address.clone().into();
        }
        Ok(Self { name: name.to_owned(), answers, cosigner_key, url: format!("https://{address}"), log })
    }

    /// Gives it the co-signer's public key.
    pub fn trust(&self, public_key_pem: &str) -> Result<(), StackError> {
        fs::write(&self.cosigner_key, public_key_pem).map_err(StackError::file(&self.cosigner_key))
    }
}

/// `IP:PORT` of a ready file's `listen`.
fn listen_address(ready: &Value) -> Result<String, StackError> {
    let address = ready["listen"].as_str().map(str::to_owned);
    address.ok_or_else(|| StackError::Unexpected { expected: "a listen address".into(), got: ready.to_string() })
}
