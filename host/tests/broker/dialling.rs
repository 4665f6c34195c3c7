//! Streams dialled for the enclave.

use crate::enclave::{connect, read_frame, write_frame};
use crate::process::{Host, PATIENCE};
use countersign_wire::dial::{DialAnswer, DialRequest, DialStep};
use countersign_wire::host_link::Opening;
use countersign_wire::{Message, Text};
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::time::timeout;

pub async fn open(host: &Host) -> UnixStream {
    let mut stream = connect(host).await;
    write_frame(&mut stream, &Opening::Dial.encode()).await;
    stream
}

pub async fn ask(stream: &mut UnixStream, request: DialRequest) -> DialAnswer {
    write_frame(stream, &request.encode()).await;
    DialAnswer::decode(&read_frame(stream).await.expect("an answer")).unwrap()
}

pub fn to(address: SocketAddr) -> DialRequest {
    DialRequest::Connect { address: address.ip().into(), port: address.port() }
}

/// Sends everything back, then closes.
pub async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_stream_carries_bytes_both_ways_and_a_half_close() {
    let host = Host::start(&[]).await;
    let mut stream = open(&host).await;
    assert_eq!(ask(&mut stream, to(echo().await)).await, DialAnswer::Connected);
    let sent: Vec<u8> = (0..300_000u32).flat_map(u32::to_be_bytes).collect();
    let (mut reader, mut writer) = stream.split();
    let writing = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let both = async { tokio::join!(writing, reader.read_to_end(&mut received)).1.unwrap() };
    timeout(PATIENCE, both).await.unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    host.metric_reaches("countersign_host_dial_bytes_total{direction=\"out\"}", sent.len() as f64).await;
    host.metric_reaches("countersign_host_dial_bytes_total{direction=\"in\"}", sent.len() as f64).await;
}

#[tokio::test]
async fn a_name_is_resolved_and_the_checked_address_is_the_one_dialled() {
    let host = Host::start(&[]).await;
    let mut stream = open(&host).await;
    let name = Text::new("localhost").unwrap();
    let DialAnswer::Resolved { addresses } = ask(&mut stream, DialRequest::Resolve { name }).await else {
        panic!("expected addresses");
    };
    assert!(!addresses.is_empty());
    assert!(addresses.iter().all(|a| IpAddr::from(*a).is_loopback()));
    assert_eq!(ask(&mut stream, to(echo().await)).await, DialAnswer::Connected);
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_step_that_fails_is_named() {
    let host = Host::start(&[("dial", "resolve_timeout_ms = 3000")]).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut stream = open(&host).await;
    let answer = ask(&mut stream, to(free)).await;
    assert!(matches!(answer, DialAnswer::Failed { step: DialStep::Connect, .. }), "{answer:?}");
    assert!(read_frame(&mut stream).await.is_none());

    let mut stream = open(&host).await;
    let name = Text::new("no-such-name.invalid").unwrap();
    let answer = ask(&mut stream, DialRequest::Resolve { name }).await;
    assert!(matches!(answer, DialAnswer::Failed { step: DialStep::Resolve, .. }), "{answer:?}");
    host.metric_reaches("countersign_host_dial_failures_total{step=\"resolve\"}", 1.0).await;
}

#[tokio::test]
async fn streams_over_the_limit_are_told_so_and_the_others_go_on() {
    let host = Host::start(&[("dial", "max_streams = 2")]).await;
    let echo = echo().await;
    let mut streams = [open(&host).await, open(&host).await];
    for stream in &mut streams {
        assert_eq!(ask(stream, to(echo)).await, DialAnswer::Connected);
    }
    let mut third = open(&host).await;
    let answer = ask(&mut third, to(echo)).await;
    assert!(matches!(answer, DialAnswer::Failed { step: DialStep::Limit, .. }), "{answer:?}");
    let [mut first, second] = streams;
    drop(second);
    first.write_all(b"x").await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b'x');
    host.metric_reaches("countersign_host_dial_failures_total{step=\"limit\"}", 1.0).await;
    let mut waited = 0;
    while host.metric("countersign_host_dial_streams").await > 1.0 {
        waited += 1;
        assert!(waited < 1000);
    }
    assert_eq!(ask(&mut open(&host).await, to(echo)).await, DialAnswer::Connected);
}

#[tokio::test]
async fn a_stream_that_stands_still_or_only_asks_is_ended() {
    let limits = "idle_timeout_ms = 2000\nrequest_timeout_ms = 2000\nmax_requests = 2";
    let host = Host::start(&[("dial", limits)]).await;
    let mut idle = open(&host).await;
    assert_eq!(ask(&mut idle, to(echo().await)).await, DialAnswer::Connected);
    assert_eq!(timeout(PATIENCE, idle.read(&mut [0])).await.unwrap().unwrap(), 0);
    let mut silent = open(&host).await;
    assert!(read_frame(&mut silent).await.is_none());
    let mut asking = open(&host).await;
    for _ in 0..2 {
        let name = Text::new("localhost").unwrap();
        assert!(matches!(ask(&mut asking, DialRequest::Resolve { name }).await, DialAnswer::Resolved { .. }));
    }
    assert!(read_frame(&mut asking).await.is_none());
}

#[tokio::test]
async fn t28_the_host_refuses_what_gives_out_its_own_credentials_and_what_it_was_told() {
    let host = Host::start(&[("dial", "deny = [\"127.0.0.2\", \"fd00::/8\"]")]).await;
    let echo = echo().await;
    for denied in ["127.0.0.2", "::ffff:127.0.0.2", "fd00::1", "169.254.169.254", "fd00:ec2::254", "168.63.129.16"] {
        let address = SocketAddr::new(denied.parse().unwrap(), echo.port());
        match ask(&mut open(&host).await, to(address)).await {
            DialAnswer::Failed { step: DialStep::Connect, detail } => {
                assert!(detail.contains("this host dials nothing in"), "{denied}: {}", detail.as_str());
            }
            other => panic!("{denied}: {other:?}"),
        }
    }
    assert_eq!(ask(&mut open(&host).await, to(echo)).await, DialAnswer::Connected);
    host.metric_reaches("countersign_host_dial_failures_total{step=\"connect\"}", 6.0).await;
}
