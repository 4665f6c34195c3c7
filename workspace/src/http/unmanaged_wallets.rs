//! `/unmanaged_wallets`: addresses of others. What is added waits for approval; what is removed is removed at once.

use super::App;
use super::auth::{Caller, EDITORS, READERS};
use super::changes::{self as pending, Asked};
use super::errors::ApiError;
use super::json;
use super::once::{self, Begun};
use super::whole::whole;
use crate::ceremony::{ChangeRecord, Payload};
use crate::changes::{UNMANAGED_WALLET, Wish, new_id};
use crate::clock::now_ms;
use crate::evm;
use crate::store::unmanaged::{self, Address, Wallet};
use crate::store::{Read, audit, changes};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_wire::evm::Asset;
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewWallet {
    name: String,
    customer_ref_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAddress {
    address: String,
    tag: Option<String>,
}

/// Balances are the chain's to say: they are always shown as 0.
fn shown_address(id: &str, status: &str, address: &str, tag: Option<&str>, since_ms: Option<u64>) -> Value {
    value!({
        "id": id, "balance": "0", "lockedAmount": "0", "status": status, "address": address,
        "tag": tag.unwrap_or_default(), "activationTime": since_ms.map(|at| at.to_string()),
    })
}

fn waiting(record: &ChangeRecord, wallet: &str) -> Option<Value> {
    match &record.payload {
        Payload::AddAddress { wallet: of, asset, address, tag } if of == wallet => {
            Some(shown_address(asset, "WAITING_FOR_APPROVAL", address, tag.as_deref(), None))
        }
        _ => None,
    }
}

fn shown(wallet: &Wallet, addresses: &[Address], open: &[ChangeRecord]) -> Value {
    let own = addresses.iter().filter(|a| a.wallet == wallet.id);
    let approved =
        own.map(|a| shown_address(&a.asset, "APPROVED", &a.address, a.tag.as_deref(), Some(a.created_at_ms)));
    let waiting = open.iter().filter_map(|record| waiting(record, &wallet.id));
    value!({
        "id": wallet.id, "name": wallet.name, "customerRefId": wallet.customer_ref_id,
        "assets": approved.chain(waiting).collect::<Vec<_>>(),
    })
}

async fn shown_one(read: &mut Read, id: &str) -> Result<Value, ApiError> {
    let wallet = unmanaged::get(read, id).await?.ok_or_else(|| ApiError::not_found("unmanaged wallet", id))?;
    let addresses = unmanaged::addresses(read, Some(id)).await?;
    Ok(shown(&wallet, &addresses, &changes::open(read).await?))
}

/// `GET /unmanaged_wallets`
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let mut read = app.store.read().await?;
    let (wallets, open) = (unmanaged::list(&mut read).await?, changes::open(&mut read).await?);
    let addresses = unmanaged::addresses(&mut read, None).await?;
    Ok(Json(wallets.iter().map(|wallet| shown(wallet, &addresses, &open)).collect::<Vec<_>>().into()))
}

/// `GET /unmanaged_wallets/{id}`
pub async fn get(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    Ok(Json(shown_one(&mut app.store.read().await?, &id).await?))
}

/// `GET /unmanaged_wallets/{id}/{assetId}`
pub async fn get_address(
    State(app): State<Arc<App>>,
    Path((id, asset)): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let wallet = shown_one(&mut app.store.read().await?, &id).await?;
    let found = wallet["assets"].as_array().and_then(|assets| assets.iter().find(|a| a["id"] == asset.as_str()));
    Ok(Json(found.cloned().ok_or_else(|| ApiError::not_found("address of this wallet for", &asset))?))
}

/// `POST /unmanaged_wallets`
pub async fn create(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(&EDITORS)?;
    let new: NewWallet = json::body(&caller.body)?;
    let name = json::name("name", &new.name)?;
    let reference = new.customer_ref_id.as_deref().map(|r| json::name("customerRefId", r)).transpose()?;
    whole(async move { add_wallet(&app, &caller, name, reference).await }).await
}

async fn add_wallet(
    app: &App,
    caller: &Caller,
    name: String,
    customer_ref_id: Option<String>,
) -> Result<Response, ApiError> {
    let mut write = match once::begin(app, caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    let open = changes::open(&mut write).await?;
    let coming = open.iter().filter(|c| matches!(c.payload, Payload::AddWallet { .. })).count();
    let count = unmanaged::count(&mut write).await?.saturating_add(u64::try_from(coming).unwrap_or(u64::MAX));
    if count >= app.limits.max_unmanaged_wallets {
        return Err(ApiError::busy(format!("this workspace has {count} unmanaged wallets, its limit: delete some")));
    }
    let id = new_id();
    let wallet = Wallet { id: id.to_string(), name: name.clone(), customer_ref_id: customer_ref_id.clone() };
    let wish = Wish {
        id,
        kind: UNMANAGED_WALLET,
        extra_info: value!({"walletId": wallet.id, "walletName": name, "customerRefId": customer_ref_id}),
        payload: Payload::AddWallet { wallet: wallet.id.clone(), name, customer_ref_id },
    };
    let more = value!({"name": wallet.name, "customerRefId": wallet.customer_ref_id, "assets": []});
    match pending::ask(app, caller, write, wish, &more).await? {
        Asked::Waits(response) => Ok(response),
        Asked::AtOnce(write) => once::finish(app, write, caller, StatusCode::OK, &shown(&wallet, &[], &[])).await,
    }
}

/// `POST /unmanaged_wallets/{id}/{assetId}`
pub async fn create_address(
    State(app): State<Arc<App>>,
    Path((id, asset)): Path<(String, String)>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.require(&EDITORS)?;
    let new: NewAddress = json::body(&caller.body)?;
    let asset = Asset::find(&asset).ok_or_else(|| ApiError::not_found("supported asset", &asset))?;
    let address = evm::address(&new.address).map_err(ApiError::malformed)?.to_checksum(None);
    let tag = new.tag.as_deref().filter(|tag| !tag.is_empty()).map(|tag| json::name("tag", tag)).transpose()?;
    whole(async move { add_address(&app, &caller, id, asset.id, address, tag).await }).await
}

async fn add_address(
    app: &App,
    caller: &Caller,
    wallet: String,
    asset: &'static str,
    address: String,
    tag: Option<String>,
) -> Result<Response, ApiError> {
    let mut write = match once::begin(app, caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    let known = unmanaged::get(&mut write, &wallet).await?;
    let known = known.ok_or_else(|| ApiError::not_found("unmanaged wallet", &wallet))?;
    let has = unmanaged::addresses(&mut write, Some(&wallet)).await?.iter().any(|a| a.asset == asset);
    let of = |payload: &Payload| matches!(payload, Payload::AddAddress { wallet: w, asset: a, .. } if *w == wallet && a == asset);
    let waits = changes::open(&mut write).await?.iter().any(|change| of(&change.payload));
    if has || waits {
        let message = format!(
            "unmanaged wallet {wallet} has an address for {asset}, or one that waits: delete it, or cancel its change, first"
        );
        return Err(ApiError::conflict(message));
    }
    let wish = Wish {
        id: new_id(),
        kind: UNMANAGED_WALLET,
        extra_info: value!({
            "walletId": wallet, "walletName": known.name, "assetId": asset, "address": address, "tag": tag,
        }),
        payload: Payload::AddAddress { wallet, asset: asset.to_owned(), address: address.clone(), tag: tag.clone() },
    };
    let more = value!({"assetId": asset, "address": address, "tag": tag});
    match pending::ask(app, caller, write, wish, &more).await? {
        Asked::Waits(response) => Ok(response),
        Asked::AtOnce(write) => {
            let body = shown_address(asset, "APPROVED", &address, tag.as_deref(), Some(now_ms()));
            once::finish(app, write, caller, StatusCode::OK, &body).await
        }
    }
}

/// `DELETE /unmanaged_wallets/{id}`
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&EDITORS)?;
    let mut write = app.store.write().await?;
    if !unmanaged::remove(&mut write, &id).await? {
        return Err(ApiError::not_found("unmanaged wallet", &id));
    }
    audit::append(&mut write, now_ms(), caller.user.id.as_str(), "unmanaged_wallet.delete", &id, "").await?;
    write.commit().await?;
    Ok(Json(value!({"success": true})))
}

/// `DELETE /unmanaged_wallets/{id}/{assetId}`
pub async fn remove_address(
    State(app): State<Arc<App>>,
    Path((id, asset)): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&EDITORS)?;
    let mut write = app.store.write().await?;
    if !unmanaged::remove_address(&mut write, &id, &asset).await? {
        return Err(ApiError::not_found("address of this wallet for", &asset));
    }
    let actor = caller.user.id.as_str();
    audit::append(&mut write, now_ms(), actor, "unmanaged_wallet.delete_address", &id, &asset).await?;
    write.commit().await?;
    Ok(Json(value!({"success": true})))
}
