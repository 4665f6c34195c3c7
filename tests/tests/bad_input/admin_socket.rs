//! Bytes at the admin socket that are no packets of the admin channel.

use crate::Scene;
use countersign_wire::frame;
use countersign_wire::limits::MAX_ADMIN_BYTES;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long a connection may stay open after bytes that cannot be read.
const CLOSED_WITHIN: Duration = Duration::from_secs(60);

fn framed(payload: &[u8]) -> Vec<u8> {
    [&frame::header(payload.len()).unwrap()[..], payload].concat()
}

fn header(version: u8, declared: u32) -> Vec<u8> {
    let [a, b, c, d] = declared.to_be_bytes();
    vec![0xC5, 0x16, version, 0, a, b, c, d]
}

/// Why the host closed admin connections, and how often.
async fn closed(scene: &Scene) -> BTreeMap<String, u64> {
    let url = format!("{}/metrics", scene.system.stack.customer().unwrap().http().unwrap());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = http.get(url).send().await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|l| l.starts_with("countersign_host_admin_closed"));
    let counted = lines.map(|line| {
        let (name, count) = line.rsplit_once(' ').unwrap();
        (name.split('"').nth(1).unwrap().to_owned(), count.parse().unwrap())
    });
    counted.collect()
}

pub async fn garbage_is_dropped(scene: &Scene) {
    let operator = &scene.system.stack.customer().unwrap().operator;
    let too_large = u32::try_from(MAX_ADMIN_BYTES + 1).unwrap();
    for (what, bytes, reason) in [
        ("not a frame", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "malformed"),
        ("another version", header(2, 4), "version"),
        ("4 GiB declared", header(1, u32::MAX), "too_large"),
        ("more than a packet declared", header(1, too_large), "too_large"),
        ("half a frame", header(1, 100), "truncated"),
        ("an empty packet", framed(b""), "enclave"),
        ("noise", framed(&[0xA5; 300]), "enclave"),
        ("the largest packet", framed(&vec![1; MAX_ADMIN_BYTES]), "enclave"),
    ] {
        let before = closed(scene).await;
        let mut stream = UnixStream::connect(&operator.socket).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        if reason == "truncated" {
            stream.shutdown().await.unwrap();
        }
        let mut answer = Vec::new();
        let read = tokio::time::timeout(CLOSED_WITHIN, stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "{what}: the connection stays open");
        assert!(answer.len() < 4096, "{what}: {} bytes came back", answer.len());
        let mut counted = closed(scene).await;
        for _ in 0..50 {
            if counted.get(reason) > before.get(reason) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            counted = closed(scene).await;
        }
        assert!(counted.get(reason) > before.get(reason), "{what}: closed for another reason: {counted:?}");
    }
    operator.run(["get-status"]).await.unwrap();
}
