//! The two traits that callers drive: a scheme makes machines, a machine takes steps.

use crate::failure::{Failure, ReceiveError};
use crate::plan::{Output, Plan};
use rand_core::CryptoRngCore;

/// What a machine wants next.
#[derive(Debug)]
pub enum Step {
    /// Deliver a message, then proceed.
    Send {
        /// The receiver's index in the group; `None` is a broadcast, to everybody else who takes part.
        to: Option<u16>,
        /// At most [`countersign_wire::limits::MAX_SCHEME_MESSAGE_BYTES`] bytes.
        message: Vec<u8>,
    },
    /// Call [`Machine::receive`] with one more message, then proceed.
    NeedMessage,
    /// Proceed: a long computation let go of the thread.
    Yield,
    /// It is over.
    Done(Output),
    /// It is over, without a result.
    Failed(Failure),
}

/// One execution of a protocol by one party. It stays on the thread that made it. Dropping it at any point is safe: what
/// it held is gone, and the execution cannot be resumed.
pub trait Machine {
    /// Computes until the next step. Single steps can take seconds.
    fn proceed(&mut self) -> Step;

    /// Takes one message. To be called after [`Step::NeedMessage`]; messages of later rounds are welcome.
    ///
    /// `from` is the sender's index in the group as the channel authenticated it, `broadcast` whether it was sent to all.
    ///
    /// # Errors
    /// The message was not taken, and the machine is as it was: it still waits for a good one.
    fn receive(&mut self, from: u16, broadcast: bool, message: &[u8]) -> Result<(), ReceiveError>;
}

/// A threshold scheme.
pub trait Scheme: Send + Sync {
    /// Makes a machine on the calling thread.
    ///
    /// # Errors
    /// [`Failure::Internal`] if the plan contradicts itself or its material.
    fn start(&self, plan: Plan, rng: Box<dyn CryptoRngCore + Send>) -> Result<Box<dyn Machine>, Failure>;
}
