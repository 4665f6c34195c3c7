//! `/config_changes`: what waits for the API user that approves configuration changes, and what became of the rest.

use super::App;
use super::auth::{ADMINS, Caller, READERS};
use super::errors::ApiError;
use super::once::{self, Begun};
use super::{callback_view, json};
use crate::ceremony::{ChangeRecord, ChangeStatus, Input};
use crate::changes::{self as config, Wish};
use crate::store::Write;
use crate::store::changes::{self, Filter};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_wire::ids::ChangeId;
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::sync::Arc;

/// Longest page, and its default.
const MAX_PAGE: u32 = 100;

/// A change as the API shows it.
pub fn shown(record: &ChangeRecord) -> Value {
    let extra_info: Value = serde_json::from_slice(&record.change.extra_info).unwrap_or_default();
    value!({
        "id": record.change.id.to_string(),
        "type": record.change.kind.as_str(),
        "status": record.status.as_str(),
        "signerId": record.approver.as_ref().map(|_| record.change.signer.as_str()),
        "requestedBy": record.requested_by.as_str(),
        "subject": changes::subject(&record.payload),
        "extraInfo": extra_info,
        "createdAt": record.created_at_ms,
        "expiresAt": record.until_ms,
        "decidedAt": record.decided_at_ms,
        "reason": record.reason.as_ref().map(|r| value!({"code": r.code.as_str(), "detail": r.detail.as_str()})),
        "callback": callback_view::shown(&record.attempts, record.status.is_final()),
    })
}

/// What came of a request that changes the configuration.
pub enum Asked {
    /// It is in force; the transaction goes on.
    AtOnce(Write),
    /// It waits: answered, stored and told.
    Waits(Response),
}

/// Has a change approved, or puts it in force at once where nobody is named for that. `more` is answered beside the change.
///
/// # Errors
/// As [`config::propose`].
pub async fn ask(app: &App, caller: &Caller, mut write: Write, wish: Wish, more: &Value) -> Result<Asked, ApiError> {
    let Some(record) = config::propose(app, &mut write, &caller.user.id, wish).await? else {
        return Ok(Asked::AtOnce(write));
    };
    let mut body = shown(&record);
    if let (Some(members), Some(more)) = (body.as_object_mut(), more.as_object()) {
        members.extend(more.clone());
    }
    let response = once::finish(app, write, caller, StatusCode::ACCEPTED, &body).await?;
    // It is stored: where the coordinator has ended, the next one takes it up.
    let _ = app.service.tell(Input::SubmitChange(Box::new(record))).await;
    Ok(Asked::Waits(response))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    status: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

fn is_admin(caller: &Caller) -> bool {
    ADMINS.contains(&caller.user.role)
}

async fn visible(app: &App, caller: &Caller, id: &str) -> Result<ChangeRecord, ApiError> {
    let not_found = || ApiError::not_found("configuration change", id);
    let change: ChangeId = id.parse().map_err(|_| not_found())?;
    let record = changes::get(&mut *app.store.read().await?, &change).await?;
    record.filter(|r| is_admin(caller) || r.requested_by == caller.user.id).ok_or_else(not_found)
}

/// `GET /config_changes`, the newest first: all of them for admins, for others those that they asked for.
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let query: ListQuery = json::query(&caller.uri)?;
    let limit = json::limit(query.limit, MAX_PAGE, MAX_PAGE)?;
    let status = query.status.map(|text| {
        ChangeStatus::parse(&text).ok_or_else(|| ApiError::malformed(format!("status: there is no status {text:.80?}")))
    });
    let after = match &query.after {
        None => None,
        Some(id) => visible(&app, &caller, id).await.map(|last| Some((last.created_at_ms, last.change.id)))?,
    };
    let requested_by = (!is_admin(&caller)).then(|| caller.user.id.to_string());
    let filter = Filter { requested_by, status: status.transpose()?, after, limit: limit.saturating_add(1) };
    let mut found = changes::list(&mut *app.store.read().await?, &filter).await?;
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > length;
    found.truncate(length);
    let next = found.last().filter(|_| more).map(|last| last.change.id.to_string());
    Ok(Json(value!({"data": found.iter().map(shown).collect::<Vec<_>>(), "next": next})))
}

/// `GET /config_changes/{id}`
pub async fn get(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    Ok(Json(shown(&visible(&app, &caller, &id).await?)))
}

/// `POST /config_changes/{id}/cancel`, by who asked for it or an admin.
pub async fn cancel(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(&READERS)?;
    let record = visible(&app, &caller, &id).await?;
    if !record.status.is_final() {
        app.service.submit(Input::CancelChange { change: record.change.id }).await?;
    }
    let after = visible(&app, &caller, &id).await?;
    if !after.status.is_final() {
        return Err(ApiError::not_yet("the change is just being taken up; cancel it again"));
    }
    if after.status != ChangeStatus::Cancelled {
        let message = format!("the change has ended as {}", after.status.as_str());
        return Err(ApiError::conflict(message).with("status", after.status.as_str()));
    }
    match once::begin(&app, &caller).await? {
        Begun::Answered(response) => Ok(response),
        Begun::New(write) => once::finish(&app, write, &caller, StatusCode::OK, &shown(&after)).await,
    }
}
