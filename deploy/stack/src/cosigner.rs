//! The real `cosigner` command line, called for one co-signer, always with `--json`.

use crate::error::StackError;
use serde_json::Value;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Command;

/// How the operator of one co-signer calls the command line.
#[derive(Debug, Clone)]
pub struct Cosigner {
    /// The program.
    pub program: PathBuf,
    /// Admin socket of the co-signer's host.
    pub socket: PathBuf,
    /// Name under which it is pinned.
    pub name: String,
    /// Where pins and the operator key are.
    pub config_dir: PathBuf,
    /// File with the operator key's passphrase.
    pub passphrase_file: PathBuf,
    /// The development root's certificate.
    pub development_root: PathBuf,
}

impl Cosigner {
    /// The flags that every call has, for a person to type.
    pub fn common_flags(&self) -> Vec<OsString> {
        let flags: [(&str, OsString); 5] = [
            ("--socket", self.socket.clone().into()),
            ("--cosigner", self.name.clone().into()),
            ("--config-dir", self.config_dir.clone().into()),
            ("--passphrase-file", self.passphrase_file.clone().into()),
            ("--development-root", self.development_root.clone().into()),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.into(), value]).collect()
    }

    /// Calls it, and returns the member `result` of its JSON object.
    pub async fn run<I, A>(&self, arguments: I) -> Result<Value, StackError>
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString>,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let mut command = Command::new(&self.program);
        // What the environment of whoever runs this says about another co-signer does not count here.
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("COUNTERSIGN_")) {
            command.env_remove(name);
        }
        let output = command
            .args(&arguments)
            .args(self.common_flags())
            .arg("--json")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(StackError::io(format!("starting {}", self.program.display())))?;
        let shown = arguments.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let mut object: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() && object["ok"] == true {
            return Ok(object["result"].take());
        }
        let code = output.status.code().unwrap_or(-1);
        let message = match object["error"]["message"].as_str() {
            Some(message) => message.to_owned(),
            None => [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).trim().to_owned()).join(" "),
        };
        Err(StackError::Cosigner { arguments: shown, code, error: object["error"].take(), message })
    }
}
