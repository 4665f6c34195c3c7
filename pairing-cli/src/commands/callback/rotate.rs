//! `cosigner callback rotate-key` and `rotate-pin`: the new one beside the present one, and once everything uses the new
//! one, the older one goes. In between two are active, and what waits for the handler goes on waiting; retiring one ends it.

use super::{Confirmation, Present, Target};
use crate::commands::handler_flags::{Pin, parse_pin};
use crate::commands::{App, fit};
use crate::console::Report;
use crate::failure::Failure;
use crate::session::Trusted;
use crate::{certificate, pem};
use countersign_wire::command::{ApprovalSetting, Handler, HandlerTls};
use countersign_wire::limits::MAX_ACTIVE_KEYS;
use countersign_wire::{Bytes, List};
use std::path::PathBuf;

/// Flags of `rotate-key`.
#[derive(clap::Args)]
#[group(id = "step", required = true, multiple = false, args = ["key", "finish"])]
pub struct KeyArgs {
    #[command(flatten)]
    target: Target,
    /// The handler's next public key (PEM): from now on it may sign answers, too
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Retire the older key: the handler signs with the newer one
    #[arg(long)]
    finish: bool,
    /// Change without asking
    #[arg(long)]
    yes: bool,
}

/// Flags of `rotate-pin`.
#[derive(clap::Args)]
#[group(id = "step", required = true, multiple = false, args = ["pin", "certificate", "finish"])]
pub struct PinArgs {
    #[command(flatten)]
    target: Target,
    /// SHA-256 of the next certificate's public key (SubjectPublicKeyInfo)
    #[arg(long, value_name = "HEX", value_parser = parse_pin)]
    pin: Option<Pin>,
    /// The next certificate (PEM)
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Retire the older pin: the handler shows the newer certificate
    #[arg(long)]
    finish: bool,
    /// Change without asking
    #[arg(long)]
    yes: bool,
}

/// Rotates a key.
pub async fn key(app: &App, args: &KeyArgs) -> Result<Report, Failure> {
    app.socket()?;
    let new = match &args.key {
        Some(file) => Some(fit(Bytes::new(pem::read_public_key(file, "--key")?), "--key")?),
        None => None,
    };
    rotate(app, &args.target, args.yes, |before| match before.keys.is_empty() {
        true => Err(Failure::usage(
            "this handler has no key: requests and answers are plain JSON",
            "give it one: `cosigner callback update USER --callback-key FILE`",
        )),
        false => Ok(Handler { keys: rotated(&before.keys, new, "key")?, ..before.clone() }),
    })
    .await
}

/// Rotates a pin.
pub async fn pin(app: &App, args: &PinArgs) -> Result<Report, Failure> {
    app.socket()?;
    let new = match (args.pin, &args.certificate) {
        (Some(pin), _) => Some(pin),
        (None, Some(file)) => Some(certificate::pin_of_file(file, "--certificate")?),
        (None, None) => None,
    };
    rotate(app, &args.target, args.yes, |before| match &before.tls {
        HandlerTls::Pinned(pins) => {
            Ok(Handler { tls: HandlerTls::Pinned(rotated(pins, new, "pin")?), ..before.clone() })
        }
        HandlerTls::PublicRoots | HandlerTls::Root(_) => Err(Failure::usage(
            "this handler's certificate is not pinned: certificate authorities vouch for it",
            "pin it: `cosigner callback update USER --callback-pin-certificate FILE`",
        )),
    })
    .await
}

async fn rotate(
    app: &App,
    target: &Target,
    yes: bool,
    next: impl FnOnce(&Handler) -> Result<Handler, Failure>,
) -> Result<Report, Failure> {
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let present = Present::read(&mut cosigner, target).await?;
    let ApprovalSetting::Handler(before) = &present.callback.approval else {
        return Err(Failure::usage(
            format!("API user {} has no handler", target.user),
            "describe one: `cosigner callback set`",
        ));
    };
    let after = ApprovalSetting::Handler(next(before)?);
    present.put(app, &mut cosigner, &keys, after, Confirmation::yes(yes)).await
}

/// `active` with `new` as its newest, or, where there is no new one, without its older one.
fn rotated<T: Clone + PartialEq>(
    active: &List<T, MAX_ACTIVE_KEYS>,
    new: Option<T>,
    what: &str,
) -> Result<List<T, MAX_ACTIVE_KEYS>, Failure> {
    let mut next = active.to_vec();
    match new {
        Some(new) if next.contains(&new) => {
            return Err(Failure::usage(
                format!("this {what} is active already"),
                format!("give the next one, or retire the older one: `cosigner callback rotate-{what} USER --finish`"),
            ));
        }
        Some(new) => next.push(new),
        None if next.len() < 2 => {
            return Err(Failure::usage(
                format!("only one {what} is active: there is no older one to retire"),
                format!("bring the next one in first: `cosigner callback rotate-{what} USER --{what} …`"),
            ));
        }
        None => {
            next.remove(0);
        }
    }
    List::new(next).map_err(|_| {
        Failure::usage(
            format!("{MAX_ACTIVE_KEYS} are active already, and more cannot be"),
            format!(
                "finish the last change first: `cosigner callback rotate-{what} USER --finish` retires the older {what}"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_one_comes_beside_the_present_one_and_finishing_retires_the_older() {
        let one = List::new(vec![1]).unwrap();
        let two = rotated(&one, Some(2), "key").unwrap();
        assert_eq!(two.to_vec(), [1, 2]);
        assert_eq!(rotated(&two, None, "key").unwrap().to_vec(), [2]);
    }

    #[test]
    fn there_are_never_three_nor_none_nor_one_twice() {
        let (one, two) = (List::new(vec![1]).unwrap(), List::new(vec![1, 2]).unwrap());
        for (active, new) in [(&two, Some(3)), (&one, None), (&one, Some(1)), (&two, Some(1))] {
            assert!(matches!(rotated(active, new, "key"), Err(Failure::Usage { .. })), "{active:?} {new:?}");
        }
    }
}
