//! What a link connects to: parsed and checked once, when the enclave asks for it.

use countersign_wire::Bytes;
use countersign_wire::limits::MAX_DER_BYTES;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::http::uri::InvalidUri;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use zeroize::Zeroizing;

/// Why a link cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not a URL.
    #[error("the link's URL is not one: {0}")]
    Url(#[from] InvalidUri),
    /// Another scheme: in the clear the access token would be shown to everybody on the way.
    #[error("expected a wss:// URL, got {0:?}")]
    Scheme(String),
    /// No host, or a user name.
    #[error("expected a URL with a host and without a user name")]
    Authority,
    /// The access token cannot stand in a header.
    #[error("the access token contains characters that no token has")]
    Token,
    /// A root is not a certificate.
    #[error("a root certificate is not one: {0}")]
    Root(rustls::Error),
    /// The TLS library refused.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// A checked target.
pub struct Target {
    /// Host name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Which servers are trusted.
    pub tls: Arc<ClientConfig>,
    uri: Uri,
    roots: Vec<Bytes<MAX_DER_BYTES>>,
    access_token: Zeroizing<String>,
}

impl Target {
    /// Checks what the enclave asked for.
    pub fn new(
        url: &str,
        access_token: &str,
        roots: Vec<Bytes<MAX_DER_BYTES>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TargetError> {
        let uri: Uri = url.parse()?;
        if uri.scheme_str() != Some("wss") {
            return Err(TargetError::Scheme(uri.scheme_str().unwrap_or_default().chars().take(16).collect()));
        }
        let authority = uri.authority().ok_or(TargetError::Authority)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(TargetError::Authority);
        }
        let port = authority.port_u16().unwrap_or(443);
        let access_token = Zeroizing::new(access_token.to_owned());
        bearer(&access_token)?;
        let tls = Arc::new(tls(&roots, provider)?);
        Ok(Self { host, port, tls, uri, roots, access_token })
    }

    /// Whether a connection to `other` serves this target as well: only the access token may differ.
    pub fn same_endpoint(&self, other: &Self) -> bool {
        self.uri == other.uri && self.roots == other.roots
    }

    /// The request that opens the WebSocket.
    pub fn request(&self) -> Result<Request, TargetError> {
        let mut request = self.uri.clone().into_client_request().map_err(|_| TargetError::Authority)?;
        request.headers_mut().insert(AUTHORIZATION, bearer(&self.access_token)?);
        Ok(request)
    }
}

fn bearer(access_token: &str) -> Result<HeaderValue, TargetError> {
    if access_token.is_empty() || !access_token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(TargetError::Token);
    }
    let text = Zeroizing::new(format!("Bearer {access_token}"));
    let mut value = HeaderValue::from_str(&text).map_err(|_| TargetError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn tls(roots: &[Bytes<MAX_DER_BYTES>], provider: &Arc<CryptoProvider>) -> Result<ClientConfig, TargetError> {
    let mut store = RootCertStore::empty();
    if roots.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in roots {
        store.add(CertificateDer::from(root.to_vec())).map_err(TargetError::Root)?;
    }
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TargetError::Tls)?
        .with_root_certificates(store)
        .with_no_client_auth();
    // A WebSocket is opened by an HTTP/1.1 upgrade.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, token: &str) -> Result<Target, TargetError> {
        Target::new(url, token, Vec::new(), &Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
    }

    #[test]
    fn only_wss_urls_without_a_user_name_are_taken() {
        let good = target("wss://workspace.example/v1/relay", "t").unwrap();
        assert_eq!((good.host.as_str(), good.port), ("workspace.example", 443));
        let v6 = target("wss://[::1]:8443/relay", "t").unwrap();
        assert_eq!((v6.host.as_str(), v6.port), ("::1", 8443));
        for bad in ["ws://workspace.example/relay", "https://workspace.example/relay", "/relay", ""] {
            assert!(target(bad, "t").is_err(), "{bad:?}");
        }
        assert!(matches!(target("wss://a@workspace.example/relay", "t"), Err(TargetError::Authority)));
    }

    #[test]
    fn the_access_token_goes_into_its_header_and_nowhere_else() {
        let target = target("wss://workspace.example/relay", "canary.token").unwrap();
        let request = target.request().unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer canary.token");
        assert!(!format!("{request:?}").contains("canary"));
    }

    #[test]
    fn a_token_that_would_break_the_header_is_refused_unseen() {
        for bad in ["", "a b", "canary\r\nX: y", "é"] {
            let error = target("wss://workspace.example/relay", bad).err().unwrap();
            assert!(matches!(error, TargetError::Token));
            assert!(!error.to_string().contains("canary"));
        }
    }
}
