//! Handlers as processes of a stack.

use countersign_stack::System;
use countersign_stack::keys::{Algorithm, KeyPair};
use countersign_stack::process::Plan;
use countersign_stack::programs;
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a handler may take to start: its libraries are there already.
const START_WITHIN: Duration = Duration::from_secs(60);

/// The libraries of `tests/handlers/run`.
pub const LIBRARIES: [&str; 2] = ["pyjwt", "jsonwebtoken"];

/// Name and program of a sample.
type Sample = (&'static str, fn() -> PathBuf);

/// The samples.
pub const SAMPLES: [Sample; 3] = [
    ("python", || repository("deploy/callback-handlers/python/run")),
    ("typescript", || repository("deploy/callback-handlers/typescript/run")),
    ("rust", || programs::find(programs::HANDLER).unwrap()),
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A running handler.
pub struct Foreign {
    /// Its base URL.
    pub url: String,
    /// The key that signs its answers.
    pub answers: KeyPair,
}

struct Files {
    folder: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    answers: KeyPair,
    cosigner_key: PathBuf,
}

async fn files(name: &str, algorithm: Algorithm, system: &System) -> Files {
    let folder = system.stack.around.folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let tls = system.stack.authority.issue(&folder).unwrap();
    let answers = KeyPair::create(&folder, "answers", algorithm).unwrap();
    let printed = system.stack.customer().unwrap().operator.run(["print-public-key"]).await.unwrap();
    let cosigner_key = folder.join("cosigner.pub");
    std::fs::write(&cosigner_key, printed["public_key_pem"].as_str().unwrap()).unwrap();
    Files { folder, certificate: tls.certificate, key: tls.key, answers, cosigner_key }
}

impl Foreign {
    /// Starts a sample with a policy.
    pub async fn sample(name: &str, program: &Path, policy: &Path, system: &mut System) -> Self {
        let files = files(name, Algorithm::Es256, system).await;
        let ready = files.folder.join("ready.json");
        let flags: [(&str, OsString); 7] = [
            ("--listen", "127.0.0.1:0".into()),
            ("--tls-cert", files.certificate.into()),
            ("--tls-key", files.key.into()),
            ("--cosigner-key", files.cosigner_key.into()),
            ("--answer-key", files.answers.private.clone().into()),
            ("--policy", policy.into()),
            ("--ready-file", ready.clone().into()),
        ];
        let plan = Plan {
            name: format!("handler-{name}"),
            program: program.to_owned(),
            arguments: flags.into_iter().flat_map(|(flag, value)| [flag.into(), value]).collect(),
            environment: vec![],
            log: files.folder.join("handler.log"),
            ready: Some(ready),
        };
        let ready = system.stack.processes.launch(plan).await.unwrap();
        Self { url: format!("https://{}", ready["listen"].as_str().unwrap()), answers: files.answers }
    }

    /// Starts a handler of one of the [`LIBRARIES`] that says the same to everything.
    pub async fn library(
        library: &str,
        algorithm_name: &str,
        algorithm: Algorithm,
        action: &str,
        system: &mut System,
    ) -> Self {
        let name = format!("{library}-{algorithm_name}-{action}");
        let files = files(&name, algorithm, system).await;
        let log = files.folder.join("handler.log");
        let flags: [(&str, OsString); 7] = [
            ("--port", "0".into()),
            ("--cert", files.certificate.into()),
            ("--key", files.key.into()),
            ("--cosigner-key", files.cosigner_key.into()),
            ("--signing-key", files.answers.private.clone().into()),
            ("--algorithm", algorithm_name.into()),
            ("--action", action.into()),
        ];
        let mut arguments: Vec<OsString> = vec![library.into()];
        arguments.extend(flags.into_iter().flat_map(|(flag, value)| [flag.into(), value]));
        let plan = Plan {
            name,
            program: repository("tests/handlers/run"),
            arguments,
            environment: vec![],
            log: log.clone(),
            ready: None,
        };
        system.stack.processes.launch(plan).await.unwrap();
        Self { url: format!("https://127.0.0.1:{}", port(&log).await), answers: files.answers }
    }
}

/// The port of the line that says that it listens.
async fn port(log: &Path) -> u64 {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let line = text.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()?["port"].as_u64());
        if let Some(port) = line {
            return port;
        }
        assert!(begun.elapsed() < START_WITHIN, "it does not listen: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
