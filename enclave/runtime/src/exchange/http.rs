//! One `POST` and its answer, in HTTP/1.1 or HTTP/2.

use super::failure::{failure, is_end_without_notice};
use crate::dial::literal_address;
use crate::limits::MAX_ANSWER_HEADERS;
use bytes::Bytes;
use cosigner_core::{ExchangeFailure, ExchangeSpec, HttpAnswer, HttpProtocol};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
    InvalidHeaderValue, TRANSFER_ENCODING,
};
use hyper::{Request, Response, Version};
use std::net::IpAddr;

const HTTPS_PORT: u16 = 443;

/// What is sent, over whichever connection.
pub(super) struct Post {
    authority: HeaderValue,
    path: String,
    content_type: &'static str,
    headers: Vec<(&'static str, HeaderValue)>,
    body: Bytes,
    keep_alive: bool,
    max_answer_bytes: usize,
}

impl Post {
    /// `body` is the one of `spec`, made.
    pub(super) fn new(spec: ExchangeSpec, body: Vec<u8>) -> Result<Self, ExchangeFailure> {
        let headers = spec.headers.iter().map(|(name, value)| Ok((*name, HeaderValue::from_str(value)?)));
        let headers = headers.collect::<Result<_, InvalidHeaderValue>>().map_err(|error| unmade(&error))?;
        Ok(Self {
            authority: authority(&spec.host, spec.port)?,
            path: spec.path,
            content_type: spec.content_type,
            headers,
            body: Bytes::from(body),
            keep_alive: spec.keep_alive,
            max_answer_bytes: spec.max_answer_bytes,
        })
    }

    /// The request as `protocol` has it.
    pub(super) fn request(&self, protocol: HttpProtocol) -> Result<Request<Full<Bytes>>, ExchangeFailure> {
        let mut request = match protocol {
            HttpProtocol::Http1 => Request::post(self.path.as_str()).header(HOST, self.authority.clone()),
            HttpProtocol::Http2 => {
                let authority = self.authority.to_str().unwrap_or_default();
                Request::post(format!("https://{authority}{}", self.path))
            }
        };
        request = request
            .header(CONTENT_TYPE, HeaderValue::from_static(self.content_type))
            .header(CONTENT_LENGTH, self.body.len())
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if protocol == HttpProtocol::Http1 && !self.keep_alive {
            request = request.header(CONNECTION, HeaderValue::from_static("close"));
        }
        request.body(Full::new(self.body.clone())).map_err(|error| unmade(&error))
    }

    /// Reads a whole answer. Redirects are answers like others; trailers are passed over.
    ///
    /// Simple servers end a body of no announced length by closing the connection, many without a `close_notify` of TLS.
    /// Whoever is in between can cut such a body. That is taken, because no part of an answer passes for a whole one: a
    /// signed answer breaks its signature, and a JSON object its last brace.
    pub(super) async fn answer(&self, response: Response<Incoming>) -> Result<HttpAnswer, ExchangeFailure> {
        let max = self.max_answer_bytes;
        let (head, mut incoming) = response.into_parts();
        if head.headers.len() > MAX_ANSWER_HEADERS {
            return Err(ExchangeFailure::Http(format!("expected at most {MAX_ANSWER_HEADERS} headers")));
        }
        refuse_encodings(&head.headers)?;
        if incoming.size_hint().lower() > u64::try_from(max).unwrap_or(u64::MAX) {
            return Err(ExchangeFailure::TooLarge(max));
        }
        let until_end = ends_with_the_connection(head.version, &head.headers);
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) if until_end && is_end_without_notice(&error) => break,
                Err(error) => return Err(failure(&error)),
            };
            let Some(data) = frame.data_ref() else { continue };
            if data.len() > max.saturating_sub(body.len()) {
                return Err(ExchangeFailure::TooLarge(max));
            }
            body.extend_from_slice(data);
        }
        Ok(HttpAnswer { status: head.status.as_u16(), body })
    }
}

fn unmade(error: &dyn std::error::Error) -> ExchangeFailure {
    ExchangeFailure::Http(format!("the request cannot be made: {error}"))
}

fn authority(host: &str, port: u16) -> Result<HeaderValue, ExchangeFailure> {
    let host = match literal_address(host) {
        Some(IpAddr::V6(address)) => format!("[{address}]"),
        Some(IpAddr::V4(address)) => address.to_string(),
        None => host.to_owned(),
    };
    let value = if port == HTTPS_PORT { host } else { format!("{host}:{port}") };
    HeaderValue::try_from(value).map_err(|error| unmade(&error))
}

/// Whether only the end of the connection ends the body (RFC 9112, section 6.3).
fn ends_with_the_connection(version: Version, headers: &HeaderMap) -> bool {
    version <= Version::HTTP_11 && !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_names_the_port_unless_it_is_the_usual_one() {
        assert_eq!(authority("example.com", 443).unwrap(), "example.com");
        assert_eq!(authority("example.com", 8443).unwrap(), "example.com:8443");
        assert_eq!(authority("2001:db8::1", 8443).unwrap(), "[2001:db8::1]:8443");
        assert_eq!(authority("[2001:db8::1]", 443).unwrap(), "[2001:db8::1]");
        assert!(authority("a\r\nX-Injected: 1", 443).is_err());
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

    #[test]
    fn only_a_connection_that_is_used_once_says_so_and_never_in_http_2() {
        for (protocol, keep_alive, closes) in [
            (HttpProtocol::Http1, false, true),
            (HttpProtocol::Http1, true, false),
            (HttpProtocol::Http2, false, false),
            (HttpProtocol::Http2, true, false),
        ] {
            let post = Post {
                authority: HeaderValue::from_static("example.com"),
                path: "/a?b".into(),
                content_type: "application/json",
                headers: Vec::new(),
                body: Bytes::new(),
                keep_alive,
                max_answer_bytes: 1,
            };
            let request = post.request(protocol).unwrap();
            assert_eq!(request.headers().contains_key(CONNECTION), closes);
            assert_eq!(request.uri().path_and_query().unwrap(), "/a?b");
            assert_eq!(request.uri().host().is_some(), protocol == HttpProtocol::Http2);
        }
    }
}
