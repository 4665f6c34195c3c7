//! Errors of the API: `{"message", "code", "reason"}`, where `code` is the HTTP status and `reason` a stable text.

use crate::service::Stopped;
use crate::store::StoreError;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use countersign_wire::refusal::{Code, Refusal};
use serde_json::{Map, Value, json};

/// An error of the API.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    reason: &'static str,
    message: String,
    more: Map<String, Value>,
}

impl ApiError {
    /// An error. The message says what was expected and what to do.
    pub fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), more: Map::new() }
    }

    /// 400: the request cannot be understood.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::Malformed.as_str(), message)
    }

    /// 404: there is no such thing in this workspace.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        let id: String = id.to_string().chars().take(80).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            Code::NotFound.as_str(),
            format!("there is no {what} {id:?} in this workspace"),
        )
    }

    /// 409: it contradicts something that is there.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, Code::Conflict.as_str(), message)
    }

    /// 403: this API user may not do that.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::NotAllowed.as_str(), message)
    }

    /// 429: a limit is reached.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::Busy.as_str(), message)
    }

    /// 503: it is being prepared; the same request succeeds later.
    pub fn not_yet(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::NotYet.as_str(), message)
    }

    /// 500, before anything was committed, with nothing about the inside. The log says more.
    pub fn internal(logged: &dyn std::fmt::Display) -> Self {
        Self::failed(logged, "an internal error; the workspace's log says more. Nothing was changed")
    }

    /// 500, where a commit or what came after it failed: nobody knows here whether it was done.
    pub fn unknown(logged: &dyn std::fmt::Display) -> Self {
        let message = "an internal error; the workspace's log says more. It may have been done: look before you repeat";
        Self::failed(logged, message)
    }

    fn failed(logged: &dyn std::fmt::Display, message: &str) -> Self {
        tracing::error!(error = %logged, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal.as_str(), message)
    }

    /// A co-signer's or the pairing's refusal.
    pub fn refused(status: StatusCode, refusal: &Refusal) -> Self {
        Self::new(status, refusal.code.as_str(), refusal.detail.as_str())
    }

    /// With one more member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Its reason.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"message": self.message, "code": self.status.as_u16(), "reason": self.reason});
        if let Some(members) = body.as_object_mut() {
            members.extend(self.more);
        }
        (self.status, Json(body)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

/// Of the database itself handlers ask nothing but to commit; all else is the store's.
impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::unknown(&error)
    }
}

impl From<Stopped> for ApiError {
    fn from(error: Stopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Busy.as_str(), error.to_string())
    }
}
