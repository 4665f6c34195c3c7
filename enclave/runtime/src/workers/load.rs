//! How busy the ceremony threads are: background work gives way to them.

use crate::limits::MAX_BACKGROUND_PAUSE;
use std::sync::{Condvar, Mutex, PoisonError};

/// Counts computing threads.
pub(super) struct Load {
    computing: Mutex<usize>,
    fewer: Condvar,
    cores: usize,
}

impl Load {
    pub(super) fn new(cores: usize) -> Self {
        Self { computing: Mutex::new(0), fewer: Condvar::new(), cores: cores.max(1) }
    }

    /// Counts the calling thread as computing until the guard is dropped.
    pub(super) fn computing(&self) -> Computing<'_> {
        let mut computing = self.computing.lock().unwrap_or_else(PoisonError::into_inner);
        *computing = computing.saturating_add(1);
        Computing(self)
    }

    /// Waits while ceremonies keep all cores busy, at most [`MAX_BACKGROUND_PAUSE`].
    pub(super) fn give_way(&self) {
        let computing = self.computing.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.fewer.wait_timeout_while(computing, MAX_BACKGROUND_PAUSE, |busy| *busy >= self.cores);
        drop(waited);
    }
}

/// See [`Load::computing`].
pub(super) struct Computing<'a>(&'a Load);

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        let mut computing = self.0.computing.lock().unwrap_or_else(PoisonError::into_inner);
        *computing = computing.saturating_sub(1);
        self.0.fewer.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn background_work_pauses_only_while_all_cores_are_busy_and_not_for_ever() {
        let load = Load::new(2);
        let _one = load.computing();
        let start = Instant::now();
        for _ in 0..100 {
            load.give_way();
        }
        assert!(start.elapsed() < MAX_BACKGROUND_PAUSE * 50, "it paused although a core was free");
        let _two = load.computing();
        let start = Instant::now();
        load.give_way();
        assert!(start.elapsed() >= MAX_BACKGROUND_PAUSE);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
