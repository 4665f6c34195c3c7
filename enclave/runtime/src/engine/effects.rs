//! Executes effects.

use super::{Decide, Engine};
use crate::clock::ReadClock;
use crate::event::Event;
use crate::exchange::Exchanges;
use crate::key_service::{KeyService, KeyServiceError};
use crate::limits::KEY_SERVICE_TIMEOUT;
use crate::transport::Transport;
use cosigner_core::{
    Effect, ExchangeFailure, ExchangeReport, ExchangeSpec, Input, JobEvent, JobSpec, SealingKeyAnswer,
};
use countersign_mpc::Failure;
use countersign_wire::host_link::{BlobWrite, Counter, CounterValue, FromEnclave};
use countersign_wire::{Bytes, List, OutOfBounds, Text};
use std::future::Future;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

impl<C: Decide, S: ReadClock, T: Transport, K: KeyService> Engine<C, S, T, K> {
    pub(super) async fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::LoadBlobs => self.tell_host(FromEnclave::LoadBlobs).await,
            Effect::Persist { sequence, fresh, writes } => self.persist(sequence, fresh, writes).await,
            Effect::LinkSend { pairing, frame } => {
                let message = Bytes::new(frame).map(|frame| FromEnclave::LinkSend { pairing, frame });
                self.tell_host_if_it_fits("LinkSend", message).await;
            }
            Effect::LinkOpen { pairing, url, access_token, root } => {
                let message = root.into_iter().map(Bytes::new).collect::<Result<Vec<_>, _>>().and_then(List::new);
                let message = message.map(|roots| FromEnclave::LinkOpen { pairing, url, access_token, roots });
                self.tell_host_if_it_fits("LinkOpen", message).await;
            }
            Effect::LinkClose { pairing } => self.tell_host(FromEnclave::LinkClose { pairing }).await,
            Effect::Admin { connection, packet } => {
                let message = Bytes::new(packet).map(|packet| FromEnclave::Admin { connection, packet });
                self.tell_host_if_it_fits("Admin", message).await;
            }
            Effect::AdminClose { connection } => self.tell_host(FromEnclave::AdminClose { connection }).await,
            Effect::Report { ready, counters } => {
                let counters = List::cut(self.with_own_counters(counters));
                self.tell_host(FromEnclave::Report { ready, counters }).await;
            }
            Effect::Exchange { id, spec } => self.exchange(id, *spec),
            Effect::GenerateSealingKey { instance, wrapping_key } => {
                let service = self.key_service.clone();
                self.ask_key_service(async move { service.generate(instance, &wrapping_key).await });
            }
            Effect::UnwrapSealingKey { instance, wrapping_key, wrapped } => {
                let service = self.key_service.clone();
                self.ask_key_service(async move { service.unwrap(instance, &wrapping_key, wrapped).await });
            }
            Effect::StartJob { job, spec } => self.start_job(job, spec),
            Effect::JobMessage { job, from, broadcast, message } => {
                if let Err(error) = self.workers.message(job, from, broadcast, message) {
                    self.job_failed(job, error.to_string());
                }
            }
            Effect::FinishJob { job } => self.workers.finish_job(job),
            Effect::DropJob { job } => self.workers.drop_job(job),
            Effect::WakeAt { at_ms } => self.wake_at_ms = Some(at_ms),
        }
    }

    /// Waits while the queue is full: then the core takes no further input. Without a connection there is nobody to tell,
    /// and the core knows or will be told with the next input.
    async fn tell_host(&mut self, message: FromEnclave) {
        if let Some(host) = &self.host
            && host.send(message).await.is_err()
        {
            self.host = None;
        }
    }

    async fn tell_host_if_it_fits(&mut self, what: &'static str, message: Result<FromEnclave, OutOfBounds>) {
        match message {
            Ok(message) => self.tell_host(message).await,
            Err(error) => tracing::error!(what, %error, "too large for the host link; not sent"),
        }
    }

    async fn persist(&mut self, sequence: u64, fresh: bool, writes: Vec<BlobWrite>) {
        match List::new(writes) {
            Ok(writes) => self.tell_host(FromEnclave::Persist { sequence, fresh, writes }).await,
            Err(error) => self.own.push_back(Input::PersistFailed { sequence, detail: format!("writes: {error}") }),
        }
    }

    fn exchange(&self, id: u64, spec: ExchangeSpec) {
        let exchanges = self.exchanges.clone();
        let purpose = spec.purpose;
        answer(&self.events, async move { Exchanges::run(&exchanges, spec).await }, move |report| {
            let report = report
                .unwrap_or_else(|| ExchangeReport::from(Err(ExchangeFailure::Unavailable("an internal error".into()))));
            match &report.outcome {
                Ok(answer) => tracing::debug!(?purpose, status = answer.status, "exchange"),
                Err(error) => tracing::info!(?purpose, %error, "exchange failed"),
            }
            Input::ExchangeDone { id, report }
        });
    }

    fn ask_key_service(&self, work: impl Future<Output = Result<SealingKeyAnswer, KeyServiceError>> + Send + 'static) {
        let timed = async move {
            let slow = |_| KeyServiceError::Service(format!("no answer within {} s", KEY_SERVICE_TIMEOUT.as_secs()));
            tokio::time::timeout(KEY_SERVICE_TIMEOUT, work).await.map_err(slow)?
        };
        answer(&self.events, timed, |outcome| {
            let outcome = outcome.unwrap_or(Err(KeyServiceError::Service("an internal error".into())));
            Input::SealingKey(outcome.map_err(|error| {
                tracing::error!(%error, "no sealing key");
                error.to_string()
            }))
        });
    }

    fn start_job(&mut self, job: u64, spec: JobSpec) {
        let mut seed = Zeroizing::new([0; 32]);
        self.entropy.fill_bytes(seed.as_mut_slice());
        if let Err(error) = self.workers.start_job(job, spec, seed) {
            self.job_failed(job, error.to_string());
        }
    }

    fn job_failed(&mut self, job: u64, detail: String) {
        tracing::warn!(job, detail, "job failed");
        self.own.push_back(Input::Job { job, event: JobEvent::Failed(Failure::Internal { detail }) });
    }

    /// The runtime's own come first: should all together be too many, the core's last ones are left out.
    fn with_own_counters(&self, counters: Vec<Counter>) -> Vec<Counter> {
        let waiting = self.events.max_capacity().saturating_sub(self.events.capacity());
        let own = [
            ("runtime_jobs", self.workers.len()),
            ("runtime_exchanges", self.exchanges.running()),
            ("runtime_idle_connections", self.exchanges.idle_connections()),
            ("runtime_waiting_inputs", waiting),
        ];
        let own = own.into_iter().map(|(name, value)| Counter {
            name: Text::cut(name),
            labels: List::default(),
            value: CounterValue::Gauge(u64::try_from(value).unwrap_or(u64::MAX)),
        });
        own.chain(counters).collect()
    }
}

/// Does work beside the core and gives it the answer as an input. A panic in the work is no answer.
fn answer<R: Send + 'static>(
    events: &mpsc::Sender<Event>,
    work: impl Future<Output = R> + Send + 'static,
    input: impl FnOnce(Option<R>) -> Input + Send + 'static,
) {
    let events = events.clone();
    tokio::spawn(async move {
        let result = tokio::spawn(work).await.ok();
        // Nobody listens any more: the process ends.
        let _ = events.send(Event::Input(input(result))).await;
    });
}
