//! Links to workspaces, when all goes well.

use crate::enclave::Enclave;
use crate::process::{Host, PATIENCE};
use crate::workspace::{Workspace, closed, receive, send};
use countersign_wire::host_link::{FromEnclave, FromHost, LinkDown};
use countersign_wire::ids::PairingId;
use countersign_wire::limits::MAX_RELAY_BYTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

pub const PAIRING: PairingId = PairingId([3; 16]);
pub const FAST: (&str, &str) = ("links", "backoff_initial_ms = 20\nbackoff_max_ms = 100\nstable_after_ms = 1");

/// A link that is up.
pub async fn up(enclave: &mut Enclave, workspace: &mut Workspace) -> crate::workspace::Socket {
    enclave.link_open(PAIRING, &workspace.url, "token", &workspace.roots).await;
    assert_eq!(enclave.next().await, FromHost::LinkUp { pairing: PAIRING });
    workspace.link().await
}

#[tokio::test]
async fn a_link_carries_messages_both_ways_in_order() {
    let host = Host::start(&[]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    let mut socket = up(&mut enclave, &mut workspace).await;
    let largest = vec![5; MAX_RELAY_BYTES + 64];
    for n in 0..20u8 {
        enclave.link_send(PAIRING, &[n]).await;
        send(&mut socket, &[100 + n]).await;
    }
    enclave.link_send(PAIRING, &largest).await;
    send(&mut socket, &largest).await;
    for n in 0..20u8 {
        assert_eq!(receive(&mut socket).await, [n]);
        let FromHost::LinkData { pairing: PAIRING, frame } = enclave.next().await else { panic!() };
        assert_eq!(frame.into_vec(), [100 + n]);
    }
    assert_eq!(receive(&mut socket).await, largest);
    let FromHost::LinkData { frame, .. } = enclave.next().await else { panic!() };
    assert_eq!(frame.into_vec(), largest);
    assert_eq!(host.metric(&format!("countersign_host_link_up{{pairing=\"{PAIRING}\"}}")).await, 1.0);
}

#[tokio::test]
async fn a_closed_link_is_closed_without_a_word_and_can_be_opened_again() {
    let host = Host::start(&[]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    let socket = up(&mut enclave, &mut workspace).await;
    enclave.send(&FromEnclave::LinkClose { pairing: PAIRING }).await;
    closed(socket).await;
    up(&mut enclave, &mut workspace).await;
}

#[tokio::test]
async fn each_pairing_has_its_own_link_and_one_being_down_does_not_touch_the_other() {
    let host = Host::start(&[FAST]).await;
    let (mut first, mut second) = (Workspace::start("token").await, Workspace::start("other").await);
    let mut enclave = Enclave::connect(&host).await;
    let mut socket = up(&mut enclave, &mut first).await;
    let other = PairingId([4; 16]);
    enclave.link_open(other, &second.url, "other", &second.roots).await;
    assert_eq!(enclave.next().await, FromHost::LinkUp { pairing: other });
    let other_socket = second.link().await;
    second.set_token("changed");
    drop(other_socket);
    assert_eq!(enclave.next().await, FromHost::LinkDown { pairing: other, reason: LinkDown::Connection });
    assert_eq!(enclave.next().await, FromHost::LinkDown { pairing: other, reason: LinkDown::Unauthorised });
    enclave.link_send(other, b"lost").await;
    enclave.link_send(PAIRING, b"mine").await;
    assert_eq!(receive(&mut socket).await, b"mine");
    let dropped = format!("countersign_host_link_dropped_total{{pairing=\"{other}\",direction=\"up\"}}");
    host.metric_reaches(&dropped, 1.0).await;
}

#[tokio::test]
async fn a_new_token_for_the_same_workspace_is_used_at_the_next_connection() {
    let host = Host::start(&[FAST]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    let mut socket = up(&mut enclave, &mut workspace).await;
    workspace.set_token("newer");
    enclave.link_open(PAIRING, &workspace.url, "newer", &workspace.roots).await;
    enclave.link_send(PAIRING, b"still up").await;
    assert_eq!(receive(&mut socket).await, b"still up");
    assert_eq!(workspace.attempts(), 1);
    drop(socket);
    assert_eq!(enclave.next().await, FromHost::LinkDown { pairing: PAIRING, reason: LinkDown::Connection });
    assert_eq!(enclave.next().await, FromHost::LinkUp { pairing: PAIRING });
    workspace.link().await;
    assert_eq!(workspace.attempts(), 2);
}

#[tokio::test]
async fn a_link_opened_to_another_workspace_leaves_the_first() {
    let host = Host::start(&[FAST]).await;
    let (mut first, mut second) = (Workspace::start("token").await, Workspace::start("token").await);
    let mut enclave = Enclave::connect(&host).await;
    let socket = up(&mut enclave, &mut first).await;
    enclave.link_open(PAIRING, &second.url, "token", &second.roots).await;
    assert_eq!(enclave.next().await, FromHost::LinkDown { pairing: PAIRING, reason: LinkDown::Connection });
    assert_eq!(enclave.next().await, FromHost::LinkUp { pairing: PAIRING });
    closed(socket).await;
    second.link().await;
}

#[tokio::test]
async fn a_link_goes_through_the_configured_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setting = format!("proxy = \"http://user:password@{}\"", proxy.local_addr().unwrap());
    let proxying = tokio::spawn(async move {
        let (mut inside, _) = proxy.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(inside.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let mut outside = TcpStream::connect(&target).await.unwrap();
        inside.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut inside, &mut outside).await });
        head
    });
    let host = Host::start(&[("links", &setting)]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    let mut socket = up(&mut enclave, &mut workspace).await;
    enclave.link_send(PAIRING, b"through").await;
    assert_eq!(receive(&mut socket).await, b"through");
    let head = timeout(PATIENCE, proxying).await.unwrap().unwrap();
    let authority = workspace.url.trim_start_matches("wss://").split('/').next().unwrap();
    assert!(head.starts_with(&format!("CONNECT {authority} HTTP/1.1\r\n")), "{head}");
}
