use countersign_attest::{AttestationError, Document, TrustAnchor};
use countersign_channel::admin::AdminInitiator;
use countersign_channel::{AttestationPolicy, ChannelError, DocumentVerifier};
use countersign_wire::admin::AdminPacket;
use countersign_wire::{Bytes, Message, frame};
use rand_core::OsRng;
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// How often an enclave is asked.
const ATTEMPTS: usize = 12;
/// How long to wait before the next time.
const PAUSE: Duration = Duration::from_secs(1);
/// How long each answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What an enclave answered to the first message of an admin's handshake.
#[derive(Debug)]
pub struct Answer {
    /// Its attestation document, as it came.
    pub document: Vec<u8>,
    /// The challenge that the document answers.
    pub nonce: [u8; 32],
    /// How the verifier under the AWS root judged it.
    pub verdict: Result<(), ChannelError>,
}

/// Keeps the document and challenge of a handshake, and judges as production does.
#[derive(Default)]
struct Unverified(RefCell<(Vec<u8>, [u8; 32])>);

impl DocumentVerifier for Unverified {
    fn verify(&self, document: &[u8], nonce: &[u8; 32]) -> Result<Document, AttestationError> {
        *self.0.borrow_mut() = (document.to_vec(), *nonce);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let reported = countersign_attest::parse_unverified(document)?;
        let own = countersign_attest::Measurements::of(reported.for_display())?;
        let policy = AttestationPolicy {
            anchor: &TrustAnchor::aws(),
            now_ms: u64::try_from(now_ms).unwrap_or(u64::MAX),
            max_age_ms: 300_000,
            measurements: &[own],
        };
        policy.verify(document, nonce)
    }
}

/// Begins an admin's handshake at a host's admin socket and takes the enclave's answer. An enclave that is still booting
/// hangs up: it is asked again.
///
/// # Errors
/// The socket's, or that something else came, or nothing.
pub async fn knock(socket: &Path) -> io::Result<Answer> {
    for _ in 0..ATTEMPTS {
        match timeout(ANSWER_TIMEOUT, knock_once(socket)).await {
            Ok(Err(hung_up)) if hung_up.kind() == io::ErrorKind::UnexpectedEof => sleep(PAUSE).await,
            Ok(answered) => return answered,
            Err(_) => {}
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn knock_once(socket: &Path) -> io::Result<Answer> {
    let other = |what: String| io::Error::other(what);
    let (mut initiator, message1) = AdminInitiator::start(&mut OsRng).map_err(|e| other(e.to_string()))?;
    let noise = Bytes::new(message1).map_err(|e| other(e.to_string()))?;
    let payload = AdminPacket::Handshake1 { noise }.encode();
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(&frame::header(payload.len()).map_err(|e| other(e.to_string()))?).await?;
    stream.write_all(&payload).await?;
    let mut header = [0; frame::HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let length = frame::payload_len(&header).map_err(|e| other(e.to_string()))?;
    let mut payload = vec![0; length.min(AdminPacket::MAX_BYTES)];
    stream.read_exact(&mut payload).await?;
    let AdminPacket::Handshake2 { noise, .. } = AdminPacket::decode(&payload).map_err(|e| other(e.to_string()))? else {
        return Err(other("expected the second handshake message".into()));
    };
    let seen = Unverified::default();
    let verdict = initiator.finish(&noise, &seen).map(drop);
    let (document, nonce) = seen.0.into_inner();
    Ok(Answer { document, nonce, verdict })
}
