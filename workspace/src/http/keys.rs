//! `/keys`: key generation asked for by itself. Vault accounts get theirs on demand.

use super::App;
use super::auth::{ADMINS, Caller, READERS};
use super::errors::ApiError;
use super::json;
use super::once::{self, Begun};
use super::whole::whole;
use crate::ceremony::{GroupRecord, GroupStatus, Input, KeyRecord, Record};
use crate::clock::now_ms;
use crate::store::ceremonies::{self, StoredKey};
use crate::store::cosigners::PairedUser;
use crate::store::{Write, audit, cosigners, users};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_wire::List;
use countersign_wire::group::{Group, Role};
use countersign_wire::ids::{ApiUserId, GroupId, KeyId};
use countersign_wire::key::{Algorithm, KeyPurpose, KeyStatus, Operation};
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest page, and its default.
const MAX_PAGE: u32 = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewKey {
    key_id: Option<String>,
    group_id: Option<String>,
    coin_type: u32,
    operations: Vec<String>,
    signer_id: String,
}

fn shown(stored: &StoredKey) -> Value {
    let KeyRecord { key, group, purpose, status, public_key, reason, .. } = &stored.record;
    value!({
        "keyId": key.to_string(),
        "status": status.as_str(),
        "groupId": group.to_string(),
        "algorithm": purpose.algorithm.as_str(),
        "coinType": purpose.coin_type,
        "operations": purpose.operations.iter().map(|o| o.as_str()).collect::<Vec<_>>(),
        "signerId": purpose.signer.as_str(),
        "publicKey": public_key.map(hex::encode),
        "createdAt": stored.created_at_ms,
        "reason": reason.as_ref().map(|r| value!({"code": r.code.as_str(), "detail": r.detail.as_str()})),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<u32>,
    after: Option<String>,
}

/// `GET /keys`, oldest first; `paging.after` leads to the next page, where there is one.
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let page: Page = json::query(&caller.uri)?;
    let limit = json::limit(page.limit, MAX_PAGE, MAX_PAGE)?;
    let not_a_cursor = || ApiError::malformed("expected after to be a key's id, as paging.after gave it");
    let mut read = app.store.read().await?;
    let after = match page.after.map(|id| id.parse::<KeyId>()) {
        None => None,
        Some(id) => {
            let id = id.map_err(|_| not_a_cursor())?;
            Some(ceremonies::get_key(&mut read, &id).await?.ok_or_else(not_a_cursor)?)
        }
    };
    let mut keys = ceremonies::keys(&mut read, after.as_ref(), limit.saturating_add(1)).await?;
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = keys.len() > length;
    keys.truncate(length);
    let next = keys.last().filter(|_| more).map(|key| key.record.key.to_string());
    let paging = next.map_or_else(|| value!({}), |after| value!({"after": after}));
    Ok(Json(value!({"keys": keys.iter().map(shown).collect::<Vec<_>>(), "paging": paging})))
}

/// `GET /keys/{id}`
pub async fn get(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let not_found = || ApiError::not_found("key", &id);
    let key: KeyId = id.parse().map_err(|_| not_found())?;
    let stored = ceremonies::get_key(&mut *app.store.read().await?, &key).await?;
    Ok(Json(shown(&stored.ok_or_else(not_found)?)))
}

/// The pairing of an API user, which an owner approved.
///
/// # Errors
/// It is not paired, or its pairing waits for an owner.
pub async fn approved(write: &mut Write, signer: &str) -> Result<PairedUser, ApiError> {
    let paired = cosigners::user(write, signer).await?.ok_or_else(|| {
        let message =
            format!("API user {signer} is not paired with a co-signer: give its pairing token to `cosigner add-user`");
        ApiError::conflict(message)
    })?;
    if paired.is_gone() {
        let message =
            format!("API user {signer} is paired no more, its co-signer's operators removed it: pair it again");
        return Err(ApiError::conflict(message));
    }
    if !paired.approved {
        let message = format!(
            "the pairing of API user {signer} waits for an owner's approval: POST \
             /v1/cosigners/{{id}}/api_keys/{signer}/approve; see GET /v1/cosigners"
        );
        return Err(ApiError::conflict(message));
    }
    Ok(paired)
}

/// The READY group in which the co-signer that this API user is paired with is the customer's.
///
/// # Errors
/// There is no such user, it is not paired or not approved, or there is no such group.
pub async fn group_for(write: &mut Write, signer: &str, wanted: Option<GroupId>) -> Result<Group, ApiError> {
    if users::get(write, signer).await?.is_none() {
        return Err(ApiError::not_found("API user", signer));
    }
    let paired = approved(write, signer).await?;
    let cosigner = cosigners::get(write, &paired.party).await?;
    if cosigner.is_none_or(|c| c.role != Role::Customer) {
        let message = format!("API user {signer} is paired with a cloud co-signer, which never signs by itself");
        return Err(ApiError::malformed(message));
    }
    let groups = ceremonies::groups(write).await?;
    let own = groups.into_iter().map(|g| g.record).filter(|g| g.group.customer() == Some(paired.party));
    let own: Vec<GroupRecord> = own.filter(|g| wanted.is_none_or(|id| g.group.id == id)).collect();
    if let Some(ready) = own.iter().find(|g| g.status == GroupStatus::Ready) {
        return Ok(ready.group.clone());
    }
    let alive = own.iter().find(|g| g.status != GroupStatus::Error);
    Err(match (alive, own.last(), wanted) {
        (Some(group), ..) => {
            let why = group.reason.as_ref().map(|r| format!(": {}", r.detail.as_str())).unwrap_or_default();
            let message = format!(
                "signing group {} is {}, not READY{why}; its operators have to accept it and its auxiliary information \
                 has to be made; see GET /v1/signing_groups",
                group.group.id,
                group.status.as_str()
            );
            ApiError::not_yet(message)
        }
        (None, Some(group), _) => {
            let why = group.reason.as_ref().map(ToString::to_string).unwrap_or_default();
            let message = format!(
                "signing group {} is in ERROR and stays so ({why}): propose another one with POST /v1/signing_groups",
                group.group.id
            );
            ApiError::conflict(message)
        }
        (None, None, Some(id)) => ApiError::not_found("signing group of this signer's co-signer", id),
        (None, None, None) => ApiError::conflict(format!(
            "the co-signer of API user {signer} is in no signing group: POST /v1/signing_groups first"
        )),
    })
}

fn purpose(new: &NewKey) -> Result<KeyPurpose, ApiError> {
    let operation = |text: &String| match text.as_str() {
        "RAW" => Ok(Operation::Raw),
        "TYPED_MESSAGE" => Ok(Operation::TypedMessage),
        "TRANSFER" => Ok(Operation::Transfer),
        "CONTRACT_CALL" => Ok(Operation::ContractCall),
        other => Err(ApiError::malformed(format!(
            "operations: expected RAW, TYPED_MESSAGE, TRANSFER or CONTRACT_CALL, got {other:.80?}"
        ))),
    };
    let operations: BTreeSet<Operation> = new.operations.iter().map(operation).collect::<Result<_, _>>()?;
    if operations.is_empty() {
        return Err(ApiError::malformed("operations: expected at least one"));
    }
    if new.coin_type >= 1 << 31 {
        return Err(ApiError::malformed("coinType: expected a number below 2147483648 (SLIP-44)"));
    }
    Ok(KeyPurpose {
        algorithm: Algorithm::EcdsaSecp256k1,
        coin_type: new.coin_type,
        operations: List::new(operations.into_iter().collect()).map_err(|e| ApiError::malformed(e.to_string()))?,
        signer: new.signer_id.parse::<ApiUserId>().map_err(|e| ApiError::malformed(format!("signerId: {e}")))?,
    })
}

fn uuid_of<T: std::str::FromStr>(name: &str, text: Option<&String>) -> Result<Option<T>, ApiError>
where
    T::Err: std::fmt::Display,
{
    text.map(|t| t.parse().map_err(|e| ApiError::malformed(format!("{name}: {e}")))).transpose()
}

/// Stores a key that is wanted. The coordinator learns of it when that is durable.
///
/// # Errors
/// There are as many keys as there may be.
pub async fn insert(app: &App, write: &mut Write, record: &KeyRecord) -> Result<(), ApiError> {
    if ceremonies::count_keys(write).await? >= app.limits.max_keys {
        return Err(ApiError::busy(format!("this workspace has {} keys, its limit", app.limits.max_keys)));
    }
    ceremonies::save(write, &Record::Key(record.clone()), now_ms()).await?;
    Ok(())
}

/// The input that starts, or starts again, what this record wants.
pub fn wanted(record: &KeyRecord) -> Input {
    Input::GenerateKey { key: record.key, group: record.group, purpose: record.purpose.clone() }
}

/// `POST /keys`
pub async fn create(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(&ADMINS)?;
    let new: NewKey = json::body(&caller.body)?;
    let purpose = purpose(&new)?;
    let (key, wanted_group) = (uuid_of("keyId", new.key_id.as_ref())?, uuid_of("groupId", new.group_id.as_ref())?);
    let key = key.unwrap_or_else(|| KeyId(*uuid::Uuid::new_v4().as_bytes()));
    whole(async move { generate(&app, &caller, key, purpose, wanted_group).await }).await
}

async fn generate(
    app: &App,
    caller: &Caller,
    key: KeyId,
    purpose: KeyPurpose,
    wanted_group: Option<GroupId>,
) -> Result<Response, ApiError> {
    let mut write = match once::begin(app, caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    let (status, stored) = match ceremonies::get_key(&mut write, &key).await? {
        Some(known) => {
            let same_group = wanted_group.is_none_or(|id| id == known.record.group);
            if known.record.purpose != purpose || !same_group {
                let message =
                    format!("key {key} exists with another purpose or group; a key id names one key for ever");
                return Err(ApiError::conflict(message));
            }
            (StatusCode::OK, known)
        }
        None => {
            let group = group_for(&mut write, purpose.signer.as_str(), wanted_group).await?;
            let record = KeyRecord::wanted(key, group.id, purpose, app.clock.now_ms());
            insert(app, &mut write, &record).await?;
            let (actor, subject) = (caller.user.id.as_str(), key.to_string());
            audit::append(&mut write, now_ms(), actor, "key.generate", &subject, &group.id.to_string()).await?;
            (StatusCode::CREATED, StoredKey { created_at_ms: now_ms(), record })
        }
    };
    if stored.record.status == KeyStatus::Error {
        // Nothing is stored of this wish: it must be heard before it is answered.
        app.service.tell(wanted(&stored.record)).await?;
    }
    let response = once::finish(app, write, caller, status, &shown(&stored)).await?;
    if stored.record.status == KeyStatus::Pending {
        // It is stored: where the coordinator has ended, the next one begins with it.
        let _ = app.service.tell(wanted(&stored.record)).await;
    }
    Ok(response)
}
