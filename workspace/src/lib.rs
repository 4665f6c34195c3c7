//! The control plane of a Countersign system: API users, co-signers, signing groups, keys, vault accounts and transactions
//! behind an HTTP API, the coordinator of ceremonies, and the relay between co-signers.
//!
//! It is trusted for availability and for its own policy, never with a share: co-signers check for themselves what a
//! client asked for and what the customer's co-signer authorised.

pub mod address;
pub mod answers;
pub mod ceremony;
pub mod changes;
pub mod checks;
pub mod clock;
pub mod config;
pub mod connections;
pub mod content;
pub mod evm;
pub mod http;
pub mod hub;
pub mod identity;
pub mod init;
pub mod metrics;
pub mod pairing_token;
pub mod server;
pub mod service;
pub mod store;
pub mod streams;

#[cfg(test)]
mod tests;
