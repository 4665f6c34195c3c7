//! What went wrong with an HTTP exchange, in the core's words: who did not speak HTTP, and which connection just broke.

use super::tls::tls_failure;
use cosigner_core::ExchangeFailure;
use std::error::Error;
use std::io;

/// The failure that an error of the HTTP library stands for.
pub(super) fn failure(error: &hyper::Error) -> ExchangeFailure {
    tls_failure(error).unwrap_or_else(|| {
        let text = whole_text(error);
        if is_broken(error) { ExchangeFailure::Lost(text) } else { ExchangeFailure::Http(text) }
    })
}

/// Whether the connection ended without the `close_notify` that TLS asks for (RFC 8446, section 6.1).
pub(super) fn is_end_without_notice(error: &hyper::Error) -> bool {
    let ended = |source: &(dyn Error + 'static)| {
        source.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
    };
    sources(error).any(ended)
}

/// Whether the connection, or the stream on it, was ended by the peer or by what is in between. All else is a peer that
/// does not speak HTTP.
fn is_broken(error: &hyper::Error) -> bool {
    let by_itself =
        error.is_incomplete_message() || error.is_canceled() || error.is_closed() || error.is_body_write_aborted();
    by_itself || sources(error).any(|source| is_broken_io(source) || is_ended_by_peer(source))
}

fn is_broken_io(error: &(dyn Error + 'static)) -> bool {
    let invalid = |kind| matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
    error.downcast_ref::<io::Error>().is_some_and(|error| !invalid(error.kind()))
}

/// In HTTP/2 a peer ends a stream with a reset, and a connection with a GOAWAY.
fn is_ended_by_peer(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(|error| error.is_remote() || error.is_io())
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn whole_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for source in sources(error) {
        text.push_str(": ");
        text.push_str(&source.to_string());
    }
    text
}
