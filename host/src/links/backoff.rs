//! Pauses between attempts: they double, and half of each is random, so that a workspace that comes back is not met by
//! all its co-signers at once.

use std::time::Duration;

/// The next pause.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `initial` to `max`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, next: initial }
    }

    /// Starts small again.
    pub fn reset(&mut self) {
        self.next = self.initial;
    }

    /// How long to wait now: between half of the pause and all of it.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.max);
        self.next = pause.saturating_mul(2).min(self.max);
        pause.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_maximum_and_start_small_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(1_000));
        for full in [100, 200, 400, 800, 1_000, 1_000] {
            let pause = backoff.pause();
            let full = Duration::from_millis(full);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
    }

    #[test]
    fn pauses_differ() {
        let pauses: Vec<_> =
            (0..8).map(|_| Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).pause()).collect();
        assert!(pauses.iter().any(|p| *p != pauses[0]), "{pauses:?}");
    }
}
