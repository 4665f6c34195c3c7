//! A fake enclave: it speaks the wire protocol and says what a test wants.

use crate::process::{Host, PATIENCE};
use countersign_wire::frame::{HEADER_BYTES, header, payload_len};
use countersign_wire::host_link::{BlobWrite, FromEnclave, FromHost, HostHealth, Opening};
use countersign_wire::ids::{BootId, PairingId};
use countersign_wire::limits::MAX_FRAME_BYTES;
use countersign_wire::{Bytes, List, Message, Text};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Writes one frame.
pub async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), payload: &[u8]) {
    stream.write_all(&header(payload.len()).unwrap()).await.unwrap();
    stream.write_all(payload).await.unwrap();
}

/// Reads one frame, `None` at the end.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let read = async {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).await.ok()?;
        let mut payload = vec![0; payload_len(&header).unwrap()];
        assert!(payload.len() <= MAX_FRAME_BYTES);
        stream.read_exact(&mut payload).await.ok()?;
        Some(payload)
    };
    timeout(PATIENCE, read).await.expect("a frame or the end of the stream")
}

/// The next message but reports of the host's health, which come when they come; `None` at the end.
pub async fn next_but_health(stream: &mut (impl AsyncRead + Unpin)) -> Option<FromHost> {
    let next = async {
        loop {
            match FromHost::decode(&read_frame(stream).await?).unwrap() {
                FromHost::Health(_) => {}
                other => return Some(other),
            }
        }
    };
    timeout(PATIENCE, next).await.expect("a message or the end of the stream")
}

/// A raw connection to the enclave's socket.
pub async fn connect(host: &Host) -> UnixStream {
    UnixStream::connect(host.place.path("enclave.sock")).await.unwrap()
}

/// A control connection.
pub struct Enclave {
    pub stream: UnixStream,
    pub boot: BootId,
    next_sequence: u64,
}

/// A boot that was not before in this process.
fn new_boot() -> BootId {
    static BOOTS: AtomicU8 = AtomicU8::new(0);
    BootId([BOOTS.fetch_add(1, Ordering::SeqCst); 16])
}

/// The opening of a control connection.
pub fn control(boot: BootId) -> Vec<u8> {
    Opening::Control { boot, version: Text::new("0.0.0").unwrap() }.encode()
}

impl Enclave {
    /// A new boot connects and is greeted.
    pub async fn connect(host: &Host) -> Self {
        Self::reconnect(host, new_boot(), 1).await
    }

    /// The same boot connects again, and goes on with this batch.
    pub async fn reconnect(host: &Host, boot: BootId, next_sequence: u64) -> Self {
        let mut stream = connect(host).await;
        write_frame(&mut stream, &control(boot)).await;
        let mut enclave = Self { stream, boot, next_sequence };
        assert!(matches!(enclave.next().await, FromHost::Welcome { .. }));
        enclave
    }

    pub async fn send(&mut self, message: &FromEnclave) {
        write_frame(&mut self.stream, &message.encode()).await;
    }

    /// The next message but reports of the host's health, `None` when the host closed the connection.
    pub async fn try_next(&mut self) -> Option<FromHost> {
        next_but_health(&mut self.stream).await
    }

    /// The next report of the host's health; what comes before it is dropped.
    pub async fn next_health(&mut self) -> HostHealth {
        loop {
            let payload = read_frame(&mut self.stream).await.expect("a report");
            if let FromHost::Health(health) = FromHost::decode(&payload).unwrap() {
                return health;
            }
        }
    }

    pub async fn next(&mut self) -> FromHost {
        self.try_next().await.expect("a message, the host closed the connection")
    }

    /// Sends a batch, returns its sequence number.
    pub async fn persist(&mut self, writes: &[(&str, Option<&[u8]>)]) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.send(&batch(sequence, writes)).await;
        sequence
    }

    /// Sends a batch and waits until it is durable.
    pub async fn persist_now(&mut self, writes: &[(&str, Option<&[u8]>)]) {
        let sequence = self.persist(writes).await;
        assert_eq!(self.next().await, FromHost::Persisted { sequence });
    }

    /// Every stored blob.
    pub async fn load(&mut self) -> BTreeMap<String, Vec<u8>> {
        self.send(&FromEnclave::LoadBlobs).await;
        let mut blobs = BTreeMap::new();
        loop {
            match self.next().await {
                FromHost::Blob { name, value } => {
                    assert!(blobs.insert(name.to_string(), value.into_vec()).is_none());
                }
                FromHost::BlobsEnd { count } => {
                    assert_eq!(count, blobs.len() as u64);
                    return blobs;
                }
                other => panic!("expected a blob, got {other:?}"),
            }
        }
    }

    pub async fn link_open(&mut self, pairing: PairingId, url: &str, token: &str, roots: &[Vec<u8>]) {
        let roots = List::new(roots.iter().map(|r| Bytes::new(r.clone()).unwrap()).collect()).unwrap();
        let (url, access_token) = (Text::new(url).unwrap(), Text::new(token).unwrap());
        self.send(&FromEnclave::LinkOpen { pairing, url, access_token, roots }).await;
    }

    pub async fn link_send(&mut self, pairing: PairingId, frame: &[u8]) {
        self.send(&FromEnclave::LinkSend { pairing, frame: Bytes::new(frame).unwrap() }).await;
    }
}

pub fn batch(sequence: u64, writes: &[(&str, Option<&[u8]>)]) -> FromEnclave {
    let writes = writes
        .iter()
        .map(|(name, value)| BlobWrite {
            name: Text::new(*name).unwrap(),
            value: value.map(|value| Bytes::new(value).unwrap()),
        })
        .collect();
    FromEnclave::Persist { sequence, fresh: false, writes: List::new(writes).unwrap() }
}
