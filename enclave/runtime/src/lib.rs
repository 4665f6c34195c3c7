//! Runs the trusted core: everything that the core asks for and may not do itself.
//!
//! The core is owned by one task ([`engine`]): it takes one input at a time, calls the core, and executes the effects in
//! order. All else happens around it:
//!
//! | module | what it does |
//! |---|---|
//! | [`transport`], [`frames`], [`host_link`] | the control connection to the host, with reconnect and back-off |
//! | [`dial`], [`exchange`] | whole HTTPS exchanges over streams that the host dials; TLS ends here |
//! | [`workers`] | threads for threshold cryptography, safe primes and RSA keys |
//! | [`clock`], [`clock_source`] | time, from the security module and never from the host |
//! | [`entropy`], [`nsm`] | randomness, attestation and measurements of the security module |
//! | [`farewell`] | the host is told why an enclave does not start |
//! | [`heartbeat`] | AWS is told that the enclave has booted |
//! | [`key_service`], [`kms`] | who wraps the instance's root key |
//! | [`core_dumps`], [`panic_report`] | what must not be left behind where something goes wrong |
//!
//! Everything is generic over transport, clock and key service, so that the production and the development binary run
//! the same code; what each trusts is decided in its `main.rs` and nowhere else.

pub mod clock;
pub mod clock_source;
pub mod core_dumps;
pub mod dial;
pub mod engine;
pub mod entropy;
pub mod event;
pub mod exchange;
mod exit;
pub mod farewell;
pub mod frames;
pub mod heartbeat;
pub mod host_link;
pub mod key_service;
pub mod kms;
pub mod limits;
pub mod nsm;
pub mod panic_report;
pub mod transport;
pub mod workers;

pub use engine::{Decide, Fatal, Parts, run};
pub use event::Event;
pub use exit::exit;
