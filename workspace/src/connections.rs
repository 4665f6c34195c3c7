//! A limit on open connections: more are closed before anything is read from them.

use crate::metrics::Metrics;
use axum_server::accept::Accept;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Closes connections over the limit at once.
#[derive(Clone)]
pub struct Limit {
    free: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl<I, S> Accept<I, S> for Limit {
    type Stream = Counted<I>;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Counted<I>, S)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        std::future::ready(match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => Ok((Counted { stream, _permit: permit }, service)),
            Err(_) => {
                self.metrics.connection_refused();
                Err(io::Error::other("too many connections"))
            }
        })
    }
}

impl Limit {
    /// At most `max` connections at one time.
    pub fn new(max: usize, metrics: Arc<Metrics>) -> Self {
        Self { free: Arc::new(Semaphore::new(max)), metrics }
    }
}

/// A connection that counts until it is dropped.
pub struct Counted<I> {
    stream: I,
    _permit: OwnedSemaphorePermit,
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counted<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
