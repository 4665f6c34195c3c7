use serde::Deserialize;
use std::fmt;

/// Port on the parent from which a development image fetches its [`DevelopmentParts`]: one connection, the JSON, its end.
pub const PARTS_PORT: u32 = 5017;
/// Longest form of them, in bytes.
pub const MAX_PARTS_BYTES: u64 = 64 * 1024;

/// What a development image cannot bring along, because it is made at run time: its parent gives it. An enclave that takes
/// its secrets from its parent has none; that is what makes it a development image.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevelopmentParts {
    /// The development root: certificate and key (PEM).
    pub root: String,
    /// The key that wraps the state's root key: 64 hexadecimal digits.
    pub wrapping_key: String,
    /// Number of the committed safe primes to take.
    pub test_primes: Option<usize>,
    /// Whether to take the committed auxiliary information.
    pub test_aux_info: bool,
    /// An authority (PEM) to take for a public one.
    pub public_root: Option<String>,
}

impl DevelopmentParts {
    /// Reads the JSON.
    ///
    /// # Errors
    /// What is wrong with it, without its content.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("line {}: {:?} error", error.line(), error.classify()))
    }
}

impl fmt::Debug for DevelopmentParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevelopmentParts(<redacted>)")
    }
}
