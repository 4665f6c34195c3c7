//! Messages from the enclave that wait for their link. While the link is down there is no queue: nothing old is sent
//! later, because the sender repeats what still matters.

use crate::lock::lock;
use crate::share::{Place, Share};
use std::sync::Mutex;
use tokio::sync::mpsc;

/// A message that waits.
pub struct Waiting {
    /// One binary WebSocket message.
    pub frame: Vec<u8>,
    /// The place it occupies until it is written.
    pub place: Place,
}

/// The queue of one link.
pub struct SendQueue {
    max_messages: usize,
    share: Share,
    sender: Mutex<Option<mpsc::Sender<Waiting>>>,
}

impl SendQueue {
    /// A closed queue that will hold so much.
    pub fn new(max_messages: usize, max_bytes: u32) -> Self {
        Self { max_messages, share: Share::new(max_messages, max_bytes), sender: Mutex::default() }
    }

    /// The link is up.
    pub fn open(&self) -> mpsc::Receiver<Waiting> {
        let (sender, receiver) = mpsc::channel(self.max_messages);
        *lock(&self.sender) = Some(sender);
        receiver
    }

    /// The link is down: returns how many messages were waiting and are dropped.
    pub fn close(&self, mut receiver: mpsc::Receiver<Waiting>) -> u64 {
        *lock(&self.sender) = None;
        let mut dropped = 0;
        while receiver.try_recv().is_ok() {
            dropped += 1;
        }
        dropped
    }

    /// Whether the message waits now: the link is up and there is room.
    pub fn try_send(&self, frame: Vec<u8>) -> bool {
        let sender = lock(&self.sender);
        let Some(sender) = sender.as_ref() else { return false };
        let Some(place) = self.share.try_take(frame.len()) else { return false };
        sender.try_send(Waiting { frame, place }).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_waits_only_while_the_link_is_up_and_there_is_room() {
        let queue = SendQueue::new(2, 100);
        assert!(!queue.try_send(vec![0; 10]), "down");
        let receiver = queue.open();
        assert!(queue.try_send(vec![0; 60]));
        assert!(!queue.try_send(vec![0; 60]), "bytes");
        assert!(queue.try_send(vec![0; 10]));
        assert!(!queue.try_send(vec![0; 10]), "messages");
        assert_eq!(queue.close(receiver), 2);
        assert!(!queue.try_send(vec![0; 10]), "down again");
        let _receiver = queue.open();
        assert!(queue.try_send(vec![0; 100]), "all room is free again");
    }
}
