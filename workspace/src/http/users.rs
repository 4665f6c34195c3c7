//! `/management/api_users`

use super::App;
use super::auth::{ADMINS, Caller};
use super::changes::{self as pending, Asked};
use super::errors::ApiError;
use super::once::{self, Begun};
use super::whole::whole;
use super::{json, pairing};
use crate::ceremony::Payload;
use crate::changes::{ADD_USER, Wish, new_id};
use crate::clock::now_ms;
use crate::pairing_token;
use crate::store::users::{User, UserRole};
use crate::store::{audit, changes, cosigners, pairing as tokens, users};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_token::{Algorithm, PublicKey};
use countersign_wire::ids::ChangeId;
use serde::Deserialize;
use serde_json::{Value, json as value};
use sha2::{Digest, Sha256};
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
    let change = new_id();
    let user = User {
        id: change.to_string().parse().map_err(|e| ApiError::internal(&e))?,
        name: json::name("name", &new.name)?,
        role,
        public_key: public_key(role, new.public_key_pem.as_deref())?,
        created_at_ms: now_ms(),
    };
    whole(async move { add(&app, &caller, change, &user).await }).await
}

async fn add(app: &App, caller: &Caller, change: ChangeId, user: &User) -> Result<Response, ApiError> {
    let mut write = match once::begin(app, caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    let open = changes::open(&mut write).await?;
    let coming = open.iter().filter(|c| matches!(c.payload, Payload::AddUser { .. })).count();
    let count = users::count(&mut write).await?.saturating_add(u64::try_from(coming).unwrap_or(u64::MAX));
    if count >= app.limits.max_api_users {
        let message =
            format!("this workspace has {} API users or changes that add one, its limit", app.limits.max_api_users);
        return Err(ApiError::busy(message));
    }
    let wish = Wish {
        id: change,
        kind: ADD_USER,
        extra_info: value!({
            "userId": user.id.as_str(), "userName": user.name, "role": user.role.as_str(), "userType": "API",
            "publicKeySha256": user.public_key.as_ref().map(|key| hex::encode(Sha256::digest(key))),
        }),
        payload: Payload::AddUser {
            id: user.id.clone(),
            name: user.name.clone(),
            role: user.role.as_str().to_owned(),
            public_key: user.public_key.clone(),
        },
    };
    let more = value!({"name": user.name, "role": user.role.as_str()});
    match pending::ask(app, caller, write, wish, &more).await? {
        Asked::Waits(response) => Ok(response),
        Asked::AtOnce(mut write) => {
            let actor = caller.user.id.as_str();
            let role = user.role.as_str();
            audit::append(&mut write, now_ms(), actor, "api_user.create", user.id.as_str(), role).await?;
            once::finish(app, write, caller, StatusCode::CREATED, &shown(user)).await
        }
    }
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
    if let Some(paired) = cosigners::user(&mut write, &id).await?.filter(|paired| paired.confirmed && !paired.is_gone())
    {
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
