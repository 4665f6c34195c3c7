//! What happens to a co-signer outside ceremonies: pairing, links, claims, hosts that come and go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod claims;
mod images;
mod interrupted_pairing;
mod links;
mod rotation;

/// The customer's co-signer.
const CUSTOMER: usize = 0;
