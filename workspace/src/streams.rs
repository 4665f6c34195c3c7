//! The streams that the API is served on: each in its place among the connections, each with deadlines.
//!
//! hyper's own deadline begins when it knows that HTTP/1 is spoken, and ends with a request's head. What is left is watched
//! here: the bytes that decide the version, and a peer that does not read what is written to it.

use crate::connections::{Connections, Place};
use axum_server::accept::Accept;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How the preface of HTTP/2 begins. No method of HTTP/1 does.
const HTTP2: &[u8] = b"PRI";

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// Gives each connection its place, or closes it at once.
#[derive(Clone)]
pub struct Places {
    /// All of them.
    pub connections: Arc<Connections>,
    /// How long a peer may take to read anything of what is written to it.
    pub write_deadline: Duration,
}

impl<S> Accept<TcpStream, S> for Places {
    type Stream = Placed<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // A frame in two writes would wait for the peer's delayed acknowledgement: 40 ms and more.
        let peer = stream.set_nodelay(true).and_then(|()| stream.peer_addr());
        let place = peer.map(|peer| self.connections.admit(peer));
        let full = || io::Error::other("too many connections");
        ready(place.and_then(|place| place.ok_or_else(full)).map(|place| {
            let stream = Placed { stream, place, write_deadline: self.write_deadline, stuck: None };
            (stream, service)
        }))
    }
}

/// A connection in its place.
pub struct Placed<I> {
    stream: I,
    place: Place,
    write_deadline: Duration,
    /// Until when something has to be taken of what is written.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<I> Placed<I> {
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        if self.place.is_over(cx) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it gave way to another connection"));
        }
        Ok(())
    }

    /// The outcome of a write, unless nothing was taken for too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stuck = None;
            return outcome;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(self.write_deadline)));
        match stuck.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(timed_out("the peer does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Placed<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Placed<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.in_time(cx, outcome)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, outcome)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(cx, outcome)
    }
}

/// Serves HTTP/1 only, and only who begins to speak it in time.
#[derive(Clone)]
pub struct Http1<A> {
    /// What comes before: TLS.
    pub inner: A,
    /// How long the first bytes of a request may take.
    pub first_bytes: Duration,
}

type Accepted<I, S> = Pin<Box<dyn Future<Output = io::Result<(Speaking<I>, S)>> + Send>>;

impl<A, I, S> Accept<I, S> for Http1<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
    A::Stream: Send + 'static,
    A::Service: Send + 'static,
{
    type Stream = Speaking<A::Stream>;
    type Service = A::Service;
    type Future = Accepted<A::Stream, A::Service>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (accepted, first_bytes) = (self.inner.accept(stream, service), self.first_bytes);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            Ok((Speaking { stream, undecided: Some((Box::pin(sleep(first_bytes)), 0)) }, service))
        })
    }
}

/// A connection whose first bytes are watched.
pub struct Speaking<I> {
    stream: I,
    /// Until when the version has to be known, and how much of HTTP/2's preface came.
    undecided: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Speaking<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, undecided } = &mut *self;
        let Some((deadline, preface)) = undecided else { return Pin::new(stream).poll_read(cx, buf) };
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(timed_out("expected a request")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf))?;
        for byte in buf.filled().get(before..).unwrap_or_default() {
            if HTTP2.get(*preface) != Some(byte) {
                *undecided = None;
                return Poll::Ready(Ok(()));
            }
            *preface = preface.saturating_add(1);
            if *preface == HTTP2.len() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "expected HTTP/1.1")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Speaking<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::connections::Bounds;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const DEADLINE: Duration = Duration::from_secs(2);

    fn speaking<I>(stream: I) -> Speaking<I> {
        Speaking { stream, undecided: Some((Box::pin(sleep(DEADLINE)), 0)) }
    }

    #[tokio::test]
    async fn t47_who_does_not_begin_a_request_in_time_is_not_waited_for() {
        for said in [&b""[..], b"P", b"PR"] {
            let (mut peer, stream) = duplex(64);
            peer.write_all(said).await.unwrap();
            let mut stream = speaking(stream);
            let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{said:?}");
        }
    }

    #[tokio::test]
    async fn t47_http2_is_not_begun_and_http1_goes_on_without_this_deadline() {
        let (mut peer, stream) = duplex(64);
        peer.write_all(b"PRI * HTTP/2.0\r\n\r\n").await.unwrap();
        let error = speaking(stream).read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);

        let (mut peer, stream) = duplex(64);
        let mut stream = speaking(stream);
        peer.write_all(b"PO").await.unwrap();
        let (mut first, mut rest) = ([0; 2], [0; 2]);
        stream.read_exact(&mut first).await.unwrap();
        let later = tokio::spawn(async move {
            sleep(DEADLINE.saturating_mul(2)).await;
            peer.write_all(b"ST").await.unwrap();
        });
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!((&first, &rest), (b"PO", b"ST"));
        later.await.unwrap();
    }

    #[tokio::test]
    async fn t47_who_does_not_read_is_not_waited_for() {
        let all = Connections::new(Bounds { connections: 1, per_address: 1, links: 1 }, Arc::default());
        let place = all.admit("192.0.2.1:1".parse().unwrap()).unwrap();
        let (mut peer, stream) = duplex(4);
        let mut stream = Placed { stream, place, write_deadline: DEADLINE, stuck: None };
        let slow = tokio::spawn(async move {
            let mut four = [0; 4];
            for _ in 0..3 {
                sleep(DEADLINE / 2).await;
                peer.read_exact(&mut four).await.unwrap();
            }
            peer
        });
        stream.write_all(&[7; 12]).await.unwrap();
        let _open = slow.await.unwrap();
        let error = stream.write_all(&[7; 12]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
