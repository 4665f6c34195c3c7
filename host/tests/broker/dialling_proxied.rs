//! Streams dialled for the enclave through a proxy.

use crate::dialling::{ask, echo, open, to};
use crate::process::{Host, PATIENCE, Place, binary};
use crate::proxy::Proxy;
use countersign_wire::Text;
use countersign_wire::dial::{DialAnswer, DialRequest, DialStep};
use std::net::{Ipv6Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

const GRANTED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
/// Addresses for documentation: nothing is there, so that only the proxy can answer for them.
const NOWHERE: [u8; 4] = [192, 0, 2, 7];

fn nowhere() -> SocketAddr {
    SocketAddr::from((NOWHERE, 443))
}

/// [`NOWHERE`] as a number: a name to a host, which the system resolves without asking anybody.
fn name_of_nowhere() -> String {
    u32::from_be_bytes(NOWHERE).to_string()
}

/// A host whose environment names `proxy` and `no_proxy`, in lower case.
async fn host_in_environment(proxy: &Proxy, no_proxy: &str) -> Host {
    let mut command = Command::new(binary());
    for name in ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    command.env("https_proxy", format!("http://{}", proxy.address)).env("no_proxy", no_proxy);
    let dial = "proxy = \"environment\"\nconnect_timeout_ms = 1000";
    Place::new().start_with(command, &[("dial", dial)]).await
}

#[tokio::test]
async fn a_tunnel_is_asked_for_the_checked_address_with_the_credentials_and_carries_the_bytes() {
    let proxy = Proxy::start(GRANTED, echo().await).await;
    let setting = format!("proxy = \"http://user:canary-5e1f@{}\"", proxy.address);
    let host = Place::new().start(&[("dial", &setting), ("log", "level = \"trace\"")]).await;
    let mut stream = open(&host).await;
    // The name is resolved for the enclave to check its addresses; the proxy never hears it.
    let name = Text::new("localhost").unwrap();
    assert!(matches!(ask(&mut stream, DialRequest::Resolve { name }).await, DialAnswer::Resolved { .. }));
    assert_eq!(ask(&mut stream, to(nowhere())).await, DialAnswer::Connected);
    let sent: Vec<u8> = (0..50_000u32).flat_map(u32::to_be_bytes).collect();
    let (mut reader, mut writer) = stream.split();
    let writing = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let both = async { tokio::join!(writing, reader.read_to_end(&mut received)).1.unwrap() };
    timeout(PATIENCE, both).await.unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());

    let v6 = SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 8443));
    assert_eq!(ask(&mut open(&host).await, to(v6)).await, DialAnswer::Connected);
    let heads = proxy.heads();
    // "user:canary-5e1f"
    let credentials = "Proxy-Authorization: Basic dXNlcjpjYW5hcnktNWUxZg==\r\n";
    for (head, to) in heads.iter().zip(["192.0.2.7:443", "[2001:db8::1]:8443"]) {
        assert!(head.starts_with(&format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n")), "{head}");
        assert!(head.contains(credentials), "{head}");
        assert!(!head.contains("localhost"), "{head}");
    }
    assert_eq!(heads.len(), 2);
    let (log, (_, metrics)) = (host.place.log(), host.get("/metrics").await);
    for secret in ["canary-5e1f", "dXNlcjpjYW5hcnktNWUxZg"] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn no_proxy_is_compared_with_the_name_of_the_same_stream_or_with_the_address() {
    let proxy = Proxy::start(GRANTED, echo().await).await;
    let named = || DialRequest::Resolve { name: Text::new(name_of_nowhere()).unwrap() };

    let host = host_in_environment(&proxy, "example.com").await;
    assert_eq!(ask(&mut open(&host).await, to(nowhere())).await, DialAnswer::Connected);
    assert_eq!(proxy.heads().len(), 1);

    // By name: only the stream that resolved it goes its own way, where nobody answers.
    let host = host_in_environment(&proxy, &format!("example.com, {}", name_of_nowhere())).await;
    let mut stream = open(&host).await;
    assert!(matches!(ask(&mut stream, named()).await, DialAnswer::Resolved { .. }));
    assert_ne!(ask(&mut stream, to(nowhere())).await, DialAnswer::Connected);
    assert_eq!(proxy.heads().len(), 1);
    assert_eq!(ask(&mut open(&host).await, to(nowhere())).await, DialAnswer::Connected);
    assert_eq!(proxy.heads().len(), 2);

    // By network: for addresses that the enclave did not get from a name.
    let host = host_in_environment(&proxy, "example.com,192.0.2.0/24").await;
    assert_ne!(ask(&mut open(&host).await, to(nowhere())).await, DialAnswer::Connected);
    assert_eq!(proxy.heads().len(), 2);
    let mut stream = open(&host).await;
    assert!(matches!(ask(&mut stream, named()).await, DialAnswer::Resolved { .. }));
    assert_eq!(ask(&mut stream, to(nowhere())).await, DialAnswer::Connected);
    assert_eq!(proxy.heads().len(), 3);
}

#[tokio::test]
async fn loopback_addresses_are_connected_to_directly() {
    let proxy = Proxy::start(GRANTED, nowhere()).await;
    let host = host_in_environment(&proxy, "").await;
    let mut stream = open(&host).await;
    assert_eq!(ask(&mut stream, to(echo().await)).await, DialAnswer::Connected);
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    assert!(proxy.heads().is_empty());
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_none_fails_the_connecting_in_words() {
    for (answer, words) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "expected status 200 from the proxy, got 407"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "the proxy's answer is not HTTP"),
    ] {
        let proxy = Proxy::start(answer, nowhere()).await;
        let host = Host::start(&[("dial", &format!("proxy = \"http://{}\"", proxy.address))]).await;
        match ask(&mut open(&host).await, to(nowhere())).await {
            DialAnswer::Failed { step: DialStep::Connect, detail } => {
                assert!(detail.starts_with("192.0.2.7:443: ") && detail.contains(words), "{}", detail.as_str());
            }
            other => panic!("{other:?}"),
        }
    }
    let gone = Proxy::start(GRANTED, nowhere()).await.address;
    let host = Host::start(&[("dial", &format!("proxy = \"http://{gone}\""))]).await;
    match ask(&mut open(&host).await, to(nowhere())).await {
        DialAnswer::Failed { step: DialStep::Connect, detail } => {
            assert!(detail.contains("the connection to the proxy failed"), "{}", detail.as_str());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn t28_a_proxy_is_no_way_to_a_denied_address() {
    let proxy = Proxy::start(GRANTED, echo().await).await;
    let setting = format!("proxy = \"http://{}\"\ndeny = [\"192.0.2.0/24\"]", proxy.address);
    let host = Host::start(&[("dial", &setting)]).await;
    for denied in [nowhere(), SocketAddr::from(([169, 254, 169, 254], 80))] {
        let answer = ask(&mut open(&host).await, to(denied)).await;
        assert!(matches!(answer, DialAnswer::Failed { step: DialStep::Connect, .. }), "{answer:?}");
    }
    assert!(proxy.heads().is_empty());
}
