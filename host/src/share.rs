//! One producer's share of a queue, in items and bytes: so that a flood from one link or one admin connection fills
//! neither memory nor the others' places.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A share of so many items and so many bytes.
#[derive(Clone)]
pub struct Share {
    items: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    max_bytes: u32,
}

/// A place in a queue; given back when dropped.
pub struct Place {
    _item: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Share {
    /// A share of `max_items` and `max_bytes`.
    pub fn new(max_items: usize, max_bytes: u32) -> Self {
        let bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { items: Arc::new(Semaphore::new(max_items)), bytes: Arc::new(Semaphore::new(bytes)), max_bytes }
    }

    /// A place for an item of `bytes`, if there is one now.
    pub fn try_take(&self, bytes: usize) -> Option<Place> {
        let item = self.items.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(self.weight(bytes)).ok()?;
        Some(Place { _item: item, _bytes: bytes })
    }

    /// A place for an item of `bytes`, waiting for it; `None` never happens while the share exists. An item larger
    /// than the whole share takes all of it.
    pub async fn take(&self, bytes: usize) -> Option<Place> {
        let item = self.items.clone().acquire_owned().await.ok()?;
        let bytes = self.bytes.clone().acquire_many_owned(self.weight(bytes)).await.ok()?;
        Some(Place { _item: item, _bytes: bytes })
    }

    fn weight(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.max_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_bounded_in_items_and_in_bytes() {
        let share = Share::new(2, 100);
        let first = share.try_take(60).unwrap();
        assert!(share.try_take(60).is_none(), "bytes");
        let _second = share.try_take(40).unwrap();
        assert!(share.try_take(0).is_none(), "items");
        drop(first);
        assert!(share.try_take(60).is_some());
    }
}
