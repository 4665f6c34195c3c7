//! An open connection to a server that was accepted: with HTTP/1.1 for one exchange at a time, with HTTP/2 for several.

use super::counted::{Counted, Received};
use super::failure::failure;
use super::http::Post;
use super::tasks::Tasks;
use crate::limits::{
    ANSWER_WINDOW_BYTES, CONNECTION_WINDOW_BYTES, GOODBYE_TIMEOUT, MAX_ANSWER_HEAD_BYTES, MAX_ANSWER_HEADERS,
    MAX_CONNECTION_AGE, MAX_REQUESTS_PER_CONNECTION, MAX_SHARED_EXCHANGES, SETTLE_TIMEOUT,
};
use bytes::Bytes;
use cosigner_core::{ExchangeFailure, HttpAnswer, HttpProtocol, ServerSeen};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

type RequestBody = Full<Bytes>;
const MAX_ANSWER_HEAD_BYTES_U32: u32 = 64 * 1024;
const _: () = assert!(MAX_ANSWER_HEAD_BYTES_U32 as usize == MAX_ANSWER_HEAD_BYTES);

/// The connection, or one of the shares of an HTTP/2 connection.
pub(super) struct Connection {
    sender: Sender,
    server: ServerSeen,
    common: Arc<Common>,
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// What all shares of a connection have in common. When the last one goes, the connection goes.
struct Common {
    tasks: Tasks,
    received: Received,
    opened_at: Instant,
    requests: AtomicUsize,
    /// Something went wrong on it: it takes no further request.
    spoilt: AtomicBool,
    /// How many exchanges the server allows at once.
    server_allows: Box<dyn Fn() -> usize + Send + Sync>,
}

impl Drop for Common {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

/// A request that got no whole answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) failure: ExchangeFailure,
    /// Whether the connection broke before anything of an answer came.
    pub(super) before_any_byte: bool,
}

impl From<ExchangeFailure> for Unanswered {
    fn from(failure: ExchangeFailure) -> Self {
        Self { failure, before_any_byte: false }
    }
}

/// Spoils the connection unless an exchange came to its end, also when the exchange is dropped half-way.
struct SpoilUnlessDone<'a>(Option<&'a AtomicBool>);

impl Drop for SpoilUnlessDone<'_> {
    fn drop(&mut self) {
        if let Some(spoilt) = self.0 {
            spoilt.store(true, Ordering::Relaxed);
        }
    }
}

impl Connection {
    /// Begins to speak HTTP with `server`.
    pub(super) async fn open<S>(stream: Counted<S>, server: ServerSeen) -> Result<Self, ExchangeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (tasks, received) = (Tasks::default(), stream.received());
        let (sender, server_allows) = match server.protocol {
            HttpProtocol::Http1 => http1(stream, &tasks).await,
            HttpProtocol::Http2 => http2(stream, &tasks).await,
        }
        .map_err(|error| failure(&error))?;
        let common = Common {
            tasks,
            received,
            opened_at: Instant::now(),
            requests: AtomicUsize::new(0),
            spoilt: AtomicBool::new(false),
            server_allows,
        };
        Ok(Self { sender, server, common: Arc::new(common) })
    }

    /// The server, as it was seen when the connection was opened.
    pub(super) fn server(&self) -> &ServerSeen {
        &self.server
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn post(&mut self, post: &Post) -> Result<HttpAnswer, Unanswered> {
        // Not cloned: each clone counts as an exchange on it.
        let Self { sender, server, common } = self;
        let mut guard = SpoilUnlessDone(Some(&common.spoilt));
        common.requests.fetch_add(1, Ordering::Relaxed);
        let request = post.request(server.protocol)?;
        let received = common.received.bytes();
        let response = sender.send(request).await.map_err(|error| {
            let failure = failure(&error);
            // With HTTP/2 there may be other exchanges' bytes; that there is no head yet says the same.
            let nothing_came = server.protocol == HttpProtocol::Http2 || common.received.bytes() == received;
            Unanswered { before_any_byte: nothing_came && matches!(failure, ExchangeFailure::Lost(_)), failure }
        })?;
        let answer = post.answer(response).await?;
        guard.0 = None;
        Ok(answer)
    }

    /// Whether it is HTTP/2, so that exchanges can share it.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Whether it takes further requests, now or later, at `now` and the core's time `now_ms`.
    pub(super) fn is_usable(&self, now: Instant, now_ms: u64) -> bool {
        let common = &self.common;
        let closed = match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        };
        !closed
            && !common.spoilt.load(Ordering::Relaxed)
            && now.saturating_duration_since(common.opened_at) < MAX_CONNECTION_AGE
            && common.requests.load(Ordering::Relaxed) < MAX_REQUESTS_PER_CONNECTION
            && now_ms <= self.server.certificate_expires_at_ms
    }

    /// Exchanges that share it, beside whoever asks.
    pub(super) fn others(&self) -> usize {
        Arc::strong_count(&self.common).saturating_sub(1)
    }

    /// A share for one more exchange: only of HTTP/2, and only while the server allows it.
    pub(super) fn share(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        let most = (self.common.server_allows)().min(MAX_SHARED_EXCHANGES);
        (self.others() < most).then(|| Self {
            sender: Sender::Http2(sender.clone()),
            server: self.server.clone(),
            common: self.common.clone(),
        })
    }

    /// Whether both are shares of the same connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.common, &other.common)
    }

    /// Whether it can take the next request right now.
    pub(super) fn is_settled(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            Sender::Http2(sender) => sender.is_ready(),
        }
    }

    /// Waits until it can take the next request; `false` if it will not.
    pub(super) async fn settle(&mut self) -> bool {
        let ready = match &mut self.sender {
            Sender::Http1(sender) => tokio::time::timeout(SETTLE_TIMEOUT, sender.ready()).await,
            Sender::Http2(sender) => tokio::time::timeout(SETTLE_TIMEOUT, sender.ready()).await,
        };
        matches!(ready, Ok(Ok(())))
    }

    /// Closes a connection that is idle, and lets it say so to the server.
    pub(super) fn say_goodbye(self) {
        self.common.tasks.let_end(GOODBYE_TIMEOUT);
    }
}

impl Sender {
    async fn send(&mut self, request: Request<RequestBody>) -> hyper::Result<Response<Incoming>> {
        match self {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

type Opened = (Sender, Box<dyn Fn() -> usize + Send + Sync>);

async fn http1<S>(stream: Counted<S>, tasks: &Tasks) -> hyper::Result<Opened>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(MAX_ANSWER_HEADERS)
        .max_buf_size(MAX_ANSWER_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    // Its error, if any, reaches the request or the body.
    tasks.start(async move {
        let _ = connection.await;
    });
    Ok((Sender::Http1(sender), Box::new(|| 1)))
}

async fn http2<S>(stream: Counted<S>, tasks: &Tasks) -> hyper::Result<Opened>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(tasks.clone())
        .initial_max_send_streams(MAX_SHARED_EXCHANGES)
        .initial_stream_window_size(ANSWER_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_ANSWER_HEAD_BYTES_U32)
        .handshake(TokioIo::new(stream))
        .await?;
    // Only the connection knows what the server allows at the moment, so that it stays within reach.
    let connection = Arc::new(Mutex::new(Box::pin(connection)));
    let driven = connection.clone();
    tasks.start(async move {
        let _ = std::future::poll_fn(|cx| {
            let mut connection = driven.lock().unwrap_or_else(PoisonError::into_inner);
            Pin::new(&mut *connection).poll(cx)
        })
        .await;
    });
    let server_allows =
        move || connection.lock().unwrap_or_else(PoisonError::into_inner).as_ref().get_ref().current_max_send_streams();
    Ok((Sender::Http2(sender), Box::new(server_allows)))
}
