//! How far an exchange came: also known when it failed or its time was over.

use cosigner_core::{ExchangeFailure, ExchangeOutcome, ExchangeReport, ServerSeen};
use countersign_wire::admin::TestStep;
use countersign_wire::callback::StepTimes;
use std::time::Duration;
use tokio::time::Instant;

/// A step of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Resolving the name.
    Resolve,
    /// Connecting to the checked address.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The request and its answer.
    Answer,
}

/// The times of the steps that ended, and the server, once its certificate was accepted.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    steps: StepTimes,
    running: Option<(Step, Instant)>,
    server: Option<ServerSeen>,
}

impl Progress {
    /// Ends the running step and begins another one.
    pub(crate) fn begin(&mut self, step: Step) {
        self.end();
        self.running = Some((step, Instant::now()));
    }

    /// Ends the running step.
    pub(crate) fn end(&mut self) {
        let Some((step, since)) = self.running.take() else { return };
        let time = match step {
            Step::Resolve => &mut self.steps.resolve_us,
            Step::Connect => &mut self.steps.connect_us,
            Step::Tls => &mut self.steps.tls_us,
            Step::Answer => &mut self.steps.answer_us,
        };
        *time = Some(time.unwrap_or(0).saturating_add(micros(since.elapsed())));
    }

    /// The server's certificate was accepted.
    pub(crate) fn saw(&mut self, server: ServerSeen) {
        self.server = Some(server);
    }

    /// Forgets everything: the exchange begins anew.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    /// The report. A step that failed has a time; one that had not ended when the time was over has none, so that it can
    /// be told which one that was.
    pub(crate) fn report(mut self, outcome: ExchangeOutcome) -> ExchangeReport {
        if !matches!(outcome, Err(ExchangeFailure::Timeout(_))) {
            self.end();
        }
        let unfinished = self.running.map(|(step, _)| match step {
            Step::Resolve => TestStep::Resolve,
            Step::Connect => TestStep::Connect,
            Step::Tls => TestStep::Tls,
            Step::Answer => TestStep::Http,
        });
        ExchangeReport { outcome, steps: self.steps, unfinished, server: self.server }
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_failed_has_a_time_and_one_that_never_ended_has_none() {
        for (failure, has_time) in
            [(ExchangeFailure::Connect(String::new()), true), (ExchangeFailure::Timeout(1), false)]
        {
            let mut progress = Progress::default();
            progress.begin(Step::Resolve);
            progress.begin(Step::Connect);
            let report = progress.report(Err(failure));
            assert_eq!(report.unfinished, (!has_time).then_some(TestStep::Connect));
            let steps = report.steps;
            assert_eq!((steps.resolve_us.is_some(), steps.connect_us.is_some()), (true, has_time));
            assert!(steps.tls_us.is_none() && steps.answer_us.is_none());
        }
    }

    #[test]
    fn what_was_before_a_new_beginning_does_not_count() {
        let mut progress = Progress::default();
        progress.begin(Step::Answer);
        progress.restart();
        assert_eq!(progress.report(Err(ExchangeFailure::Timeout(1))).steps, StepTimes::default());
    }
}
