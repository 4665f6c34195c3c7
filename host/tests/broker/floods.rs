//! T47: floods of connections cost little, and whoever is served already is served on.

use crate::enclave::{Enclave, connect, read_frame};
use crate::process::Host;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

const FLOOD: usize = 600;
const MAX_GROWTH_KIB: u64 = 32 * 1024;

#[tokio::test]
async fn t47_a_flood_of_enclave_connections_is_bounded_and_the_session_goes_on() {
    let host = Host::start(&[("enclave", "max_openings = 16\nopening_timeout_ms = 700")]).await;
    let mut enclave = Enclave::connect(&host).await;
    let before = host.resident_kib();
    let mut flood = Vec::new();
    for n in 0..FLOOD {
        flood.push(connect(&host).await);
        if n % 50 == 0 {
            enclave.persist_now(&[("n", Some(&n.to_be_bytes()))]).await;
        }
    }
    enclave.persist_now(&[("n", Some(b"after"))]).await;
    host.metric_reaches("countersign_host_enclave_refused_total{reason=\"openings\"}", (FLOOD - 16) as f64 / 2.0).await;
    let grown = host.resident_kib().saturating_sub(before);
    assert!(grown < MAX_GROWTH_KIB, "{grown} KiB");
    // Those that were let in say nothing: they are closed too.
    for stream in &mut flood {
        assert!(read_frame(stream).await.is_none());
    }
    host.metric_reaches("countersign_host_enclave_refused_total{reason=\"too_slow\"}", 16.0).await;
    enclave.persist_now(&[("n", Some(b"and on"))]).await;
}

#[tokio::test]
async fn t47_a_flood_of_admin_connections_is_bounded_and_the_session_goes_on() {
    let host = Host::start(&[("admin", "max_connections = 8\nmax_opens_per_second = 200")]).await;
    let mut enclave = Enclave::connect(&host).await;
    let before = host.resident_kib();
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        flood.push(UnixStream::connect(host.place.path("admin.sock")).await.unwrap());
    }
    for _ in 0..8 {
        enclave.next().await;
    }
    enclave.persist_now(&[("a", Some(b"1"))]).await;
    assert_eq!(host.metric("countersign_host_admin_connections").await, 8.0);
    let refused = host.metric("countersign_host_admin_closed_total{reason=\"rate\"}").await
        + host.metric("countersign_host_admin_closed_total{reason=\"connections\"}").await;
    assert_eq!(refused, (FLOOD - 8) as f64);
    let grown = host.resident_kib().saturating_sub(before);
    assert!(grown < MAX_GROWTH_KIB, "{grown} KiB");
}

#[tokio::test]
async fn t47_a_flood_of_http_connections_is_bounded_and_ends_by_itself() {
    let host = Host::start(&[("http", "max_connections = 4\nconnection_timeout_ms = 500")]).await;
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(TcpStream::connect(host.http_address()).await.unwrap());
    }
    for stream in &mut flood {
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(host.get("/healthz").await.0, 503);
}
