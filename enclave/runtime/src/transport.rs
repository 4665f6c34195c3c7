//! Connections to the host. The enclave opens all of them.

use crate::limits::{CONNECT_TIMEOUT, MAX_WRITE_BYTES};
use std::env::VarError;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_vsock::{VsockAddr, VsockStream};

/// How to reach the host.
pub trait Transport: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens one.
    fn open(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Opens a connection within [`CONNECT_TIMEOUT`], with writes capped.
///
/// # Errors
/// What the transport said, or that the time is over.
pub async fn connect<T: Transport>(transport: &T) -> io::Result<Capped<T::Stream>> {
    match tokio::time::timeout(CONNECT_TIMEOUT, transport.open()).await {
        Ok(opened) => opened.map(Capped),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the host does not take connections")),
    }
}

/// Environment variable with the parent's context id; the kernel makes one of an argument `parent_cid=…`.
const PARENT_CID: &str = "parent_cid";
/// The parent's context id on AWS.
const AWS_PARENT_CID: u32 = 3;

/// The parent's context id is no number.
#[derive(Debug, thiserror::Error)]
#[error("{PARENT_CID}: expected a number, got {0:?}")]
pub struct ParentCidError(String);

/// The parent's context id. Who starts the enclave says it; it decides who carries the bytes, and nothing else.
///
/// # Errors
/// [`ParentCidError`].
pub fn parent_cid() -> Result<u32, ParentCidError> {
    match std::env::var(PARENT_CID) {
        Ok(text) => text.parse().map_err(|_| ParentCidError(text)),
        Err(VarError::NotPresent) => Ok(AWS_PARENT_CID),
        Err(VarError::NotUnicode(text)) => Err(ParentCidError(text.to_string_lossy().into_owned())),
    }
}

/// The host over vsock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vsock {
    /// The parent's context id: 3 on AWS, 2 under QEMU.
    pub cid: u32,
    /// The host's port.
    pub port: u32,
}

impl Transport for Vsock {
    type Stream = VsockStream;

    async fn open(&self) -> io::Result<VsockStream> {
        VsockStream::connect(VsockAddr::new(self.cid, self.port)).await
    }
}

/// The host over a Unix socket: process mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unix {
    /// The host's socket.
    pub path: PathBuf,
}

impl Transport for Unix {
    type Stream = UnixStream;

    async fn open(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.path).await
    }
}

/// A stream whose single writes are at most [`MAX_WRITE_BYTES`].
#[derive(Debug)]
pub struct Capped<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Capped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Capped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let part = buf.get(..MAX_WRITE_BYTES).unwrap_or(buf);
        Pin::new(&mut self.0).poll_write(cx, part)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    // `poll_write_vectored` and `is_write_vectored` stay at their defaults: a vectored write would pass the cap.
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Takes everything and remembers the size of each write.
    struct Sizes(Vec<usize>);

    impl AsyncWrite for Sizes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(buf.len());
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn no_single_write_exceeds_the_cap() {
        use tokio::io::AsyncWriteExt;
        let mut stream = Capped(Sizes(Vec::new()));
        stream.write_all(&vec![7; 100_000]).await.unwrap();
        let parts = [io::IoSlice::new(&[1; 20_000]), io::IoSlice::new(&[2; 20_000])];
        poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &parts)).await.unwrap();
        assert!(!stream.is_write_vectored());
        assert_eq!(stream.0.0.iter().take(7).sum::<usize>(), 100_000);
        assert!(stream.0.0.iter().all(|size| *size <= MAX_WRITE_BYTES), "{:?}", stream.0.0);
    }
}
