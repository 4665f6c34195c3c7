//! Tests of the whole system.
//!
//! [`simulator`] runs many cores, the workspace's real coordinator and a hostile host in one thread, with a seeded clock,
//! randomness, network and disk: a failing seed replays exactly. Tests with real processes are in `tests/`; what they
//! share is in [`bench`].

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this crate is tests only")]

pub mod bench;
pub mod simulator;
