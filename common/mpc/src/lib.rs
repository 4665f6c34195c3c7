//! Threshold schemes as sans-I/O state machines: messages in, messages out, a result.
//!
//! A [`Plan`] says what to run and owns all that it needs. A [`Scheme`] turns it into a [`Machine`] on the thread that
//! will drive it: machines are not `Send`, plans are. The loop around a machine is
//!
//! ```text
//! match machine.proceed() {
//!     Step::Send { to, message } => deliver it to `to`, or to every other party,
//!     Step::NeedMessage          => wait for a message, then machine.receive(from, broadcast, &message),
//!     Step::Yield                => nothing: the arithmetic merely lets go of the thread,
//!     Step::Done(output)         => the end,
//!     Step::Failed(failure)      => the end,
//! }
//! ```
//!
//! [`Cggmp24`] is threshold ECDSA after Canetti, Gennaro, Goldfeder, Makriyannis and Peled (ePrint 2021/060, as revised
//! in 2024). [`public`] holds what needs no machine: what a key share says about its key, derivation, verification.
//! [`primes`] makes the safe primes that auxiliary information is built from.
//!
//! # What callers must see to
//! - Messages are neither encrypted nor authenticated here, and key generation sends parts of shares in the clear: they
//!   go over an authenticated, encrypted channel, and `from` is what that channel says.
//! - An [`ExecutionId`] is never used twice. It is hashed together with everything else that selects key, path and digest.
//! - A key share is used only after all parties acknowledged the same [`public::KeyOutcome::commitment`].
//!
//! # Residual risk
//! Secrets are wiped where this crate holds them. The big-integer types underneath (GMP) do not wipe their memory, and
//! their arithmetic is not constant-time. Who can read this process's memory or measure it precisely is not kept out
//! by this crate; the enclave is what keeps them out.

pub mod cggmp24;
mod codec;
mod failure;
mod machine;
mod plan;
pub mod primes;
pub mod public;
mod secret;

pub use cggmp24::Cggmp24;
pub use failure::{Failure, ReceiveError};
pub use machine::{Machine, Scheme, Step};
pub use plan::{ExecutionId, Output, Plan};
pub use secret::{AuxInfoBytes, KeyShareBytes, Primes};

// Not named in our code: they are listed for their exact version and their features.
use {cggmp24_keygen as _, key_share as _};
