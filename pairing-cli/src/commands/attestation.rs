//! `cosigner attestation`.

use super::App;
use crate::attested::{self, AnchorKind, MAX_DOCUMENT_AGE_MS};
use crate::console::{Report, Tone};
use crate::durable::{self, Existing};
use crate::failure::Failure;
use crate::input_files;
use crate::measurements::Measurements;
use crate::session::{Require, Session};
use crate::table::{Table, field, plain};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::{AttestationError, Expectation, NonceCheck, parse_unverified};
use countersign_channel::{accepted_measurements, reported_measurements};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What the enclave proves about itself.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Have the enclave make a document, verify it and show what it says
    Show(ShowArgs),
    /// Verify the enclave's document, or one in a file, against the measurements of an image
    Verify(VerifyArgs),
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

/// Flags of `verify`.
#[derive(clap::Args)]
pub struct VerifyArgs {
    /// Verify the document (COSE) in this file instead: it proves that such an enclave existed, not that one answers now
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// The time at which it has to be valid, in seconds since 1970 [default: the document's own]
    #[arg(long, value_name = "SECONDS", requires = "document")]
    at: Option<u64>,
}

/// Verifies, and fails where nothing says what the measurements must be.
pub async fn verify(app: &App, args: &VerifyArgs) -> Result<Report, Failure> {
    match &args.document {
        Some(file) => verify_file(app, file, args.at),
        None if app.settings.measurements.is_none() && app.claimed_pin()?.is_none() => Err(unknown_measurements()),
        None => show(app, &ShowArgs { document_out: None }).await,
    }
}

fn unknown_measurements() -> Failure {
    Failure::usage(
        "the measurements that the enclave must have are not known",
        "give --measurements FILE, as the release or your own build of the image states them",
    )
}

fn verify_file(app: &App, file: &Path, at: Option<u64>) -> Result<Report, Failure> {
    let accepted = app.settings.measurements.as_ref().ok_or_else(unknown_measurements)?;
    let accepted = accepted_measurements(&[Measurements::read(accepted)?.to_wire()]);
    let anchor = app.trust_anchor()?;
    let bytes = input_files::read(file)?;
    let refuse = |error: AttestationError| attested::refused(&error, &anchor);
    let made_ms = parse_unverified(&bytes).map_err(refuse)?.for_display().timestamp_ms;
    let at_ms = at.map_or(made_ms, |seconds| seconds.saturating_mul(1000));
    let expectation = Expectation {
        anchor: &anchor,
        now_ms: at_ms,
        max_age_ms: MAX_DOCUMENT_AGE_MS,
        nonce: NonceCheck::UncheckedStaticDocument,
        measurements: &accepted,
    };
    let document = countersign_attest::verify(&bytes, &expectation).map_err(refuse)?;
    let kind = AnchorKind::of(&anchor);
    let measurements = Measurements::from(&reported_measurements(&document).map_err(refuse)?);
    let mut table = Table::new(&[]);
    let tone = if anchor.is_development() { Tone::Red } else { Tone::Green };
    table.row(vec![plain("root"), field(kind.as_str(), tone)]);
    table.row(vec![plain("module"), plain(&document.module_id)]);
    table.row(vec![plain("made"), plain(crate::timestamps::utc(document.timestamp_ms))]);
    table.row(vec![plain("verified at"), plain(crate::timestamps::utc(at_ms))]);
    for (register, value) in measurements.registers() {
        table.row(vec![plain(format!("PCR{register}")), plain(hex::encode(value))]);
    }
    table.row(vec![plain("measurements"), field("as expected", Tone::Green)]);
    table.row(vec![
        plain("nonce"),
        field("not compared: whether such an enclave answers now, a file cannot show", Tone::Yellow),
    ]);
    let result = json!({
        "anchor": kind,
        "module_id": document.module_id,
        "timestamp_ms": document.timestamp_ms,
        "verified_at_ms": at_ms,
        "measurements": measurements,
        "measurements_verdict": "equal",
    });
    Ok(Report::new(table.render(app.console.colour, ""), result))
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
