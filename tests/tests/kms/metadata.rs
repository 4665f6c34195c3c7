//! The metadata service of a cloud machine, simulated: credentials of its role, for who opened a session before.

use super::simulated_kms::Caller;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use serde_json::json;
use std::net::{SocketAddr, TcpListener};
use tokio::task::JoinHandle;

const SESSION: &str = "a session";
const ROLE: &str = "host";
/// The token that goes with the role's keys.
const TOKEN: &str = "the token of the role";

fn allowed(headers: &HeaderMap) -> bool {
    headers.get("x-aws-ec2-metadata-token").is_some_and(|token| token == SESSION)
}

async fn open(headers: HeaderMap) -> Result<&'static str, StatusCode> {
    headers.get("x-aws-ec2-metadata-token-ttl-seconds").map(|_| SESSION).ok_or(StatusCode::BAD_REQUEST)
}

async fn role(headers: HeaderMap) -> Result<&'static str, StatusCode> {
    allowed(&headers).then_some(ROLE).ok_or(StatusCode::UNAUTHORIZED)
}

async fn credentials(
    Path(role): Path<String>,
    State(caller): State<Caller>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    if !allowed(&headers) || role != ROLE {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let answer = json!({
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": caller.id, "SecretAccessKey": caller.secret,
        "Token": TOKEN, "Expiration": "2099-01-01T00:00:00Z",
    });
    Ok(answer.to_string())
}

/// Starts it for a machine whose role is `caller`.
pub fn start(caller: Caller) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new()
        .route("/latest/api/token", put(open))
        .route("/latest/meta-data/iam/security-credentials/", get(role))
        .route("/latest/meta-data/iam/security-credentials/{role}", get(credentials))
        .with_state(caller);
    let task = tokio::spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, app).await.unwrap();
    });
    (address, task)
}
