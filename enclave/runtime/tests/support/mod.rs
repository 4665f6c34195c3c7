//! What the tests put around the runtime: a host that brokers streams, and servers with real certificates.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod broker;
pub mod certificates;
pub mod exchange;
pub mod http2;
pub mod server;

use cosigner_enclave::clock::{Clock, ReadClock};

/// 2026-01-01, in milliseconds since 1970.
pub const NOW_MS: u64 = 1_767_225_600_000;

/// 2026-12-31: the end of servers' certificates.
pub const VALID_UNTIL_MS: u64 = 1_798_675_200_000;

/// A clock that starts where it is told.
pub struct StartAt(pub u64);

impl ReadClock for StartAt {
    fn unix_ms(&mut self) -> Result<u64, String> {
        Ok(self.0)
    }
}

pub fn clock() -> Clock<StartAt> {
    Clock::start(StartAt(NOW_MS)).unwrap()
}
