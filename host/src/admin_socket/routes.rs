//! Which admin connections a session has.

use crate::lock::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// The admin connections of one session, by number.
#[derive(Clone, Default)]
pub struct AdminRoutes(Arc<Mutex<BTreeMap<u64, mpsc::Sender<Vec<u8>>>>>);

impl AdminRoutes {
    /// A new connection, whose queue holds `max_packets`. It is removed when the receiver's owner calls `close`.
    pub fn open(&self, connection: u64, max_packets: usize) -> mpsc::Receiver<Vec<u8>> {
        let (sender, receiver) = mpsc::channel(max_packets);
        lock(&self.0).insert(connection, sender);
        receiver
    }

    /// Passes a packet of the enclave on. A connection that falls behind is closed; one that is gone takes nothing.
    pub fn deliver(&self, connection: u64, packet: Vec<u8>) {
        let mut routes = lock(&self.0);
        let behind = routes.get(&connection).is_some_and(|sender| sender.try_send(packet).is_err());
        if behind {
            routes.remove(&connection);
        }
    }

    /// The connection is closed when what waits has been written.
    pub fn close(&self, connection: u64) {
        lock(&self.0).remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_falls_behind_is_closed() {
        let routes = AdminRoutes::default();
        let mut receiver = routes.open(7, 2);
        for n in 0..3 {
            routes.deliver(7, vec![n]);
        }
        assert_eq!(receiver.recv().await.unwrap(), [0]);
        assert_eq!(receiver.recv().await.unwrap(), [1]);
        assert!(receiver.recv().await.is_none());
        routes.deliver(8, vec![0]);
    }
}
