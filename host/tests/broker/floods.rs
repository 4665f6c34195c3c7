//! T47: floods of connections cost little, and whoever is served already is served on.

use crate::enclave::{Enclave, connect, control, next_but_health, read_frame, write_frame};
use crate::process::{Host, Place};
use countersign_wire::Message;
use countersign_wire::host_link::{FromHost, LinkDown};
use countersign_wire::ids::{BootId, PairingId};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

const FLOOD: usize = 600;
const MAX_GROWTH_KIB: u64 = 32 * 1024;

/// The frame that opens a control connection.
fn opening(boot: BootId) -> Vec<u8> {
    let opening = control(boot);
    [&countersign_wire::frame::header(opening.len()).unwrap()[..], &opening].concat()
}

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
async fn t47_a_flood_of_valid_control_connections_is_bounded_and_the_enclave_comes_back() {
    let limits = "max_openings = 16\nmax_control_openings_per_second = 5";
    let host = Host::start(&[("enclave", limits)]).await;
    let mut enclave = Enclave::connect(&host).await;
    enclave.persist_now(&[("n", Some(b"before"))]).await;
    let before = host.resident_kib();
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        let mut stream = connect(&host).await;
        // The host may have hung up already.
        let _ = stream.write_all(&opening(BootId([0xf0; 16]))).await;
        flood.push(stream);
    }
    let grown = host.resident_kib().saturating_sub(before);
    assert!(grown < MAX_GROWTH_KIB, "{grown} KiB");
    host.metric_reaches("countersign_host_enclave_refused_total{reason=\"rate\"}", 1.0).await;
    // However long the flood took, those that were let in are few.
    let served = host.metric("countersign_host_control_connections_total").await;
    assert!(served < (FLOOD / 4) as f64, "{served} control connections were served");
    drop(flood);
    // As soon as the rate allows it, the enclave is served again.
    let mut again = loop {
        let mut stream = connect(&host).await;
        // The host may have hung up already, here too.
        let _ = stream.write_all(&opening(enclave.boot)).await;
        if read_frame(&mut stream).await.is_some() {
            break stream;
        }
        sleep(Duration::from_millis(50)).await;
    };
    write_frame(&mut again, &crate::enclave::batch(2, &[("n", Some(b"after"))]).encode()).await;
    assert_eq!(next_but_health(&mut again).await, Some(FromHost::Persisted { sequence: 2 }));
}

#[tokio::test]
async fn t47_links_that_a_hostile_enclave_asks_for_in_vain_leave_no_trace_that_grows() {
    let place = Place::new();
    let host = place.start(&[("links", "max_links = 1")]).await;
    let mut enclave = Enclave::connect(&host).await;
    let lines = place.log().lines().count();
    let long = |n: u16| PairingId([n.to_be_bytes()[0], n.to_be_bytes()[1], 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
    const ASKED: u16 = 2_000;
    for n in 0..ASKED {
        enclave.link_open(long(n), "http://not-a-relay.example/", "token", &[]).await;
        let refused = FromHost::LinkDown { pairing: long(n), reason: LinkDown::Refused };
        assert_eq!(enclave.next().await, refused);
    }
    host.metric_reaches("countersign_host_link_refused_total{reason=\"target\"}", f64::from(ASKED)).await;
    let metrics = host.get("/metrics").await.1;
    assert!(!metrics.contains("pairing=\""), "no label of a pairing that has no link");
    let grown = place.log().lines().count() - lines;
    assert!(grown < usize::from(ASKED) / 4, "{grown} lines in the log");
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
    let reasons = ["rate", "connections"].map(|r| format!("countersign_host_admin_closed_total{{reason=\"{r}\"}}"));
    let refused = host.metrics_reach(&reasons, (FLOOD - 8) as f64).await;
    assert_eq!(refused, (FLOOD - 8) as f64);
    assert_eq!(host.metric("countersign_host_admin_connections").await, 8.0);
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
    // The places are free a moment after the host has hung up; before that, it hangs up on this one as well.
    assert_eq!(host.get_when_served("/healthz").await.0, 503);
}
