//! TLS with the server of an exchange: its certificate must be valid at the core's time and either be for the very host
//! and lead to the roots that the core named, or be one of a pinned key.

use super::certificate::{self, Facts};
use super::pin::{OtherKey, PinnedKeys};
use super::public_roots::PublicRoots;
use crate::clock::SharedClock;
use crate::dial::literal_address;
use cosigner_core::{ExchangeFailure, HttpProtocol, Trust};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, OtherError, RootCertStore};
use std::error::Error;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes TLS sessions.
pub(super) struct Connector {
    provider: Arc<CryptoProvider>,
    clock: Arc<SharedClock>,
    public_roots: Arc<RootCertStore>,
}

/// A session that is ready to begin.
#[derive(Debug)]
pub(super) struct Prepared {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl Connector {
    pub(super) fn new(clock: SharedClock, public_roots: PublicRoots) -> Self {
        Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            clock: Arc::new(clock),
            public_roots: Arc::new(public_roots.0),
        }
    }

    /// `protocols` are offered, the preferred one first.
    pub(super) fn prepare(
        &self,
        host: &str,
        trust: &Trust,
        protocols: &[HttpProtocol],
    ) -> Result<Prepared, ExchangeFailure> {
        let server = match literal_address(host) {
            Some(address) => ServerName::IpAddress(address.into()),
            None => ServerName::try_from(host.to_owned())
                .map_err(|error| ExchangeFailure::Dns(format!("{host:?} is not a DNS name: {error}")))?,
        };
        let config = ClientConfig::builder_with_details(self.provider.clone(), self.clock.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ExchangeFailure::Tls(error.to_string()))?;
        let config = match trust {
            Trust::PublicRoots => config.with_root_certificates(self.public_roots.clone()),
            Trust::Root(der) => config.with_root_certificates(single_root(der)?),
            Trust::Pinned(pins) => {
                let algorithms = self.provider.signature_verification_algorithms;
                let verifier = Arc::new(PinnedKeys::new(pins.clone(), algorithms));
                config.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| alpn(*protocol).to_vec()).collect();
        // A resumed session would not show its certificate again.
        config.resumption = Resumption::disabled();
        Ok(Prepared { config: Arc::new(config), server })
    }
}

fn alpn(protocol: HttpProtocol) -> &'static [u8] {
    match protocol {
        HttpProtocol::Http1 => b"http/1.1",
        HttpProtocol::Http2 => b"h2",
    }
}

/// A session whose server was accepted.
pub(super) struct Session<S> {
    pub(super) stream: TlsStream<S>,
    /// The certificate that was accepted.
    pub(super) certificate: Facts,
    /// What the server chose; HTTP/1.1 where it chose nothing.
    pub(super) protocol: HttpProtocol,
}

impl Prepared {
    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        stream: S,
    ) -> Result<Session<S>, ExchangeFailure> {
        let stream = TlsConnector::from(self.config).connect(self.server, stream).await.map_err(|error| {
            tls_failure(&error)
                .unwrap_or_else(|| ExchangeFailure::Connect(format!("it broke during the TLS handshake: {error}")))
        })?;
        let (_, session) = stream.get_ref();
        let end_entity = session.peer_certificates().and_then(<[_]>::first);
        let end_entity = end_entity.ok_or_else(|| ExchangeFailure::Tls("the server has no certificate".into()))?;
        let certificate = certificate::read(end_entity).map_err(|error| ExchangeFailure::Tls(error.to_string()))?;
        let chose_http2 = session.alpn_protocol() == Some(alpn(HttpProtocol::Http2));
        let protocol = if chose_http2 { HttpProtocol::Http2 } else { HttpProtocol::Http1 };
        Ok(Session { stream, certificate, protocol })
    }
}

fn single_root(der: &[u8]) -> Result<RootCertStore, ExchangeFailure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(der.to_vec())).map_err(|error| {
        ExchangeFailure::Tls(format!("the configured authority is not a usable certificate: {error}"))
    })?;
    Ok(roots)
}

/// The TLS failure behind an error, if that is what it is.
pub(super) fn tls_failure(error: &(dyn Error + 'static)) -> Option<ExchangeFailure> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(other_key(tls).unwrap_or_else(|| ExchangeFailure::Tls(tls.to_string())));
        }
        // An `io::Error` does not name the error that it wraps as its source, only that error's source.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn other_key(error: &rustls::Error) -> Option<ExchangeFailure> {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error else { return None };
    inner.downcast_ref::<OtherKey>().map(|key| ExchangeFailure::Pin(key.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tls_error_is_found_within_others() {
        let tls = rustls::Error::General("deep".into());
        let wrapped = io::Error::other(io::Error::other(tls));
        assert_eq!(tls_failure(&wrapped), Some(ExchangeFailure::Tls("unexpected error: deep".into())));
        assert_eq!(tls_failure(&io::Error::other("plain")), None);
    }

    #[test]
    fn what_is_no_certificate_is_no_root() {
        assert!(matches!(single_root(b"hello"), Err(ExchangeFailure::Tls(_))));
    }
}
