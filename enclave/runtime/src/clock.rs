//! Time: what the security module said, carried on by the monotonic clock and read again regularly. The host's clock is
//! never read (threat T43).

use crate::limits::{CLOCK_READ_INTERVAL, CLOCK_TOLERANCE};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A source of time that the enclave trusts.
pub trait ReadClock: Send {
    /// Milliseconds since 1970.
    ///
    /// # Errors
    /// What the source said.
    fn unix_ms(&mut self) -> Result<u64, String>;
}

/// The time cannot be trusted any more. Signing must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The source gave no time.
    #[error("the clock could not be read: {0}")]
    Unreadable(String),
    /// The source went back.
    #[error(
        "the clock stepped back: expected at least {expected_ms} ms since 1970, less {tolerance_ms} ms, got {got_ms}"
    )]
    SteppedBack {
        /// The last reading and the time that passed since.
        expected_ms: u64,
        /// The new reading.
        got_ms: u64,
        /// How far behind it may be.
        tolerance_ms: u64,
    },
}

#[derive(Debug)]
struct Reading {
    unix_ms: u64,
    at: Instant,
    /// The latest time that was told to anybody.
    told_ms: u64,
}

impl Reading {
    fn now_ms(&mut self, now: Instant) -> u64 {
        let carried = self.unix_ms.saturating_add(millis(now.saturating_duration_since(self.at)));
        self.told_ms = self.told_ms.max(carried);
        self.told_ms
    }
}

/// The clock of the core. It never goes back.
pub struct Clock<S> {
    source: S,
    shared: SharedClock,
}

impl<S: ReadClock> Clock<S> {
    /// Reads the source for the first time.
    ///
    /// # Errors
    /// [`ClockError::Unreadable`].
    pub fn start(mut source: S) -> Result<Self, ClockError> {
        let unix_ms = source.unix_ms().map_err(ClockError::Unreadable)?;
        let reading = Reading { unix_ms, at: Instant::now(), told_ms: unix_ms };
        Ok(Self { source, shared: SharedClock(Arc::new(Mutex::new(reading))) })
    }

    /// Milliseconds since 1970. Reads the source again when the last reading is old.
    ///
    /// # Errors
    /// The source failed or stepped back: see [`ClockError`].
    pub fn now_ms(&mut self) -> Result<u64, ClockError> {
        self.now_ms_at(Instant::now())
    }

    fn now_ms_at(&mut self, now: Instant) -> Result<u64, ClockError> {
        let mut reading = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(reading.at);
        if age >= CLOCK_READ_INTERVAL {
            let got_ms = self.source.unix_ms().map_err(ClockError::Unreadable)?;
            let expected_ms = reading.unix_ms.saturating_add(millis(age));
            let tolerance_ms = millis(CLOCK_TOLERANCE);
            if got_ms.saturating_add(tolerance_ms) < expected_ms {
                return Err(ClockError::SteppedBack { expected_ms, got_ms, tolerance_ms });
            }
            reading.unix_ms = got_ms;
            reading.at = now;
        }
        Ok(reading.now_ms(now))
    }

    /// The same time for others, without reading the source.
    pub fn shared(&self) -> SharedClock {
        self.shared.clone()
    }
}

/// A view of a [`Clock`]: for certificate validation, which must not ask the operating system.
#[derive(Debug, Clone)]
pub struct SharedClock(Arc<Mutex<Reading>>);

impl SharedClock {
    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now_ms(Instant::now())
    }
}

impl TimeProvider for SharedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.now_ms())))
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    struct Script(VecDeque<Result<u64, String>>);

    impl ReadClock for Script {
        fn unix_ms(&mut self) -> Result<u64, String> {
            self.0.pop_front().unwrap_or(Err("the script is over".into()))
        }
    }

    fn clock(readings: &[u64]) -> Clock<Script> {
        Clock::start(Script(readings.iter().map(|ms| Ok(*ms)).collect())).unwrap()
    }

    fn after(clock: &Clock<Script>, seconds: u64) -> Instant {
        clock.shared.0.lock().unwrap().at + Duration::from_secs(seconds)
    }

    #[test]
    fn between_readings_the_monotonic_clock_carries_the_time() {
        let mut clock = clock(&[1_000_000]);
        let at = after(&clock, 59);
        assert_eq!(clock.now_ms_at(at), Ok(1_059_000));
    }

    #[test]
    fn t43_a_step_back_is_an_error() {
        let mut clock = clock(&[1_000_000, 1_050_000]);
        let at = after(&clock, 60);
        assert_eq!(
            clock.now_ms_at(at),
            Err(ClockError::SteppedBack { expected_ms: 1_060_000, got_ms: 1_050_000, tolerance_ms: 2_000 })
        );
    }

    #[test]
    fn small_differences_never_add_up_to_a_step() {
        // The source is 10 ms slower than the monotonic clock in every minute: after ten hours, 6 s.
        let mut clock = clock(&(0..=600).map(|minute| 1_000_000 + minute * 59_990).collect::<Vec<_>>());
        let mut last = 0;
        for _ in 0..600 {
            let at = after(&clock, 60);
            last = clock.now_ms_at(at).unwrap();
        }
        assert_eq!(last, 1_000_000 + 600 * 59_990);
    }

    #[test]
    fn a_source_that_is_a_little_behind_never_shows_as_going_back() {
        let mut clock = clock(&[1_000_000, 1_058_500]);
        let (before, at, later) = (after(&clock, 59), after(&clock, 60), after(&clock, 61));
        assert_eq!(clock.now_ms_at(before), Ok(1_059_000));
        assert_eq!(clock.now_ms_at(at), Ok(1_059_000));
        assert_eq!(clock.now_ms_at(later), Ok(1_059_500));
    }

    #[test]
    fn a_source_that_fails_is_an_error() {
        assert!(matches!(Clock::start(Script(VecDeque::new())), Err(ClockError::Unreadable(_))));
        let mut clock = clock(&[1_000_000]);
        let at = after(&clock, 60);
        assert!(matches!(clock.now_ms_at(at), Err(ClockError::Unreadable(_))));
    }

    #[test]
    fn certificates_are_checked_against_the_same_time() {
        let clock = clock(&[4_102_444_800_000]);
        assert_eq!(clock.shared().current_time().unwrap().as_secs(), 4_102_444_800);
    }
}
