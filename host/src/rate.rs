//! A token bucket: so many a second, with one second's worth of burst.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A bucket that holds at most one second's worth.
pub struct Rate {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Rate {
    /// A full bucket of `per_second` tokens.
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, tokens: per_second, filled: Instant::now() }
    }

    /// Takes one if there is one.
    pub fn try_take(&mut self) -> bool {
        let now = Instant::now();
        let gained = now.duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.per_second);
        self.filled = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Takes one, waiting for it.
    pub async fn take(&mut self) {
        while !self.try_take() {
            sleep(Duration::from_secs_f64((1.0 - self.tokens).max(0.001) / self.per_second)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_is_bounded_and_refills() {
        let mut rate = Rate::new(50);
        let burst = (0..200).filter(|_| rate.try_take()).count();
        assert!((50..60).contains(&burst), "{burst}");
        let start = Instant::now();
        for _ in 0..5 {
            rate.take().await;
        }
        assert!(start.elapsed() >= Duration::from_millis(50), "{:?}", start.elapsed());
    }
}
