//! What the host says about itself to its enclave.

use crate::enclave::Enclave;
use crate::process::{Host, PATIENCE};
use countersign_wire::host_link::{FromHost, HOST_HEALTH_EVERY_S};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

#[tokio::test]
async fn the_enclave_hears_how_the_host_is_at_once_and_then_regularly() {
    let host = Host::start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    let first = timeout(PATIENCE, enclave.next_health()).await.unwrap();
    let came = Instant::now();
    assert_eq!(first.version.as_str(), env!("CARGO_PKG_VERSION"));
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert!(u128::from(first.clock_ms).abs_diff(now_ms) < 30_000, "{} {now_ms}", first.clock_ms);
    assert!(first.disk_free_bytes > 0 && first.disk_free_bytes <= first.disk_total_bytes, "{first:?}");
    assert_eq!((first.blobs, first.stored_bytes, first.commit_us, first.proxied), (0, 0, 0, false));

    let sequence = enclave.persist(&[("a", Some(b"12345")), ("bc", Some(b"6"))]).await;
    assert_eq!(enclave.next().await, FromHost::Persisted { sequence });
    let second = timeout(PATIENCE, enclave.next_health()).await.unwrap();
    let between = came.elapsed();
    let every = Duration::from_secs(HOST_HEALTH_EVERY_S);
    assert!(between > every / 2 && between < every * 2, "{between:?}");
    assert_eq!((second.blobs, second.stored_bytes), (2, 9));
    assert!(second.commit_us > 0);
    // What was reported once is not reported again.
    let third = timeout(PATIENCE, enclave.next_health()).await.unwrap();
    assert_eq!(third.commit_us, 0);
}

#[tokio::test]
async fn the_enclave_hears_whether_there_is_a_proxy_and_nothing_more_of_it() {
    for table in ["links", "dial"] {
        let host = Host::start(&[(table, "proxy = \"http://user:canary@127.0.0.1:1\"")]).await;
        let health = Enclave::connect(&host).await.next_health().await;
        assert!(health.proxied);
        assert!(!format!("{health:?}").contains("canary"));
    }
}
