//! What the core's thread and a worker share about one job.

use crate::limits::{MAX_WAITING_JOB_BYTES, MAX_WAITING_JOB_MESSAGES};
use countersign_mpc::Failure;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The switch of a job, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Control {
    cancelled: AtomicBool,
    waiting_bytes: AtomicUsize,
    waiting_messages: AtomicUsize,
}

impl Control {
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Counts a message that is about to wait. `false` if there are too many: it must not be sent.
    ///
    /// One thread reserves, another releases, so a check before an addition cannot let too many in.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let waiting_bytes = self.waiting_bytes.load(Ordering::Acquire).saturating_add(bytes);
        let waiting_messages = self.waiting_messages.load(Ordering::Acquire).saturating_add(1);
        if waiting_bytes > MAX_WAITING_JOB_BYTES || waiting_messages > MAX_WAITING_JOB_MESSAGES {
            return false;
        }
        self.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.waiting_messages.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Counts a message that waits no longer.
    pub(super) fn release(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.waiting_messages.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs a part of a job. A panic in it is the job's failure and nobody else's; what it leaves behind must not be used.
pub(super) fn guarded<R>(part: impl FnOnce() -> R) -> Result<R, Failure> {
    catch_unwind(AssertUnwindSafe(part)).map_err(|payload| {
        forget(payload);
        internal("a panic; the log says where")
    })
}

/// The payload may be anything, also something whose drop panics.
fn forget(payload: Box<dyn Any + Send>) {
    if catch_unwind(AssertUnwindSafe(|| drop(payload))).is_err() {
        tracing::error!("a panic while a panic was cleaned up");
    }
}

pub(super) fn internal(detail: impl Into<String>) -> Failure {
    Failure::Internal { detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t47_what_waits_for_a_job_is_limited_in_number_and_size() {
        let control = Control::default();
        assert!(control.reserve(MAX_WAITING_JOB_BYTES));
        assert!(!control.reserve(1));
        control.release(MAX_WAITING_JOB_BYTES);
        for _ in 0..MAX_WAITING_JOB_MESSAGES {
            assert!(control.reserve(1));
        }
        assert!(!control.reserve(0));
        control.release(1);
        assert!(control.reserve(0));
    }

    #[test]
    fn a_panic_is_a_failure() {
        assert_eq!(guarded(|| 7), Ok(7));
        assert!(matches!(guarded(|| std::panic::panic_any(7)), Err(Failure::Internal { .. })));
    }
}
