//! T48: secrets are nowhere but where they belong. Real processes, all logging everything, pair, sign, reject, refuse bad
//! pairings, are killed and start again; then every file, metric, answer, command line, and what the customer's enclave
//! gave its host, is searched.
//!
//! | secret | where it belongs |
//! |---|---|
//! | pairing token | the file that the operator was given |
//! | refresh token, and what is sealed (safe primes) | nowhere in the clear |
//! | access token of the relay | its host's memory: the enclave gives it there |
//! | operator's passphrase, sealing key, private keys of clients, handler and servers | each its own file |
//! | the workspace's own keys | its key file beside the database |
//! | client's request token | the workspace's database: co-signers check it themselves |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../broker/mod.rs"]
mod broker;
mod recorder;
mod scanner;
mod secrets;

use broker::Broker;
use countersign_stack::keys::Algorithm;
use countersign_stack::member::{Member, Role};
use countersign_stack::stack::{Approval, Options, Pairing, Stack};
use countersign_stack::{Ask, StackError, System};
use recorder::Recorder;
use reqwest::Method;
use scanner::{Scanner, files};
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

const GROUP_TIMEOUT: Duration = Duration::from_secs(600);

/// Starts a stack in which everybody logs everything, the workspace is behind a recorder, and the customer's enclave has
/// a host in the middle.
async fn start(folder: &Path) -> (Stack, Recorder, Broker) {
    let mut stack = Stack::start(folder, &Options::default()).await.unwrap();
    let recorder = Recorder::start(&stack).await;
    let workspace = stack.workspace().unwrap();
    let config = workspace.folder.join("workspace.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let public =
        text.replace(&format!("public_url = \"{}\"", workspace.url), &format!("public_url = \"{}\"", recorder.url));
    assert_ne!(public, text);
    std::fs::write(&config, public + "\n[log]\nlevel = \"trace\"\n").unwrap();
    let broker = Broker::between(&mut stack, "customer", folder);
    let mut names = vec!["workspace".to_owned()];
    for member in stack.members.clone() {
        let config = member.folder.join("host.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text + "\n[log]\nlevel = \"trace\"\n").unwrap();
        let enclave = stack.processes.get(&member.enclave()).unwrap();
        enclave.plan_mut().arguments.extend(["--log-level", "trace"].map(OsString::from));
        names.extend([member.host(), member.enclave()]);
    }
    for name in names {
        stack.processes.kill(&name).await.unwrap();
        stack.restart(&name).await.unwrap();
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for member in &stack.members {
        member.connected(&http).await.unwrap();
    }
    (stack, recorder, broker)
}

/// Pairs everybody and makes a group: a system.
async fn paired(mut stack: Stack) -> System {
    let handler = stack.start_handler("handler", Algorithm::Es256, &[]).await.unwrap();
    stack.claim_all().await.unwrap();
    let workspace = stack.workspace().unwrap();
    let user = workspace.create_user("treasury", "SIGNER", true).await.unwrap();
    let client = workspace.client(&user).unwrap();
    let mut cosigners = Vec::new();
    for member in &stack.members {
        let customer = member.role == Role::Customer;
        let approval = if customer { Approval::Handler(&handler) } else { Approval::Nobody };
        let pairing = Pairing { approval, allow_raw: false, require_intent: true };
        let cloud = workspace.create_user(&member.name, "CLOUD_COSIGNER", false).await.unwrap();
        let paired = if customer { &user } else { &cloud };
        cosigners.push(stack.pair(workspace, paired, member, &[&user], pairing).await.unwrap().0);
    }
    let members: Vec<&Member> = stack.members.iter().collect();
    let group = stack.form_group(workspace, &cosigners, &members, 3).await.unwrap();
    stack.group_ready(workspace, &group, &members, GROUP_TIMEOUT, |_| {}).await.unwrap();
    System { stack, handler, user, client, group, cosigners }
}

/// Pairings that are refused at each end: errors must not say what they are about.
async fn refused_pairings(system: &System) {
    let stack = &system.stack;
    let workspace = stack.workspace().unwrap();
    let user = workspace.create_user("late", "SIGNER", false).await.unwrap();
    let unused = workspace.pairing_token(&user).await.unwrap();
    let used = workspace.folder.join(format!("{}.token", system.user.id));
    let ca = stack.authority.certificate().display().to_string();
    let operator = &stack.customer().unwrap().operator;
    let zeros = "0".repeat(64);
    for (token, key) in [(&unused, &zeros), (&used, &workspace.fingerprint)] {
        let token = token.display().to_string();
        let flags = ["add-user", "--token-file", &token, "--workspace-key", key, "--workspace-ca", &ca];
        let refused = operator.run(flags.into_iter().chain(["--workspace-network", "127.0.0.0/8"])).await;
        let Err(StackError::Cosigner { message, error, .. }) = refused else { panic!("not refused: {refused:?}") };
        let text = std::fs::read_to_string(&token).unwrap();
        assert!(!format!("{message}{error}").contains(text.trim().rsplit('.').next().unwrap()));
    }
}

/// What its processes show to anybody who asks, and what the system shows of them.
async fn shown(system: &System) -> Vec<(String, Vec<u8>)> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut all = Vec::new();
    let ready = std::fs::read(system.stack.workspace().unwrap().folder.join("ready.json")).unwrap();
    let ready: Value = serde_json::from_slice(&ready).unwrap();
    let mut bases = vec![format!("http://{}", ready["metrics"].as_str().unwrap())];
    bases.extend(system.stack.members.iter().map(|m| m.http().unwrap().to_owned()));
    for base in bases {
        for path in ["metrics", "healthz"] {
            let answer = http.get(format!("{base}/{path}")).send().await.unwrap();
            all.push((format!("{base}/{path}"), answer.bytes().await.unwrap().to_vec()));
        }
    }
    for member in &system.stack.members {
        for command in
            [&["get-status"][..], &["list-users"], &["list-keys"], &["initiator", "list"], &["group", "list"]]
        {
            let shown = member.operator.run(command.iter().copied()).await.unwrap();
            all.push((format!("{} {command:?}", member.name), shown.to_string().into_bytes()));
        }
    }
    for process in system.stack.running() {
        for file in ["cmdline", "environ"] {
            let path = format!("/proc/{}/{file}", process.pid);
            all.push((format!("{file} of {}", process.name), std::fs::read(path).unwrap()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_t48_t50_secrets_are_nowhere_but_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let (stack, recorder, broker) = start(&folder).await;
    let mut system = paired(stack).await;
    let vault = system.vault_account("first").await.unwrap();

    let ask = Ask::message(vault.id, b"signed");
    let body = ask.body.to_string().into_bytes();
    let request_token = system.client.token("/v1/transactions", &body).unwrap();
    let (status, made) =
        system.client.send(Method::POST, "/v1/transactions", body, &request_token, None).await.unwrap();
    assert!(status.is_success(), "{made}");
    let id = serde_json::from_str::<Value>(&made).unwrap()["id"].as_str().unwrap().to_owned();
    let workspace = system.stack.workspace().unwrap();
    let ended = workspace.ended(&system.client, &id, Duration::from_secs(180)).await.unwrap();
    ask.verify(&ended, vault.address).unwrap();
    let ask = Ask::message(vault.id, b"never").note("reject-me");
    ask.verify_refused(&system.transact(&ask).await.unwrap(), "rejected").unwrap();
    refused_pairings(&system).await;
    system.stack.kill_all().await.unwrap();
    system.stack.start_all().await.unwrap();
    let ask = Ask::message(vault.id, b"signed after all were killed");
    ask.verify(&system.transact(&ask).await.unwrap(), vault.address).unwrap();

    let canaries = secrets::all(&system, &folder, &recorder, &request_token);
    let scanner = Scanner::new(&canaries);
    let mut home = Vec::new();
    let mut wrong = Vec::new();
    for path in files(&folder) {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let inside = path.strip_prefix(&folder).unwrap().to_owned();
        for index in scanner.find(&bytes) {
            let canary = &canaries[index];
            if canary.home.contains(&inside) {
                home.push((index, inside.clone()));
            } else {
                wrong.push(format!("{} in {}", canary.name, inside.display()));
            }
        }
    }
    for (what, bytes) in shown(&system).await {
        wrong.extend(scanner.names_in(&bytes).into_iter().map(|name| format!("{name} in {what}")));
    }
    let given = std::mem::take(&mut *broker.shared.given.lock().unwrap());
    assert!(given.len() > 100_000, "the customer's enclave spoke through the host in the middle: {}", given.len());
    let to_host = scanner.names_in(&given);
    // The control of this test: what belongs somewhere is found there.
    assert!(to_host.contains(&secrets::ACCESS_TOKEN), "the access token is the host's to use: {to_host:?}");
    let given = to_host.into_iter().filter(|name| *name != secrets::ACCESS_TOKEN);
    wrong.extend(given.map(|name| format!("{name} in what the customer's enclave gave its host")));
    assert_eq!(wrong, [""; 0]);
    for (index, canary) in canaries.iter().enumerate() {
        let found: Vec<_> = home.iter().filter(|(i, _)| *i == index).collect();
        assert!(
            found.len() == canary.home.len() || canary.name == secrets::REQUEST_TOKEN && !found.is_empty(),
            "{} was not found where it belongs ({:?}): the search does not work",
            canary.name,
            canary.home
        );
    }
    assert_eq!(system.stack.stop().await.unwrap(), [""; 0]);
}
