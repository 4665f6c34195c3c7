//! The trusted core of a Countersign co-signer: one sans-I/O state machine that makes every decision.
//!
//! [`Core::step`] takes one [`Input`] and returns [`Effect`]s. It runs in the enclave, in the development process, and by
//! the thousand in the deterministic simulator. No async runtime, socket, file or clock is reachable from here: time comes
//! with the input, randomness, attestation and the security module through [`Capabilities`].
//!
//! What leaves is gated: after a `Persist`, no effect that the outside world can see is returned before the host said that
//! the batch is durable (threat T08).

mod admin;
mod approval;
mod background;
mod callback;
pub mod capability;
mod ceremony;
mod core;
mod effect;
mod events;
mod exchange;
mod input;
mod intent;
pub mod kms;
mod ledger;
mod limits;
mod metrics;
mod new_root_key;
mod outbox;
mod pairing;
mod seal;
mod serving;
mod state;

pub use capability::{Attestor, Capabilities, Entropy};
pub use core::Core;
pub use effect::{AddressRule, Body, Effect, ExchangeSpec, JobSpec, Purpose, Trust};
pub use input::{
    ExchangeFailure, ExchangeOutcome, ExchangeReport, HttpAnswer, HttpProtocol, Input, JobEvent, SealingKeyAnswer,
    ServerSeen,
};
pub use limits::{MAX_CALLBACKS, MAX_CALLS_PER_USER, MAX_SESSIONS_PER_PAIRING, MAX_WORKSPACE_CALLS};
