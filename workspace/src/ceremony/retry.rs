use super::settings::Settings;
use rand_core::RngCore;

/// When a message is due again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    /// Unix time in ms at which it is due.
    pub at_ms: u64,
    wait_ms: u64,
}

impl Retry {
    /// Due at once.
    pub fn now() -> Self {
        Self { at_ms: 0, wait_ms: 0 }
    }

    /// Whether it is due.
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.at_ms
    }

    /// Not due for so many ms: the other side tells by itself what comes of it.
    pub fn later(&mut self, now_ms: u64, wait_ms: u64) {
        self.at_ms = now_ms.saturating_add(wait_ms);
    }

    /// It was sent: the next time is later each time.
    pub fn sent(&mut self, now_ms: u64, settings: &Settings) {
        self.wait_ms = doubled(self.wait_ms, settings.resend_first_ms, settings.resend_longest_ms);
        self.at_ms = now_ms.saturating_add(self.wait_ms);
    }
}

/// The wait after `wait_ms`: `first_ms`, then twice as long each time, up to `longest_ms`.
fn doubled(wait_ms: u64, first_ms: u64, longest_ms: u64) -> u64 {
    wait_ms.saturating_mul(2).clamp(first_ms.max(1), longest_ms.max(first_ms).max(1))
}

/// A wait from half of `wait_ms` to all of it, so that what failed together does not come back together.
pub(super) fn jittered(wait_ms: u64, entropy: &mut dyn RngCore) -> u64 {
    let least = wait_ms.saturating_sub(wait_ms / 2);
    let span = (wait_ms / 2).saturating_add(1);
    least.saturating_add(entropy.next_u64().checked_rem(span).unwrap_or(0))
}

/// The wait before attempt number `attempts + 1`.
pub(super) fn wait_before_attempt(attempts: u32, first_ms: u64, longest_ms: u64) -> u64 {
    let factor = 1u64.checked_shl(attempts.saturating_sub(1).min(32)).unwrap_or(u64::MAX);
    first_ms.saturating_mul(factor).min(longest_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn what_failed_together_does_not_come_back_together() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let waits: BTreeSet<u64> = (0..64).map(|_| jittered(1_000, &mut rng)).collect();
        assert!(waits.len() > 32, "{waits:?}");
        assert!(waits.iter().all(|wait| (500..=1_000).contains(wait)), "{waits:?}");
        assert_eq!((jittered(0, &mut rng), jittered(1, &mut rng)), (0, 1));
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let settings = Settings { resend_first_ms: 100, resend_longest_ms: 350, ..Settings::default() };
        let mut retry = Retry::now();
        assert!(retry.is_due(0));
        let mut waits = Vec::new();
        for _ in 0..4 {
            retry.sent(1_000, &settings);
            waits.push(retry.at_ms - 1_000);
        }
        assert_eq!(waits, [100, 200, 350, 350]);
        assert_eq!([1, 2, 3, 9, 80].map(|n| wait_before_attempt(n, 500, 3_000)), [500, 1_000, 2_000, 3_000, 3_000]);
    }
}
