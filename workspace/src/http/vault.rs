//! `/vault/accounts`

use super::App;
use super::auth::{Caller, EDITORS, READERS};
use super::errors::ApiError;
use super::once::{self, Begun};
use super::{json, wallets};
use crate::clock::now_ms;
use crate::store::users::UserRole;
use crate::store::vault::{self, Account};
use crate::store::{Read, audit, users};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::sync::Arc;

/// Longest page, and its default.
const MAX_PAGE: u32 = 500;
const DEFAULT_PAGE: u32 = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewAccount {
    name: String,
    signer_id: Option<String>,
    customer_ref_id: Option<String>,
    #[serde(rename = "hiddenOnUI")]
    hidden: Option<bool>,
    auto_fuel: Option<bool>,
    vault_type: Option<String>,
    auto_assign: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Page {
    name_prefix: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

async fn shown(read: &mut Read, account: &Account) -> Result<Value, ApiError> {
    let wallets = vault::wallets(read, account.id).await?;
    Ok(value!({
        "id": account.id.to_string(),
        "name": account.name,
        "hiddenOnUI": account.hidden,
        "customerRefId": account.customer_ref_id,
        "autoFuel": false,
        "signerId": account.signer,
        "createdAt": account.created_at_ms,
        "assets": wallets.iter().map(wallets::shown).collect::<Vec<_>>(),
    }))
}

/// The number of a vault account out of a path.
///
/// # Errors
/// 404: what is no number names none.
pub fn number(id: &str) -> Result<u32, ApiError> {
    let number = id.parse::<u32>().ok().filter(|n| n.to_string() == id);
    number.ok_or_else(|| ApiError::not_found("vault account", id))
}

async fn page(app: &App, page: &Page) -> Result<(Vec<Value>, Option<String>), ApiError> {
    let limit = json::limit(page.limit, DEFAULT_PAGE, MAX_PAGE)?;
    let from = match &page.after {
        None => 0,
        Some(after) => number(after)
            .map_err(|_| ApiError::malformed("expected after to be a vault account's id, as paging.after gave it"))?
            .saturating_add(1),
    };
    let mut read = app.store.read().await?;
    let mut accounts = vault::accounts(&mut read, from, page.name_prefix.as_deref(), limit.saturating_add(1)).await?;
    let more = accounts.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    accounts.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let after = accounts.last().filter(|_| more).map(|a| a.id.to_string());
    let mut list = Vec::new();
    for account in &accounts {
        list.push(shown(&mut read, account).await?);
    }
    Ok((list, after))
}

/// `GET /vault/accounts`
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let (accounts, _) = page(&app, &json::query(&caller.uri)?).await?;
    Ok(Json(accounts.into()))
}

/// `GET /vault/accounts_paged`
pub async fn paged(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let (accounts, after) = page(&app, &json::query(&caller.uri)?).await?;
    let paging = after.map_or_else(|| value!({}), |after| value!({"after": after}));
    Ok(Json(value!({"accounts": accounts, "paging": paging})))
}

/// `GET /vault/accounts/{id}`
pub async fn get(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let mut read = app.store.read().await?;
    let account = vault::get_account(&mut read, number(&id)?).await?;
    let account = account.ok_or_else(|| ApiError::not_found("vault account", &id))?;
    Ok(Json(shown(&mut read, &account).await?))
}

/// `POST /vault/accounts`
pub async fn create(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(&EDITORS)?;
    let new: NewAccount = json::body(&caller.body)?;
    if new.vault_type.as_deref().is_some_and(|t| t != "MPC") {
        return Err(ApiError::malformed("vaultType: expected MPC or nothing"));
    }
    if new.auto_fuel == Some(true) || new.auto_assign == Some(true) {
        return Err(ApiError::malformed("autoFuel and autoAssign: expected false or nothing; they are not supported"));
    }
    let name = json::name("name", &new.name)?;
    let customer_ref_id = new.customer_ref_id.as_deref().map(|r| json::name("customerRefId", r)).transpose()?;
    let mut write = match once::begin(&app, &caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    if let Some(signer) = &new.signer_id {
        let user = users::get(&mut write, signer).await?.ok_or_else(|| ApiError::not_found("API user", signer))?;
        if user.role != UserRole::Signer {
            let message = format!("signerId: expected an API user of role SIGNER, this one is {}", user.role);
            return Err(ApiError::malformed(message));
        }
    }
    let next = vault::next_account(&mut write).await?;
    let id = u32::try_from(next).ok().filter(|_| next < app.limits.max_vault_accounts);
    let id = id.ok_or_else(|| {
        ApiError::busy(format!("this workspace has {} vault accounts, its limit", app.limits.max_vault_accounts))
    })?;
    let hidden = new.hidden.unwrap_or(false);
    let account = Account { id, name, signer: new.signer_id, customer_ref_id, hidden, created_at_ms: now_ms() };
    vault::insert_account(&mut write, &account).await?;
    let actor = caller.user.id.as_str();
    audit::append(&mut write, now_ms(), actor, "vault_account.create", &id.to_string(), &account.name).await?;
    let body = value!({
        "id": id.to_string(), "name": account.name, "hiddenOnUI": hidden, "customerRefId": account.customer_ref_id,
        "autoFuel": false, "signerId": account.signer, "createdAt": account.created_at_ms, "assets": [],
    });
    once::finish(&app, write, &caller, StatusCode::OK, &body).await
}
