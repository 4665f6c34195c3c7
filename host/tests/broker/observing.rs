//! `/metrics`, `/healthz`, the log and the command line.

use crate::enclave::{Enclave, read_frame, write_frame};
use crate::links::up;
use crate::process::{Host, binary};
use crate::workspace::{Workspace, receive, send};
use countersign_wire::host_link::{Counter, CounterValue, FromEnclave, FromHost};
use countersign_wire::{List, Text};
use tokio::net::UnixStream;
use tokio::process::Command;

fn report(ready: bool, counters: &[(&str, u64)]) -> FromEnclave {
    let counter = |(name, value): &(&str, u64)| Counter {
        name: Text::new(*name).unwrap(),
        labels: List::new(vec![
            (Text::new("kind").unwrap(), Text::new("a\"b").unwrap()),
            (Text::new("user").unwrap(), Text::new("u1").unwrap()),
        ])
        .unwrap(),
        value: CounterValue::Total(*value),
    };
    FromEnclave::Report { ready, counters: List::new(counters.iter().map(counter).collect()).unwrap() }
}

#[tokio::test]
async fn health_follows_what_the_enclave_says() {
    let host = Host::start(&[]).await;
    assert_eq!(host.get("/healthz").await.0, 503);
    let mut enclave = Enclave::connect(&host).await;
    let (status, body) = host.get("/healthz").await;
    assert_eq!(status, 503);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, serde_json::json!({ "ready": false, "enclaveConnected": true }));
    enclave.send(&report(true, &[])).await;
    host.metric_reaches("countersign_host_enclave_ready", 1.0).await;
    assert_eq!(host.get("/healthz").await.0, 200);
    drop(enclave);
    while host.metric("countersign_host_enclave_connected").await > 0.0 {}
    assert_eq!(host.get("/healthz").await.0, 503);
    assert_eq!(host.get("/other").await.0, 404);
}

#[tokio::test]
async fn why_the_enclave_ended_is_shown_until_one_serves() {
    let host = Host::start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    enclave.send(&FromEnclave::Stopping { why: Text::new("storage: the head is missing").unwrap() }).await;
    drop(enclave);
    while host.metric("countersign_host_enclave_connected").await > 0.0 {}
    let shown = async || {
        let (_, body) = host.get("/healthz").await;
        serde_json::from_str::<serde_json::Value>(&body).unwrap().get("lastStop").cloned()
    };
    assert_eq!(shown().await, Some("storage: the head is missing".into()));
    let mut enclave = Enclave::connect(&host).await;
    assert_eq!(shown().await, Some("storage: the head is missing".into()));
    enclave.send(&report(true, &[])).await;
    host.metric_reaches("countersign_host_enclave_ready", 1.0).await;
    assert_eq!(shown().await, None);
}

#[tokio::test]
async fn the_enclaves_counters_are_shown_under_its_prefix_until_it_goes() {
    let host = Host::start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    enclave.send(&report(true, &[("signed", 1), ("bad name\n# EOF", 2)])).await;
    enclave.send(&report(true, &[("signed", 5), ("bad name\n# EOF", 6)])).await;
    let shown = "countersign_enclave_signed_total{kind=\"a\\\"b\",user=\"u1\"}";
    host.metric_reaches(shown, 5.0).await;
    let (_, text) = host.get("/metrics").await;
    assert!(text.contains("countersign_enclave_bad_name___EOF_total{kind=\"a\\\"b\",user=\"u1\"} 6\n"), "{text}");
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    assert!(text.contains("countersign_host_build_info{version=\""), "{text}");
    drop(enclave);
    while host.metric("countersign_host_enclave_connected").await > 0.0 {}
    assert_eq!(host.metric(shown).await, 0.0);
}

#[tokio::test]
async fn the_enclaves_histograms_are_shown_in_seconds() {
    let host = Host::start(&[]).await;
    let mut enclave = Enclave::connect(&host).await;
    let value =
        CounterValue::Histogram { buckets: List::new(vec![(100, 3), (250, 2)]).unwrap(), count: 6, sum_ms: 31_250 };
    let name = Text::new("callback_seconds").unwrap();
    let labels = List::new(vec![(Text::new("user").unwrap(), Text::new("u1").unwrap())]).unwrap();
    let counters = List::new(vec![Counter { name, labels, value }]).unwrap();
    enclave.send(&FromEnclave::Report { ready: true, counters }).await;
    let shown = "countersign_enclave_callback_seconds";
    host.metric_reaches(&format!("{shown}_count{{user=\"u1\"}}"), 6.0).await;
    for (line, value) in [
        ("_bucket{user=\"u1\",le=\"0.1\"}", 3.0),
        ("_bucket{user=\"u1\",le=\"0.25\"}", 5.0),
        ("_bucket{user=\"u1\",le=\"+Inf\"}", 6.0),
        ("_sum{user=\"u1\"}", 31.25),
    ] {
        assert_eq!(host.metric(&format!("{shown}{line}")).await, value, "{line}");
    }
}

#[tokio::test]
async fn t48_payloads_and_tokens_are_in_no_log_and_no_metric() {
    const CANARY: &str = "canary-7d1f0c55";
    let host = Host::start(&[("log", "level = \"trace\"\nformat = \"json\"")]).await;
    let mut workspace = Workspace::start("token").await;
    let mut enclave = Enclave::connect(&host).await;
    let mut socket = up(&mut enclave, &mut workspace).await;
    enclave.link_send(crate::links::PAIRING, CANARY.as_bytes()).await;
    receive(&mut socket).await;
    send(&mut socket, CANARY.as_bytes()).await;
    enclave.next().await;
    enclave.persist_now(&[("a", Some(CANARY.as_bytes()))]).await;
    let mut operator = UnixStream::connect(host.place.path("admin.sock")).await.unwrap();
    let FromHost::AdminOpened { connection } = enclave.next().await else { panic!() };
    write_frame(&mut operator, CANARY.as_bytes()).await;
    let FromHost::Admin { packet, .. } = enclave.next().await else { panic!() };
    enclave.send(&FromEnclave::Admin { connection, packet }).await;
    assert_eq!(read_frame(&mut operator).await.unwrap(), CANARY.as_bytes());
    // Tokens that are refused, for what they are and by the workspace.
    for token in [format!("{CANARY} {CANARY}"), CANARY.to_owned()] {
        let pairing = countersign_wire::ids::PairingId([8; 16]);
        enclave.link_open(pairing, &workspace.url, &token, &workspace.roots).await;
        assert!(matches!(enclave.next().await, FromHost::LinkDown { .. }));
    }
    // What is malformed is not quoted either.
    write_frame(&mut enclave.stream, format!("\u{1}{CANARY}").as_bytes()).await;
    while enclave.try_next().await.is_some() {}

    let (_, metrics) = host.get("/metrics").await;
    assert!(!metrics.contains(CANARY), "{metrics}");
    let log = host.place.log();
    assert!(log.lines().count() > 5 && log.lines().all(|l| l.starts_with('{')), "{log}");
    assert!(!log.contains(CANARY), "{log}");
}

#[tokio::test]
async fn the_configuration_can_be_checked_without_starting() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/cosigner-host.example.toml");
    let good = Command::new(binary()).args(["--config", example, "--check-config"]).output().await.unwrap();
    assert!(good.status.success(), "{good:?}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "[dial]\nmax_stream = 1\n").unwrap();
    let bad = Command::new(binary()).arg("--check-config").arg("--config").arg(&file).output().await.unwrap();
    assert!(!bad.status.success());
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(said.contains("unknown field `max_stream`"), "{said}");
}
