//! The admin socket.

use crate::enclave::{Enclave, read_frame, write_frame};
use crate::process::{Host, Place};
use countersign_wire::Bytes;
use countersign_wire::frame::header;
use countersign_wire::host_link::{FromEnclave, FromHost};
use countersign_wire::limits::MAX_ADMIN_BYTES;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

async fn operator(host: &Host) -> UnixStream {
    UnixStream::connect(host.place.path("admin.sock")).await.unwrap()
}

async fn opened(enclave: &mut Enclave) -> u64 {
    match enclave.next().await {
        FromHost::AdminOpened { connection } => connection,
        other => panic!("expected a new connection, got {other:?}"),
    }
}

fn packet(connection: u64, bytes: &[u8]) -> FromEnclave {
    FromEnclave::Admin { connection, packet: Bytes::new(bytes).unwrap() }
}

#[tokio::test]
async fn packets_go_both_ways_unread_each_to_its_own_connection() {
    let host = Host::start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    let mut first = operator(&host).await;
    let first_number = opened(&mut enclave).await;
    let mut second = operator(&host).await;
    let second_number = opened(&mut enclave).await;
    assert_ne!(first_number, second_number);
    let largest = vec![9; MAX_ADMIN_BYTES];
    for (operator, number, bytes) in
        [(&mut first, first_number, b"one".to_vec()), (&mut second, second_number, largest)]
    {
        write_frame(operator, &bytes).await;
        let expected = FromHost::Admin { connection: number, packet: Bytes::new(bytes.clone()).unwrap() };
        assert_eq!(enclave.next().await, expected);
        enclave.send(&packet(number, &bytes)).await;
        assert_eq!(read_frame(operator).await.unwrap(), bytes);
    }
    drop(first);
    assert_eq!(enclave.next().await, FromHost::AdminClosed { connection: first_number });
    // To nobody: dropped.
    enclave.send(&packet(first_number, b"late")).await;
    enclave.send(&packet(second_number, b"last")).await;
    enclave.send(&FromEnclave::AdminClose { connection: second_number }).await;
    assert_eq!(read_frame(&mut second).await.unwrap(), b"last", "what was sent before the close arrives");
    assert!(read_frame(&mut second).await.is_none());
    assert_eq!(enclave.next().await, FromHost::AdminClosed { connection: second_number });
}

#[tokio::test]
async fn numbers_are_never_given_twice_also_across_a_restart_of_the_host() {
    let place = Place::new();
    let mut numbers = BTreeSet::new();
    for _ in 0..3 {
        let host = place.start(&[]).await;
        let mut enclave = Enclave::connect(&host).await;
        for _ in 0..5 {
            drop(operator(&host).await);
            let number = opened(&mut enclave).await;
            assert!(numbers.insert(number), "{number} was given twice");
            assert_eq!(enclave.next().await, FromHost::AdminClosed { connection: number });
        }
        host.kill().await;
    }
}

#[tokio::test]
async fn without_an_enclave_a_connection_is_closed_at_once() {
    let host = Host::start(&[]).await;
    assert!(read_frame(&mut operator(&host).await).await.is_none());
    host.metric_reaches("countersign_host_admin_closed_total{reason=\"no_enclave\"}", 1.0).await;
}

#[tokio::test]
async fn t45_a_packet_over_the_limit_closes_the_connection() {
    let host = Host::start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    let mut operator = operator(&host).await;
    let connection = opened(&mut enclave).await;
    operator.write_all(&header(MAX_ADMIN_BYTES + 1).unwrap()).await.unwrap();
    assert!(read_frame(&mut operator).await.is_none());
    assert_eq!(enclave.next().await, FromHost::AdminClosed { connection });
}

#[tokio::test]
async fn a_connection_that_stands_still_or_dribbles_is_closed() {
    let host = Host::start(&[("admin", "idle_timeout_ms = 2000\nframe_timeout_ms = 1000")]).await;
    let mut enclave = Enclave::connect(&host).await;
    let start = Instant::now();
    let mut idle = operator(&host).await;
    let number = opened(&mut enclave).await;
    for n in 0..5 {
        sleep(Duration::from_millis(500)).await;
        enclave.send(&packet(number, &[n])).await;
        assert!(read_frame(&mut idle).await.is_some(), "an answer counts as activity");
    }
    assert!(read_frame(&mut idle).await.is_none());
    assert!(start.elapsed() >= Duration::from_millis(4_000));
    assert_eq!(enclave.next().await, FromHost::AdminClosed { connection: number });
    let mut dribbling = operator(&host).await;
    opened(&mut enclave).await;
    dribbling.write_all(&[0xC5]).await.unwrap();
    assert!(read_frame(&mut dribbling).await.is_none());
    host.metric_reaches("countersign_host_admin_closed_total{reason=\"too_slow\"}", 1.0).await;
}

#[tokio::test]
async fn packets_over_the_rate_have_to_wait() {
    let host = Host::start(&[("admin", "max_packets_per_second = 20")]).await;
    let mut enclave = Enclave::connect(&host).await;
    let mut operator = operator(&host).await;
    opened(&mut enclave).await;
    let start = Instant::now();
    for _ in 0..40 {
        write_frame(&mut operator, b"x").await;
    }
    for _ in 0..40 {
        assert!(matches!(enclave.next().await, FromHost::Admin { .. }));
    }
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_operator_who_does_not_read_is_closed_and_the_enclave_goes_on() {
    let host = Host::start(&[("admin", "queue_packets = 4\nwrite_timeout_ms = 500")]).await;
    let mut enclave = Enclave::connect(&host).await;
    let _deaf = operator(&host).await;
    let connection = opened(&mut enclave).await;
    for _ in 0..40 {
        enclave.send(&packet(connection, &vec![0; 200 * 1024])).await;
    }
    assert_eq!(enclave.next().await, FromHost::AdminClosed { connection });
    enclave.persist_now(&[("a", Some(b"1"))]).await;
}
