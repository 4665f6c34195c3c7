//! `cosigner callback set` and `cosigner callback update`.

use super::{Confirmation, Present, Target};
use crate::commands::App;
use crate::commands::handler_flags::{HandlerFlags, Pin, parse_pin};
use crate::console::Report;
use crate::failure::Failure;
use crate::session::Trusted;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::ids::ChangeId;
use countersign_wire::status::CallbackStatus;

/// Flags of `callback set`.
#[derive(clap::Args)]
pub struct SetArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    handler: HandlerFlags,
    /// Approve everything without asking anybody (dangerous)
    #[arg(long, conflicts_with_all = ["callback_url", "none", "accept_proposal"])]
    auto_approve: bool,
    /// Approve nothing: every request is refused
    #[arg(long, conflicts_with_all = ["callback_url", "accept_proposal"])]
    none: bool,
    /// Set exactly what the workspace proposes under this id, as `callback show` shows it
    #[arg(long, value_name = "ID", conflicts_with = "callback_url")]
    accept_proposal: Option<ChangeId>,
    /// The proposal's hash, as `callback show` shows it: accepts exactly that, without asking
    #[arg(long, value_name = "HEX", value_parser = parse_pin, requires = "accept_proposal")]
    hash: Option<Pin>,
    /// Set without asking
    #[arg(long)]
    yes: bool,
}

/// Flags of `callback update`.
#[derive(clap::Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    handler: HandlerFlags,
    /// Change without asking
    #[arg(long)]
    yes: bool,
}

/// Sets.
pub async fn set(app: &App, args: &SetArgs) -> Result<Report, Failure> {
    app.socket()?;
    let wanted = wanted(args)?;
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let present = Present::read(&mut cosigner, &args.target).await?;
    match wanted {
        Wanted::Setting(after) => present.put(app, &mut cosigner, &keys, after, Confirmation::yes(args.yes)).await,
        Wanted::Proposal(change) => {
            let after = proposed(&present.callback, change, args.hash)?;
            let confirmation = Confirmation {
                given: args.yes || args.hash.is_some(),
                flags: "--hash HEX or --yes",
                proposal: Some((change, after.digest())),
            };
            present.put(app, &mut cosigner, &keys, after, confirmation).await
        }
    }
}

enum Wanted {
    Setting(ApprovalSetting),
    Proposal(ChangeId),
}

fn wanted(args: &SetArgs) -> Result<Wanted, Failure> {
    let handler = args.handler.whole()?;
    match (handler, args.auto_approve, args.none, args.accept_proposal) {
        (Some(handler), false, false, None) => Ok(Wanted::Setting(ApprovalSetting::Handler(handler))),
        (None, true, false, None) => Ok(Wanted::Setting(ApprovalSetting::Auto)),
        (None, false, true, None) => Ok(Wanted::Setting(ApprovalSetting::None)),
        (None, false, false, Some(change)) => Ok(Wanted::Proposal(change)),
        (None, false, false, None) => Err(Failure::usage(
            "how requests are to be approved is missing",
            "describe a handler with --callback-url and so on, or give --none, --accept-proposal ID or --auto-approve",
        )),
        _ => Err(Failure::usage(
            "more than one way to approve is given",
            "give either --callback-…, or one of --none, --accept-proposal and --auto-approve",
        )),
    }
}

/// The workspace's proposal, if it is still the one that the operator means (threat T57).
pub(super) fn proposed(
    callback: &CallbackStatus,
    wanted: ChangeId,
    hash: Option<[u8; 32]>,
) -> Result<ApprovalSetting, Failure> {
    let user = &callback.user.user;
    let look = format!("nothing was changed. Look at it anew: `cosigner callback show {user}`");
    match &callback.proposal {
        None => Err(Failure::not_found(format!("the workspace proposes nothing for API user {user} (any more)"), look)),
        Some((change, _)) if *change != wanted => Err(Failure::untrusted(
            format!("the workspace proposes another change: expected {wanted}, got {change}"),
            look,
        )),
        Some((_, setting)) if hash.is_some_and(|hash| hash != setting.digest()) => Err(Failure::untrusted(
            format!(
                "the workspace proposes something else under {wanted} than what was shown: expected hash {}, got {}",
                hash.map(hex::encode).unwrap_or_default(),
                hex::encode(setting.digest())
            ),
            look,
        )),
        Some((_, setting)) => Ok(setting.clone()),
    }
}

/// Updates.
pub async fn update(app: &App, args: &UpdateArgs) -> Result<Report, Failure> {
    app.socket()?;
    if args.handler.is_empty() {
        return Err(Failure::usage("what to change is missing", "give at least one --callback-… flag"));
    }
    let given = args.handler.read()?;
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let present = Present::read(&mut cosigner, &args.target).await?;
    let ApprovalSetting::Handler(before) = &present.callback.approval else {
        return Err(Failure::usage(
            format!("API user {} has no handler that could be changed", args.target.user),
            "describe one: `cosigner callback set`",
        ));
    };
    let after = ApprovalSetting::Handler(given.over(before)?);
    present.put(app, &mut cosigner, &keys, after, Confirmation::yes(args.yes)).await
}
