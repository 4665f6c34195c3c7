//! When something last moved over a connection.

use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

use crate::lock::lock;

/// The time of the last activity.
pub struct Activity(Mutex<Instant>);

impl Activity {
    /// Active now.
    pub fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Something moved.
    pub fn touch(&self) {
        *lock(&self.0) = Instant::now();
    }

    /// Returns once nothing has moved for `limit`.
    pub async fn idle_for(&self, limit: Duration) {
        loop {
            let until = *lock(&self.0) + limit;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn activity_puts_the_end_off() {
        let activity = Activity::new();
        let start = Instant::now();
        let touching = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(30)).await;
                activity.touch();
            }
        };
        tokio::join!(touching, activity.idle_for(Duration::from_millis(90)));
        assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    }
}
