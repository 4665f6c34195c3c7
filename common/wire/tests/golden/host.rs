//! Between an enclave and its own host.

use super::{Book, bytes, list, text};
use countersign_wire::aws_signature::{AwsCall, AwsSignature};
use countersign_wire::dial::{Address, DialAnswer, DialRequest, DialStep};
use countersign_wire::host_link::{BlobWrite, Counter, CounterValue, FromEnclave, FromHost, LinkDown, Opening};
use countersign_wire::ids::{BootId, PairingId};

pub fn add(book: &mut Book) {
    let pairing = PairingId([19; 16]);
    book.every(vec![
        Opening::Control { boot: BootId([17; 16]), version: text("1") },
        Opening::Dial,
        Opening::SignAwsCall,
    ]);
    let write = BlobWrite { name: text("blob"), value: Some(bytes(b"v")) };
    let counter = |value| Counter { name: text("c"), labels: list(vec![(text("l"), text("v"))]), value };
    let times = CounterValue::Histogram { buckets: list(vec![(5, 1)]), count: 2, sum_ms: 3 };
    book.every(vec![
        FromEnclave::LoadBlobs,
        FromEnclave::Persist { sequence: 1, fresh: true, writes: list(vec![write]) },
        FromEnclave::LinkOpen {
            pairing,
            url: text("wss://w"),
            access_token: text("t"),
            roots: list(vec![bytes(b"r")]),
        },
        FromEnclave::LinkClose { pairing },
        FromEnclave::LinkSend { pairing, frame: bytes(b"f") },
        FromEnclave::Admin { connection: 1, packet: bytes(b"a") },
        FromEnclave::AdminClose { connection: 1 },
        FromEnclave::Report {
            ready: true,
            counters: list(vec![counter(CounterValue::Total(1)), counter(CounterValue::Gauge(2)), counter(times)]),
        },
        FromEnclave::Stopping { why: text("storage: the head is missing") },
    ]);
    book.every(vec![
        FromHost::Welcome { version: text("1") },
        FromHost::Blob { name: text("blob"), value: bytes(b"v") },
        FromHost::BlobsEnd { count: 1 },
        FromHost::Persisted { sequence: 1 },
        FromHost::PersistFailed { sequence: 1, detail: text("full") },
        FromHost::LinkUp { pairing },
        FromHost::LinkDown { pairing, reason: LinkDown::Unauthorised },
        FromHost::LinkData { pairing, frame: bytes(b"f") },
        FromHost::AdminOpened { connection: 1 },
        FromHost::Admin { connection: 1, packet: bytes(b"a") },
        FromHost::AdminClosed { connection: 1 },
        FromHost::Health(super::callback::health()),
    ]);
    book.every(vec![
        DialRequest::Resolve { name: text("handler.example") },
        DialRequest::Connect { address: Address::V4([127, 0, 0, 1]), port: 443 },
    ]);
    book.add(
        "sample",
        &AwsCall {
            region: text("eu-central-1"),
            host: text("kms.eu-central-1.amazonaws.com"),
            content_type: text("application/x-amz-json-1.1"),
            target: text("TrentService.Decrypt"),
            body_sha256: [31; 32],
        },
    );
    book.every(vec![
        AwsSignature::Headers { authorization: text("a"), date: text("d"), security_token: text("t") },
        AwsSignature::Failed { detail: text("no") },
    ]);
    book.every(vec![
        DialAnswer::Resolved { addresses: list(vec![Address::V6([30; 16])]) },
        DialAnswer::Connected,
        DialAnswer::Failed { step: DialStep::Connect, detail: text("no") },
    ]);
}
