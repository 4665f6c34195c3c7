//! Reading bodies and query strings, each strictly.

use super::errors::ApiError;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::Uri;
use countersign_token::strict_json;
use serde::de::DeserializeOwned;

/// Reads a JSON body: no unknown members where the type says so, none twice, nothing behind it.
///
/// # Errors
/// 400.
pub fn body<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    strict_json::from_slice(body).map_err(|e| ApiError::malformed(format!("the body cannot be read: {e}")))
}

/// Reads a query string; parameters that the type does not know are refused, so that none is ignored silently.
///
/// # Errors
/// 400.
pub fn query<T: DeserializeOwned>(uri: &str) -> Result<T, ApiError> {
    let uri: Uri = uri.parse().map_err(|_| ApiError::malformed("the path and query cannot be read"))?;
    let query = Query::<T>::try_from_uri(&uri);
    query.map(|Query(q)| q).map_err(|e| ApiError::malformed(format!("the query string cannot be read: {e}")))
}

/// A name that people chose.
///
/// # Errors
/// 400.
pub fn name(what: &str, text: &str) -> Result<String, ApiError> {
    let max = countersign_wire::limits::MAX_NAME_BYTES;
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.len() > max || trimmed.chars().any(char::is_control) {
        return Err(ApiError::malformed(format!("expected {what} of 1 to {max} bytes without control characters")));
    }
    Ok(trimmed.to_owned())
}

/// A page's length: `limit`, or `default`, at most `max`.
///
/// # Errors
/// 400.
pub fn limit(limit: Option<u32>, default: u32, max: u32) -> Result<u32, ApiError> {
    match limit {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(limit) => Err(ApiError::malformed(format!("expected limit to be 1 to {max}, got {limit}"))),
    }
}
