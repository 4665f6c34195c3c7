//! `/cosigners`: what owners look at before they approve a pairing, and how co-signers are.

use super::App;
use super::auth::{Caller, READERS};
use super::errors::ApiError;
use super::once::{self, Begun};
use crate::clock::now_ms;
use crate::store::cosigners::{Cosigner, PairedUser, approval_str, role_str};
use crate::store::users::UserRole;
use crate::store::{audit, cosigners};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_wire::ceremony::GroupState;
use serde_json::{Value, json};
use std::sync::Arc;

fn group_state(state: GroupState) -> &'static str {
    match state {
        GroupState::Proposed => "PROPOSED",
        GroupState::FindingPrimes => "FINDING_PRIMES",
        GroupState::AwaitingAux => "AWAITING_AUX",
        GroupState::AuxPending => "AUX_PENDING",
        GroupState::Ready => "READY",
    }
}

fn shown_user(user: &PairedUser) -> Value {
    json!({
        "userId": user.user.as_str(), "status": user.status(), "autoApprove": user.auto_approve,
        "requireIntent": user.require_intent, "pairedAt": user.paired_at_ms, "unpairedAt": user.gone_at_ms,
        "approval": user.said.map(|said| approval_str(said.approval)),
        "approvalKey": user.approval_key.map(hex::encode),
    })
}

fn shown(app: &App, cosigner: &Cosigner, users: &[PairedUser]) -> Value {
    let own: Vec<&PairedUser> = users.iter().filter(|u| u.party == cosigner.party).collect();
    let approved = own.iter().any(|u| u.approved);
    let parties = app.service.parties();
    let view = parties.get(&cosigner.party);
    let groups = view.map(|v| v.groups.iter()).into_iter().flatten();
    let seen = view.map(|v| v.last_seen_ms).filter(|at| *at > 0).or(cosigner.last_seen_ms);
    json!({
        "id": cosigner.device_id,
        "archived": false,
        "name": if cosigner.name.is_empty() { &cosigner.device_id } else { &cosigner.name },
        "type": role_str(cosigner.role),
        "role": role_str(cosigner.role),
        "status": if approved { "ACTIVE" } else { "WAITING_FOR_APPROVAL" },
        "party": cosigner.party.to_string(),
        "instance": cosigner.instance.to_string(),
        "operators": cosigner.operators,
        "requiredOperators": cosigner.required,
        "measurements": cosigner.measurements,
        "securityModule": cosigner.module_id,
        "development": cosigner.development,
        "softwareVersion": view.map(|v| v.version.as_str()).filter(|v| !v.is_empty()).unwrap_or(&cosigner.version),
        "connected": app.hub.is_connected(&cosigner.party),
        "lastSeen": seen,
        "pairedAt": cosigner.paired_at_ms,
        "users": own.into_iter().map(shown_user).collect::<Vec<_>>(),
        "groups": groups.map(|(id, s)| json!({"id": id.to_string(), "state": group_state(*s)})).collect::<Vec<_>>(),
    })
}

/// `GET /cosigners`
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let mut read = app.store.read().await?;
    let users = cosigners::users(&mut read).await?;
    let all = cosigners::list(&mut read).await?;
    Ok(Json(json!({"data": all.iter().map(|c| shown(&app, c, &users)).collect::<Vec<_>>(), "next": null})))
}

/// `GET /cosigners/{id}`
pub async fn get(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let mut read = app.store.read().await?;
    let cosigner = cosigners::by_device(&mut read, &id).await?.ok_or_else(|| ApiError::not_found("co-signer", &id))?;
    let users = cosigners::users(&mut read).await?;
    Ok(Json(shown(&app, &cosigner, &users)))
}

/// `POST /cosigners/{id}/api_keys/{user}/approve`
pub async fn approve(
    State(app): State<Arc<App>>,
    Path((id, user)): Path<(String, String)>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.require(&[UserRole::Owner])?;
    let mut write = match once::begin(&app, &caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    let cosigner = cosigners::by_device(&mut write, &id).await?.ok_or_else(|| ApiError::not_found("co-signer", &id))?;
    let paired = cosigners::user(&mut write, &user).await?.filter(|p| p.party == cosigner.party);
    let mut paired = paired.ok_or_else(|| ApiError::not_found("pairing of API user", &user))?;
    if !paired.approved {
        paired.approved = true;
        cosigners::save_user(&mut write, &paired).await?;
        let detail = format!("co-signer {} operators {}", cosigner.party, cosigner.operators.join(","));
        audit::append(&mut write, now_ms(), caller.user.id.as_str(), "pairing.approve", &user, &detail).await?;
    }
    let users = cosigners::users(&mut write).await?;
    let body = shown(&app, &cosigner, &users);
    once::finish(&app, write, &caller, StatusCode::OK, &body).await
}
