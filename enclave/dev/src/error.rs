use std::path::{Path, PathBuf};

/// Why a development part did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file with a secret can be read by others.
    #[error("{}: expected mode 600, got {mode:o}: others can read a secret", path.display())]
    Permissions {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file does not hold what belongs there.
    #[error("{}: expected {expected}, got something else", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// A certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A root is none.
    #[error(transparent)]
    Attestation(#[from] countersign_attest::AttestationError),
    /// The clock says a time for which no certificate can be made.
    #[error("expected a time before the year 9999, got {ms} ms since 1970")]
    Time {
        /// Milliseconds since 1970.
        ms: u64,
    },
    /// A field is longer than the security module allows.
    #[error("{field}: expected at most {max} bytes, got {got}")]
    TooLong {
        /// Which.
        field: &'static str,
        /// Most bytes.
        max: usize,
        /// Bytes given.
        got: usize,
    },
    /// The cryptographic library refused.
    #[error("{what} failed")]
    Crypto {
        /// What it was asked for.
        what: &'static str,
    },
    /// There is no such fixture.
    #[error("{what}: expected a number below {count}, got {index}")]
    NoFixture {
        /// Of which kind.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The number asked for.
        index: usize,
    },
    /// A wrapped key was made by another wrapping key or for another instance, or was altered.
    #[error("expected a root key wrapped by {key_id} for this instance, got another or an altered one")]
    WrappedKey {
        /// The wrapping key.
        key_id: String,
    },
}

impl DevError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| DevError::File { path, source }
    }
}
