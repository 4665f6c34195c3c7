//! What is acknowledged is durable, whole and in order.

use crate::enclave::{Enclave, batch, write_frame};
use crate::process::{Host, PATIENCE, Place};
use countersign_wire::Message;
use countersign_wire::host_link::FromHost;
use countersign_wire::limits::MAX_BLOB_BYTES;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::time::timeout;

#[tokio::test]
async fn blobs_come_back_after_a_restart() {
    let place = Place::new();
    let host = place.start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    assert!(enclave.load().await.is_empty());
    let large = vec![7; MAX_BLOB_BYTES];
    enclave.persist_now(&[("root", Some(b"1")), ("key/a", Some(&large)), ("gone", Some(b"x"))]).await;
    enclave.persist_now(&[("root", Some(b"2")), ("gone", None), ("empty", Some(b""))]).await;
    let expected: BTreeMap<_, _> =
        [("root", b"2".to_vec()), ("key/a", large), ("empty", Vec::new())].map(|(n, v)| (n.to_owned(), v)).into();
    assert_eq!(enclave.load().await, expected);
    assert!(host.terminate().await.success());

    let host = place.start(&[]).await;
    assert_eq!(Enclave::connect(&host).await.load().await, expected);
    assert_eq!(host.metric("countersign_host_blobs").await, 3.0);
}

#[tokio::test]
async fn pipelined_batches_are_acknowledged_in_order_and_share_commits() {
    let host = Host::start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    const BATCHES: u64 = 400;
    for n in 1..=BATCHES {
        let value = n.to_be_bytes();
        assert_eq!(enclave.persist(&[("counter", Some(&value)), (&format!("b{}", n % 7), Some(&value))]).await, n);
    }
    for sequence in 1..=BATCHES {
        assert_eq!(enclave.next().await, FromHost::Persisted { sequence });
    }
    assert_eq!(enclave.load().await["counter"], BATCHES.to_be_bytes());
    assert_eq!(host.metric("countersign_host_persist_batches_total").await, BATCHES as f64);
    let commits = host.metric("countersign_host_commit_seconds_count").await;
    assert!(commits < BATCHES as f64, "{commits} commits for {BATCHES} batches");
}

/// What the store holds after batches 1 to `n` of the test below.
fn after(n: u64) -> BTreeMap<String, Vec<u8>> {
    let mut state = BTreeMap::new();
    for i in 1..=n {
        state.insert("counter".to_owned(), i.to_be_bytes().to_vec());
        state.insert(format!("blob-{}", i % 50), vec![i as u8; 100 + (i % 3000) as usize]);
        state.remove(&format!("blob-{}", (i + 20) % 50));
    }
    state
}

#[tokio::test]
async fn everything_acknowledged_survives_kill_9_in_the_middle_of_many_batches() {
    let place = Place::new();
    let mut done = 0u64;
    for round in 0..6u64 {
        let host = place.start(&[]).await;
        let mut enclave = Enclave::connect(&host).await;
        let found = enclave.load().await;
        let stored = found.get("counter").map_or(0, |c| u64::from_be_bytes(c.as_slice().try_into().unwrap()));
        assert!(stored >= done, "round {round}: {done} batches were acknowledged, {stored} are there");
        assert_eq!(found, after(stored), "round {round}: the store is not what batches 1 to {stored} make");

        let (mut reader, mut writer) = enclave.stream.into_split();
        let writing = tokio::spawn(async move {
            for i in stored + 1.. {
                let blob = vec![i as u8; 100 + (i % 3000) as usize];
                let frame = batch(
                    i - stored,
                    &[
                        ("counter", Some(&i.to_be_bytes())),
                        (&format!("blob-{}", i % 50), Some(&blob)),
                        (&format!("blob-{}", (i + 20) % 50), None),
                    ],
                )
                .encode();
                let header = countersign_wire::frame::header(frame.len()).unwrap();
                if writer.write_all(&header).await.is_err() || writer.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
        let (began, first) = oneshot::channel();
        let reading = tokio::spawn(async move {
            let (mut last, mut began) = (stored, Some(began));
            while let Some(message) = crate::enclave::next_but_health(&mut reader).await {
                last += 1;
                assert_eq!(message, FromHost::Persisted { sequence: last - stored });
                let _ = began.take().map(|began| began.send(()));
            }
            last
        });
        timeout(PATIENCE, first).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(70 * round)).await;
        host.kill().await;
        let last = timeout(PATIENCE, reading).await.unwrap().unwrap();
        writing.abort();
        assert!(last > stored, "round {round}: nothing was acknowledged before the kill");
        done = last;
    }
}

#[tokio::test]
async fn a_batch_over_the_limits_is_refused_whole_and_none_after_it_is_applied() {
    let host = Host::start(&[("storage", "max_blobs = 3")]).await;
    let mut enclave = Enclave::connect(&host).await;
    enclave.persist_now(&[("a", Some(b"1")), ("b", Some(b"1"))]).await;
    // In one write, so that the later batch waits together with the failing one.
    let mut bytes = Vec::new();
    write_frame(&mut bytes, &batch(2, &[("a", Some(b"2"))]).encode()).await;
    write_frame(
        &mut bytes,
        &batch(3, &[("c", Some(b"3")), ("d", Some(b"3")), ("b", None), ("e", Some(b"3"))]).encode(),
    )
    .await;
    write_frame(&mut bytes, &batch(4, &[("a", Some(b"4"))]).encode()).await;
    enclave.stream.write_all(&bytes).await.unwrap();
    assert_eq!(enclave.next().await, FromHost::Persisted { sequence: 2 });
    match enclave.next().await {
        FromHost::PersistFailed { sequence: 3, detail } => assert!(detail.contains("at most 3 blobs"), "{detail}"),
        other => panic!("expected batch 3 to fail, got {other:?}"),
    }
    assert!(enclave.try_next().await.is_none(), "the connection is closed");

    let mut enclave = Enclave::connect(&host).await;
    let expected = [("a", b"2".to_vec()), ("b", b"1".to_vec())].map(|(n, v)| (n.to_owned(), v));
    assert_eq!(enclave.load().await, expected.into());
    enclave.persist_now(&[("b", None), ("c", Some(b"5")), ("d", Some(b"5"))]).await;
}

#[tokio::test]
async fn the_limit_of_bytes_holds() {
    let host = Host::start(&[("storage", "max_total_bytes = 1048576")]).await;
    let mut enclave = Enclave::connect(&host).await;
    let value = vec![0; MAX_BLOB_BYTES - 16];
    enclave.persist_now(&[("a", Some(&value)), ("b", Some(&value))]).await;
    enclave.persist_now(&[("a", Some(&value))]).await;
    enclave.persist(&[("c", Some(&value))]).await;
    assert!(matches!(enclave.next().await, FromHost::PersistFailed { .. }));
}

#[tokio::test]
async fn batches_out_of_order_end_the_connection() {
    let host = Host::start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    enclave.persist_now(&[("a", Some(b"1"))]).await;
    enclave.send(&batch(3, &[("a", Some(b"3"))])).await;
    assert!(enclave.try_next().await.is_none());
    let mut enclave = Enclave::reconnect(&host, enclave.boot, 3).await;
    enclave.persist(&[("a", Some(b"3"))]).await;
    assert!(matches!(enclave.next().await, FromHost::PersistFailed { sequence: 3, .. }));
    assert_eq!(Enclave::connect(&host).await.load().await["a"], b"1");
    host.metric_reaches("countersign_host_enclave_refused_total{reason=\"sequence\"}", 1.0).await;
}

#[tokio::test]
async fn what_is_sent_again_after_a_lost_answer_is_not_applied_over_what_is_newer() {
    let place = Place::new();
    let host = place.start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    let boot = enclave.boot;
    for n in 1..=5u8 {
        enclave.persist_now(&[("head", Some(&[n])), (&format!("blob-{n}"), Some(&[n]))]).await;
    }
    let newest = enclave.load().await;
    // Batches 3 to 5 are sent again, and the power fails after each; the host must know them from before the first time.
    host.kill().await;
    for n in 3..=5u8 {
        let host = place.start(&[]).await;
        let mut enclave = Enclave::reconnect(&host, boot, n.into()).await;
        enclave.persist_now(&[("head", Some(&[n])), (&format!("blob-{n}"), Some(&[n]))]).await;
        host.kill().await;
        let host = place.start(&[]).await;
        assert_eq!(Enclave::connect(&host).await.load().await, newest, "batch {n} again");
        host.kill().await;
    }
    let host = place.start(&[]).await;
    let mut enclave = Enclave::reconnect(&host, boot, 6).await;
    enclave.persist_now(&[("head", Some(&[6]))]).await;
}

#[tokio::test]
async fn a_store_that_was_exchanged_under_a_running_enclave_takes_nothing_from_it() {
    let place = Place::new();
    let host = place.start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    enclave.persist_now(&[("head", Some(b"1"))]).await;
    host.kill().await;
    let elsewhere = Place::new();
    let host = elsewhere.start(&[]).await;
    let mut enclave = Enclave::reconnect(&host, enclave.boot, 2).await;
    enclave.persist(&[("head", Some(b"2"))]).await;
    match enclave.next().await {
        FromHost::PersistFailed { sequence: 2, detail } => assert!(detail.contains("storage.directory"), "{detail}"),
        other => panic!("expected batch 2 to fail, got {other:?}"),
    }
    assert!(Enclave::connect(&host).await.load().await.is_empty());
}

#[tokio::test]
async fn a_second_host_on_one_store_is_refused() {
    let place = Place::new();
    let host = place.start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    let status = timeout(PATIENCE, place.spawn(&[]).wait()).await.unwrap().unwrap();
    assert!(!status.success());
    assert!(place.log().contains("another cosigner-host uses this store"), "{}", place.log());
    enclave.persist_now(&[("a", Some(b"still here"))]).await;
    let mode = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("store"), mode("enclave.sock"), mode("admin.sock")), (0o700, 0o600, 0o660));
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_alone() {
    let place = Place::new();
    std::fs::create_dir(place.path("store")).unwrap();
    std::fs::write(place.path("store/blobs.sqlite"), vec![b'x'; 8192]).unwrap();
    let status = timeout(PATIENCE, place.spawn(&[]).wait()).await.unwrap().unwrap();
    assert!(!status.success());
    assert_eq!(std::fs::read(place.path("store/blobs.sqlite")).unwrap(), vec![b'x'; 8192]);
}
