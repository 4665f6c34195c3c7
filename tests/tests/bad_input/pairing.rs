//! Pairing tokens that are not good, and workspaces that are not the one.

use crate::command_line::{refused, usage};
use crate::tokens::now;
use crate::{Scene, send};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cosigner_workspace::identity::Identity;
use cosigner_workspace::pairing_token::issue;
use countersign_stack::StackError;
use countersign_stack::cosigner::Cosigner;
use countersign_stack::files::write_private;
use countersign_stack::workspace::Workspace;
use reqwest::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};

const HOUR: u64 = 3600;

/// A workspace's own keys: its file, as somebody who has it could use it.
fn identity(workspace: &Workspace) -> Identity {
    Identity::load(&workspace.folder.join("workspace.db.keys")).unwrap()
}

/// The operator of a co-signer, and the authority of the workspaces' certificates.
struct Operator {
    cosigner: Cosigner,
    ca: PathBuf,
    folder: PathBuf,
}

impl Operator {
    async fn add(&self, token: &Path, fingerprint: &str) -> Result<Value, StackError> {
        let (token, ca) = (token.display().to_string(), self.ca.display().to_string());
        let arguments = ["add-user", "--token-file", &token, "--workspace-key", fingerprint];
        let trust = ["--workspace-ca", &ca, "--workspace-network", "127.0.0.0/8", "--auto-approve"];
        self.cosigner.run(arguments.into_iter().chain(trust)).await
    }

    /// The same without a handler and without auto-approve.
    async fn add_unapproved(&self, token: &Path, fingerprint: &str) -> Result<Value, StackError> {
        let (token, ca) = (token.display().to_string(), self.ca.display().to_string());
        let arguments = ["add-user", "--token-file", &token, "--workspace-key", fingerprint];
        let trust = ["--workspace-ca", &ca, "--workspace-network", "127.0.0.0/8"];
        self.cosigner.run(arguments.into_iter().chain(trust)).await
    }

    fn file(&self, token: &str) -> PathBuf {
        let file = self.folder.join(format!("{}.token", uuid::Uuid::new_v4()));
        write_private(&file, token.as_bytes()).unwrap();
        file
    }
}

pub async fn bad_tokens_are_refused(scene: &mut Scene) {
    let stack = &scene.system.stack;
    let (ours, theirs) = (&stack.workspaces[0], &stack.workspaces[1]);
    let operator = Operator {
        cosigner: stack.customer().unwrap().operator.clone(),
        ca: stack.authority.certificate().to_owned(),
        folder: stack.around.folder.clone(),
    };
    let user = ours.create_user("second", "SIGNER", false).await.unwrap();
    let id = user.id.parse().unwrap();
    let ours_fingerprint = ours.fingerprint.clone();
    let before = users(&operator).await;
    let made = |identity: &Identity, url: &str, issued_at: u64| {
        let jti = uuid::Uuid::new_v4().to_string();
        operator.file(&issue(identity, url, &id, &jti, issued_at).unwrap().0)
    };
    // Of another signer, under the right workspace's name.
    let genuine = identity(ours);
    let forger = Identity { workspace: genuine.workspace, ..identity(theirs) };
    let add = |token: PathBuf| operator.add_owned(token, ours_fingerprint.clone());

    // Not a token at all.
    for text in ["", "x", "a.b", "a.b.c.d", "a b.c.d"] {
        usage(add(operator.file(text)).await, &["pairing token", "whole token"]);
    }
    let missing = operator.folder.join("no-token");
    assert!(matches!(add(missing).await, Err(StackError::Cosigner { code: 1, .. })));
    refused(add(operator.file("a.b.c")).await, "token_invalid", &["pairing token", "get a new pairing token"]);

    // Of another time, another signer, another algorithm.
    refused(add(made(&genuine, &ours.url, now() - 2 * HOUR)).await, "token_expired", &["expired", "get a new one"]);
    refused(add(made(&genuine, &ours.url, now() + HOUR)).await, "clock_skew", &["future", "clock"]);
    refused(add(made(&forger, &ours.url, now())).await, "token_invalid", &["signature"]);
    let token = std::fs::read_to_string(made(&genuine, &ours.url, now())).unwrap();
    let (_, rest) = token.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    let none = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
    refused(add(operator.file(&none)).await, "token_invalid", &["ES256"]);
    // Signed well, but never given out by the workspace.
    let unknown = add(made(&genuine, &ours.url, now())).await;
    refused(unknown, "token_invalid", &["does not know the pairing token", "ask its owner for a new one"]);

    // Another workspace, or the right one under another fingerprint.
    let their_user = theirs.create_user("theirs", "SIGNER", false).await.unwrap();
    let their_token = theirs.pairing_token(&their_user).await.unwrap();
    refused(add(their_token).await, "workspace_untrusted", &["fingerprint", "--workspace-key"]);
    let token = ours.pairing_token(&user).await.unwrap();
    let wrong = operator.add(&token, &theirs.fingerprint).await;
    refused(wrong, "workspace_untrusted", &["fingerprint", "--workspace-key"]);
    let zeros = operator.add(&token, &"0".repeat(64)).await;
    assert!(matches!(zeros, Err(StackError::Cosigner { .. })));
    assert_eq!(users(&operator).await, before, "what was refused left nothing behind");

    // The same token is still good; once.
    operator.add(&token, &ours_fingerprint).await.unwrap();
    assert_eq!(users(&operator).await.len(), before.len() + 1);
    // The same command again is answered as it was; the same token for anything else is refused.
    operator.add(&token, &ours_fingerprint).await.unwrap();
    refused(operator.add_unapproved(&token, &ours_fingerprint).await, "conflict", &["already", "get-status"]);
    assert_eq!(users(&operator).await.len(), before.len() + 1);
    let path = format!("/v1/management/api_users/{}/pairing_token", user.id);
    let again = send(&ours.admin, Method::POST, &path, b"{}").await;
    again.is("a token for a paired user", 409, "conflict", &["paired with", "create another one"]);

    // Also after a restart of enclave and host.
    let fingerprint = ours_fingerprint.clone();
    let stack = &mut scene.system.stack;
    for name in ["customer-enclave", "customer-host"] {
        stack.processes.kill(name).await.unwrap();
    }
    stack.start_all().await.unwrap();
    operator.add(&token, &fingerprint).await.unwrap();
    refused(operator.add_unapproved(&token, &fingerprint).await, "conflict", &["already", "get-status"]);
    assert_eq!(users(&operator).await.len(), before.len() + 1);
}

impl Operator {
    async fn add_owned(&self, token: PathBuf, fingerprint: String) -> Result<Value, StackError> {
        self.add(&token, &fingerprint).await
    }
}

/// The API users of the co-signer.
async fn users(operator: &Operator) -> Vec<Value> {
    let listed = operator.cosigner.run(["list-users"]).await.unwrap();
    listed["users"].as_array().unwrap().clone()
}
