//! HTTPS: verify, decide, answer, log.

use crate::answers::Answers;
use crate::policy::{ConfigChange, Decision, Policy, Transaction};
use crate::protocol::{Keys, Refused};
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// Most bytes of a request.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long running requests may take after a signal to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

struct Handler {
    keys: Keys,
    policy: Policy,
    answers: Mutex<Answers>,
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(
    listen: SocketAddr,
    tls: (PathBuf, PathBuf),
    keys: Keys,
    policy: Policy,
    ready_file: Option<PathBuf>,
) -> Result<()> {
    // Already installed means installed by nobody else: this is the only place.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (certificate, key) = tls;
    let tls = RustlsConfig::from_pem_file(&certificate, &key)
        .await
        .with_context(|| format!("cannot use {} with {}", certificate.display(), key.display()))?;
    let handler = Arc::new(Handler { keys, policy, answers: Mutex::default() });
    let routes = Router::new()
        .route("/v2/tx_sign_request", post(transaction))
        .route("/v2/config_change_sign_request", post(config_change))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(handler);

    let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    info!(%address, "listening");
    if let Some(path) = &ready_file {
        write_ready_file(path, address).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let handle = Handle::new();
    tokio::spawn(stop_on_signal(handle.clone()));
    axum_server::from_tcp(listener)?
        .acceptor(RustlsAcceptor::new(tls).handshake_timeout(HANDSHAKE_TIMEOUT))
        .handle(handle)
        .serve(routes.into_make_service())
        .await?;
    if let Some(path) = &ready_file {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

fn write_ready_file(path: &Path, address: SocketAddr) -> std::io::Result<()> {
    let text = json!({
        "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(), "listen": address.to_string(),
    });
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, format!("{text:#}\n"))?;
    fs::rename(temporary, path)
}

async fn stop_on_signal(handle: Handle<SocketAddr>) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    info!("stopping");
    handle.graceful_shutdown(Some(STOP_TIMEOUT));
}

fn parse<T: DeserializeOwned>(payload: Value) -> Result<T, Refused> {
    serde_json::from_value(payload).map_err(Refused::Payload)
}

async fn transaction(State(handler): State<Arc<Handler>>, body: Bytes) -> Response {
    let asked = handler.keys.verify(&body).and_then(|payload| {
        let content = payload.to_string();
        Ok((content, parse::<Transaction>(payload)?))
    });
    let (content, transaction) = match asked {
        Ok(asked) => asked,
        Err(refused) => return refuse(&refused),
    };
    let (decision, again) = handler.once(&transaction.request_id, &content, || handler.policy.decide(&transaction));
    info!(
        request_id = transaction.request_id,
        tx_id = transaction.tx_id,
        operation = transaction.operation,
        asset = transaction.asset,
        signer_id = transaction.signer_id,
        ?decision,
        again,
        "transaction"
    );
    handler.answer(&transaction.request_id, &decision)
}

async fn config_change(State(handler): State<Arc<Handler>>, body: Bytes) -> Response {
    let asked = handler.keys.verify(&body).and_then(|payload| {
        let content = payload.to_string();
        Ok((content, parse::<ConfigChange>(payload)?))
    });
    let (content, change) = match asked {
        Ok(asked) => asked,
        Err(refused) => return refuse(&refused),
    };
    let (decision, again) = handler.once(&change.request_id, &content, || handler.policy.decide_change(&change));
    info!(request_id = change.request_id, kind = change.kind, ?decision, again, "change of configuration");
    handler.answer(&change.request_id, &decision)
}

impl Handler {
    fn once(&self, id: &str, content: &str, decide: impl FnOnce() -> Decision) -> (Decision, bool) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get_or_decide(id, content.as_bytes(), decide)
    }

    fn answer(&self, request_id: &str, decision: &Decision) -> Response {
        match self.keys.sign(request_id, decision) {
            Ok(token) => ([(header::CONTENT_TYPE, "application/jwt")], token).into_response(),
            Err(error) => {
                warn!(%error, "could not sign the answer");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

fn refuse(refused: &Refused) -> Response {
    warn!(%refused, "refused");
    let status = match refused {
        Refused::Signature | Refused::Expired => StatusCode::UNAUTHORIZED,
        Refused::Payload(_) => StatusCode::BAD_REQUEST,
    };
    (status, format!("{refused}\n")).into_response()
}
