//! `cosigner print-public-key`.

use super::App;
use crate::admin_channel::unexpected;
use crate::choice::{choose_pairing, choose_user};
use crate::console::Report;
use crate::failure::Failure;
use crate::pem;
use crate::public_key::fingerprint;
use crate::session::Trusted;
use countersign_wire::admin::{AdminRequest, AdminResponse};
use countersign_wire::ids::{ApiUserId, PairingId};
use serde_json::json;

/// Flags of `print-public-key`.
#[derive(clap::Args)]
pub struct Args {
    /// Of which pairing; not needed where there is only one
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
    /// The key for this API user's handler: its own one, where it has one
    #[arg(long, value_name = "ID")]
    user: Option<ApiUserId>,
}

/// Prints. A handler pins this key, so it comes from the pinned co-signer alone.
pub async fn run(app: &App, args: &Args) -> Result<Report, Failure> {
    let mut cosigner = Trusted::open(app).await?;
    let status = cosigner.session().status().await?;
    let (pairing, der, own) = match &args.user {
        None => {
            let pairing = choose_pairing(&status, args.pairing)?.pairing;
            let request = AdminRequest::CallbackPublicKey { pairing };
            let AdminResponse::PublicKey(der) = cosigner.session().ask(&request).await? else {
                return Err(unexpected("a public key"));
            };
            (pairing, der, false)
        }
        Some(user) => {
            let users = cosigner.session().users().await?;
            let pairing = choose_user(&users, user, args.pairing)?.pairing;
            let callback = cosigner.session().callback(pairing, user).await?;
            (pairing, callback.request_key, callback.own_request_key)
        }
    };
    let public_key = pem::public_key(&der);
    let sha256 = fingerprint(&der);
    let user = args.user.as_ref().map(ApiUserId::as_str);
    Ok(Report::new(
        public_key.clone(),
        json!({
            "pairing": pairing.to_string(),
            "user": user,
            "own_request_key": own,
            "public_key_pem": public_key,
            "sha256": sha256,
        }),
    ))
}
