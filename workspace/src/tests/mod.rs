//! The whole workspace over TLS, with co-signers that speak the real protocol over real links and sign with a scheme that
//! costs nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auth;
mod changes;
mod client;
mod clocks;
mod cosigner;
mod floods;
mod groups;
mod hang_ups;
mod keys;
mod limits;
mod pairing;
mod pairing_again;
mod restart;
mod running;
mod signing;
mod transfers;
mod users;
mod withdrawn;
