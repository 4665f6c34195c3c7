//! Connecting to exactly the address that the enclave checked: directly, or through a proxy's tunnel.

use super::deny::denied_by;
use crate::config;
use crate::proxy::{Proxies, Proxy, ProxyError};
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Connects streams.
pub struct Connector {
    config: config::Dial,
    proxies: Proxies,
}

impl Connector {
    /// Takes the configuration over.
    pub fn new(config: &config::Dial) -> Result<Self, ProxyError> {
        Ok(Self { config: config.clone(), proxies: Proxies::from_setting(&config.proxy)? })
    }

    /// Whether there is a proxy.
    pub fn is_proxied(&self) -> bool {
        self.proxies.is_configured()
    }

    /// Connects to `address`. `name` is what it was resolved from, on the same stream: it decides whether there is a
    /// proxy in between, and nothing else. The error is a sentence for people.
    pub async fn connect(&self, name: Option<&str>, address: SocketAddr) -> Result<TcpStream, String> {
        if let Some(network) = denied_by(address.ip(), &self.config.deny) {
            return Err(format!("{address}: this host dials nothing in {network}"));
        }
        let proxy = self.proxies.for_address(name, address.ip());
        let limit = self.config.connect_timeout_ms;
        let way = if proxy.is_some() { " through the proxy" } else { "" };
        timeout(limit.into(), open(proxy, address))
            .await
            .map_err(|_| format!("{address}: not connected{way} within {} ms", limit.0))?
            .map_err(|error| format!("{address}: {error}"))
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{0}")]
    Direct(io::Error),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

async fn open(proxy: Option<&Proxy>, address: SocketAddr) -> Result<TcpStream, ConnectError> {
    match proxy {
        Some(proxy) => Ok(through(proxy, address).await?),
        None => {
            let stream = TcpStream::connect(address).await.map_err(ConnectError::Direct)?;
            stream.set_nodelay(true).map_err(ConnectError::Direct)?;
            Ok(stream)
        }
    }
}

async fn through(proxy: &Proxy, address: SocketAddr) -> Result<TcpStream, ProxyError> {
    let addresses: Vec<_> = lookup_host((proxy.host.as_str(), proxy.port)).await?.collect();
    let mut stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    // The address, never the name: the enclave checked that address and no other.
    proxy.tunnel(&mut stream, &address.ip().to_string(), address.port()).await?;
    Ok(stream)
}
