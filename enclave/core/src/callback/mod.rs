//! The callback handler: what it is shown, how it is called, and what its answer means. Pure; the runtime makes the call.

mod answer;
mod handler;
mod request;

pub use answer::{Verdict, verdict};
pub use handler::{check_handler, exchange};
pub use request::{TransactionShown, tx_sign_request};
