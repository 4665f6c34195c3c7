//! The queue of messages to the enclave. Everything that could flood it enters with a [`Place`] of its producer's
//! share; what is left is small and bounded by the state that it reports.

use crate::share::Place;
use countersign_wire::host_link::FromHost;
use tokio::sync::mpsc;

/// A message on its way, with the place it occupies.
pub struct Outgoing {
    /// The message.
    pub message: FromHost,
    _place: Option<Place>,
}

/// Where producers put messages to the enclave.
#[derive(Clone)]
pub struct Outbox(mpsc::Sender<Outgoing>);

/// The control connection is gone, or (for [`Outbox::try_send`]) the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the enclave does not take the message")]
pub struct NotTaken;

impl Outbox {
    /// A queue of at most `capacity` messages.
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (Self(sender), receiver)
    }

    /// Queues `message`, waiting for room.
    pub async fn send(&self, message: FromHost) -> Result<(), NotTaken> {
        self.0.send(Outgoing { message, _place: None }).await.map_err(|_| NotTaken)
    }

    /// Queues `message`, which holds `place` until it is written, waiting for room.
    pub async fn send_in(&self, message: FromHost, place: Place) -> Result<(), NotTaken> {
        self.0.send(Outgoing { message, _place: Some(place) }).await.map_err(|_| NotTaken)
    }

    /// Queues `message`, which holds `place` until it is written, if there is room now.
    pub fn try_send_in(&self, message: FromHost, place: Place) -> Result<(), NotTaken> {
        self.0.try_send(Outgoing { message, _place: Some(place) }).map_err(|_| NotTaken)
    }
}
