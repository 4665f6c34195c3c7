//! Streams dialled for the enclave: resolve a name, connect to exactly the address that the enclave checked, then copy
//! bytes. TLS ends inside the enclave.

mod connect;
mod copy;
pub mod deny;
mod resolve;

use crate::config;
use crate::framing::{FramingError, ReadLimits, read_frame, write_frame};
use crate::metrics::Metrics;
use crate::proxy::ProxyError;
use crate::stream::Stream;
use connect::Connector;
use copy::CopyLimits;
use countersign_wire::dial::{Address, DialAnswer, DialRequest, DialStep};
use countersign_wire::{DecodeError, List, Message, Text};
use resolve::Resolver;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Dials streams.
pub struct Dialler {
    config: config::Dial,
    places: Arc<Semaphore>,
    resolver: Resolver,
    connector: Connector,
    metrics: Arc<Metrics>,
}

/// Why a stream ended before it was connected.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The enclave's frames were not readable, or did not come in time.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// A request is not one of ours.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The enclave closed its side, or spoke out of turn, while it was waited for.
    #[error("the enclave did not wait for the answer")]
    Left,
    /// More requests than allowed.
    #[error("expected at most {0} requests on one stream")]
    TooManyRequests(u32),
    /// A step failed, and the enclave was told.
    #[error("{step:?} failed: {detail}")]
    Step {
        /// Which.
        step: DialStep,
        /// Why.
        detail: String,
    },
}

impl DialError {
    /// A short stable word for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Framing(e) => e.code(),
            Self::Decode(DecodeError::Version { .. }) => "version",
            Self::Decode(_) => "malformed",
            Self::Left => "left",
            Self::TooManyRequests(_) => "requests",
            Self::Step { step: DialStep::Resolve, .. } => "resolve",
            Self::Step { step: DialStep::Connect, .. } => "connect",
            Self::Step { step: DialStep::Limit, .. } => "limit",
        }
    }
}

/// Works as long as the enclave waits for it: a call that it gave up takes no place any more.
async fn while_there<T>(stream: &mut Stream, work: impl Future<Output = T>) -> Result<T, DialError> {
    tokio::select! {
        // It says nothing before it has the answer.
        _ = stream.read_u8() => Err(DialError::Left),
        done = work => Ok(done),
    }
}

impl Dialler {
    /// Takes the configuration over.
    ///
    /// # Errors
    /// The proxy's setting is not understood.
    pub fn new(config: &config::Dial, metrics: Arc<Metrics>) -> Result<Self, ProxyError> {
        Ok(Self {
            config: config.clone(),
            places: Arc::new(Semaphore::new(config.max_streams)),
            resolver: Resolver::new(config.max_resolutions, config.resolve_timeout_ms.into()),
            connector: Connector::new(config)?,
            metrics,
        })
    }

    /// Whether streams go through a proxy.
    pub fn is_proxied(&self) -> bool {
        self.connector.is_proxied()
    }

    /// Serves one stream until it ends. `opening` is given back once the stream has a place of its own.
    pub async fn serve(&self, mut stream: Stream, opening: OwnedSemaphorePermit) {
        if let Err(error) = self.serve_one(&mut stream, opening).await {
            self.metrics.dial_failed(error.code());
            tracing::debug!(%error, "a stream for the enclave ended before it was connected");
        }
    }

    async fn serve_one(&self, stream: &mut Stream, opening: OwnedSemaphorePermit) -> Result<(), DialError> {
        let Ok(_place) = self.places.clone().try_acquire_owned() else {
            // The request is read first: a stream closed with bytes unread may lose the answer.
            self.request(stream).await?;
            let detail = format!("at most {} streams at once", self.config.max_streams);
            return self.fail(stream, DialStep::Limit, detail).await;
        };
        drop(opening);
        let _open = self.metrics.dial_stream();
        let mut resolved = None;
        for _ in 0..self.config.max_requests {
            match self.request(stream).await? {
                None => return Ok(()),
                Some(DialRequest::Resolve { name }) => match while_there(stream, self.resolver.resolve(&name)).await? {
                    Ok(addresses) => {
                        resolved = Some(name);
                        let addresses = List::cut(addresses.into_iter().map(Address::from).collect());
                        self.answer(stream, &DialAnswer::Resolved { addresses }).await?;
                    }
                    Err(error) => return self.fail(stream, DialStep::Resolve, error.to_string()).await,
                },
                Some(DialRequest::Connect { address, port }) => {
                    let address = SocketAddr::new(IpAddr::from(address), port);
                    let connected = self.connector.connect(resolved.as_deref(), address);
                    let outside = match while_there(stream, connected).await? {
                        Ok(outside) => outside,
                        Err(detail) => return self.fail(stream, DialStep::Connect, detail).await,
                    };
                    self.answer(stream, &DialAnswer::Connected).await?;
                    self.metrics.dial_connected();
                    let limits = CopyLimits {
                        idle: self.config.idle_timeout_ms.into(),
                        half_closed: self.config.half_closed_timeout_ms.into(),
                        total: self.config.total_timeout_ms.into(),
                        max_bytes: self.config.max_bytes,
                    };
                    let copied = copy::both_ways(stream, outside, limits).await;
                    self.metrics.dial_copied(true, copied.out);
                    self.metrics.dial_copied(false, copied.into);
                    tracing::debug!(out = copied.out, into = copied.into, end = %copied.end, "a stream ended");
                    return Ok(());
                }
            }
        }
        Err(DialError::TooManyRequests(self.config.max_requests))
    }

    async fn request(&self, stream: &mut Stream) -> Result<Option<DialRequest>, DialError> {
        let limit = Duration::from(self.config.request_timeout_ms);
        let limits = ReadLimits { max_bytes: DialRequest::MAX_BYTES, first_byte: Some(limit), rest: limit };
        match read_frame(stream, limits).await? {
            Some(payload) => Ok(Some(DialRequest::decode(&payload)?)),
            None => Ok(None),
        }
    }

    async fn answer(&self, stream: &mut Stream, answer: &DialAnswer) -> Result<(), DialError> {
        let limit = self.config.request_timeout_ms.into();
        write_frame(stream, &answer.encode(), limit).await?;
        stream.flush().await.map_err(FramingError::Io)?;
        Ok(())
    }

    async fn fail(&self, stream: &mut Stream, step: DialStep, detail: String) -> Result<(), DialError> {
        self.answer(stream, &DialAnswer::Failed { step, detail: Text::cut(detail.clone()) }).await?;
        Err(DialError::Step { step, detail })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn t31_what_the_enclave_gave_up_is_not_worked_on() {
        let (enclave, host) = UnixStream::pair().unwrap();
        let mut host: Stream = Box::new(host);
        assert_eq!(while_there(&mut host, async { 7 }).await.unwrap(), 7);
        drop(enclave);
        assert!(matches!(while_there(&mut host, std::future::pending::<()>()).await, Err(DialError::Left)));
    }
}
