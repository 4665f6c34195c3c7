use crate::attestation::AttestorError;
use countersign_attest::AttestationError;
use countersign_wire::DecodeError;

/// Why bytes were not accepted, or could not be made. Retryable all of them, and nobody's proven fault: whoever carries
/// the bytes can cause them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The bytes were not made for this handshake or channel, or were altered on the way.
    #[error("{what}: expected bytes of this channel, got others")]
    Tampered {
        /// Which bytes.
        what: &'static str,
    },
    /// A packet's counter was seen before, or is too old to tell.
    #[error("packet {counter}: expected one not seen and not before {oldest}, got a repeated or old one")]
    Replayed {
        /// The packet's counter.
        counter: u64,
        /// The oldest counter that would be accepted.
        oldest: u64,
    },
    /// No counters are left: a new handshake is needed.
    #[error("expected a counter below {max}: the channel is used up, open a new one")]
    CountersExhausted {
        /// First counter that is never used.
        max: u64,
    },
    /// A message or packet is too long.
    #[error("{what}: expected at most {max} bytes, got {got}")]
    TooLarge {
        /// Which bytes.
        what: &'static str,
        /// Most bytes allowed.
        max: usize,
        /// Bytes given.
        got: usize,
    },
    /// A fragment does not fit its message.
    #[error("fragment: expected {expected}, got {got}")]
    Fragment {
        /// What would fit.
        expected: String,
        /// What came.
        got: String,
    },
    /// The content of a handshake message is not what belongs there.
    #[error("handshake: {0}")]
    Payload(#[from] DecodeError),
    /// The handshake is over; its messages are not taken twice.
    #[error("expected a message of an open handshake, got one after its end")]
    Finished,
    /// The peer's attestation document was not accepted.
    #[error(transparent)]
    Document(#[from] AttestationError),
    /// The peer's document is genuine, but made for another channel.
    #[error("attestation document, {field}: expected {expected}, got {got}")]
    Binding {
        /// The field of the document.
        field: &'static str,
        /// What this handshake needs, hex.
        expected: String,
        /// What the document carries, hex, or `nothing`.
        got: String,
    },
    /// The peer did not prove that it holds the key of the identity that it claims.
    #[error("expected a signature of identity {identity} over this handshake, got another")]
    Identity {
        /// The identity (Ed25519 public key), hex.
        identity: String,
    },
    /// The own security module gave no document.
    #[error(transparent)]
    Attestor(#[from] AttestorError),
    /// The own document is too long to send.
    #[error("own attestation document: {0}")]
    OwnDocument(#[from] countersign_wire::OutOfBounds),
    /// The Noise implementation refused to start; a defect of this program.
    #[error("noise: {0}")]
    Noise(String),
}
