//! Connections that ask for nothing.

use super::client::{Client, ok};
use super::cosigner::{access_token, connect};
use super::running::{Running, ended};
use super::signing::{stack_in, typed, with_address};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn tls(running: &Running) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(running.ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(running.addresses.api).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// What a connection says before it falls silent.
const BEGINNINGS: [&[u8]; 4] = [b"", b"P", b"GET /v1/trans", b"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\n"];

#[tokio::test(flavor = "multi_thread")]
async fn t47_who_connects_and_asks_for_nothing_is_closed_and_others_are_served() {
    let running = Running::start("[limits]\nmax_connections = 8\n[deadlines]\nrequest_head = 4\n").await;
    let http2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let all = BEGINNINGS.into_iter().chain([http2]).map(async |beginning| {
        let mut stream = tls(&running).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        // It ends, with an answer or without one; that it does is what is shown.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    futures_util::future::join_all(all).await;
    let mut plain = TcpStream::connect(running.addresses.api).await.unwrap();
    let _ = plain.read_to_end(&mut Vec::new()).await;
    ok(running.owner.get("/v1/transactions").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t47_a_head_that_is_too_long_is_refused_before_it_is_held() {
    let running = Running::start("").await;
    let mut stream = tls(&running).await.unwrap();
    let head =
        format!("GET /v1/transactions HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(200 * 1024));
    // It is closed before all of it is read: the answer may be lost with that.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    ok(running.owner.get("/v1/transactions").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t47_silent_and_half_requests_give_way_to_requests_and_links_and_sessions_finish() {
    let limits = "[limits]\nmax_connections = 12\nmax_connections_per_address = 10\n";
    let more = format!("approve_pairings = 'at_once'\n{limits}[deadlines]\nrequest_head = 3600\n");
    let stack = stack_in(Running::start(&more).await, true).await;
    let running = &stack.running;
    with_address(&stack).await;
    let mut flood = Vec::new();
    for round in 0..3 {
        for n in 0..10 {
            // Some are closed while they still shake hands: that is the point.
            if let Ok(mut stream) = tls(running).await {
                let _ = stream.write_all(BEGINNINGS[n % BEGINNINGS.len()]).await;
                flood.push(stream);
            }
            flood_plain(running).await;
        }
        // A client that comes only now, on a connection of its own.
        let fresh = Client::new(&running.addresses.url, &running.ca_pem, &stack.client.user, 1);
        let id = ok(fresh.post("/v1/transactions", &typed(&format!("m-{round}"), None)).await)["id"].clone();
        assert_eq!(ended(&fresh, id.as_str().unwrap()).await["status"], "COMPLETED", "round {round}");
        for cosigner in &stack.cosigners {
            assert!(running.app.hub.is_connected(&cosigner.party));
        }
    }
    assert!(!flood.is_empty());
    let token = ok(access_token(&running.owner, &stack.cosigners[0].refresh_token).await);
    let link = connect(&running.addresses.url, &running.ca_pem, token["accessToken"].as_str().unwrap()).await;
    assert!(link.is_ok(), "a link comes up in the middle of it");
    let (_, metrics) = running.local("/metrics").await;
    assert!(metrics.contains("countersign_workspace_connections_ended_total"), "{metrics}");
}

/// A connection that not even begins TLS, held open for as long as this process runs.
async fn flood_plain(running: &Running) {
    std::mem::forget(TcpStream::connect(running.addresses.api).await);
}
