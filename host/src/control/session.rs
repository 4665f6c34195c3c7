//! What belongs to one control connection.

use crate::admin_socket::AdminRoutes;
use crate::outbox::Outbox;
use crate::storage::Asker;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One control connection's life. Everything that works for it ends when `closing` is cancelled.
#[derive(Clone)]
pub struct Session {
    /// Messages to the enclave.
    pub outbox: Outbox,
    /// The same, as the store knows it.
    pub asker: Asker,
    /// Cancelled when the connection ends, for whatever reason.
    pub closing: CancellationToken,
    /// The admin connections of this session.
    pub admin: AdminRoutes,
    /// The tasks that the next session waits for.
    pub tasks: TaskTracker,
}
