//! The real `cosigner-host` binary against a fake enclave that speaks the wire protocol, a loopback workspace relay and
//! loopback servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod admin;
mod bad_input;
mod control;
mod dialling;
mod dialling_proxied;
mod enclave;
mod floods;
mod health;
mod links;
mod links_failing;
mod observing;
mod open_files;
mod persistence;
mod process;
mod proxy;
mod workspace;
