//! What the task that owns the core waits for.

use cosigner_core::Input;
use countersign_wire::host_link::FromEnclave;
use tokio::sync::mpsc;

/// One event.
pub enum Event {
    /// The control connection is up: messages for the host go here until `HostGone`.
    HostConnected(mpsc::Sender<FromEnclave>),
    /// The control connection is gone.
    HostGone,
    /// Something for the core.
    Input(Input),
    /// A worker thread ended although it must not: the process cannot go on.
    WorkerLost(&'static str),
}
