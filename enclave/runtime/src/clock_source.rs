//! What carries the time between two readings of the security module: the kernel's clock source, checked at boot
//! (threat T43).

use crate::clock::{ReadClock, millis};
use std::time::{Duration, Instant};

const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// The processor's counter and the hypervisor's clock; and counted timer interrupts, which is all that an emulator has. None
/// of them reads a clock that the parent sets.
const ACCEPTED: [&str; 4] = ["tsc", "tsc-early", "kvm-clock", "refined-jiffies"];
/// How long the two clocks are compared.
const COMPARED_FOR: Duration = Duration::from_millis(400);
/// How long the security module may say the same time.
const MAX_UNCHANGED: Duration = Duration::from_secs(3);
/// How often it is asked meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How often, before a difference counts: a reading can be held up.
const COMPARISONS: usize = 3;

/// The clock source cannot carry the time.
#[derive(Debug, thiserror::Error)]
pub enum ClockSourceError {
    /// Which it is cannot be read.
    #[error("{CURRENT}: {0}")]
    Unknown(#[from] std::io::Error),
    /// It is none that is known to be the hypervisor's or the processor's.
    #[error("expected one of the clock sources {ACCEPTED:?}, got {0:?}")]
    NotAccepted(String),
    /// The security module gave no time.
    #[error("the clock could not be read: {0}")]
    Module(String),
    /// It runs at another rate than the security module's clock.
    #[error("the clock source and the security module's clock differ: {here_ms} ms here were {there_ms} ms there")]
    Rate {
        /// Time that passed by the clock source.
        here_ms: u64,
        /// Time that passed by the security module.
        there_ms: u64,
    },
}

/// Checks which clock source the kernel uses, and that it runs as fast as the security module's clock, within a factor of
/// two. Returns its name.
///
/// # Errors
/// [`ClockSourceError`].
pub fn check(module: &mut impl ReadClock) -> Result<String, ClockSourceError> {
    let name = accepted(&std::fs::read_to_string(CURRENT)?)?;
    let mut compared = Ok(());
    for _ in 0..COMPARISONS {
        compared = compare(module);
        if compared.is_ok() {
            break;
        }
    }
    compared.map(|()| name)
}

fn accepted(current: &str) -> Result<String, ClockSourceError> {
    let name = current.trim();
    if ACCEPTED.contains(&name) { Ok(name.to_owned()) } else { Err(ClockSourceError::NotAccepted(name.to_owned())) }
}

fn compare(module: &mut impl ReadClock) -> Result<(), ClockSourceError> {
    let (since, from_ms) = next_change(module)?;
    std::thread::sleep(COMPARED_FOR);
    let (until, to_ms) = next_change(module)?;
    let (here_ms, there_ms) = (millis(until.saturating_duration_since(since)), to_ms.saturating_sub(from_ms));
    if here_ms > there_ms.saturating_mul(2) || there_ms > here_ms.saturating_mul(2) {
        return Err(ClockSourceError::Rate { here_ms, there_ms });
    }
    Ok(())
}

/// When the security module's clock next says another time, and which: some say whole seconds only.
fn next_change(module: &mut impl ReadClock) -> Result<(Instant, u64), ClockSourceError> {
    let from = Instant::now();
    let before = module.unix_ms().map_err(ClockSourceError::Module)?;
    while from.elapsed() < MAX_UNCHANGED {
        let now = module.unix_ms().map_err(ClockSourceError::Module)?;
        if now != before {
            return Ok((Instant::now(), now));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(ClockSourceError::Rate { here_ms: millis(from.elapsed()), there_ms: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that runs at a multiple of the true rate, and says multiples of so many milliseconds.
    struct Rate(f64, u64, Instant);

    impl ReadClock for Rate {
        fn unix_ms(&mut self) -> Result<u64, String> {
            let passed = (self.2.elapsed().as_secs_f64() * 1000.0 * self.0) as u64;
            Ok(1_000_000 + passed / self.1 * self.1)
        }
    }

    #[test]
    fn t43_only_clock_sources_that_the_parent_cannot_set_are_accepted() {
        for good in ["tsc\n", "tsc-early\n", "kvm-clock\n", "refined-jiffies\n"] {
            assert!(accepted(good).is_ok(), "{good}");
        }
        for bad in ["", "xen\n", "hyperv_clocksource_msr\n", "acpi_pm\n", "hpet\n"] {
            assert!(matches!(accepted(bad), Err(ClockSourceError::NotAccepted(_))), "{bad}");
        }
    }

    #[test]
    fn t43_a_clock_source_at_another_rate_than_the_security_module_s_is_refused() {
        let compared = |rate, unit| compare(&mut Rate(rate, unit, Instant::now()));
        for unit in [1, 1000] {
            assert!(compared(1.0, unit).is_ok(), "{unit}");
            assert!(matches!(compared(5.0, unit), Err(ClockSourceError::Rate { .. })), "{unit}");
        }
        assert!(matches!(compared(0.2, 1), Err(ClockSourceError::Rate { .. })));
        assert!(matches!(compared(0.0, 1), Err(ClockSourceError::Rate { there_ms: 0, .. })), "it stands still");
    }
}
