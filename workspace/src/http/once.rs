//! Requests that change something: in one database transaction with their answer, so that a repeated `Idempotency-Key` gets
//! the same answer, also after a crash and among a hundred at once.

use super::App;
use super::auth::Caller;
use super::errors::ApiError;
use crate::clock::now_ms;
use crate::store::{Write, idempotency};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use countersign_wire::message::digest_of;
use serde_json::Value;

/// How a request that changes something goes on.
pub enum Begun {
    /// It was answered before: with this.
    Answered(Response),
    /// It is new; its changes and its answer go through this.
    New(Write),
}

fn request_hash(caller: &Caller) -> [u8; 32] {
    let encoded = borsh::to_vec(&(&caller.method, &caller.uri, caller.body.to_vec())).unwrap_or_default();
    digest_of("cosigner-workspace/request/v1", &encoded)
}

fn sealed_for(caller: &Caller, key: &str, hash: &[u8; 32]) -> Vec<u8> {
    borsh::to_vec(&(caller.user.id.as_str(), key, hash)).unwrap_or_default()
}

fn answer(status: u16, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Begins: waits for the writes before, then looks the `Idempotency-Key` up.
///
/// # Errors
/// 409 where the key was used for another request.
pub async fn begin(app: &App, caller: &Caller) -> Result<Begun, ApiError> {
    let mut write = app.store.write().await?;
    let Some(key) = &caller.idempotency_key else { return Ok(Begun::New(write)) };
    let hash = request_hash(caller);
    match idempotency::find(&mut write, caller.user.id.as_str(), key, &hash, now_ms()).await? {
        idempotency::Known::New => Ok(Begun::New(write)),
        idempotency::Known::Answered { status, body, sealed: false } => Ok(Begun::Answered(answer(status, body))),
        idempotency::Known::Answered { status, body, sealed: true } => {
            let opened = app.identity.answer_key.open(&sealed_for(caller, key, &hash), &body);
            Ok(Begun::Answered(answer(status, opened.map_err(|e| ApiError::internal(&e))?)))
        }
        idempotency::Known::Conflict => Err(ApiError::conflict(
            "this Idempotency-Key was used for another request in the last 24 h; use a new key for a new request",
        )),
    }
}

/// Keeps the answer, encrypted, commits, and answers.
///
/// # Errors
/// 500: before the commit nothing was changed; where the commit itself fails, nobody knows.
pub async fn finish(
    app: &App,
    mut write: Write,
    caller: &Caller,
    status: StatusCode,
    body: &Value,
) -> Result<Response, ApiError> {
    let bytes = body.to_string().into_bytes();
    if let Some(key) = &caller.idempotency_key {
        let (user, hash) = (caller.user.id.as_str(), request_hash(caller));
        let sealed = app.identity.answer_key.seal(&sealed_for(caller, key, &hash), &bytes);
        let sealed = sealed.map_err(|e| ApiError::internal(&e))?;
        idempotency::keep(&mut write, user, key, &hash, status.as_u16(), &sealed, now_ms()).await?;
    }
    write.commit().await?;
    Ok(answer(status.as_u16(), bytes))
}
