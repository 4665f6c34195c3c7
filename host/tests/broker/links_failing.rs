//! Links to workspaces, when things go wrong.

use crate::enclave::Enclave;
use crate::links::{FAST, PAIRING, up};
use crate::process::Host;
use crate::workspace::{Workspace, receive, send};
use countersign_wire::host_link::{FromHost, LinkDown};
use countersign_wire::ids::PairingId;
use countersign_wire::limits::MAX_RELAY_BYTES;
use futures_util::SinkExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const DOWN: FromHost = FromHost::LinkDown { pairing: PAIRING, reason: LinkDown::Connection };
const UNAUTHORISED: FromHost = FromHost::LinkDown { pairing: PAIRING, reason: LinkDown::Unauthorised };
const REFUSED: FromHost = FromHost::LinkDown { pairing: PAIRING, reason: LinkDown::Refused };
const UP: FromHost = FromHost::LinkUp { pairing: PAIRING };

#[tokio::test]
async fn a_broken_link_comes_back_and_what_was_sent_meanwhile_does_not() {
    let host = Host::start(&[("links", "backoff_initial_ms = 400\nbackoff_max_ms = 400\nstable_after_ms = 1")]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    for round in 0..3u8 {
        let mut socket = if round == 0 {
            up(&mut enclave, &mut workspace).await
        } else {
            assert_eq!(enclave.next().await, UP);
            workspace.link().await
        };
        enclave.link_send(PAIRING, &[round]).await;
        assert_eq!(receive(&mut socket).await, [round]);
        drop(socket);
        assert_eq!(enclave.next().await, DOWN);
        enclave.link_send(PAIRING, b"while down").await;
    }
    let dropped = format!("countersign_host_link_dropped_total{{pairing=\"{PAIRING}\",direction=\"up\"}}");
    host.metric_reaches(&dropped, 3.0).await;
}

#[tokio::test]
async fn a_refused_token_is_told_and_not_tried_again_until_there_is_a_new_one() {
    let host = Host::start(&[FAST]).await;
    let mut workspace = Workspace::start("good").await;
    let mut enclave = Enclave::connect(&host).await;
    let roots = workspace.roots.clone();
    for attempt in 1..=2 {
        enclave.link_open(PAIRING, &workspace.url, "bad", &roots).await;
        assert_eq!(enclave.next().await, UNAUTHORISED);
        sleep(Duration::from_millis(400)).await;
        assert_eq!(workspace.attempts(), attempt);
    }
    enclave.link_open(PAIRING, &workspace.url, "good", &roots).await;
    assert_eq!(enclave.next().await, UP);
    let mut socket = workspace.link().await;

    // A workspace can take the token back on an open link too.
    let close = CloseFrame { code: 3000.into(), reason: "expired".into() };
    socket.send(Message::Close(Some(close))).await.unwrap();
    assert_eq!(enclave.next().await, UNAUTHORISED);
    enclave.link_open(PAIRING, &workspace.url, "good", &roots).await;
    assert_eq!(enclave.next().await, UP);
}

#[tokio::test]
async fn tokens_that_are_refused_one_after_the_other_do_not_undo_the_pauses() {
    let host = Host::start(&[("links", "backoff_initial_ms = 20000\nbackoff_max_ms = 20000")]).await;
    let mut workspace = Workspace::start("good").await;
    let mut enclave = Enclave::connect(&host).await;
    let roots = workspace.roots.clone();
    // The first new token is tried at once, because tokens expire; the one after it has to wait.
    for _ in 0..2 {
        enclave.link_open(PAIRING, &workspace.url, "bad", &roots).await;
        assert_eq!(enclave.next().await, UNAUTHORISED);
    }
    for _ in 0..20 {
        enclave.link_open(PAIRING, &workspace.url, "bad", &roots).await;
    }
    enclave.persist_now(&[("a", Some(b"1"))]).await;
    assert_eq!(workspace.attempts(), 2);
    // Another endpoint is another matter.
    enclave.link_open(PAIRING, &format!("{}?again", workspace.url), "good", &roots).await;
    assert_eq!(enclave.next().await, UP);
    workspace.link().await;
}

#[tokio::test]
async fn pauses_between_attempts_grow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/relay", listener.local_addr().unwrap());
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let host = Host::start(&[("links", "backoff_initial_ms = 40\nbackoff_max_ms = 10000")]).await;
    let mut enclave = Enclave::connect(&host).await;
    enclave.link_open(PAIRING, &url, "token", &[]).await;
    assert_eq!(enclave.next().await, DOWN);
    sleep(Duration::from_millis(1500)).await;
    // Pauses of 20–40, 40–80, … ms: the seventh attempt begins after 1,260 to 2,520 ms of pauses at the earliest.
    let attempts = attempts.load(Ordering::SeqCst);
    assert!((3..=7).contains(&attempts), "{attempts} attempts");
    // Only the first failure is told.
    enclave.persist_now(&[("a", Some(b"1"))]).await;
}

#[tokio::test]
async fn a_server_that_the_roots_do_not_vouch_for_never_sees_the_token() {
    let host = Host::start(&[FAST]).await;
    let (workspace, other) = (Workspace::start("token").await, Workspace::start("token").await);
    let mut enclave = Enclave::connect(&host).await;
    // Another authority; then the public ones.
    for roots in [vec![other.roots[0].clone()], Vec::new()] {
        enclave.link_open(PAIRING, &workspace.url, "token", &roots).await;
        assert_eq!(enclave.next().await, DOWN);
    }
    assert_eq!(workspace.attempts(), 0);
    let failures = format!("countersign_host_link_failures_total{{pairing=\"{PAIRING}\",reason=\"tls\"}}");
    host.metric_reaches(&failures, 2.0).await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_and_costs_nothing_more() {
    let host = Host::start(&[("links", "max_links = 1")]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    let roots = workspace.roots.clone();
    let in_the_clear = workspace.url.replace("wss://", "ws://");
    enclave.link_open(PAIRING, &in_the_clear, "token", &roots).await;
    assert_eq!(enclave.next().await, REFUSED);
    enclave.link_open(PAIRING, &workspace.url, "token", &[b"not a certificate".to_vec()]).await;
    assert_eq!(enclave.next().await, REFUSED);
    for token in ["", "a b", "a\nb"] {
        enclave.link_open(PAIRING, &workspace.url, token, &roots).await;
        assert_eq!(enclave.next().await, REFUSED);
    }
    let _socket = up(&mut enclave, &mut workspace).await;
    let second = PairingId([4; 16]);
    enclave.link_open(second, &workspace.url, "token", &roots).await;
    assert_eq!(enclave.next().await, FromHost::LinkDown { pairing: second, reason: LinkDown::Refused });
    assert_eq!(workspace.attempts(), 1);
}

#[tokio::test]
async fn t45_a_message_over_the_limit_or_of_another_kind_ends_the_link() {
    let host = Host::start(&[FAST]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    let mut socket = up(&mut enclave, &mut workspace).await;
    // The host hangs up in the middle of it.
    let _ = socket.send(Message::Binary(vec![0; MAX_RELAY_BYTES + 65].into())).await;
    assert_eq!(enclave.next().await, DOWN);
    assert_eq!(enclave.next().await, UP);
    let mut socket = workspace.link().await;
    socket.send(Message::Text("hello".into())).await.unwrap();
    assert_eq!(enclave.next().await, DOWN);
    assert_eq!(enclave.next().await, UP);
}

#[tokio::test]
async fn a_workspace_that_falls_silent_is_noticed() {
    let config = "ping_interval_ms = 200\nsilence_timeout_ms = 2000\nbackoff_initial_ms = 20\nbackoff_max_ms = 20";
    let host = Host::start(&[("links", config)]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    // Reads nothing, so answers no ping.
    let _silent = up(&mut enclave, &mut workspace).await;
    assert_eq!(enclave.next().await, DOWN);
    assert_eq!(enclave.next().await, UP);
    let mut answering = workspace.link().await;
    // Answers pings while it waits for a message, longer than the silence that is allowed.
    let receiving = tokio::spawn(async move { receive(&mut answering).await });
    sleep(Duration::from_millis(5_000)).await;
    enclave.link_send(PAIRING, b"still here").await;
    assert_eq!(receiving.await.unwrap(), b"still here");
}

#[tokio::test]
async fn t47_a_workspace_that_floods_fills_its_own_share_only() {
    let host = Host::start(&[("links", "queue_messages = 8\nqueue_bytes = 1048576")]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    let mut socket = up(&mut enclave, &mut workspace).await;
    let before = host.resident_kib();
    // The enclave reads nothing meanwhile.
    for _ in 0..200 {
        send(&mut socket, &vec![1; 200 * 1024]).await;
    }
    let dropped = format!("countersign_host_link_dropped_total{{pairing=\"{PAIRING}\",direction=\"down\"}}");
    host.metric_reaches(&dropped, 100.0).await;
    let grown = host.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB");
    let sequence = enclave.persist(&[("a", Some(b"1"))]).await;
    while enclave.next().await != (FromHost::Persisted { sequence }) {}
    send(&mut socket, b"and on").await;
    loop {
        if let FromHost::LinkData { frame, .. } = enclave.next().await
            && &*frame == b"and on"
        {
            break;
        }
    }
}

#[tokio::test]
async fn t28_a_workspace_whose_name_leads_to_a_denied_network_is_not_dialled() {
    let host = Host::start(&[FAST, ("dial", "deny = [\"127.0.0.0/8\", \"::1/128\"]")]).await;
    let workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    let roots = workspace.roots.clone();
    enclave.link_open(PAIRING, &workspace.url, "token", &roots).await;
    let failures = format!("countersign_host_link_failures_total{{pairing=\"{PAIRING}\",reason=\"denied\"}}");
    host.metric_reaches(&failures, 1.0).await;
    assert_eq!(workspace.attempts(), 0);
}
