//! The coordinator against simulated co-signers: seeded loss, repetition, reordering, restarts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod changes;
pub mod handler;
mod late_words;
mod outcomes;
pub mod party;
mod queue;
mod series;
mod signers;
mod single;
mod withdrawals;
mod world;
