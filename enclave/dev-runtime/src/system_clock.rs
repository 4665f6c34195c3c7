//! The machine's clock, which its owner can set.

use cosigner_enclave::clock::ReadClock;
use std::time::{SystemTime, UNIX_EPOCH};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl ReadClock for SystemClock {
    fn unix_ms(&mut self) -> Result<u64, String> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        u64::try_from(since.as_millis()).map_err(|error| error.to_string())
    }
}
