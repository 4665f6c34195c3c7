//! `/vault/accounts/{id}/{asset}`: addresses, with the certificate of the customer's co-signer. Never fund one without it.

use super::App;
use super::auth::{Caller, EDITORS, READERS};
use super::errors::ApiError;
use super::once::{self, Begun};
use super::whole::whole;
use super::{json, keys, vault as accounts};
use crate::ceremony::{Input, KeyRecord};
use crate::clock::now_ms;
use crate::store::users::UserRole;
use crate::store::vault::{self, Wallet};
use crate::store::{StoreError, Write, audit, ceremonies, cosigners, users};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::evm::Asset;
use countersign_wire::key::{Algorithm, KeyPurpose, KeyStatus, Operation};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{List, Text};
use serde_json::{Value, json as value};
use sqlx::SqliteConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a new key of every asset is made for.
const OPERATIONS: [Operation; 4] =
    [Operation::Raw, Operation::TypedMessage, Operation::Transfer, Operation::ContractCall];
/// The same where no operator allows bare hashes.
const OPERATIONS_WITHOUT_RAW: [Operation; 3] = [Operation::TypedMessage, Operation::Transfer, Operation::ContractCall];

/// How an asset of a vault account is shown. Balances are the chain's to say, not this workspace's.
pub fn shown(wallet: &Wallet) -> Value {
    value!({
        "id": wallet.asset, "keyId": wallet.key.to_string(), "address": wallet.address,
        "status": if wallet.address.is_some() { "READY" } else { "PENDING_ACTIVATION" },
        "creationTimestamp": wallet.created_at_ms.to_string(),
    })
}

fn known_asset(id: &str) -> Result<Asset, ApiError> {
    Asset::find(id).ok_or_else(|| ApiError::not_found("supported asset", id))
}

async fn wallet_of(app: &App, id: &str, asset: &str) -> Result<Wallet, ApiError> {
    let mut read = app.store.read().await?;
    let number = accounts::number(id)?;
    if vault::get_account(&mut read, number).await?.is_none() {
        return Err(ApiError::not_found("vault account", id));
    }
    let wallet = vault::get_wallet(&mut read, number, known_asset(asset)?.id).await?;
    wallet.ok_or_else(|| {
        let message = format!("vault account {id} has no {asset} yet: POST /v1/vault/accounts/{id}/{asset} first");
        ApiError::new(StatusCode::NOT_FOUND, Code::NotFound.as_str(), message)
    })
}

async fn certified_of(app: &App, id: &str, asset: &str) -> Result<(Wallet, KeyCertificate), ApiError> {
    let wallet = wallet_of(app, id, asset).await?;
    let certified = wallet.certified().ok_or_else(|| {
        ApiError::not_yet(format!("vault account {id} has no certified {asset} address yet: POST it again"))
    })?;
    Ok((wallet, certified))
}

/// `GET /vault/accounts/{id}/{asset}`
pub async fn get(
    State(app): State<Arc<App>>,
    Path((id, asset)): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    Ok(Json(shown(&wallet_of(&app, &id, &asset).await?)))
}

/// `GET /vault/accounts/{id}/{asset}/addresses_paginated`
pub async fn addresses(
    State(app): State<Arc<App>>,
    Path((id, asset)): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let wallet = wallet_of(&app, &id, &asset).await?;
    let address = wallet.address.map(|address| {
        value!({
            "assetId": wallet.asset, "address": address, "description": "", "tag": "", "type": "Permanent",
            "addressFormat": "", "legacyAddress": "", "enterpriseAddress": "", "bip44AddressIndex": 0, "userDefined": false,
        })
    });
    Ok(Json(value!({"addresses": address.into_iter().collect::<Vec<_>>(), "paging": {}})))
}

/// `GET /vault/accounts/{id}/{asset}/{change}/{index}/public_key_info`
pub async fn public_key(
    State(app): State<Arc<App>>,
    Path((id, asset, change, index)): Path<(String, String, String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let (_, certified) = certified_of(&app, &id, &asset).await?;
    if change != "0" || index != "0" {
        return Err(ApiError::not_found(
            "address with change and index",
            format!("{change}/{index}; an asset has 0/0"),
        ));
    }
    Ok(Json(value!({
        "algorithm": certified.algorithm.as_str(),
        "derivationPath": certified.path.elements(),
        "publicKey": hex::encode(certified.public_key),
    })))
}

/// `GET /vault/accounts/{id}/{asset}/key_certificate`
pub async fn certificate(
    State(app): State<Arc<App>>,
    Path((id, asset)): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let (wallet, certified) = certified_of(&app, &id, &asset).await?;
    let signed = wallet.record.and_then(|r| r.certificate);
    let bytes = borsh::to_vec(&signed.ok_or_else(|| ApiError::internal(&"no certificate"))?);
    let group = ceremonies::get_group(&mut *app.store.read().await?, &certified.group).await?;
    let party = group.and_then(|g| g.record.group.customer()).ok_or_else(|| ApiError::internal(&"no customer"))?;
    Ok(Json(value!({
        "certificate": STANDARD.encode(bytes.map_err(|e| ApiError::internal(&e))?),
        "party": party.to_string(),
        "fields": {
            "workspace": certified.workspace.to_string(),
            "vaultAccount": certified.vault_account,
            "asset": certified.asset.as_str(),
            "key": certified.key.to_string(),
            "algorithm": certified.algorithm.as_str(),
            "path": certified.path.elements(),
            "publicKey": hex::encode(certified.public_key),
            "address": certified.address.as_str(),
            "group": certified.group.to_string(),
            "parties": certified.parties.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "threshold": certified.threshold,
            "epoch": certified.epoch,
        },
    })))
}

/// The API user that signs for a vault account: its own, the configured one, or the only paired SIGNER.
async fn signer_of(app: &App, db: &mut SqliteConnection, account: &vault::Account) -> Result<String, ApiError> {
    if let Some(signer) = account.signer.as_ref().or(app.default_signer.as_ref()) {
        return Ok(signer.clone());
    }
    let signers = users::list(db).await?.into_iter().filter(|u| u.role == UserRole::Signer);
    let mut paired = Vec::new();
    for user in signers {
        if cosigners::user(db, user.id.as_str()).await?.is_some() {
            paired.push(user.id.to_string());
        }
    }
    match paired.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(ApiError::conflict("no API user of role SIGNER is paired with a co-signer yet")),
        many => Err(ApiError::conflict(format!(
            "{} API users could sign for this vault account: give it a signerId, or set default_signer",
            many.len()
        ))),
    }
}

async fn new_key(
    app: &App,
    write: &mut Write,
    signer: &str,
    asset: &Asset,
    operations: &[Operation],
) -> Result<KeyRecord, ApiError> {
    let group = keys::group_for(write, signer, None).await?;
    let purpose = KeyPurpose {
        algorithm: Algorithm::EcdsaSecp256k1,
        coin_type: asset.coin_type,
        operations: List::cut(operations.to_vec()),
        signer: signer.parse().map_err(|e| ApiError::malformed(format!("signer: {e}")))?,
    };
    let key = countersign_wire::ids::KeyId(*uuid::Uuid::new_v4().as_bytes());
    let record = KeyRecord::wanted(key, group.id, purpose, app.clock.now_ms());
    keys::insert(app, write, &record).await?;
    ceremonies::set_signer_key(write, signer, asset.coin_type, &key).await?;
    let subject = key.to_string();
    audit::append(write, now_ms(), "workspace", "key.generate", &subject, &group.id.to_string()).await?;
    Ok(record)
}

/// Whether this key was asked for with RAW, which operators do not allow for its signer.
fn is_raw_refused(record: &KeyRecord) -> bool {
    let refused = record.reason.as_ref().is_some_and(|reason| reason.code == Code::RawNotAllowed);
    record.status == KeyStatus::Error && refused && record.purpose.allows(Operation::Raw)
}

/// The key that was chosen for the signer and this kind of asset.
async fn chosen(db: &mut SqliteConnection, signer: &str, asset: &Asset) -> Result<Option<KeyRecord>, ApiError> {
    match ceremonies::signer_key(db, signer, asset.coin_type).await? {
        Some(key) => Ok(ceremonies::get_key(db, &key).await?.map(|k| k.record)),
        None => Ok(None),
    }
}

/// The key of the signer for this kind of asset; made if there is none. Where operators do not allow RAW for the signer,
/// the key is made without it.
async fn key_of(app: &App, write: &mut Write, signer: &str, asset: &Asset) -> Result<KeyRecord, ApiError> {
    match chosen(write, signer, asset).await? {
        Some(known) if is_raw_refused(&known) => new_key(app, write, signer, asset, &OPERATIONS_WITHOUT_RAW).await,
        Some(known) => Ok(known),
        None => {
            let all = ceremonies::keys_of(write, signer, asset.coin_type).await?.into_iter().map(|k| k.record);
            let mut usable =
                all.filter(|r| r.status == KeyStatus::Ready && OPERATIONS.iter().all(|o| r.purpose.allows(*o)));
            match usable.next() {
                Some(record) => {
                    ceremonies::set_signer_key(write, signer, asset.coin_type, &record.key).await?;
                    Ok(record)
                }
                None => new_key(app, write, signer, asset, &OPERATIONS).await,
            }
        }
    }
}

/// The key that a vault account's asset has or will get, if it is there already.
async fn known_key(
    app: &App,
    db: &mut SqliteConnection,
    account: u32,
    asset: &Asset,
) -> Result<Option<KeyRecord>, ApiError> {
    let stored = vault::get_account(db, account).await?;
    let stored = stored.ok_or_else(|| ApiError::not_found("vault account", account))?;
    if let Some(wallet) = vault::get_wallet(db, account, asset.id).await?
        && let Some(key) = ceremonies::get_key(db, &wallet.key).await?
    {
        return Ok(Some(key.record));
    }
    let signer = signer_of(app, db, &stored).await?;
    Ok(chosen(db, &signer, asset).await?.filter(|record| !is_raw_refused(record)))
}

/// The same, made if need be.
async fn made_key(app: &App, account: u32, asset: &Asset) -> Result<KeyRecord, ApiError> {
    let mut write = app.store.write().await?;
    // Another request may have made it in between.
    if let Some(record) = known_key(app, &mut write, account, asset).await? {
        return Ok(record);
    }
    let stored = vault::get_account(&mut write, account).await?;
    let stored = stored.ok_or_else(|| ApiError::not_found("vault account", account))?;
    let signer = signer_of(app, &mut write, &stored).await?;
    let record = key_of(app, &mut write, &signer, asset).await?;
    write.commit().await?;
    Ok(record)
}

fn failed(what: &str, refusal: &Refusal) -> ApiError {
    let status = match refusal.code {
        Code::Timeout | Code::Busy | Code::NotYet | Code::Internal | Code::Storage => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    ApiError::refused(status, &Refusal::new(refusal.code, format!("{what}: {}", refusal.detail.as_str())))
}

/// Waits for a stored record to change until `until`.
async fn changed(app: &App, changes: &mut tokio::sync::watch::Receiver<u64>, until: Instant) -> Result<(), ApiError> {
    let waited = tokio::time::timeout_at(until, changes.changed()).await;
    let message =
        format!("the address is still being made after {} s; ask again: nothing is lost", app.deadlines.activation);
    waited.map_err(|_| ApiError::not_yet(message))?.map_err(|_| crate::service::Stopped.into())
}

/// The READY key of a vault account's asset. Every stored record wakes it up: it writes only where there is no key yet.
pub(crate) async fn ready_key(
    app: &Arc<App>,
    account: u32,
    asset: &Asset,
    until: Instant,
) -> Result<KeyRecord, ApiError> {
    let mut changes = app.service.changes();
    let mut asked = None;
    loop {
        let known = known_key(app, &mut *app.store.read().await?, account, asset).await?;
        let record = match known {
            Some(record) => record,
            None => {
                let (app, asset) = (Arc::clone(app), *asset);
                whole(async move { made_key(&app, account, &asset).await }).await?
            }
        };
        match (record.status, &record.reason) {
            (KeyStatus::Ready, _) => return Ok(record),
            (KeyStatus::Error, Some(reason)) if asked == Some(record.key) => {
                return Err(failed("no key could be generated", reason));
            }
            _ if asked == Some(record.key) => changed(app, &mut changes, until).await?,
            _ => {
                asked = Some(record.key);
                changes.mark_unchanged();
                app.service.submit(keys::wanted(&record)).await?;
            }
        }
    }
}

async fn certified(app: &Arc<App>, account: u32, asset: &Asset, until: Instant) -> Result<Wallet, ApiError> {
    let path = asset.path(account).map_err(|e| ApiError::malformed(e.to_string()))?;
    let known = vault::get_wallet(&mut *app.store.read().await?, account, asset.id).await?;
    if let Some(wallet) = known.filter(|w| w.address.is_some()) {
        return Ok(wallet);
    }
    let key = ready_key(app, account, asset, until).await?;
    let mut changes = app.service.changes();
    let (asking, key, asset_id) = (Arc::clone(app), key.key, asset.id);
    whole(async move {
        let mut write = asking.store.write().await?;
        vault::insert_wallet(&mut write, account, asset_id, &key, now_ms()).await?;
        vault::clear_refusal(&mut write, account, asset_id).await?;
        write.commit().await?;
        let certify = Input::Certify { key, vault_account: account, asset: Text::cut(asset_id), path };
        Ok(asking.service.submit(certify).await?)
    })
    .await?;
    loop {
        let stored = async { vault::get_wallet(&mut *app.store.read().await?, account, asset.id).await };
        let wallet = stored.await.map_err(|error: StoreError| ApiError::unknown(&error))?;
        let wallet = wallet.ok_or_else(|| ApiError::unknown(&"a stored asset is gone"))?;
        if wallet.address.is_some() {
            return Ok(wallet);
        }
        if let Some(refusal) = wallet.record.as_ref().and_then(|r| r.refusal.as_ref()) {
            return Err(failed("no key certificate", refusal));
        }
        changed(app, &mut changes, until).await?;
    }
}

/// `POST /vault/accounts/{id}/{asset}`: finds or makes the key, gets and verifies the certificate, answers with the address.
pub async fn create(
    State(app): State<Arc<App>>,
    Path((id, asset)): Path<(String, String)>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.require(&EDITORS)?;
    if !caller.body.is_empty() {
        let _: serde_json::Map<String, Value> = json::body(&caller.body)?;
    }
    let (account, asset) = (accounts::number(&id)?, known_asset(&asset)?);
    match once::begin(&app, &caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => {
            let mut write = write;
            if vault::get_account(&mut write, account).await?.is_none() {
                return Err(ApiError::not_found("vault account", id));
            }
        }
    }
    let until = Instant::now() + Duration::from_secs(app.deadlines.activation);
    let wallet = certified(&app, account, &asset, until).await?;
    let body = value!({
        "id": id, "address": wallet.address, "legacyAddress": "", "enterpriseAddress": "", "tag": "", "eosAccountName": "",
        "status": "READY", "assetId": wallet.asset, "keyId": wallet.key.to_string(),
    });
    // What came before is the same however often it is asked: the answer is kept when it is there.
    match once::begin(&app, &caller).await? {
        Begun::Answered(response) => Ok(response),
        Begun::New(write) => once::finish(&app, write, &caller, StatusCode::OK, &body).await,
    }
}
