//! `/vault/accounts/{id}/{asset}/next_nonce`: the nonce of a vault account's next transfer.

use super::App;
use super::auth::{ADMINS, Caller, READERS};
use super::errors::ApiError;
use super::once::{self, Begun};
use super::{json, vault as accounts};
use crate::clock::now_ms;
use crate::store::{audit, evm_nonces, vault};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_wire::evm::Asset;
use serde::Deserialize;
use serde_json::{Value, json as value};
use sqlx::SqliteConnection;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Next {
    next_nonce: u64,
}

async fn known(db: &mut SqliteConnection, id: &str, asset: &str) -> Result<(u32, Asset), ApiError> {
    let (account, asset) =
        (accounts::number(id)?, Asset::find(asset).ok_or_else(|| ApiError::not_found("supported asset", asset))?);
    let stored = vault::get_account(db, account).await?;
    stored.map(|_| (account, asset)).ok_or_else(|| ApiError::not_found("vault account", id))
}

async fn shown(app: &App, db: &mut SqliteConnection, account: u32, asset: &Asset) -> Result<Value, ApiError> {
    let settings = app.assets.iter().find(|settings| settings.id == asset.id);
    let next = evm_nonces::next(db, account, asset.id, settings.map_or(0, |s| s.first_nonce)).await?;
    Ok(value!({
        "vaultAccountId": account.to_string(), "assetId": asset.id, "nextNonce": next,
        "waiting": evm_nonces::held(db, account, asset.id).await?,
    }))
}

/// `GET …/next_nonce`
pub async fn get(
    State(app): State<Arc<App>>,
    Path((id, asset)): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    // Looking moves a mark past what is spent, which nobody needs kept.
    let mut write = app.store.write().await?;
    let (account, asset) = known(&mut write, &id, &asset).await?;
    Ok(Json(shown(&app, &mut write, account, &asset).await?))
}

/// `PUT …/next_nonce`: for accounts that made transactions elsewhere, or whose transfer was never sent.
pub async fn put(
    State(app): State<Arc<App>>,
    Path((id, asset)): Path<(String, String)>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.require(&ADMINS)?;
    let Next { next_nonce } = json::body(&caller.body)?;
    if next_nonce > evm_nonces::MAX_NONCE {
        return Err(ApiError::malformed(format!("nextNonce: expected at most {}", evm_nonces::MAX_NONCE)));
    }
    let mut write = match once::begin(&app, &caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    let (account, asset) = known(&mut write, &id, &asset).await?;
    evm_nonces::set_next(&mut write, account, asset.id, next_nonce).await?;
    let (actor, subject) = (caller.user.id.as_str(), format!("{account}/{}", asset.id));
    audit::append(&mut write, now_ms(), actor, "next_nonce.set", &subject, &next_nonce.to_string()).await?;
    let body = shown(&app, &mut write, account, &asset).await?;
    once::finish(&app, write, &caller, StatusCode::OK, &body).await
}
