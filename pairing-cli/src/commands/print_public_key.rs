//! `cosigner print-public-key`.

use super::App;
use crate::admin_channel::unexpected;
use crate::console::Report;
use crate::failure::Failure;
use crate::pem;
use crate::session::{Trusted, choose_pairing};
use countersign_wire::admin::{AdminRequest, AdminResponse};
use countersign_wire::ids::PairingId;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Flags of `print-public-key`.
#[derive(clap::Args)]
pub struct Args {
    /// Of which pairing; not needed where there is only one
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
}

/// Prints. A handler pins this key, so it comes from the pinned co-signer alone.
pub async fn run(app: &App, args: &Args) -> Result<Report, Failure> {
    let mut cosigner = Trusted::open(app).await?;
    let status = cosigner.session().status().await?;
    let pairing = choose_pairing(&status, args.pairing)?.pairing;
    let AdminResponse::PublicKey(der) = cosigner.session().ask(&AdminRequest::CallbackPublicKey { pairing }).await?
    else {
        return Err(unexpected("a public key"));
    };
    let public_key = pem::public_key(&der);
    let sha256 = hex::encode(Sha256::digest(&*der));
    Ok(Report::new(
        public_key.clone(),
        json!({ "pairing": pairing.to_string(), "public_key_pem": public_key, "sha256": sha256 }),
    ))
}
