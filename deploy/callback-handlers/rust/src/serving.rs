//! HTTPS with limits, a ready line, and a stop in order.

use anyhow::{Context, Result};
use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and how long a connection may be idle before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long running requests may take after a signal to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT. `tls` are the files of the certificate and of its key.
pub async fn serve(
    listen: SocketAddr,
    tls: (PathBuf, PathBuf),
    routes: Router,
    ready_file: Option<PathBuf>,
) -> Result<()> {
    // Already installed means installed by nobody else: this is the only place.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (certificate, key) = tls;
    let tls = RustlsConfig::from_pem_file(&certificate, &key)
        .await
        .with_context(|| format!("cannot use {} with {}", certificate.display(), key.display()))?;
    let mut tls = tls.get_inner().as_ref().clone();
    // The one version whose time-out holds from the first moment of a connection.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let handle = Handle::new();
    // From here on, before anybody is told that it serves: who asks it to stop at once gets a stop in order, too.
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(stop_on_signal(terminate, interrupt, handle.clone()));
    // Without NoDelay an answer in two writes would wait for the peer's delayed acknowledgement: 40 ms and more.
    let tls = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(tls))).handshake_timeout(HANDSHAKE_TIMEOUT);
    let mut server =
        axum_server::from_tcp(listener)?.acceptor(tls.acceptor(NoDelayAcceptor::new())).handle(handle).http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    ready(address, ready_file.as_deref())?;
    server.serve(routes.into_make_service()).await?;
    if let Some(path) = &ready_file {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

fn ready(address: SocketAddr, file: Option<&Path>) -> Result<()> {
    info!(%address, "listening");
    if let Some(path) = file {
        write_ready_file(path, address).with_context(|| format!("cannot write {}", path.display()))?;
    }
    writeln!(std::io::stdout(), "{}", json!({ "event": "listening", "port": address.port() }))?;
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

async fn stop_on_signal(mut terminate: Signal, mut interrupt: Signal, handle: Handle<SocketAddr>) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping");
    handle.graceful_shutdown(Some(STOP_TIMEOUT));
}
