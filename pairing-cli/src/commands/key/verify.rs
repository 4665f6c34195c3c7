//! `cosigner key verify`: whether an address really belongs to a key of the customer's co-signer, and whose approval rules
//! over that key (threat T58). Offline: the identity that must have signed was pinned when the co-signer was paired.

use crate::attested::AnchorKind;
use crate::commands::App;
use crate::console::{Report, Tone, paint};
use crate::failure::Failure;
use crate::pin::{PinnedPairing, PinnedRole};
use crate::text_forms::printable;
use crate::{ethereum, input_files};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_wire::Signed;
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::ids::{ApiUserId, PartyId, WorkspaceFingerprint};
use countersign_wire::key::Operation;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Flags of `key verify`.
#[derive(clap::Args)]
pub struct Args {
    /// The certificate as the workspace's /key_certificate returns it: its JSON, or the base64 alone; `-` is stdin
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Identity of the customer's co-signer, instead of the pinned ones
    #[arg(long, value_name = "HEX", conflicts_with = "workspace_key")]
    party: Option<PartyId>,
    /// Fingerprint of the workspace's keys: only a pairing that was pinned with it counts
    #[arg(long, value_name = "FINGERPRINT")]
    workspace_key: Option<WorkspaceFingerprint>,
    /// The API user whose handler must be the one that approves for this key
    #[arg(long, value_name = "USER")]
    signer: Option<ApiUserId>,
    /// The address that it must be for
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The vault account that it must be for
    #[arg(long, value_name = "N")]
    vault: Option<u32>,
    /// The asset that it must be for, ETH for example
    #[arg(long, value_name = "ASSET")]
    asset: Option<String>,
}

/// The workspace's answer; other members are the workspace's words and not looked at.
#[derive(Deserialize)]
struct Answer {
    certificate: String,
}

/// An identity that may have signed, and where it comes from.
struct Signer {
    party: PartyId,
    pinned: Option<Pinned>,
}

/// What is pinned about a signer.
struct Pinned {
    name: String,
    anchor: AnchorKind,
    workspace_key: WorkspaceFingerprint,
}

/// Verifies.
pub fn run(app: &App, args: &Args) -> Result<Report, Failure> {
    let signed = parse(args)?;
    let (certificate, signer) = open(app, args, &signed)?;
    check(&certificate, &signer.party)?;
    check_expectations(&certificate, args)?;
    warn(app, args, &certificate, &signer);
    Ok(Report::new(text(&certificate, &signer, app.console.colour), json(&certificate, &signer)))
}

fn warn(app: &App, args: &Args, certificate: &KeyCertificate, signer: &Signer) {
    if let Some(pinned) = signer.pinned.as_ref().filter(|p| p.anchor == AnchorKind::Development) {
        app.console.warn(
            "development_cosigner",
            format!(
                "{} was claimed under a DEVELOPMENT ROOT: nothing proves that an enclave holds this key; never for real funds",
                pinned.name
            ),
        );
    }
    if certificate.operations.contains(&Operation::Raw) {
        app.console.warn("raw_key", "RAW: this key may sign any hash, and nobody sees what it does");
    }
    if args.signer.is_none() {
        app.console.note(&format!(
            "note: the workspace chose {} as the API user whose approval rules over this key; demand yours with --signer",
            certificate.signer
        ));
    }
}

fn text(certificate: &KeyCertificate, signer: &Signer, colour: bool) -> String {
    let from = match &signer.pinned {
        None => "given by --party".to_owned(),
        Some(pinned) => {
            let tone = if pinned.anchor == AnchorKind::Development { Tone::Red } else { Tone::Plain };
            format!("pinned as {}, {}", pinned.name, paint(tone, pinned.anchor.as_str(), colour))
        }
    };
    let operations: Vec<String> = certificate.operations.iter().map(|o| shown(*o, colour)).collect();
    format!(
        "good: {} is an address of this key\n\
         \x20 workspace    {}\n  vault, asset {} {}\n  public key   {}\n  key, path    {} {}\n  \
         approval     by the settings of API user {}\n  may sign     {}\n  \
         group        {}, {} of {} sign, epoch {}\n  signed by    {} ({from})",
        printable(&certificate.address),
        certificate.workspace,
        certificate.vault_account,
        printable(&certificate.asset),
        hex::encode(certificate.public_key),
        certificate.key,
        certificate.path,
        certificate.signer,
        operations.join(", "),
        certificate.group,
        certificate.threshold,
        certificate.parties.len(),
        certificate.epoch,
        signer.party,
    )
}

fn shown(operation: Operation, colour: bool) -> String {
    match operation {
        Operation::Raw => paint(Tone::Red, operation.as_str(), colour),
        Operation::TypedMessage | Operation::Transfer | Operation::ContractCall => operation.as_str().to_owned(),
    }
}

fn json(certificate: &KeyCertificate, signer: &Signer) -> Value {
    let pinned = signer.pinned.as_ref();
    json!({
        "address": &*certificate.address,
        "public_key": hex::encode(certificate.public_key),
        "workspace": certificate.workspace.to_string(),
        "workspace_key": pinned.map(|p| p.workspace_key.to_string()),
        "vault_account": certificate.vault_account,
        "asset": &*certificate.asset,
        "key": certificate.key.to_string(),
        "algorithm": certificate.algorithm.as_str(),
        "api_user": certificate.signer.as_str(),
        "operations": certificate.operations.iter().map(|o| o.as_str()).collect::<Vec<_>>(),
        "raw_allowed": certificate.operations.contains(&Operation::Raw),
        "path": certificate.path.elements(),
        "group": certificate.group.to_string(),
        "parties": certificate.parties.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "threshold": certificate.threshold,
        "epoch": certificate.epoch,
        "signer": {
            "party": signer.party.to_string(),
            "cosigner": pinned.map(|p| &p.name),
            "anchor": pinned.map(|p| p.anchor),
        },
    })
}

fn parse(args: &Args) -> Result<Signed<KeyCertificate>, Failure> {
    let unreadable = || {
        Failure::untrusted(
            format!("{}: this is no key certificate", args.certificate.display()),
            "expected the JSON of the workspace's /key_certificate, or its member `certificate` (base64) alone",
        )
    };
    let text = input_files::read_text(&args.certificate)?;
    let text = text.trim();
    let encoded = match text.starts_with('{') {
        true => serde_json::from_str::<Answer>(text).map_err(|_| unreadable())?.certificate,
        false => text.to_owned(),
    };
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| unreadable())?;
    borsh::from_slice(&bytes).map_err(|_| unreadable())
}

/// The certificate, if one of the identities that may have signed it did.
fn open(app: &App, args: &Args, signed: &Signed<KeyCertificate>) -> Result<(KeyCertificate, Signer), Failure> {
    let claimed = signed.peek_unverified().map_err(|e| Failure::untrusted(format!("no key certificate: {e}"), ""))?;
    let mut signers = Vec::new();
    match args.party {
        Some(party) => signers.push(Signer { party, pinned: None }),
        None => {
            for (name, pin) in app.all_pins()? {
                let of_workspace = |p: &&PinnedPairing| {
                    p.workspace == claimed.workspace && args.workspace_key.is_none_or(|key| key == p.workspace_key)
                };
                let customers = pin.pairings.iter().filter(|p| p.role == PinnedRole::Customer).filter(of_workspace);
                signers.extend(customers.map(|p| Signer {
                    party: p.party,
                    pinned: Some(Pinned { name: name.clone(), anchor: pin.anchor, workspace_key: p.workspace_key }),
                }));
            }
        }
    }
    if signers.is_empty() {
        let with = args.workspace_key.map(|key| format!(" with keys {key}")).unwrap_or_default();
        return Err(Failure::not_found(
            format!("no customer's co-signer of workspace {}{with} is pinned here", claimed.workspace),
            "give --party HEX, as whoever paired the co-signer got it from `cosigner add-user`, or --config-dir",
        ));
    }
    // Whoever made another workspace under this id, and had it paired, would have its certificates pass for the real one's.
    let keys: BTreeSet<String> =
        signers.iter().filter_map(|s| s.pinned.as_ref()).map(|p| p.workspace_key.to_string()).collect();
    if keys.len() > 1 {
        let all: Vec<String> = keys.into_iter().collect();
        return Err(Failure::usage(
            format!("workspace {} is pinned here with different keys: {}", claimed.workspace, all.join(", ")),
            "say which one is meant with --workspace-key FINGERPRINT",
        ));
    }
    let tried: Vec<String> = signers.iter().map(|s| s.party.to_string()).collect();
    for signer in signers {
        if let Ok(certificate) = signed.open(&signer.party.0) {
            return Ok((certificate, signer));
        }
    }
    Err(do_not_fund(format!("the certificate is not signed by the customer's co-signer ({})", tried.join(" or "))))
}

/// What must hold between the certificate's own parts. The co-signer says so, and it is checked all the same.
fn check(certificate: &KeyCertificate, signer: &PartyId) -> Result<(), Failure> {
    let parties = certificate.parties.len();
    if !certificate.parties.contains(signer) {
        return Err(do_not_fund(format!("the signer {signer} is no party of the group in the certificate")));
    }
    let operations = &certificate.operations;
    if operations.is_empty() || !operations.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) {
        return Err(do_not_fund("the operations in the certificate are none, or not sorted".to_owned()));
    }
    if certificate.threshold < 2 || usize::from(certificate.threshold) > parties {
        return Err(do_not_fund(format!("the threshold is {} of {parties} parties", certificate.threshold)));
    }
    if !matches!(certificate.path.elements(), [44, _, vault, _, _] if *vault == certificate.vault_account) {
        let vault = certificate.vault_account;
        return Err(do_not_fund(format!("path {} is not one of vault account {vault}", certificate.path)));
    }
    let derived = ethereum::address(&certificate.public_key)
        .ok_or_else(|| do_not_fund("the public key is no point of secp256k1".to_owned()))?;
    if derived != certificate.address.as_str() {
        let address = printable(&certificate.address);
        return Err(do_not_fund(format!("address {address} is not that of the public key, which has {derived}")));
    }
    Ok(())
}

fn check_expectations(certificate: &KeyCertificate, args: &Args) -> Result<(), Failure> {
    let differs = |what: &str, expected: String, got: String| {
        Err(do_not_fund(format!("the certificate is good but for another {what}: expected {expected}, got {got}")))
    };
    if let Some(expected) = &args.address
        && !same_address(expected, &certificate.address)
    {
        return differs("address", printable(expected), printable(&certificate.address));
    }
    if let Some(expected) = args.vault.filter(|v| *v != certificate.vault_account) {
        return differs("vault account", expected.to_string(), certificate.vault_account.to_string());
    }
    if let Some(expected) = args.asset.as_ref().filter(|asset| **asset != certificate.asset.as_str()) {
        return differs("asset", printable(expected), printable(&certificate.asset));
    }
    match &args.signer {
        Some(expected) if *expected != certificate.signer => {
            differs("API user whose approval rules", expected.to_string(), certificate.signer.to_string())
        }
        _ => Ok(()),
    }
}

/// Equal, or equal but for case where `expected` carries no checksum.
fn same_address(expected: &str, address: &str) -> bool {
    let digits = expected.get(2..).unwrap_or_default();
    let no_checksum = digits == digits.to_ascii_lowercase() || digits == digits.to_ascii_uppercase();
    expected == address || (no_checksum && expected.eq_ignore_ascii_case(address))
}

fn do_not_fund(message: String) -> Failure {
    Failure::untrusted(message, "do NOT send anything to this address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_checksum_is_compared_without_case() {
        let address = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";
        assert!(same_address(address, address));
        assert!(same_address(&address.to_lowercase(), address));
        assert!(!same_address(&address.replace("7E5F", "7e5F"), address));
        assert!(!same_address("0x7e", address) && !same_address("", address) && !same_address("é", address));
    }
}
