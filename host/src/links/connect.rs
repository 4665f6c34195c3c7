//! Connecting a link: name resolution, TCP or the proxy's tunnel, TLS, WebSocket upgrade.

use super::LinkSettings;
use super::target::{Target, TargetError};
use crate::dial::deny::denied_by;
use crate::network::Network;
use crate::proxy::ProxyError;
use countersign_wire::limits::MAX_RELAY_BYTES;
use std::io;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http::StatusCode};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

/// An open link.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Most bytes of one WebSocket message: one relay frame.
const MAX_MESSAGE_BYTES: usize = MAX_RELAY_BYTES + 64;
/// Most bytes that wait in one socket for the network.
const MAX_WRITE_BUFFER_BYTES: usize = 4 * MAX_MESSAGE_BYTES;

/// Why a link could not connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The workspace refused the access token.
    #[error("the workspace refused the access token with status {0}")]
    Unauthorised(u16),
    /// The workspace answered something else than an upgrade.
    #[error("expected status 101 from the workspace, got {0}")]
    Status(u16),
    /// It took too long.
    #[error("not connected within {0} ms")]
    Timeout(u64),
    /// The name has no address.
    #[error("cannot resolve the workspace's name: {0}")]
    Resolve(io::Error),
    /// All its addresses are where the host dials nothing.
    #[error("the workspace's name has addresses in {0} only, where nothing is dialled")]
    Denied(Network),
    /// No address of it takes a connection.
    #[error("cannot connect to the workspace: {0}")]
    Tcp(io::Error),
    /// The proxy gave no tunnel.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// TLS failed: mostly a certificate that is not trusted.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The upgrade failed.
    #[error("the WebSocket upgrade failed: {0}")]
    WebSocket(String),
    /// The request could not be made.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl ConnectError {
    /// One of [`super::LINK_FAILURES`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorised(_) => "unauthorised",
            Self::Status(_) => "status",
            Self::Timeout(_) => "timeout",
            Self::Resolve(_) => "resolve",
            Self::Denied(_) => "denied",
            Self::Tcp(_) => "tcp",
            Self::Proxy(_) => "proxy",
            Self::Tls(_) => "tls",
            Self::WebSocket(_) => "websocket",
            Self::Target(_) => "target",
        }
    }
}

/// Connects within the configured time.
pub async fn connect(target: &Target, settings: &LinkSettings) -> Result<Socket, ConnectError> {
    let limit = settings.config.connect_timeout_ms;
    timeout(limit.into(), open(target, settings)).await.map_err(|_| ConnectError::Timeout(limit.0))?
}

async fn open(target: &Target, settings: &LinkSettings) -> Result<Socket, ConnectError> {
    let stream = match settings.proxies.for_host(&target.host) {
        None => tcp(&target.host, target.port, Some(&settings.deny)).await?,
        Some(proxy) => {
            // Where the proxy is, the host's own operator said.
            let mut stream = tcp(&proxy.host, proxy.port, None).await?;
            proxy.tunnel(&mut stream, &target.host, target.port).await?;
            stream
        }
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES);
    let connector = Connector::Rustls(target.tls.clone());
    let request = target.request()?;
    let (socket, _response) =
        client_async_tls_with_config(request, stream, Some(config), Some(connector)).await.map_err(refused)?;
    Ok(socket)
}

async fn tcp(host: &str, port: u16, deny: Option<&[Network]>) -> Result<TcpStream, ConnectError> {
    let mut addresses: Vec<_> = lookup_host((host, port)).await.map_err(ConnectError::Resolve)?.collect();
    if let Some(deny) = deny
        && let Some(network) = addresses.iter().find_map(|address| denied_by(address.ip(), deny))
    {
        addresses.retain(|address| denied_by(address.ip(), deny).is_none());
        if addresses.is_empty() {
            return Err(ConnectError::Denied(network));
        }
    }
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(ConnectError::Tcp)?;
    stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
    Ok(stream)
}

fn refused(error: tungstenite::Error) -> ConnectError {
    match error {
        tungstenite::Error::Http(response) => match response.status() {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => ConnectError::Unauthorised(status.as_u16()),
            status => ConnectError::Status(status.as_u16()),
        },
        tungstenite::Error::Tls(e) => ConnectError::Tls(e.to_string()),
        // rustls reports what it thinks of the certificate as an I/O error.
        tungstenite::Error::Io(e) if e.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            ConnectError::Tls(e.to_string())
        }
        other => ConnectError::WebSocket(other.to_string()),
    }
}
