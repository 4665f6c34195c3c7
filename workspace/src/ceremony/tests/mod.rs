//! The coordinator against simulated co-signers: seeded loss, repetition, reordering, restarts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod late_words;
mod outcomes;
pub mod party;
mod queue;
mod signers;
mod single;
mod world;
