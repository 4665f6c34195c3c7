//! The coordinator against simulated co-signers: seeded loss, repetition, reordering, restarts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod outcomes;
pub mod party;
mod single;
mod world;
