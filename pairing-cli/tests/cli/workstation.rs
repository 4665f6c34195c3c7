//! An operator's workstation: its configuration directory, and the command run there.

use crate::simulated_enclave::SimulatedEnclave;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Secrets that must show up nowhere.
pub const PASSPHRASE: &str = "canary-passphrase-0b6f3a";
pub const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.canary-token-77c1.c2lnbmF0dXJl";
/// What every simulated enclave is told to seal with.
pub const SEALING_KEY: &str = "file:0011223344556677";

pub struct Workstation {
    pub dir: TempDir,
}

/// What a run of the command left.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The JSON object of a run with `--json`: the whole of stdout, whatever happened.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.stdout, self.stderr))
    }

    pub fn result(&self) -> Value {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.json()["result"].clone()
    }

    pub fn warnings(&self) -> Vec<String> {
        let json = self.json();
        json["warnings"].as_array().unwrap().iter().map(|w| w["code"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub fn fails(&self, code: i32, text: &str) -> &Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert_eq!(self.code, code, "{all}");
        assert!(all.contains(text), "expected {text:?} in {all}");
        self
    }
}

impl Workstation {
    pub fn new() -> Self {
        let station = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::write(station.file("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
        std::fs::write(station.file("token"), format!("{TOKEN}\n")).unwrap();
        station
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.file(name), content).unwrap();
        self.path(name)
    }

    /// A public key file in PEM.
    pub fn public_key(&self, name: &str) -> String {
        self.write(name, "-----BEGIN PUBLIC KEY-----\nQUJDREVGR0g=\n-----END PUBLIC KEY-----\n")
    }

    pub fn pin(&self, name: &str) -> Option<Value> {
        let text = std::fs::read_to_string(self.file("config/cosigners").join(format!("{name}.json"))).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    pub fn edit_pin(&self, edit: impl FnOnce(&mut Value)) {
        let mut pin = self.pin("default").unwrap();
        edit(&mut pin);
        std::fs::write(self.file("config/cosigners/default.json"), pin.to_string()).unwrap();
    }

    /// Runs the command with nothing but the configuration directory.
    pub fn offline(&self, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosigner"));
        command.env_clear().env("COUNTERSIGN_CONFIG_DIR", self.file("config")).args(args).stdin(Stdio::null());
        let output = command.output().unwrap();
        let run = Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        self.check_canaries(&run);
        run
    }

    /// Runs the command against an enclave, with its development root and the passphrase.
    pub fn run(&self, enclave: &SimulatedEnclave, args: &[&str]) -> Run {
        let (socket, root) = (enclave.socket.to_str().unwrap(), enclave.root_file.to_str().unwrap());
        let passphrase = self.path("passphrase");
        let flags = ["--socket", socket, "--development-root", root, "--passphrase-file", &passphrase];
        self.offline(&[args, &flags].concat())
    }

    /// As [`Self::run`], with `--json`.
    pub fn json(&self, enclave: &SimulatedEnclave, args: &[&str]) -> Run {
        self.run(enclave, &[args, &["--json"]].concat())
    }

    /// A fresh enclave, claimed from here.
    pub fn claimed(&self) -> SimulatedEnclave {
        let enclave = SimulatedEnclave::start();
        self.json(&enclave, &self.init()).result();
        enclave
    }

    /// A fresh enclave, claimed and paired from here.
    pub fn paired(&self) -> SimulatedEnclave {
        let enclave = self.claimed();
        self.json(&enclave, &self.add_user().iter().map(String::as_str).collect::<Vec<_>>()).result();
        enclave
    }

    pub fn init(&self) -> [&'static str; 5] {
        ["init", "--operator-name", "alice", "--sealing-key", SEALING_KEY]
    }

    pub fn add_user(&self) -> Vec<String> {
        let workspace = "cc".repeat(32);
        let args = ["add-user", "--token-file", &self.path("token"), "--workspace-key", &workspace];
        args.iter().map(|s| (*s).to_owned()).collect()
    }

    /// No secret in what was printed, nor in any file but the two it came from (threat T48).
    fn check_canaries(&self, run: &Run) {
        let out = format!("{}{}", run.stdout, run.stderr);
        assert!(!out.contains("canary"), "a secret was printed: {out}");
        let mut folders = vec![self.file("config")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = std::fs::read(&path).unwrap();
                    assert!(!contains(&content, b"canary"), "a secret is in {}", path.display());
                }
            }
        }
    }
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}
