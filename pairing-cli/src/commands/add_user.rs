//! `cosigner add-user`: hands a pairing token to the co-signer that is exactly the pinned one, together with everything
//! that must not come from the workspace.

use super::handler_flags::HandlerFlags;
use super::{App, fit, views, weakening};
use crate::console::{Report, Tone, paint};
use crate::failure::Failure;
use crate::measurements::Measurements;
use crate::pin::{PinnedPairing, PinnedRole};
use crate::session::Trusted;
use crate::text_forms::{parse_network, printable};
use crate::{input_files, pem, prompt};
use countersign_wire::admin::Done;
use countersign_wire::command::{AddUser, ApprovalSetting, Change, Initiator, Network};
use countersign_wire::ids::{ApiUserId, WorkspaceFingerprint};
use countersign_wire::limits::MAX_TOKEN_BYTES;
use countersign_wire::{Bytes, List, Text};
use serde_json::json;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Flags of `add-user`.
#[derive(clap::Args)]
pub struct Args {
    /// File with the pairing token; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// The pairing token itself; other processes of this machine can read it, so prefer --token-file
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Fingerprint of the workspace's keys, as its owner read it out
    #[arg(long, value_name = "FINGERPRINT")]
    workspace_key: Option<WorkspaceFingerprint>,
    /// The only certificate authority to trust for the workspace (PEM), instead of the public ones
    #[arg(long, value_name = "FILE")]
    workspace_ca: Option<PathBuf>,
    /// A non-public network in which the workspace may be; repeatable
    #[arg(long, value_name = "CIDR", value_parser = parse_network)]
    workspace_network: Vec<Network>,
    /// What this co-signer is in the pairing
    #[arg(long, value_enum, default_value = "customer")]
    role: PinnedRole,
    /// An API user whose signed requests count as intent, and its RSA public key (PEM); repeatable
    #[arg(long, value_name = "USER=FILE", value_parser = named_key)]
    initiator: Vec<(ApiUserId, PathBuf)>,
    #[command(flatten)]
    handler: HandlerFlags,
    /// Approve everything without asking anybody (dangerous)
    #[arg(long, conflicts_with = "callback_url")]
    auto_approve: bool,
    /// Allow RAW: bare hashes, of which nobody can say what they do (dangerous)
    #[arg(long)]
    allow_raw: bool,
    /// Do not demand that a client's own signed request asks for every signature (dangerous)
    #[arg(long)]
    no_intent: bool,
    /// Measurements accepted from the group's other co-signers (JSON); repeatable; default: the own ones
    #[arg(long, value_name = "FILE")]
    peer_measurements: Vec<PathBuf>,
}

fn named_key(text: &str) -> Result<(ApiUserId, PathBuf), String> {
    let (user, file) = text.split_once('=').ok_or("expected USER=FILE")?;
    Ok((user.parse().map_err(|e| format!("{e}"))?, PathBuf::from(file)))
}

/// Adds.
pub async fn run(app: &App, args: Args) -> Result<Report, Failure> {
    app.socket()?;
    check_role(&args)?;
    // What makes no sense is refused before anything is asked.
    let approval = approval(&args)?;
    let add = assemble(app, &args, approval.clone())?;
    let workspace_key = add.workspace;
    warn(app, &args, &add);
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let done = cosigner.change(&keys, Change::AddUser(Box::new(add))).await?;
    let Done::UserAdded { user, pairing, party, workspace, callback_public_key } = done else {
        return Err(crate::admin_channel::unexpected("the confirmation of a new user"));
    };
    cosigner.remember(PinnedPairing { pairing, workspace, workspace_key, party, role: args.role })?;
    let public_key = pem::public_key(&callback_public_key);
    let by = approval_name(&approval, args.role);
    let red = |on: bool, yes: &str, no: &str| {
        if on { paint(Tone::Red, yes, app.console.colour) } else { no.to_owned() }
    };
    let mut text = format!("added API user {user}\n");
    text.push_str(&format!("  workspace  {workspace}\n  pairing    {pairing}\n  identity   {party} (pinned)\n"));
    text.push_str(&format!("  role       {}\n", crate::text_forms::role_name(args.role.into())));
    text.push_str(&format!("  approval   {}\n", red(args.auto_approve, "AUTO-APPROVE", &printable(&by))));
    text.push_str(&format!("  intent     {}\n", red(args.no_intent, "NOT REQUIRED", "required")));
    let otherwise = if args.role == PinnedRole::Cloud { "not applicable" } else { "refused" };
    text.push_str(&format!("  RAW        {}\n", red(args.allow_raw, "ALLOWED", otherwise)));
    if shows_key(&approval) {
        text.push_str(&format!("give the callback handler this public key of the co-signer:\n{public_key}"));
    }
    Ok(Report::new(
        text,
        json!({
            "user": user.as_str(),
            "pairing": pairing.to_string(),
            "party": party.to_string(),
            "workspace": workspace.to_string(),
            "workspace_key": workspace_key.to_string(),
            "role": args.role,
            "approval": views::approval(views::kind_of(&approval)),
            "require_intent": !args.no_intent,
            "allow_raw": args.allow_raw,
            "callback_public_key_pem": public_key,
        }),
    ))
}

fn check_role(args: &Args) -> Result<(), Failure> {
    if args.role == PinnedRole::Cloud && (args.auto_approve || !args.handler.is_empty()) {
        return Err(Failure::usage(
            "a cloud co-signer has neither handler nor auto-approve",
            "leave --callback-… and --auto-approve away: it takes part under the customer's Authorisation alone",
        ));
    }
    if args.role == PinnedRole::Cloud && args.allow_raw {
        return Err(Failure::usage(
            "a cloud co-signer does not decide about RAW",
            "leave --allow-raw away: the operators of the customer's co-signer decide about it, there",
        ));
    }
    Ok(())
}

/// How the flags have requests approved.
fn approval(args: &Args) -> Result<ApprovalSetting, Failure> {
    match (args.auto_approve, args.handler.whole()?) {
        (true, Some(_)) => Err(Failure::usage(
            "--auto-approve asks no handler",
            "leave --callback-… away, or leave --auto-approve away",
        )),
        (true, None) => Ok(ApprovalSetting::Auto),
        (false, Some(handler)) => Ok(ApprovalSetting::Handler(handler)),
        (false, None) => Ok(ApprovalSetting::None),
    }
}

fn assemble(app: &App, args: &Args, approval: ApprovalSetting) -> Result<AddUser, Failure> {
    let workspace = args.workspace_key.map(|k| k.to_string());
    let workspace = prompt::text(workspace, "--workspace-key", "the fingerprint of the workspace's keys")?;
    let workspace = workspace
        .parse::<WorkspaceFingerprint>()
        .map_err(|e| Failure::usage(format!("--workspace-key: {e}"), "ask the workspace's owner for it"))?;
    let token = token(app, args)?;
    let mut initiators = Vec::new();
    for (user, file) in &args.initiator {
        let key = pem::read_public_key(file, "--initiator")?;
        if initiators.iter().any(|i: &Initiator| i.user == *user) {
            return Err(Failure::usage(format!("--initiator: {user} is given twice"), "give each once"));
        }
        initiators.push(Initiator { user: user.clone(), public_key: fit(Bytes::new(key), "--initiator")? });
    }
    let mut peers = Vec::new();
    for file in &args.peer_measurements {
        peers.push(Measurements::read(file)?.to_wire());
    }
    Ok(AddUser {
        token: fit(Text::new(token.as_str()), "--token-file")?,
        workspace,
        workspace_root: certificate(args.workspace_ca.as_ref(), "--workspace-ca")?,
        workspace_networks: fit(List::new(args.workspace_network.clone()), "--workspace-network")?,
        role: args.role.into(),
        initiators: fit(List::new(initiators), "--initiator")?,
        peer_measurements: fit(List::new(peers), "--peer-measurements")?,
        require_intent: !args.no_intent,
        allow_raw: args.allow_raw,
        approval,
    })
}

fn certificate<const MAX: usize>(file: Option<&PathBuf>, flag: &str) -> Result<Option<Bytes<MAX>>, Failure> {
    file.map(|file| fit(Bytes::new(pem::read_certificate(file, flag)?), flag)).transpose()
}

/// The token, from wherever it comes. It is never shown.
fn token(app: &App, args: &Args) -> Result<Zeroizing<String>, Failure> {
    let raw = match (&args.token_file, &args.token) {
        (Some(file), _) => input_files::read_text(file)?,
        (None, Some(token)) => {
            app.console
                .warn("token_on_command_line", "--token can be read by other processes here: prefer --token-file");
            Zeroizing::new(token.clone())
        }
        (None, None) => prompt::secret("--token-file", "pairing token")?,
    };
    let token = Zeroizing::new(raw.trim().to_owned());
    let plain = token.bytes().all(|b| b.is_ascii_graphic());
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !plain || token.split('.').count() != 3 {
        return Err(Failure::usage(
            format!("expected a pairing token of three parts and at most {MAX_TOKEN_BYTES} bytes, got something else"),
            "copy the whole token, and nothing else, into the file",
        ));
    }
    Ok(token)
}

fn warn(app: &App, args: &Args, add: &AddUser) {
    let console = &app.console;
    weakening::tell(console, &add.approval, !args.no_intent, args.role.into());
    if args.allow_raw {
        console.warn("raw_allowed", "RAW allowed: this API user can have any hash signed, nobody sees what it does");
    }
    if args.no_intent {
        console.warn("no_intent", "NO INTENT: the workspace may ask for what no client of yours asked for");
    }
    if !args.no_intent && args.initiator.is_empty() {
        console
            .note("note: intent is required and no --initiator was given; without one, `cosigner initiator add` first");
    }
}

/// Whether the handler needs the co-signer's public key.
fn shows_key(approval: &ApprovalSetting) -> bool {
    matches!(approval, ApprovalSetting::Handler(handler) if !handler.keys.is_empty())
}

fn approval_name(approval: &ApprovalSetting, role: PinnedRole) -> String {
    match (approval, role) {
        (ApprovalSetting::Handler(handler), _) => {
            format!("by {} ({})", &*handler.url, handler.mode().map_or("no mode", |m| m.as_str()))
        }
        (_, PinnedRole::Cloud) => "none of its own: only under the customer's Authorisation".to_owned(),
        (_, PinnedRole::Customer) => "NONE: everything is refused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initiator_is_an_api_user_and_a_file() {
        assert_eq!(named_key("u1=a=b.pem"), Ok(("u1".parse().unwrap(), PathBuf::from("a=b.pem"))));
        assert!(named_key("u1").is_err() && named_key("u.1=x").is_err());
    }
}
