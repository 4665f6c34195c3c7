//! `/cosigners/{id}/api_keys`: the API users of a co-signer, and proposals of other callback handlers for them.
//!
//! A proposal changes nothing by itself: it is in force once the co-signer's operators have signed exactly that.

use super::App;
use super::auth::{ADMINS, Caller, READERS};
use super::callback_setting::Proposed;
use super::changes::{self as pending, Asked};
use super::errors::ApiError;
use super::json;
use super::once::{self, Begun};
use super::whole::whole;
use crate::ceremony::{ChangeRecord, ChangeStatus, Payload};
use crate::changes::{COSIGNER_CALLBACK, Wish, new_id};
use crate::store::cosigners::{Cosigner, PairedUser, approval_str};
use crate::store::{Read, changes, cosigners};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use countersign_token::PublicKey;
use countersign_wire::command::{ApprovalSetting, Handler, HandlerTls};
use countersign_wire::ids::ChangeId;
use serde::Deserialize;
use serde_json::{Value, json as value};
use sqlx::SqliteConnection;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Update {
    callback_handler: Proposed,
}

/// A handler as the API shows it.
fn shown_handler(handler: &Handler) -> Value {
    let pem = |der: &[u8]| PublicKey::from_spki_der(der).map(|key| key.to_pem()).unwrap_or_default();
    let pin = match &handler.tls {
        HandlerTls::Pinned(pins) => pins.first().map(hex::encode),
        HandlerTls::PublicRoots | HandlerTls::Root(_) => None,
    };
    value!({
        "url": handler.url.as_str(),
        "publicKey": handler.keys.first().map(|der| pem(der)),
        "certPublicKeyHash": pin,
        "mode": handler.mode().map(|mode| mode.as_str()),
    })
}

/// The handler in force, where it came about by a proposal of this workspace: only its digest is known otherwise.
async fn handler_of(db: &mut SqliteConnection, paired: &PairedUser) -> Result<Option<Value>, ApiError> {
    let Some(said) = paired.said else { return Ok(None) };
    let proposals = changes::about(db, COSIGNER_CALLBACK, paired.user.as_str()).await?;
    Ok(proposals.iter().find_map(|proposal| match &proposal.payload {
        Payload::SetApproval { approval, .. } if approval.digest() == said.digest => match approval.as_ref() {
            ApprovalSetting::Handler(handler) => Some(shown_handler(handler)),
            ApprovalSetting::None | ApprovalSetting::Auto => None,
        },
        _ => None,
    }))
}

async fn shown(db: &mut SqliteConnection, paired: &PairedUser) -> Result<Value, ApiError> {
    let mut body = value!({
        "id": paired.user.as_str(),
        "status": paired.status(),
        "approval": paired.said.map(|said| approval_str(said.approval)),
        "approvalDigest": paired.said.map(|said| hex::encode(said.digest)),
    });
    if let Some(handler) = handler_of(db, paired).await? {
        body["callbackHandler"] = handler;
    }
    Ok(body)
}

async fn cosigner(db: &mut SqliteConnection, id: &str) -> Result<Cosigner, ApiError> {
    cosigners::by_device(db, id).await?.ok_or_else(|| ApiError::not_found("co-signer", id))
}

async fn paired_with(db: &mut SqliteConnection, id: &str, key: &str) -> Result<PairedUser, ApiError> {
    let cosigner = cosigner(db, id).await?;
    let paired = cosigners::user(db, key).await?.filter(|paired| paired.party == cosigner.party);
    paired.ok_or_else(|| ApiError::not_found("API key of this co-signer", key))
}

/// `GET /cosigners/{id}/api_keys`
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let mut read: Read = app.store.read().await?;
    let party = cosigner(&mut read, &id).await?.party;
    let mut data = Vec::new();
    for paired in cosigners::users(&mut read).await?.iter().filter(|paired| paired.party == party) {
        data.push(shown(&mut read, paired).await?);
    }
    Ok(Json(value!({"data": data, "next": null})))
}

/// `GET /cosigners/{id}/api_keys/{key}`
pub async fn get(
    State(app): State<Arc<App>>,
    Path((id, key)): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let mut read = app.store.read().await?;
    let paired = paired_with(&mut read, &id, &key).await?;
    Ok(Json(shown(&mut read, &paired).await?))
}

/// A proposal's status in the words of this path.
fn request_status(status: ChangeStatus) -> &'static str {
    match status {
        ChangeStatus::PendingApproval | ChangeStatus::WaitingForOperators => "WAITING_FOR_APPROVAL",
        ChangeStatus::Approved => "COMPLETED",
        ChangeStatus::Rejected | ChangeStatus::Failed => "REJECTED",
        ChangeStatus::Cancelled => "CANCELLED",
    }
}

/// `GET /cosigners/{id}/api_keys/{key}/{requestId}`
pub async fn request(
    State(app): State<Arc<App>>,
    Path((id, key, request)): Path<(String, String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let mut read = app.store.read().await?;
    let paired = paired_with(&mut read, &id, &key).await?;
    let not_found = || ApiError::not_found("request about this API key", &request);
    let change: ChangeId = request.parse().map_err(|_| not_found())?;
    let record = changes::get(&mut read, &change).await?;
    let is_own =
        |record: &ChangeRecord| matches!(&record.payload, Payload::SetApproval { user, .. } if *user == paired.user);
    let record = record.filter(is_own).ok_or_else(not_found)?;
    Ok(Json(value!({
        "status": request_status(record.status),
        "type": "UPDATE_CALLBACK_HANDLER",
        "reason": record.reason.as_ref().map(|r| value!({"code": r.code.as_str(), "detail": r.detail.as_str()})),
    })))
}

/// `PATCH /cosigners/{id}/api_keys/{key}`
pub async fn update(
    State(app): State<Arc<App>>,
    Path((id, key)): Path<(String, String)>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.require(&ADMINS)?;
    let update: Update = json::body(&caller.body)?;
    let setting = update.callback_handler.setting();
    let setting = setting.map_err(|e| ApiError::malformed(format!("callbackHandler: {e}")))?;
    whole(async move { propose(&app, &caller, &id, &key, setting).await }).await
}

async fn propose(
    app: &App,
    caller: &Caller,
    id: &str,
    key: &str,
    setting: ApprovalSetting,
) -> Result<Response, ApiError> {
    let mut write = match once::begin(app, caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    let paired = paired_with(&mut write, id, key).await?;
    if paired.is_gone() {
        return Err(ApiError::conflict(format!("the co-signer's operators removed API user {key}: pair it again")));
    }
    let open = changes::about(&mut write, COSIGNER_CALLBACK, key).await?;
    if let Some(open) = open.iter().find(|change| !change.status.is_final()) {
        let message = format!(
            "another callback handler waits for approval: cancel configuration change {} first",
            open.change.id
        );
        return Err(ApiError::conflict(message).with("requestId", open.change.id.to_string()));
    }
    let handler = match &setting {
        ApprovalSetting::Handler(handler) => shown_handler(handler),
        ApprovalSetting::None | ApprovalSetting::Auto => Value::Null,
    };
    let change = new_id();
    let digest = hex::encode(setting.digest());
    let wish = Wish {
        id: change,
        kind: COSIGNER_CALLBACK,
        extra_info: value!({"cosignerId": id, "apiKeyId": key, "callbackHandler": handler, "approvalDigest": digest}),
        payload: Payload::SetApproval { party: paired.party, user: paired.user, approval: Box::new(setting) },
    };
    let more = value!({
        "id": key, "requestId": change.to_string(), "status": request_status(ChangeStatus::PendingApproval),
        "callbackHandler": handler, "approvalDigest": digest,
    });
    match pending::ask(app, caller, write, wish, &more).await? {
        Asked::Waits(response) => Ok(response),
        Asked::AtOnce(_) => Err(ApiError::internal(&"a callback handler was to be in force at once")),
    }
}
