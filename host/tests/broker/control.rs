//! One control connection at a time, and what goes with it.

use crate::enclave::{Enclave, batch, connect, control, read_frame, write_frame};
use crate::process::{Host, PATIENCE, Place};
use crate::workspace::{Workspace, closed};
use countersign_wire::host_link::FromHost;
use countersign_wire::ids::{BootId, PairingId};
use tokio::net::UnixStream;
use tokio::time::timeout;

#[tokio::test]
async fn the_newest_control_connection_wins() {
    let host = Host::start(&[]).await;
    let mut older = Enclave::connect(&host).await;
    older.persist_now(&[("a", Some(b"older"))]).await;
    let mut newer = Enclave::connect(&host).await;
    assert!(older.try_next().await.is_none(), "the older one is closed");
    assert_eq!(newer.load().await["a"], b"older");
    newer.persist_now(&[("a", Some(b"newer"))]).await;
    assert_eq!(host.metric("countersign_host_enclave_connected").await, 1.0);
    assert_eq!(host.metric("countersign_host_control_connections_total").await, 2.0);
}

#[tokio::test]
async fn a_crowd_of_control_connections_leaves_exactly_one() {
    let host = Host::start(&[("enclave", "max_control_openings_per_second = 100")]).await;
    let crowd = (0..20).map(|_| async {
        let mut stream = connect(&host).await;
        write_frame(&mut stream, &control(BootId([9; 16]))).await;
        stream
    });
    let mut streams = futures_util::future::join_all(crowd).await;
    host.metric_reaches("countersign_host_control_connections_total", 1.0).await;
    let mut last = Enclave::connect(&host).await;
    for stream in &mut streams {
        while read_frame(stream).await.is_some() {}
    }
    last.persist_now(&[("a", Some(b"1"))]).await;
}

#[tokio::test]
async fn batches_of_a_replaced_connection_are_applied_before_the_newer_one_loads_or_never() {
    let host = Host::start(&[("enclave", "max_control_openings_per_second = 100")]).await;
    for round in 0..10u64 {
        let mut older = Enclave::connect(&host).await;
        for n in 1..=60u64 {
            older.send(&batch(n, &[("n", Some(&(round * 1000 + n).to_be_bytes()))])).await;
        }
        let mut newer = Enclave::connect(&host).await;
        let first = newer.load().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(newer.load().await, first, "round {round}");
    }
}

#[tokio::test]
async fn when_the_enclave_goes_its_links_and_admin_connections_go_and_its_state_stays() {
    let host = Host::start(&[]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    enclave.persist_now(&[("a", Some(b"1"))]).await;
    let pairing = PairingId([3; 16]);
    enclave.link_open(pairing, &workspace.url, "token", &workspace.roots).await;
    let socket = workspace.link().await;
    assert_eq!(enclave.next().await, FromHost::LinkUp { pairing });
    let mut operator = UnixStream::connect(host.place.path("admin.sock")).await.unwrap();
    assert!(matches!(enclave.next().await, FromHost::AdminOpened { .. }));

    drop(enclave);
    closed(socket).await;
    assert!(read_frame(&mut operator).await.is_none());
    let mut enclave = Enclave::connect(&host).await;
    assert_eq!(enclave.load().await["a"], b"1");
    assert_eq!(workspace.attempts(), 1, "the link of the older connection does not come back by itself");
    enclave.link_open(pairing, &workspace.url, "token", &workspace.roots).await;
    assert_eq!(enclave.next().await, FromHost::LinkUp { pairing });
    workspace.link().await;
}

#[tokio::test]
async fn a_stop_is_clean_and_sockets_of_a_killed_host_are_replaced() {
    let place = Place::new();
    place.start(&[]).await.kill().await;
    assert!(place.path("enclave.sock").exists());
    let host = place.start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    for n in 0..50u64 {
        enclave.persist(&[("n", Some(&n.to_be_bytes()))]).await;
    }
    assert!(timeout(PATIENCE, host.terminate()).await.unwrap().success(), "{}", place.log());
    for name in ["enclave.sock", "admin.sock", "ready.json"] {
        assert!(!place.path(name).exists(), "{name} is still there");
    }
}
