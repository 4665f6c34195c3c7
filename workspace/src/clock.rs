//! The one place where the time is read.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// By how much the wall clock has to leave the coordinator's before that is worth a line of the log, in ms.
const STEP_MS: u64 = 5_000;

/// Unix time in milliseconds, as the wall clock says it now: for tokens and challenges, which others date.
pub fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Where the time comes from. Tests bring their own.
pub trait Source: Send + Sync {
    /// Unix time in ms; it may be set at any moment.
    fn wall_ms(&self) -> u64;
    /// Milliseconds since some moment; they only grow, and nobody sets them.
    fn monotonic_ms(&self) -> u64;
}

struct System(Instant);

impl Source for System {
    fn wall_ms(&self) -> u64 {
        now_ms()
    }
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The coordinator's time: the wall clock's at the start, and from then on a monotonic clock's. Deadlines of ceremonies
/// neither stand still nor pass at once when somebody sets the machine's clock.
pub struct Clock {
    source: Box<dyn Source>,
    start_wall_ms: u64,
    start_monotonic_ms: u64,
    reported_ms: AtomicI64,
}

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        Self::new(Box::new(System(Instant::now())))
    }

    /// Another one.
    pub fn new(source: Box<dyn Source>) -> Self {
        let (start_wall_ms, start_monotonic_ms) = (source.wall_ms(), source.monotonic_ms());
        Self { source, start_wall_ms, start_monotonic_ms, reported_ms: AtomicI64::new(0) }
    }

    /// Unix time in ms; it never goes back.
    pub fn now_ms(&self) -> u64 {
        self.start_wall_ms.saturating_add(self.source.monotonic_ms().saturating_sub(self.start_monotonic_ms))
    }

    /// By how many ms the wall clock is ahead of this one, where that has changed since it was asked last.
    pub fn step(&self) -> Option<i64> {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let ahead = signed(self.source.wall_ms()).saturating_sub(signed(self.now_ms()));
        let changed = ahead.abs_diff(self.reported_ms.load(Ordering::Relaxed)) >= STEP_MS;
        changed.then(|| {
            self.reported_ms.store(ahead, Ordering::Relaxed);
            ahead
        })
    }

    /// Logs a step of the wall clock, once each.
    pub fn report_step(&self) {
        if let Some(ahead) = self.step() {
            tracing::warn!(
                ahead_ms = ahead,
                "the machine's clock was set: it differs from the time by which ceremonies are timed. They go on; \
                 restart this program so that it takes the new time over"
            );
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    /// A wall clock that a test sets, beside the machine's monotonic one or one that stands still.
    pub struct Set {
        pub wall_ms: AtomicU64,
        pub monotonic_ms: AtomicU64,
    }

    impl Source for Arc<Set> {
        fn wall_ms(&self) -> u64 {
            self.wall_ms.load(Ordering::Relaxed)
        }
        fn monotonic_ms(&self) -> u64 {
            self.monotonic_ms.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn the_coordinators_time_passes_whatever_the_wall_clock_is_set_to() {
        let set = Arc::new(Set { wall_ms: AtomicU64::new(1_000_000), monotonic_ms: AtomicU64::new(7) });
        let clock = Clock::new(Box::new(Arc::clone(&set)));
        assert_eq!((clock.now_ms(), clock.step()), (1_000_000, None));
        set.wall_ms.store(400_000, Ordering::Relaxed);
        set.monotonic_ms.store(7 + 1_500, Ordering::Relaxed);
        assert_eq!(clock.now_ms(), 1_001_500);
        assert_eq!(clock.step(), Some(-601_500));
        assert_eq!(clock.step(), None, "each step is reported once");
        set.wall_ms.store(9_000_000, Ordering::Relaxed);
        set.monotonic_ms.store(7 + 3_000, Ordering::Relaxed);
        assert_eq!((clock.now_ms(), clock.step()), (1_003_000, Some(7_997_000)));
    }
}
