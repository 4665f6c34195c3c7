//! The command as operators and scripts run it, against a simulated enclave that speaks the real protocol: the real
//! handshake, real attestation documents under a development root, real signatures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod callbacks;
mod certificates;
mod claiming;
mod doctor;
mod golden;
mod groups;
mod hostile_host;
mod logs;
mod operator_keys;
mod pairing;
mod reading;
mod removing;
mod rotating;
mod simulated_enclave;
mod verifying;
mod workstation;
