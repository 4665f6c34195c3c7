//! The endpoints: verify, decide, answer, log.

use crate::answers::{Answers, digest};
use crate::policy::{Decision, decide, decide_on_change};
use crate::policy_file::Rules;
use crate::protocol::{Answer, Keys, Refused, parse_json};
use crate::question::{ConfigChange, Object, Transaction};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Most bytes of a request: a payload of a co-signer has 256 KiB at most, and a token is a third longer.
const MAX_BODY_BYTES: usize = 384 * 1024;
/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// One way of asking: signed, where it has keys, or plain JSON.
struct Handler {
    keys: Option<Keys>,
    rules: Arc<Rules>,
    /// Each has its own: what nobody signed must not decide on what somebody did.
    answers: Mutex<Answers>,
}

/// The signed endpoints, where there are keys; the plain JSON ones, where they are wanted.
pub fn routes(keys: Option<Keys>, rules: Rules, json: bool) -> Router {
    let rules = Arc::new(rules);
    let mut routes = Router::new().route("/healthz", get(|| async { "ok\n" }));
    if keys.is_some() {
        routes = routes.merge(endpoints("/v2", keys, rules.clone()));
    }
    if json {
        routes = routes.merge(endpoints("", None, rules));
    }
    routes.layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

fn endpoints(prefix: &str, keys: Option<Keys>, rules: Arc<Rules>) -> Router {
    Router::new()
        .route(&format!("{prefix}/tx_sign_request"), post(transaction))
        .route(&format!("{prefix}/config_change_sign_request"), post(config_change))
        .with_state(Arc::new(Handler { keys, rules, answers: Mutex::default() }))
}

async fn transaction(State(handler): State<Arc<Handler>>, request: Request) -> Response {
    let started = Instant::now();
    let path = request.uri().path().to_owned();
    let parsed = handler.payload(request).await.and_then(|payload| Ok((Transaction::parse(&payload)?, payload)));
    let (asked, payload) = match parsed {
        Ok(parsed) => parsed,
        Err(refused) => return refuse(&path, &refused),
    };
    let id = format!("transaction {}", asked.request_id);
    let (decision, again) = handler.once(&id, &payload, || decide(&handler.rules, &asked));
    let answer = handler.answer(&asked.request_id, &decision);
    info!(
        "requestId" = asked.request_id,
        "txId" = asked.tx_id,
        operation = asked.operation,
        asset = asked.asset,
        "signerId" = asked.signer_id,
        test = asked.is_test,
        action = decision.action(),
        reason = decision.reason().unwrap_or_default(),
        again,
        signed = handler.keys.is_some(),
        microseconds = started.elapsed().as_micros(),
        "transaction"
    );
    answer
}

async fn config_change(State(handler): State<Arc<Handler>>, request: Request) -> Response {
    let started = Instant::now();
    let path = request.uri().path().to_owned();
    let parsed = handler.payload(request).await.and_then(|payload| Ok((ConfigChange::parse(&payload)?, payload)));
    let (asked, payload) = match parsed {
        Ok(parsed) => parsed,
        Err(refused) => return refuse(&path, &refused),
    };
    let id = format!("change {}", asked.request_id);
    let (decision, again) = handler.once(&id, &payload, || decide_on_change(&handler.rules, &asked));
    let answer = handler.answer(&asked.request_id, &decision);
    info!(
        "requestId" = asked.request_id,
        "type" = asked.kind,
        action = decision.action(),
        reason = decision.reason().unwrap_or_default(),
        again,
        signed = handler.keys.is_some(),
        microseconds = started.elapsed().as_micros(),
        "change of configuration"
    );
    answer
}

impl Handler {
    async fn payload(&self, request: Request) -> Result<Object, Refused> {
        let headers = request.headers().clone();
        let body = body(request).await?;
        match &self.keys {
            // Whatever the content type: the signature says what it is.
            Some(keys) => keys.verify(&body),
            // A web page cannot send this type to another site without asking that site first.
            None if !is_json(&headers) => Err(Refused::ContentType),
            None => parse_json(&body),
        }
    }

    fn once(&self, id: &str, payload: &Object, decide: impl FnOnce() -> Decision) -> (Decision, bool) {
        let content = digest(payload);
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).get_or_decide(id, content, decide)
    }

    fn answer(&self, request_id: &str, decision: &Decision) -> Response {
        let Some(keys) = &self.keys else { return Json(Answer::new(request_id, decision)).into_response() };
        match keys.sign(request_id, decision) {
            Ok(token) => ([(header::CONTENT_TYPE, "application/jwt")], token).into_response(),
            Err(error) => {
                warn!(%error, "could not sign the answer");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

async fn body(request: Request) -> Result<Bytes, Refused> {
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) => Err(Refused::Body(rejection.status(), rejection.body_text())),
        Err(_) => Err(Refused::Body(StatusCode::REQUEST_TIMEOUT, "the body did not come in time".into())),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"))
}

fn refuse(path: &str, refused: &Refused) -> Response {
    warn!(path, status = refused.status().as_u16(), error = %refused, "refused");
    (refused.status(), format!("{refused}\n")).into_response()
}
