//! Input that is none.

use crate::enclave::{Enclave, connect, read_frame, write_frame};
use crate::process::Host;
use countersign_wire::Message;
use countersign_wire::frame::header;
use countersign_wire::host_link::{FromEnclave, Opening};
use tokio::io::AsyncWriteExt;

/// Threads and arenas of the allocator may come, of 64 MiB each; one of the announced frames would be 4 GiB.
const MAX_GROWTH_KIB: u64 = 1024 * 1024;

#[tokio::test]
async fn t45_a_frame_over_the_limit_closes_the_connection_before_anything_is_allocated() {
    let host = Host::start(&[]).await;
    let before = host.peak_virtual_kib();
    for _ in 0..20 {
        // On a new connection and on the control connection: four gigabytes are announced.
        let mut stream = connect(&host).await;
        stream.write_all(&[0xC5, 0x16, 1, 0, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
        assert!(read_frame(&mut stream).await.is_none());
        let mut enclave = Enclave::connect(&host).await;
        enclave.stream.write_all(&[0xC5, 0x16, 1, 0, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
        assert!(enclave.try_next().await.is_none());
    }
    // An opening is small: a frame that is legal elsewhere is too large here.
    let mut stream = connect(&host).await;
    stream.write_all(&header(Opening::MAX_BYTES + 1).unwrap()).await.unwrap();
    assert!(read_frame(&mut stream).await.is_none());
    host.metric_reaches("countersign_host_enclave_refused_total{reason=\"too_large\"}", 41.0).await;
    let grown = host.peak_virtual_kib().saturating_sub(before);
    assert!(grown < MAX_GROWTH_KIB, "{grown} KiB");
}

#[tokio::test]
async fn t46_an_unknown_version_or_variant_is_a_typed_error_and_the_host_lives_on() {
    let host = Host::start(&[]).await;
    let opening = Opening::Dial.encode();
    // Version of the frame; version of the opening; unknown variant; trailing byte; nothing.
    let mut other_frame = header(opening.len()).unwrap().to_vec();
    other_frame[2] = 9;
    other_frame.extend_from_slice(&opening);
    let mut inputs = vec![other_frame];
    for payload in [vec![9, 1], vec![1, 200], [opening.as_slice(), &[0]].concat(), Vec::new()] {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &payload).await;
        inputs.push(bytes);
    }
    for bytes in inputs {
        let mut stream = connect(&host).await;
        stream.write_all(&bytes).await.unwrap();
        assert!(read_frame(&mut stream).await.is_none());
    }
    // The same on the control connection.
    let unknown_variant = vec![FromEnclave::LoadBlobs.encode()[0], 200];
    for payload in [vec![9, 0], unknown_variant, Vec::new()] {
        let mut enclave = Enclave::connect(&host).await;
        write_frame(&mut enclave.stream, &payload).await;
        assert!(enclave.try_next().await.is_none());
    }
    host.metric_reaches("countersign_host_enclave_refused_total{reason=\"version\"}", 3.0).await;
    host.metric_reaches("countersign_host_enclave_refused_total{reason=\"malformed\"}", 5.0).await;
    let log = host.place.log();
    assert!(log.contains("expected frame version 1, got 9"), "{log}");
    assert!(log.contains("countersign/opening: expected version 1, got 9"), "{log}");
    let mut enclave = Enclave::connect(&host).await;
    enclave.send(&FromEnclave::LoadBlobs).await;
    enclave.next().await;
}
