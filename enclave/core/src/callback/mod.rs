//! The callback handler: what it is shown, how it is called, what its answer means, and whose turn it is. Pure; the runtime
//! makes the calls, and `crate::approval` goes from one to the next.

mod answer;
mod change;
mod handler;
mod history;
mod places;
mod probe;
mod question;
mod request;
mod series;

pub use answer::{Verdict, judge, verdict};
pub(crate) use change::config_change_sign_request;
pub use handler::{Endpoint, check_handler, exchange, keys};
pub(crate) use history::{History, LATENCY_BOUNDS_MS};
pub(crate) use places::{Caller, Places};
pub(crate) use probe::probe;
pub(crate) use question::{MAX_PAYLOAD_BYTES, Question, body};
pub(crate) use request::request_id_secret;
pub use request::{TransactionShown, tx_sign_request};
pub(crate) use series::next_attempt;
