//! `deploy/quickstart` as a person runs it, and what a kept one promises to other programs: the file `env`, vault account 0
//! with asset ETH, and a handler that rejects the note `reject-me`. The programs must be built before: `tests/run` does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloy_consensus::TxEnvelope;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::Address;
use countersign_stack::certificates::Authority;
use countersign_stack::files::MAX_SOCKET_PATH_BYTES;
use countersign_stack::processes::Running;
use countersign_stack::wait::{Seen, until};
use countersign_stack::{Ask, Client, programs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(180);
/// What the design promises to every program that works with a kept stack.
const PROMISED: [&str; 6] = [
    "COUNTERSIGN_URL",
    "COUNTERSIGN_API_KEY",
    "COUNTERSIGN_API_SECRET_FILE",
    "COUNTERSIGN_CA_FILE",
    "COUNTERSIGN_ADMIN_API_KEY",
    "COUNTERSIGN_ADMIN_SECRET_FILE",
];

fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COUNTERSIGN_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A quickstart's folder. However the test ends, nothing of it runs on.
struct Quickstart {
    folder: PathBuf,
    _parent: TempDir,
}

impl Quickstart {
    /// `name` decides how long paths are.
    fn new(name: &str) -> Self {
        let parent = tempfile::tempdir().unwrap();
        Self { folder: parent.path().canonicalize().unwrap().join(name), _parent: parent }
    }

    fn call(&self, flags: &[&str]) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_quickstart"));
        command.arg("--folder").arg(&self.folder).args(flags);
        command
    }

    fn run(&self, flags: &[&str]) -> String {
        let output = self.call(flags).output().unwrap();
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{flags:?}: {all}");
        all
    }

    fn listed(&self) -> Vec<Running> {
        serde_json::from_slice(&fs::read(self.folder.join("processes.json")).unwrap()).unwrap()
    }

    /// Runs a program as a real shell does that has read `env`.
    fn in_shell(&self, program: &Path, arguments: &[&str]) -> Output {
        let script = r#". "$1"; shift; exec "$@""#;
        command("/bin/sh")
            .args(["-euc", script, "sh"])
            .arg(self.folder.join("env"))
            .arg(program)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The variables that a program started by such a shell gets.
    fn variables(&self) -> BTreeMap<String, String> {
        let output = self.in_shell(Path::new("/usr/bin/env"), &["-0"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let all = text(&output.stdout);
        let pairs = all.split('\0').filter_map(|line| line.split_once('='));
        pairs.filter(|(name, _)| name.starts_with("COUNTERSIGN_")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    fn clients(&self) -> (Client, Client) {
        let variables = self.variables();
        for name in PROMISED {
            assert!(variables.get(name).is_some_and(|value| !value.is_empty()), "{name} in {variables:?}");
        }
        let client = |user: &str, secret: &str| {
            let file = |name: &str| fs::read_to_string(&variables[name]).unwrap();
            Client::new(&variables["COUNTERSIGN_URL"], &file("COUNTERSIGN_CA_FILE"), &variables[user], &file(secret))
                .unwrap()
        };
        (
            client("COUNTERSIGN_API_KEY", "COUNTERSIGN_API_SECRET_FILE"),
            client("COUNTERSIGN_ADMIN_API_KEY", "COUNTERSIGN_ADMIN_SECRET_FILE"),
        )
    }

    /// What `cosigner key verify` says of vault account 0's address; it finds co-signer and pin by `env` alone.
    async fn certified_address(&self, admin: &Client) -> Address {
        let certificate = admin.get("/v1/vault/accounts/0/ETH/key_certificate").await.unwrap();
        let file = self.folder.join("certificate-of-the-test.json");
        fs::write(&file, certificate.to_string()).unwrap();
        let user = &self.variables()["COUNTERSIGN_API_KEY"];
        let file = file.to_str().unwrap();
        let arguments =
            ["key", "verify", "--certificate", file, "--vault", "0", "--asset", "ETH", "--signer", user, "--json"];
        let output = self.in_shell(&programs::find(programs::COSIGNER).unwrap(), &arguments);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success() && said["ok"] == true, "{said} {}", text(&output.stderr));
        said["result"]["address"].as_str().unwrap().parse().unwrap()
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.call(&["--down"]).output();
    }
}

/// Processes in whose command line or environment a path is.
fn processes_with(path: &Path) -> Vec<String> {
    let needle = path.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command_line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command_line.windows(needle.len()).any(|window| window == needle) {
            found.push(text(&command_line).replace('\0', " "));
        }
    }
    found
}

async fn ended(client: &Client, ask: &Ask) -> Value {
    let made = client.post("/v1/transactions", &ask.body).await.unwrap();
    let path = format!("/v1/transactions/{}", made["id"].as_str().unwrap());
    let last = until(path.clone(), TRANSACTION_TIMEOUT, || async {
        let transaction = client.get(&path).await?;
        let over =
            ["COMPLETED", "REJECTED", "FAILED", "CANCELLED", "TIMEOUT"].iter().any(|s| transaction["status"] == *s);
        Ok(if over { Seen::Done(transaction) } else { Seen::NotYet(transaction["status"].to_string()) })
    });
    last.await.unwrap()
}

/// What a person must have seen, and that it is true.
fn check_output(printed: &str, address: Address) {
    let expected = [
        "COMMITTED TEST PRIMES",
        "RAW is allowed",
        "vault account 0 with asset ETH",
        "the handler approves, three sign",
        "the handler rejects it",
        "its co-signer refuses",
        "2 signatures verified, 1 rejection, 1 refusal, 1 key certificate",
        "--down",
    ];
    for part in expected {
        assert!(printed.contains(part), "{part:?} is missing in {printed}");
    }
    let value = |name: &str| {
        let lines = printed.lines().filter_map(|line| line.trim().strip_prefix(name));
        lines.map(str::trim).filter(|rest| !rest.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(value("address ").iter().all(|shown| *shown == address.to_string()), "{printed}");
    assert!(!value("address ").is_empty() && value("signature ").iter().any(|s| s.len() == 2 + 2 * 65), "{printed}");
    let reasons = value("reason ");
    assert!(reasons.len() == 2 && reasons[0].contains("reject-me"), "{reasons:?}");
    let raw = value("transaction ").into_iter().find(|value| value.starts_with("0x02")).expect("a raw transaction");
    let bytes = raw.strip_prefix("0x").unwrap();
    let bytes: Vec<u8> =
        (0..bytes.len()).step_by(2).map(|i| u8::from_str_radix(&bytes[i..i + 2], 16).unwrap()).collect();
    let transaction = TxEnvelope::decode_2718(&mut bytes.as_slice()).unwrap();
    assert_eq!(transaction.recover_signer().unwrap(), address);
}

/// A kept stack does what its `env` promises.
async fn check_kept(kept: &Quickstart, printed: &str) {
    let (client, admin) = kept.clients();
    let address = kept.certified_address(&admin).await;
    check_output(printed, address);
    let ask = Ask::message(0, b"from a program that knows the environment alone");
    ask.verify(&ended(&client, &ask).await, address).unwrap();
    let ask = Ask::message(0, b"never").note("reject-me");
    let rejected = ended(&client, &ask).await;
    assert_eq!(rejected["status"], "REJECTED");
    // The same, from a shell.
    let api = Path::new(env!("CARGO_BIN_EXE_countersign-api"));
    let shown = |flags: &[&str]| {
        let output = kept.in_shell(api, flags);
        assert!(output.status.success(), "{flags:?}: {}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(shown(&["GET", &format!("/v1/transactions/{}", rejected["id"].as_str().unwrap())]), rejected);
    assert_eq!(shown(&["--admin", "GET", "/v1/cosigners"])["data"].as_array().unwrap().len(), 3);
    // A bundle of authorities, of which the second is the workspace's.
    let other = tempfile::tempdir().unwrap();
    let other = Authority::create(other.path()).unwrap();
    let bundle = kept.folder.join("bundle-of-the-test.pem");
    let own = fs::read_to_string(&kept.variables()["COUNTERSIGN_CA_FILE"]).unwrap();
    fs::write(&bundle, format!("{}{own}", other.pem())).unwrap();
    shown(&["--ca-file", bundle.to_str().unwrap(), "GET", "/v1/transactions"]);
    let refused = kept.in_shell(api, &["POST", "/v1/transactions", "{}"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("HTTP 400"), "{}", text(&refused.stderr));
    assert!(ask.verify_refused(&rejected, "rejected").unwrap().contains("reject-me"));
}

#[tokio::test]
async fn e2e_two_kept_quickstarts_side_by_side_do_what_their_env_promises_until_they_are_taken_down() {
    // The paths of the second one's sockets would be too long inside of its folder.
    let (short, long) = (Quickstart::new("q"), Quickstart::new(&"long-".repeat(16)));
    let first = short.run(&["--fast", "--keep"]);
    let second = long.run(&["--fast", "--keep"]);
    check_kept(&short, &first).await;
    check_kept(&long, &second).await;

    let running = short.listed();
    assert!(running.len() >= 8 && running.iter().all(Running::is_there), "{running:?}");
    short.run(&["--down"]);
    assert!(!running.iter().any(Running::is_there) && !short.folder.exists());
    assert_eq!(processes_with(&short.folder), [""; 0]);

    // The other one does not notice.
    let (client, admin) = long.clients();
    let address = long.certified_address(&admin).await;
    let ask = Ask::message(0, b"still here");
    ask.verify(&ended(&client, &ask).await, address).unwrap();
    let sockets = PathBuf::from(long.variables()["COUNTERSIGN_SOCKET"].clone()).parent().unwrap().to_owned();
    assert!(sockets.exists() && !sockets.starts_with(&long.folder));
    long.run(&["--down"]);
    assert_eq!(processes_with(&long.folder), [""; 0]);
    assert!(!long.folder.exists() && !sockets.exists(), "{}", sockets.display());
    assert!(long.run(&["--down"]).contains("ended 0 processes"));
}

#[test]
fn e2e_a_quickstart_that_fails_says_why_and_leaves_no_process() {
    let quickstart = Quickstart::new("q");
    let broken = tempfile::tempdir().unwrap();
    for program in [programs::HOST, programs::ENCLAVE, programs::WORKSPACE, programs::COSIGNER] {
        symlink(programs::find(program).unwrap(), broken.path().join(program)).unwrap();
    }
    symlink("/bin/false", broken.path().join(programs::HANDLER)).unwrap();
    let output = quickstart.call(&["--fast"]).env("COUNTERSIGN_PROGRAMS", broken.path()).output().unwrap();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILED") && said.contains("handler") && said.contains("*.log"), "{said}");
    assert_eq!(processes_with(&quickstart.folder), [""; 0]);
}

#[test]
fn e2e_the_longest_socket_path_is_the_one_that_the_host_takes() {
    let folder = tempfile::tempdir().unwrap();
    let check = |bytes: usize| {
        let start = folder.path().join("x");
        let socket = start.display().to_string() + &"x".repeat(bytes - start.as_os_str().len());
        let config = folder.path().join("host.toml");
        fs::write(&config, format!("[admin]\nsocket = {socket:?}\n")).unwrap();
        command(programs::find(programs::HOST).unwrap())
            .arg("--check-config")
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap()
    };
    let taken = check(MAX_SOCKET_PATH_BYTES);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let refused = check(MAX_SOCKET_PATH_BYTES + 1);
    let said = text(&refused.stdout) + &text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("admin.socket"), "{said}");
}
