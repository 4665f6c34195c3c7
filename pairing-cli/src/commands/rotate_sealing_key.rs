//! `cosigner rotate-sealing-key`: puts the co-signer's state under a new key of the key service's making.
//!
//! The key that is to come is written into the pin before the command is sent: where the answer is lost, the co-signer is
//! recognised under either.

use super::{App, fit, key_owner};
use crate::admin_channel::unexpected;
use crate::console::Report;
use crate::failure::Failure;
use crate::prompt;
use crate::session::Trusted;
use countersign_wire::Text;
use countersign_wire::admin::Done;
use countersign_wire::command::Change;
use countersign_wire::limits::MAX_URL_BYTES;
use countersign_wire::refusal::Code;
use serde_json::json;

/// Flags of `rotate-sealing-key`.
#[derive(clap::Args)]
pub struct Args {
    /// The key that seals the state from then on, as for `cosigner init` [default: the present one]
    #[arg(long, value_name = "ID")]
    sealing_key: Option<String>,
    /// Rotate without asking
    #[arg(long)]
    yes: bool,
}

/// Rotates.
pub async fn run(app: &App, args: Args) -> Result<Report, Failure> {
    app.socket()?;
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let epoch = cosigner.session().description.settings_epoch;
    let before = cosigner.session().description.sealing_key.clone();
    let after: Text<MAX_URL_BYTES> = match args.sealing_key {
        Some(key) => fit(Text::new(key), "--sealing-key")?,
        None => before.clone(),
    };
    app.console.note(&format!("the state is sealed with {before}"));
    if after != before {
        app.console.note(&format!("from then on {after} opens it, which must accept this image and this instance"));
        key_owner::tell(&app.console, &after);
    }
    prompt::confirm(args.yes, "rotate the sealing key", "--yes")?;
    let earlier = cosigner.expect_sealing_key(&after)?;
    match cosigner.change_as_seen(&keys, Change::RotateSealingKey { sealing_key: after.clone() }, epoch).await {
        Ok(Done::SealingKeyRotated) => cosigner.settle_sealing_key(&after)?,
        Ok(_) => return Err(unexpected("the confirmation of a rotation")),
        Err(failure) => {
            match &failure {
                // It may have been carried out.
                Failure::NoAnswer { .. } => {}
                // The co-signer tried, and does one rotation at a time: no earlier one can end any more.
                Failure::Refused(refusal) if matches!(refusal.code, Code::KeyService | Code::Storage) => {
                    cosigner.unexpect_sealing_key(None)?;
                }
                _ => cosigner.unexpect_sealing_key(earlier)?,
            }
            return Err(failure);
        }
    }
    let text = if after == before {
        format!("the state is sealed anew, with {after} as before\n")
    } else {
        format!(
            "the state is sealed with {after} now (was {before})\n\nKeep {before} until a backup of the new state is made. \
             Whoever else operates this co-signer pins the new key with `cosigner adopt`.\n"
        )
    };
    Ok(Report::new(text.trim_end(), json!({ "sealing_key": &*after, "before": &*before })))
}
