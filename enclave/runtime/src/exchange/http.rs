//! One HTTP/1.1 `POST` and its answer.

use super::tls::tls_failure;
use crate::dial::literal_address;
use crate::limits::{MAX_ANSWER_HEAD_BYTES, MAX_ANSWER_HEADERS};
use bytes::Bytes;
use cosigner_core::{ExchangeFailure, ExchangeOutcome, ExchangeSpec, HttpAnswer};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

const HTTPS_PORT: u16 = 443;

/// Sends the request of `spec` and reads the whole answer. Redirects are answers like others.
pub(super) async fn post<S>(stream: S, spec: ExchangeSpec) -> ExchangeOutcome
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let max_answer_bytes = spec.max_answer_bytes;
    let request = request(spec)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(MAX_ANSWER_HEADERS)
        .max_buf_size(MAX_ANSWER_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(&error))?;
    // Its error, if any, reaches the request or the body.
    let _driver = AbortOnDrop(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(|error| failure(&error))?;
    answer(response, max_answer_bytes).await
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(spec: ExchangeSpec) -> Result<Request<Full<Bytes>>, ExchangeFailure> {
    let host = host_header(&spec.host, spec.port)?;
    Request::post(spec.path)
        .header(HOST, host)
        .header(CONTENT_TYPE, HeaderValue::from_static(spec.content_type))
        .header(CONTENT_LENGTH, spec.body.len())
        .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Full::new(Bytes::from(spec.body)))
        .map_err(|error| ExchangeFailure::Http(format!("the request cannot be made: {error}")))
}

fn host_header(host: &str, port: u16) -> Result<HeaderValue, ExchangeFailure> {
    let host = match literal_address(host) {
        Some(IpAddr::V6(address)) => format!("[{address}]"),
        Some(IpAddr::V4(address)) => address.to_string(),
        None => host.to_owned(),
    };
    let value = if port == HTTPS_PORT { host } else { format!("{host}:{port}") };
    HeaderValue::try_from(value).map_err(|error| ExchangeFailure::Http(format!("the request cannot be made: {error}")))
}

async fn answer(response: Response<Incoming>, max: usize) -> ExchangeOutcome {
    let (head, mut incoming) = response.into_parts();
    refuse_encodings(&head.headers)?;
    if hyper::body::Body::size_hint(&incoming).lower() > u64::try_from(max).unwrap_or(u64::MAX) {
        return Err(ExchangeFailure::TooLarge(max));
    }
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| failure(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if data.len() > max.saturating_sub(body.len()) {
            return Err(ExchangeFailure::TooLarge(max));
        }
        body.extend_from_slice(data);
    }
    Ok(HttpAnswer { status: head.status.as_u16(), body })
}

/// What is limited in size and checked by others is the plain body.
fn refuse_encodings(headers: &HeaderMap) -> Result<(), ExchangeFailure> {
    for encoding in headers.get_all(CONTENT_ENCODING) {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
            return Err(ExchangeFailure::Http("expected a body without Content-Encoding".into()));
        }
    }
    Ok(())
}

fn failure(error: &hyper::Error) -> ExchangeFailure {
    tls_failure(error).unwrap_or_else(|| {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        ExchangeFailure::Http(text)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_names_the_port_unless_it_is_the_usual_one() {
        assert_eq!(host_header("example.com", 443).unwrap(), "example.com");
        assert_eq!(host_header("example.com", 8443).unwrap(), "example.com:8443");
        assert_eq!(host_header("2001:db8::1", 8443).unwrap(), "[2001:db8::1]:8443");
        assert_eq!(host_header("[2001:db8::1]", 443).unwrap(), "[2001:db8::1]");
        assert!(host_header("a\r\nX-Injected: 1", 443).is_err());
    }

    #[test]
    fn only_the_identity_encoding_is_taken() {
        let mut headers = HeaderMap::new();
        assert!(refuse_encodings(&headers).is_ok());
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("Identity"));
        assert!(refuse_encodings(&headers).is_ok());
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(refuse_encodings(&headers).is_err());
    }
}
