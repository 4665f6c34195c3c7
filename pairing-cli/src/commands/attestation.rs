//! `cosigner attestation`.

use super::App;
use crate::attested::AnchorKind;
use crate::console::{Report, Tone};
use crate::durable::{self, Existing};
use crate::failure::Failure;
use crate::session::{Require, Session};
use crate::table::{Table, field, plain};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::parse_unverified;
use serde_json::json;
use std::path::PathBuf;

/// What the enclave proves about itself.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Have the enclave make a document, verify it and show what it says
    Show(ShowArgs),
    /// Pin the measurements in --measurements instead, after an upgrade that you know of
    Accept,
}

/// Flags of `show`.
#[derive(clap::Args)]
pub struct ShowArgs {
    /// Write the document (COSE) to this new file, for verification by other software
    #[arg(long, value_name = "FILE")]
    document_out: Option<PathBuf>,
}

/// Shows. Without expected measurements they are shown and not compared; with a pin, differences are shown, and it fails.
pub async fn show(app: &App, args: &ShowArgs) -> Result<Report, Failure> {
    let session = Session::open(app, app.claimed_pin()?, Require::Nothing).await?;
    if let Some(file) = &args.document_out {
        durable::write(file, &session.document, Existing::Refuse)?;
    }
    // Verified when the channel was opened; parsed once more for the fields that only people look at.
    let parsed = parse_unverified(&session.document)
        .map_err(|e| Failure::untrusted(format!("attestation refused: {e}"), "do not use this enclave"))?;
    let document = parsed.for_display();
    let mut mismatch = None;
    if let Some(pin) = &session.pin
        && pin.measurements != session.measurements
    {
        mismatch = Some(Failure::untrusted(
            "the enclave runs another image than the one that was pinned",
            "do not use it unless you can say which, and why",
        ));
    }
    let compared = match (&mismatch, session.pin.is_some() || session.measurements_compared) {
        (Some(_), _) => "different",
        (None, true) => "equal",
        (None, false) => "not_compared",
    };
    let mut table = Table::new(&[]);
    let root = match session.anchor {
        AnchorKind::Aws => plain(session.anchor.as_str()),
        AnchorKind::Development => field(session.anchor.as_str(), Tone::Red),
    };
    table.row(vec![plain("root"), root]);
    table.row(vec![plain("instance"), plain(session.description.instance)]);
    table.row(vec![plain("boot"), plain(session.description.boot)]);
    table.row(vec![plain("module"), plain(&document.module_id)]);
    table.row(vec![plain("made"), plain(crate::timestamps::utc(document.timestamp_ms))]);
    for (register, value) in session.measurements.registers() {
        table.row(vec![plain(format!("PCR{register}")), plain(hex::encode(value))]);
    }
    let verdict = match compared {
        "different" => field("DIFFERENT from the pinned ones", Tone::Red),
        "equal" => field("as expected", Tone::Green),
        _ => field("shown, compared with nothing: give --measurements FILE", Tone::Yellow),
    };
    table.row(vec![plain("measurements"), verdict]);
    let result = json!({
        "anchor": session.anchor,
        "instance": session.description.instance.to_string(),
        "boot": session.description.boot.to_string(),
        "module_id": document.module_id,
        "timestamp_ms": document.timestamp_ms,
        "measurements": session.measurements,
        "measurements_verdict": compared,
        "document": STANDARD.encode(&session.document),
    });
    let failure = mismatch.or(session.refuse_differences().err());
    Ok(Report { text: table.render(app.console.colour, ""), json: result, failure })
}

/// Pins other measurements. The enclave must have exactly those of the file, and be the pinned one in all else.
pub async fn accept(app: &App) -> Result<Report, Failure> {
    if app.settings.measurements.is_none() {
        return Err(Failure::usage(
            "the measurements to accept are missing",
            "give --measurements FILE, as the release or your own build of the image states them",
        ));
    }
    let Some(mut pin) = app.claimed_pin()? else {
        return Err(Failure::untrusted(
            format!("no co-signer is pinned here under the name {:?}", app.settings.cosigner),
            "claim it with `cosigner init`, or name another with --cosigner",
        ));
    };
    let session = Session::open(app, Some(pin.clone()), Require::Nothing).await?;
    session.refuse_differences()?;
    let before = std::mem::replace(&mut pin.measurements, session.measurements.clone());
    app.pins()?.store(&app.settings.cosigner, &pin)?;
    let changed = before != pin.measurements;
    let text = if changed { "pinned these measurements from now on" } else { "these measurements were pinned before" };
    let mut table = Table::new(&[]);
    for (register, value) in pin.measurements.registers() {
        table.row(vec![plain(format!("PCR{register}")), plain(hex::encode(value))]);
    }
    let text = format!("{text}:\n{}", table.render(app.console.colour, ""));
    Ok(Report::new(text, json!({ "changed": changed, "before": before, "measurements": pin.measurements })))
}
