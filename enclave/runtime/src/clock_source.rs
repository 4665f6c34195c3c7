//! What carries the time between two readings of the security module: the kernel's clock source, checked at boot
//! (threat T43).

use crate::clock::ReadClock;
use std::time::{Duration, Instant};

const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// The processor's counter and the hypervisor's clock; and counted timer interrupts, which is all that an emulator has. None
/// of them reads a clock that the parent sets.
const ACCEPTED: [&str; 4] = ["tsc", "tsc-early", "kvm-clock", "refined-jiffies"];
/// How long the two clocks are compared.
const COMPARED_FOR: Duration = Duration::from_millis(400);
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
        compared = compare(module, std::thread::sleep);
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

fn compare(module: &mut impl ReadClock, wait: impl FnOnce(Duration)) -> Result<(), ClockSourceError> {
    let (here, there) = (Instant::now(), module.unix_ms().map_err(ClockSourceError::Module)?);
    wait(COMPARED_FOR);
    let there_ms = module.unix_ms().map_err(ClockSourceError::Module)?.saturating_sub(there);
    let here_ms = u64::try_from(here.elapsed().as_millis()).unwrap_or(u64::MAX);
    if here_ms > there_ms.saturating_mul(2) || there_ms > here_ms.saturating_mul(2) {
        return Err(ClockSourceError::Rate { here_ms, there_ms });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that runs at a multiple of the true rate.
    struct Rate(f64, Instant);

    impl ReadClock for Rate {
        fn unix_ms(&mut self) -> Result<u64, String> {
            Ok(1_000_000 + (self.1.elapsed().as_secs_f64() * 1000.0 * self.0) as u64)
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
        let compared = |rate| compare(&mut Rate(rate, Instant::now()), std::thread::sleep);
        assert!(compared(1.0).is_ok());
        assert!(matches!(compared(0.2), Err(ClockSourceError::Rate { .. })));
        assert!(matches!(compared(5.0), Err(ClockSourceError::Rate { .. })));
    }
}
