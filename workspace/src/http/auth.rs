//! Who calls: `X-API-Key`, and a bearer token that the API user's key signed over this very request.
//!
//! Claims: `uri` (path and query), `nonce` (single use), `iat`, `exp` (at most 60 s after `iat`), `sub` (the API key),
//! `bodyHash` (lower-case hex SHA-256 of the raw body). The algorithm is the stored key's, RS256.

use super::App;
use super::errors::ApiError;
use crate::clock::now_ms;
use crate::store::users::{self, User, UserRole};
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use countersign_token::{Claims, PublicKey, TokenError, verify};
use countersign_wire::limits::{MAX_NAME_BYTES, MAX_REQUEST_BODY_BYTES, MAX_TOKEN_BYTES, MAX_URL_BYTES};
use countersign_wire::refusal::Code;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest life of a request token, in seconds.
pub const MAX_TOKEN_LIFE_SECONDS: u64 = 60;
/// How far a client's clock may be off, in seconds.
pub const MAX_CLOCK_SKEW_SECONDS: u64 = 30;

/// Why a request's token was refused. All of them are answered with 401.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No usable `X-API-Key`.
    #[error("expected a header X-API-Key with the API user's id")]
    ApiKeyMissing,
    /// No API user of this id, or one without a key.
    #[error("X-API-Key names no API user of this workspace that may call the API")]
    ApiKeyUnknown,
    /// No bearer token.
    #[error("expected a header Authorization: Bearer with a JWT")]
    TokenMissing,
    /// Not a token of this user's key.
    #[error("the bearer token was refused: {0}")]
    Token(String),
    /// A claim is not what it must be.
    #[error("the bearer token's {claim}: {detail}")]
    Claim {
        /// Which.
        claim: &'static str,
        /// What was expected.
        detail: String,
    },
    /// It is over.
    #[error("the bearer token expired {0} s ago; make a new one for each request, and check this machine's clock")]
    Expired(u64),
    /// Its clock is off.
    #[error("the bearer token was issued {0} s in the future; set this machine's clock")]
    ClockSkew(u64),
    /// It was used before.
    #[error("the bearer token's nonce was used before; make a new token for each request")]
    NonceUsed,
}

impl AuthError {
    fn code(&self) -> Code {
        match self {
            Self::Expired(_) => Code::TokenExpired,
            Self::ClockSkew(_) => Code::ClockSkew,
            Self::NonceUsed => Code::TokenUsed,
            _ => Code::TokenInvalid,
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.code().as_str(), error.to_string())
    }
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> Self {
        Self::Token(error.to_string())
    }
}

/// What of a checked token is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its nonce.
    pub nonce: String,
    /// Unix ms until which the nonce is remembered.
    pub remember_until_ms: u64,
}

/// Verifies a token with the user's key and compares it with the request. Pure.
///
/// # Errors
/// The token is not one for this request now.
pub fn check_token(
    token: &str,
    key: &PublicKey,
    user: &str,
    uri: &str,
    body: &[u8],
    now_seconds: u64,
) -> Result<Checked, AuthError> {
    let payload = verify(token, key)?;
    let claims = Claims::parse(&payload).map_err(|e| AuthError::Token(e.to_string()))?;
    let text = |claim| claims.string(claim).map_err(|e| AuthError::Token(e.to_string()));
    let date = |claim| claims.numeric_date(claim).map_err(|e| AuthError::Token(e.to_string()));
    let fits = |claim, fits: bool, detail: &str| {
        if fits { Ok(()) } else { Err(AuthError::Claim { claim, detail: detail.to_owned() }) }
    };
    fits("sub", text("sub")? == user, "expected the API user's id, as in X-API-Key")?;
    fits("uri", text("uri")? == uri, &format!("expected path and query as requested, {uri}"))?;
    let hash = hex::encode(Sha256::digest(body));
    fits("bodyHash", text("bodyHash")? == hash, "expected the lower-case hex SHA-256 of the raw body")?;
    let nonce = text("nonce")?;
    fits("nonce", nonce.len() <= MAX_NAME_BYTES, &format!("expected at most {MAX_NAME_BYTES} bytes"))?;
    let (issued_at, expires_at) = (date("iat")?, date("exp")?);
    let life = expires_at.checked_sub(issued_at);
    let sentence = format!("expected it 1 to {MAX_TOKEN_LIFE_SECONDS} s after iat");
    fits("exp", life.is_some_and(|life| (1..=MAX_TOKEN_LIFE_SECONDS).contains(&life)), &sentence)?;
    let ahead = issued_at.saturating_sub(now_seconds);
    if ahead > MAX_CLOCK_SKEW_SECONDS {
        return Err(AuthError::ClockSkew(ahead));
    }
    let remember_until = expires_at.saturating_add(MAX_CLOCK_SKEW_SECONDS);
    if remember_until <= now_seconds {
        return Err(AuthError::Expired(now_seconds.saturating_sub(expires_at)));
    }
    Ok(Checked { nonce: nonce.to_owned(), remember_until_ms: remember_until.saturating_mul(1000) })
}

/// An authenticated request, whole.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who asks.
    pub user: User,
    /// Its method.
    pub method: String,
    /// Path and query, as received.
    pub uri: String,
    /// The bearer token, as received.
    pub token: String,
    /// The raw body.
    pub body: Bytes,
    /// Its `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    // Two of them could be read in two ways.
    values.next().is_none().then_some(first)
}

/// Reads a body within its limits of size and time.
///
/// # Errors
/// 413, 408, or 400 where it broke off.
pub async fn read_body(body: Body, seconds: u64) -> Result<Bytes, ApiError> {
    let whole = async {
        let (mut chunks, mut whole) = (body.into_data_stream(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| ApiError::malformed(format!("the body broke off: {e}")))?;
            if whole.len().saturating_add(chunk.len()) > MAX_REQUEST_BODY_BYTES {
                let message = format!("expected a body of at most {MAX_REQUEST_BODY_BYTES} bytes");
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(whole))
    };
    let read = tokio::time::timeout(Duration::from_secs(seconds), whole).await;
    read.unwrap_or_else(|_| {
        let message = format!("expected the whole body within {seconds} s");
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, Code::Timeout.as_str(), message))
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if !headers.contains_key("idempotency-key") {
        return Ok(None);
    }
    let key = header(headers, "idempotency-key").filter(|k| (1..=MAX_NAME_BYTES).contains(&k.len()));
    let message = || format!("expected one Idempotency-Key of 1 to {MAX_NAME_BYTES} visible characters");
    key.map(|k| Some(k.to_owned())).ok_or_else(|| ApiError::malformed(message()))
}

async fn authenticate(app: &App, request: Request) -> Result<Caller, ApiError> {
    let (parts, body) = request.into_parts();
    let uri = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    if uri.len() > MAX_URL_BYTES {
        let message = format!("expected a path and query of at most {MAX_URL_BYTES} bytes");
        return Err(ApiError::new(StatusCode::URI_TOO_LONG, "too_large", message));
    }
    let api_key = header(&parts.headers, "x-api-key").ok_or(AuthError::ApiKeyMissing)?.to_owned();
    let token = header(&parts.headers, AUTHORIZATION.as_str()).and_then(|v| v.strip_prefix("Bearer "));
    let token = token.ok_or(AuthError::TokenMissing)?.to_owned();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(AuthError::Token(format!("expected at most {MAX_TOKEN_BYTES} bytes")).into());
    }
    let idempotency_key = idempotency_key(&parts.headers)?;
    let user = users::get(&mut *app.store.read().await?, &api_key).await?.ok_or(AuthError::ApiKeyUnknown)?;
    let key = user.public_key.as_deref().ok_or(AuthError::ApiKeyUnknown)?;
    let key = PublicKey::from_spki_der(key).map_err(|e| ApiError::internal(&e))?;
    let body = read_body(body, app.deadlines.request_body).await?;
    let checked = check_token(&token, &key, user.id.as_str(), &uri, &body, now_ms() / 1000)?;
    let fresh = app.nonces.take(user.id.as_str(), &checked.nonce, checked.remember_until_ms).await;
    match fresh {
        Ok(true) => {
            if let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
                app.connections.know(*peer);
            }
            Ok(Caller { user, method: parts.method.to_string(), uri, token, body, idempotency_key })
        }
        Ok(false) => Err(AuthError::NonceUsed.into()),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

impl FromRequest<Arc<App>> for Caller {
    type Rejection = ApiError;
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        authenticate(app, request).await.inspect_err(|error| app.metrics.refusal(error.reason()))
    }
}

impl Caller {
    /// Whether the caller has one of these roles.
    ///
    /// # Errors
    /// 403, naming them.
    pub fn require(&self, roles: &[UserRole]) -> Result<(), ApiError> {
        if roles.contains(&self.user.role) {
            return Ok(());
        }
        let names = roles.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(" or ");
        Err(ApiError::forbidden(format!("expected an API user of role {names}; this one is {}", self.user.role)))
    }
}

/// Who administers.
pub const ADMINS: [UserRole; 2] = [UserRole::Owner, UserRole::Admin];
/// Who makes vault accounts and transactions.
pub const EDITORS: [UserRole; 4] = [UserRole::Owner, UserRole::Admin, UserRole::Editor, UserRole::Signer];
/// Who reads.
pub const READERS: [UserRole; 5] =
    [UserRole::Owner, UserRole::Admin, UserRole::Editor, UserRole::Signer, UserRole::Viewer];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use countersign_token::{SigningKey, generate_p256, generate_rsa_2048};
    use serde_json::{Value, json};
    use std::sync::LazyLock;

    static KEY: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::from_pkcs8_der(&generate_rsa_2048().unwrap()).unwrap());
    const NOW: u64 = 1_700_000_000;
    const URI: &str = "/v1/transactions?limit=1";

    fn claims() -> Value {
        json!({"uri": URI, "nonce": "n-1", "iat": NOW, "exp": NOW + 55, "sub": "u", "bodyHash": hex::encode(Sha256::digest(b"body"))})
    }

    fn check(claims: &Value, now: u64) -> Result<Checked, AuthError> {
        let token = KEY.sign(claims.to_string().as_bytes(), None).unwrap();
        check_token(&token, KEY.public(), "u", URI, b"body", now)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_malformed_and_one_that_is_too_long_is_too_large() {
        let of = |chunks: Vec<Result<Bytes, std::io::Error>>| Body::from_stream(futures_util::stream::iter(chunks));
        let part = || Ok(Bytes::from_static(b"{"));
        let broken = of(vec![part(), Err(std::io::Error::other("reset"))]);
        assert_eq!(read_body(broken, 5).await.unwrap_err().reason(), "malformed");
        let full = || Ok(Bytes::from(vec![b' '; MAX_REQUEST_BODY_BYTES]));
        assert_eq!(read_body(of(vec![full()]), 5).await.unwrap().len(), MAX_REQUEST_BODY_BYTES);
        assert_eq!(read_body(of(vec![full(), part()]), 5).await.unwrap_err().reason(), "too_large");
    }

    #[test]
    fn a_token_is_good_for_its_request_and_its_time() {
        let checked = check(&claims(), NOW).unwrap();
        assert_eq!(checked, Checked { nonce: "n-1".into(), remember_until_ms: (NOW + 55 + 30) * 1000 });
        assert!(check(&claims(), NOW - MAX_CLOCK_SKEW_SECONDS).is_ok());
        assert_eq!(check(&claims(), NOW - MAX_CLOCK_SKEW_SECONDS - 1), Err(AuthError::ClockSkew(31)));
        assert!(check(&claims(), NOW + 55 + MAX_CLOCK_SKEW_SECONDS - 1).is_ok());
        assert_eq!(check(&claims(), NOW + 55 + MAX_CLOCK_SKEW_SECONDS), Err(AuthError::Expired(30)));
    }

    #[test]
    fn a_token_for_another_request_is_refused_and_says_which_claim() {
        for (claim, value) in [
            ("uri", json!("/v1/transactions")),
            ("sub", json!("other")),
            ("bodyHash", json!(hex::encode(Sha256::digest(b"Body")))),
            ("bodyHash", json!(hex::encode(Sha256::digest(b"body")).to_uppercase())),
            ("nonce", json!("n".repeat(MAX_NAME_BYTES + 1))),
            ("exp", json!(NOW + 61)),
            ("exp", json!(NOW)),
            ("exp", json!(NOW - 1)),
        ] {
            let error = check(&with(claim, value), NOW).unwrap_err();
            assert!(matches!(&error, AuthError::Claim { claim: named, .. } if *named == claim), "{claim}: {error}");
        }
    }

    #[test]
    fn t35_missing_and_wrong_typed_claims_are_refused() {
        for claim in ["uri", "nonce", "iat", "exp", "sub", "bodyHash"] {
            let mut without = claims();
            without.as_object_mut().unwrap().remove(claim);
            for bad in [without, with(claim, Value::Null), with(claim, json!(["x"])), with(claim, json!(true))] {
                assert!(matches!(check(&bad, NOW), Err(AuthError::Token(_))), "{claim}");
            }
        }
        assert!(matches!(check(&with("exp", json!((NOW + 55).to_string())), NOW), Err(AuthError::Token(_))));
        assert!(matches!(check(&with("iat", json!(NOW as f64 + 0.5)), NOW), Err(AuthError::Token(_))));
    }

    #[test]
    fn t33_another_key_or_algorithm_is_refused() {
        let payload = claims().to_string();
        for pkcs8 in [generate_rsa_2048().unwrap(), generate_p256().unwrap()] {
            let other = SigningKey::from_pkcs8_der(&pkcs8).unwrap();
            let token = other.sign(payload.as_bytes(), None).unwrap();
            assert!(check_token(&token, KEY.public(), "u", URI, b"body", NOW).is_err());
        }
    }

    #[test]
    fn t37_a_claim_twice_is_refused() {
        let payload = claims().to_string().replacen('{', "{\"sub\":\"u\",", 1);
        let token = KEY.sign(payload.as_bytes(), None).unwrap();
        assert!(matches!(check_token(&token, KEY.public(), "u", URI, b"body", NOW), Err(AuthError::Token(_))));
    }
}
