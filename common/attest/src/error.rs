/// Why an attestation document was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// The document is longer than any genuine one; it was not parsed.
    #[error("attestation document: expected at most {max} bytes, got {got}")]
    TooLarge {
        /// Most bytes allowed.
        max: usize,
        /// Bytes given.
        got: usize,
    },
    /// The bytes are not a COSE_Sign1 with an attestation document inside.
    #[error("attestation document, {field}: expected {expected}, got {got}")]
    Malformed {
        /// The part that is wrong.
        field: &'static str,
        /// What belongs there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// The document is not signed with ES384. An emulated security module says algorithm -1 and signs nothing.
    #[error("attestation document: expected COSE algorithm -35 (ES384), got {got}")]
    Algorithm {
        /// The algorithm of the protected header (IANA COSE algorithms).
        got: i64,
    },
    /// The leaf certificate's key did not sign this payload.
    #[error("attestation document: expected an ES384 signature by its certificate's key, got another one ({reason})")]
    Signature {
        /// What the verification said.
        reason: String,
    },
    /// The certificates do not lead to the trust anchor.
    #[error("attestation document: expected a chain to root {expected_root}, got one from {got_root} ({reason})")]
    Chain {
        /// SHA-256 of the trust anchor, hex.
        expected_root: String,
        /// SHA-256 of the document's first CA certificate, hex.
        got_root: String,
        /// What the path building said.
        reason: String,
    },
    /// A certificate of the chain is not valid at a time at which it has to be.
    #[error("attestation document: expected certificates valid at {at_ms} ms since 1970, got {reason}")]
    CertificateTime {
        /// The time, in milliseconds since 1970.
        at_ms: u64,
        /// Which bound was missed.
        reason: String,
    },
    /// The document is older than allowed.
    #[error("attestation document is stale: expected an age of at most {max_age_ms} ms, got {age_ms} ms")]
    TooOld {
        /// Oldest age allowed, in milliseconds.
        max_age_ms: u64,
        /// Its age, in milliseconds.
        age_ms: u64,
    },
    /// The document was made later than the verifier's clock can explain.
    #[error("attestation document: expected one made at most {max_ahead_ms} ms from now, got {ahead_ms} ms")]
    FromTheFuture {
        /// Most milliseconds allowed.
        max_ahead_ms: u64,
        /// Milliseconds between now and its time.
        ahead_ms: u64,
    },
    /// The document carries no nonce though one was expected.
    #[error("attestation document is stale: expected nonce {expected}, got none")]
    NonceMissing {
        /// The nonce, hex.
        expected: String,
    },
    /// The document answers another challenge.
    #[error("attestation document is stale: expected nonce {expected}, got {got}")]
    NonceMismatch {
        /// The nonce that was chosen, hex.
        expected: String,
        /// The nonce in the document, hex.
        got: String,
    },
    /// A verifier's nonce is too short to be unguessable.
    #[error("attestation: expected a nonce of at least {min} bytes, got {got}")]
    NonceTooShort {
        /// Least bytes.
        min: usize,
        /// Bytes given.
        got: usize,
    },
    /// A PCR is all zero: the enclave runs in debug mode, its memory is readable from outside.
    #[error("PCR{pcr} is all zero: the enclave runs in debug mode, which is never accepted")]
    DebugMode {
        /// Which.
        pcr: u8,
    },
    /// Zeros were given as an accepted measurement.
    #[error("PCR{pcr}: zeros cannot be an accepted measurement, they are what an enclave in debug mode reports")]
    ZerosExpected {
        /// Which.
        pcr: u8,
    },
    /// The document does not report a PCR that is checked.
    #[error("PCR{pcr}: expected {expected}, got none")]
    PcrMissing {
        /// Which.
        pcr: u8,
        /// The accepted values, hex.
        expected: String,
    },
    /// A PCR has another value: other software.
    #[error("PCR{pcr}: expected {expected}, got {got}")]
    PcrMismatch {
        /// Which.
        pcr: u8,
        /// The accepted values, hex.
        expected: String,
        /// The reported value, hex.
        got: String,
    },
    /// No measurements were given: nothing can be accepted.
    #[error("attestation: expected at least one accepted set of measurements, got none")]
    NoMeasurements,
    /// The certificate built into this program as the AWS root is not the one that AWS published.
    #[error("AWS root: expected SHA-256 {expected}, got {got}")]
    AwsRoot {
        /// The published fingerprint, hex.
        expected: String,
        /// Fingerprint of the built-in certificate, hex.
        got: String,
    },
    /// A development root is not a certificate that can anchor trust.
    #[error("development root: expected one X.509 certificate, got {got}")]
    DevelopmentRoot {
        /// What came.
        got: String,
    },
}
