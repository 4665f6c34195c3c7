//! `/signing_groups`: which co-signers hold shares together.

use super::App;
use super::auth::{ADMINS, Caller, READERS};
use super::errors::ApiError;
use super::json;
use super::once::{self, Begun};
use super::whole::whole;
use crate::ceremony::{GroupRecord, GroupStatus, Input};
use crate::clock::now_ms;
use crate::store::ceremonies::{self, StoredGroup};
use crate::store::cosigners::{Cosigner, role_str};
use crate::store::{Write, audit, cosigners};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_wire::group::{Group, Party, Role};
use countersign_wire::ids::GroupId;
use countersign_wire::limits::{MAX_GROUPS, MAX_PARTIES};
use countersign_wire::{List, Message};
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewGroup {
    customer_cosigner_id: String,
    cloud_cosigner_ids: Vec<String>,
    threshold: Option<u16>,
    name: Option<String>,
}

fn shown(stored: &StoredGroup, cosigners: &[Cosigner]) -> Value {
    let GroupRecord { group, status, accepted, reason, .. } = &stored.record;
    let party = |(index, party): (usize, &Party)| {
        let device = cosigners.iter().find(|c| c.party == party.id).map(|c| c.device_id.as_str());
        value!({
            "index": index, "party": party.id.to_string(), "role": role_str(party.role), "cosignerId": device,
            "accepted": accepted.contains(&party.id),
        })
    };
    value!({
        "id": group.id.to_string(),
        "name": stored.name,
        "status": status.as_str(),
        "threshold": group.threshold,
        "parties": group.parties.iter().enumerate().map(party).collect::<Vec<_>>(),
        "hash": hex::encode(group.digest()),
        "createdAt": stored.created_at_ms,
        "reason": reason.as_ref().map(|r| value!({"code": r.code.as_str(), "detail": r.detail.as_str()})),
    })
}

/// `GET /signing_groups`
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let mut read = app.store.read().await?;
    let cosigners = cosigners::list(&mut read).await?;
    let groups = ceremonies::groups(&mut read).await?;
    Ok(Json(value!({"groups": groups.iter().map(|g| shown(g, &cosigners)).collect::<Vec<_>>()})))
}

/// `GET /signing_groups/{id}`
pub async fn get(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let not_found = || ApiError::not_found("signing group", &id);
    let group: GroupId = id.parse().map_err(|_| not_found())?;
    let mut read = app.store.read().await?;
    let stored = ceremonies::get_group(&mut read, &group).await?.ok_or_else(not_found)?;
    let cosigners = cosigners::list(&mut read).await?;
    Ok(Json(shown(&stored, &cosigners)))
}

async fn member(write: &mut Write, id: &str, role: Role) -> Result<Party, ApiError> {
    let cosigner = cosigners::by_device(write, id).await?.ok_or_else(|| ApiError::not_found("co-signer", id))?;
    if cosigner.role != role {
        let message =
            format!("expected co-signer {id} to be paired as {}, got {}", role_str(role), role_str(cosigner.role));
        return Err(ApiError::malformed(message));
    }
    if !cosigners::is_approved(write, &cosigner.party).await? {
        let message =
            format!("co-signer {id} waits for an owner: POST /v1/cosigners/{id}/api_keys/{{userId}}/approve first");
        return Err(ApiError::conflict(message));
    }
    Ok(Party { id: cosigner.party, role })
}

/// Whether a known group is the same one and may still be used. One in ERROR never is: another one takes its place.
fn is_in_the_way(known: &GroupRecord, new: &Group) -> bool {
    let same = known.group.parties == new.parties && known.group.threshold == new.threshold;
    same && known.status != GroupStatus::Error
}

/// A co-signer keeps a bounded number of groups, and none is ever forgotten.
fn check_room(known: &[StoredGroup], new: &Group) -> Result<(), ApiError> {
    for party in new.parties.iter() {
        let count = known.iter().filter(|k| k.record.group.index_of(&party.id).is_some()).count();
        if count >= MAX_GROUPS {
            let message = format!("co-signer {} is in {count} signing groups, the most that one keeps", party.id);
            return Err(ApiError::busy(message));
        }
    }
    Ok(())
}

/// `POST /signing_groups`
pub async fn create(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(&ADMINS)?;
    let new: NewGroup = json::body(&caller.body)?;
    let name = new.name.as_deref().map(|n| json::name("name", n)).transpose()?;
    if new.cloud_cosigner_ids.len() >= MAX_PARTIES {
        return Err(ApiError::malformed(format!("expected at most {MAX_PARTIES} co-signers in a group")));
    }
    whole(async move { propose(&app, &caller, &new, name).await }).await
}

async fn propose(app: &App, caller: &Caller, new: &NewGroup, name: Option<String>) -> Result<Response, ApiError> {
    let mut write = match once::begin(app, caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    let mut parties = vec![member(&mut write, &new.customer_cosigner_id, Role::Customer).await?];
    for id in &new.cloud_cosigner_ids {
        parties.push(member(&mut write, id, Role::Cloud).await?);
    }
    parties.sort_by_key(|p| p.id);
    let all = u16::try_from(parties.len()).unwrap_or(u16::MAX);
    let group = Group {
        workspace: app.identity.workspace,
        id: GroupId(*uuid::Uuid::new_v4().as_bytes()),
        parties: List::new(parties).map_err(|e| ApiError::malformed(e.to_string()))?,
        threshold: new.threshold.unwrap_or(all),
    };
    group.check().map_err(|e| ApiError::malformed(e.to_string()))?;
    let known = ceremonies::groups(&mut write).await?;
    if let Some(same) = known.iter().map(|k| &k.record).find(|k| is_in_the_way(k, &group)) {
        drop(write);
        // Whoever proposed it may have failed before it told.
        app.hub.allow(&same.group);
        app.service.tell(Input::ProposeGroup { group: same.group.clone() }).await?;
        let id = same.group.id.to_string();
        let message = format!("these co-signers have a signing group of this threshold: {id}");
        return Err(ApiError::conflict(message).with("existingId", id));
    }
    check_room(&known, &group)?;
    let now_ms = now_ms();
    let record = GroupRecord::proposed(group.clone());
    ceremonies::save(&mut write, &crate::ceremony::Record::Group(record.clone()), now_ms).await?;
    if let Some(name) = &name {
        ceremonies::name_group(&mut write, &group.id, name).await?;
    }
    let (actor, subject) = (caller.user.id.as_str(), group.id.to_string());
    audit::append(&mut write, now_ms, actor, "signing_group.propose", &subject, &hex::encode(group.digest())).await?;
    let cosigners = cosigners::list(&mut write).await?;
    let body = shown(&StoredGroup { name, created_at_ms: now_ms, record }, &cosigners);
    let response = once::finish(app, write, caller, StatusCode::CREATED, &body).await?;
    app.hub.allow(&group);
    // It is stored: where the coordinator has ended, the next one begins with it.
    let _ = app.service.tell(Input::ProposeGroup { group }).await;
    Ok(response)
}
