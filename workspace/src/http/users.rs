//! `/management/api_users`

use super::App;
use super::auth::{ADMINS, Caller};
use super::errors::ApiError;
use super::once::{self, Begun};
use super::{json, pairing};
use crate::clock::now_ms;
use crate::pairing_token;
use crate::store::users::{User, UserRole};
use crate::store::{audit, cosigners, pairing as tokens, users};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_token::{Algorithm, PublicKey};
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewUser {
    name: String,
    role: String,
    public_key_pem: Option<String>,
}

fn shown(user: &User) -> Value {
    value!({
        "id": user.id.as_str(), "name": user.name, "role": user.role.as_str(), "enabled": true,
        "status": "READY", "userType": "API", "createdAt": user.created_at_ms,
        "canCallApi": user.public_key.is_some(),
    })
}

/// `GET /management/api_users`
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&ADMINS)?;
    let users = users::list(&mut *app.store.read().await?).await?;
    Ok(Json(value!({"users": users.iter().map(shown).collect::<Vec<_>>()})))
}

/// Whether a user of this role may create one of that.
fn may_create(creator: UserRole, role: UserRole) -> bool {
    creator == UserRole::Owner || !matches!(role, UserRole::Owner | UserRole::Admin)
}

fn public_key(role: UserRole, pem: Option<&str>) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(pem) = pem else {
        return match role {
            UserRole::Signer | UserRole::CloudCosigner => Ok(None),
            _ => Err(ApiError::malformed(format!("expected publicKeyPem: a user of role {role} calls the API"))),
        };
    };
    let key = PublicKey::from_pem(pem).map_err(|e| ApiError::malformed(format!("publicKeyPem: {e}")))?;
    if key.algorithm() != Algorithm::Rs256 {
        return Err(ApiError::malformed("publicKeyPem: expected an RSA key; request tokens are RS256"));
    }
    Ok(Some(key.spki_der().to_vec()))
}

/// `POST /management/api_users`
pub async fn create(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(&ADMINS)?;
    let new: NewUser = json::body(&caller.body)?;
    let role: UserRole = new.role.parse().map_err(|e| ApiError::malformed(format!("role: {e}")))?;
    if !may_create(caller.user.role, role) {
        return Err(ApiError::forbidden(format!("only an owner may create an API user of role {role}")));
    }
    let id = uuid::Uuid::new_v4().to_string();
    let user = User {
        id: id.parse().map_err(|e| ApiError::internal(&e))?,
        name: json::name("name", &new.name)?,
        role,
        public_key: public_key(role, new.public_key_pem.as_deref())?,
        created_at_ms: now_ms(),
    };
    let mut write = match once::begin(&app, &caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    if users::count(&mut write).await? >= app.limits.max_api_users {
        return Err(ApiError::busy(format!("this workspace has {} API users, its limit", app.limits.max_api_users)));
    }
    users::insert(&mut write, &user).await?;
    let actor = caller.user.id.as_str();
    audit::append(&mut write, now_ms(), actor, "api_user.create", user.id.as_str(), role.as_str()).await?;
    once::finish(&app, write, &caller, StatusCode::CREATED, &shown(&user)).await
}

/// `POST /management/api_users/{id}/pairing_token`
pub async fn pairing_token(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.require(&ADMINS)?;
    let mut write = match once::begin(&app, &caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    let user = users::get(&mut write, &id).await?.ok_or_else(|| ApiError::not_found("API user", &id))?;
    if pairing::role_of(user.role).is_none() {
        let message = format!("only API users of role SIGNER and CLOUD_COSIGNER are paired; this one is {}", user.role);
        return Err(ApiError::malformed(message));
    }
    // A pairing whose answer was lost goes on with another token; the co-signer that began it has to give it.
    if let Some(paired) = cosigners::user(&mut write, &id).await?.filter(|paired| paired.confirmed) {
        let cosigner = cosigners::get(&mut write, &paired.party).await?.map(|c| c.device_id).unwrap_or_default();
        let message =
            format!("this API user is paired with co-signer {cosigner}; create another one for another co-signer");
        return Err(ApiError::conflict(message));
    }
    let jti = uuid::Uuid::new_v4().to_string();
    let issued = pairing_token::issue(&app.identity, &app.url, &user.id, &jti, now_ms() / 1000);
    let (token, expires_at) = issued.map_err(|e| ApiError::internal(&e))?;
    let expires_at_ms = expires_at.saturating_mul(1000);
    tokens::insert_token(&mut write, &jti, &user.id, expires_at_ms).await?;
    audit::append(&mut write, now_ms(), caller.user.id.as_str(), "pairing_token.issue", &id, &jti).await?;
    let mut body = shown(&user);
    body["pairingToken"] = token.into();
    body["expiresAt"] = expires_at_ms.into();
    once::finish(&app, write, &caller, StatusCode::OK, &body).await
}
