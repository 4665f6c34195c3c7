//! Work done ahead: safe primes for the next group, and a key for callback requests for the next pairing. One spare of
//! each at most, at low priority.

use crate::core::Phase;
use crate::effect::JobSpec;
use crate::input::JobEvent;
use crate::limits::BACKGROUND_RETRY_MS;
use crate::serving::{Cx, JobOwner, blobs};
use crate::state::{PrimesRecord, Secret};
use countersign_wire::ceremony::GroupState;

/// The spares, and the jobs that make them.
#[derive(Default)]
pub(crate) struct Background {
    primes: Option<Secret>,
    primes_job: Option<u64>,
    found: u8,
    used_first: bool,
    callback_key: Option<Secret>,
    callback_job: Option<u64>,
    /// After a failure: when to try again (Unix ms).
    retry_at_ms: u64,
}

impl Background {
    /// Takes over what was sealed before the boot.
    pub(crate) fn restore(&mut self, spare: Option<Secret>) {
        if spare.is_some() {
            self.primes = spare;
        }
    }

    pub(crate) fn spare_primes(&self) -> Option<&Secret> {
        self.primes.as_ref()
    }

    /// Safe primes found so far for the next group, of 4.
    pub(crate) fn primes_found(&self) -> u8 {
        if self.primes.is_some() { 4 } else { self.found }
    }

    pub(crate) fn callback_key(&mut self) -> &mut Option<Secret> {
        &mut self.callback_key
    }

    pub(crate) fn job_event(&mut self, cx: &mut Cx<'_>, phase: &mut Phase, job: u64, event: JobEvent) {
        match event {
            JobEvent::PrimesFound(found) if self.primes_job == Some(job) => self.found = found,
            JobEvent::Primes(primes) if self.primes_job == Some(job) => {
                self.end(cx, job);
                let primes = Secret::new(primes.expose());
                if let Phase::Serving(_) = phase {
                    cx.save(blobs::spare_primes(), &PrimesRecord { group: None, primes: primes.clone() });
                }
                self.primes = Some(primes);
            }
            JobEvent::CallbackKey(key) if self.callback_job == Some(job) => {
                self.end(cx, job);
                self.callback_key = Some(Secret::new(&key));
            }
            JobEvent::Failed(failure) => {
                tracing::error!(%failure, "a background job failed; it is started again");
                self.end(cx, job);
                self.retry_at_ms = cx.now.saturating_add(BACKGROUND_RETRY_MS);
            }
            _ => {}
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>, job: u64) {
        cx.running.jobs.remove(&job);
        if self.primes_job == Some(job) {
            self.primes_job = None;
            self.found = 0;
        }
        if self.callback_job == Some(job) {
            self.callback_job = None;
        }
    }

    /// After every step: gives primes to groups that wait for them, and starts what is missing.
    pub(crate) fn tend(&mut self, cx: &mut Cx<'_>, phase: &mut Phase) {
        let mut wanted = !self.used_first;
        match phase {
            Phase::Serving(serving) => {
                for pairing in serving.pairings.values_mut() {
                    let waiting = pairing.record.groups.iter().map(|g| g.group.id);
                    let waiting: Vec<_> =
                        waiting.filter(|id| pairing.group_state(id) == GroupState::FindingPrimes).collect();
                    for group in waiting {
                        let given = cx.caps.given_primes.as_ref().map(|p| Secret::new(p.expose()));
                        let Some(primes) = given.or_else(|| self.take_primes(cx)) else {
                            wanted = true;
                            continue;
                        };
                        let record = PrimesRecord { group: Some(group), primes };
                        cx.save(blobs::primes(pairing.record.id, group), &record);
                        pairing.primes.insert(group, record.primes);
                        pairing.hello(cx);
                    }
                }
            }
            Phase::Fresh(_) | Phase::Claiming(_) => {}
            Phase::Waiting | Phase::Loading(_) | Phase::Unlocking(_) | Phase::Failed(_) => return,
        }
        if cx.now < self.retry_at_ms {
            return;
        }
        if wanted && self.primes.is_none() && self.primes_job.is_none() && cx.caps.given_primes.is_none() {
            self.primes_job = Some(cx.start_job(JobOwner::Primes, JobSpec::Primes));
        }
        if self.callback_key.is_none() && self.callback_job.is_none() {
            self.callback_job = Some(cx.start_job(JobOwner::CallbackKey, JobSpec::CallbackKey));
        }
    }

    fn take_primes(&mut self, cx: &mut Cx<'_>) -> Option<Secret> {
        let primes = self.primes.take()?;
        self.used_first = true;
        cx.delete(blobs::spare_primes());
        Some(primes)
    }
}
