//! The way through an HTTP proxy: which one, for which hosts, and the CONNECT tunnel.

use crate::config::ProxySetting;
use crate::network::Network;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::net::IpAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::Uri;
use zeroize::Zeroizing;

/// Most bytes of a proxy's answer to CONNECT.
const MAX_ANSWER_BYTES: usize = 8 * 1024;

/// Why there is no way through the proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The setting is not understood. What it says is not repeated: it may hold a password.
    #[error("environment, none, or http://[user:password@]host:port")]
    Setting,
    /// The proxy refused.
    #[error("expected status 200 from the proxy, got {0}")]
    Refused(u16),
    /// The proxy does not speak HTTP.
    #[error("the proxy's answer is not HTTP, or is longer than {MAX_ANSWER_BYTES} bytes")]
    Answer,
    /// The connection to the proxy failed.
    #[error("the connection to the proxy failed: {0}")]
    Io(#[from] io::Error),
}

/// One proxy.
pub struct Proxy {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    authorization: Option<Zeroizing<String>>,
}

/// Which proxy for which host.
pub struct Proxies {
    proxy: Option<Proxy>,
    direct: Vec<Direct>,
    loopback_direct: bool,
}

/// An entry of NO_PROXY.
enum Direct {
    Everything,
    /// A name, and what is below it.
    Name(String),
    /// Addresses, for hosts that are named by their address.
    Network(Network),
}

impl Direct {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim();
        match (entry, entry.parse()) {
            ("", _) => None,
            ("*", _) => Some(Self::Everything),
            (_, Ok(network)) => Some(Self::Network(network)),
            (name, Err(_)) => {
                let name = name.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
                Some(Self::Name(name.to_ascii_lowercase())).filter(|_| !name.is_empty())
            }
        }
    }

    fn covers(&self, host: &str, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Self::Everything, _) => true,
            (Self::Network(network), Some(address)) => network.contains(address),
            (Self::Name(name), None) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            _ => false,
        }
    }
}

impl Proxies {
    /// Reads the setting and, where it says so, HTTPS_PROXY and NO_PROXY in either case.
    pub fn from_setting(setting: &ProxySetting) -> Result<Self, ProxyError> {
        match setting {
            ProxySetting::None => Ok(Self { proxy: None, direct: Vec::new(), loopback_direct: true }),
            ProxySetting::Url(url) => {
                Ok(Self { proxy: Some(Proxy::parse(url)?), direct: Vec::new(), loopback_direct: false })
            }
            ProxySetting::Environment => {
                Self::from_values(&variable(["HTTPS_PROXY", "https_proxy"]), &variable(["NO_PROXY", "no_proxy"]))
            }
        }
    }

    fn from_values(https_proxy: &str, no_proxy: &str) -> Result<Self, ProxyError> {
        let proxy = if https_proxy.is_empty() { None } else { Some(Proxy::parse(https_proxy)?) };
        let direct = no_proxy.split(',').filter_map(Direct::parse).collect();
        Ok(Self { proxy, direct, loopback_direct: true })
    }

    /// Whether there is one at all.
    pub fn is_configured(&self) -> bool {
        self.proxy.is_some()
    }

    /// The proxy for `host`, a name or an address, if any.
    pub fn for_host(&self, host: &str) -> Option<&Proxy> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let loopback = host == "localhost" || address.is_some_and(|address| address.to_canonical().is_loopback());
        if self.loopback_direct && loopback {
            return None;
        }
        if self.direct.iter().any(|direct| direct.covers(&host, address)) { None } else { self.proxy.as_ref() }
    }

    /// The proxy for a connection to `address`, which is one of `name`'s if there is a name.
    pub fn for_address(&self, name: Option<&str>, address: IpAddr) -> Option<&Proxy> {
        // Another machine's loopback is never what is meant.
        if self.loopback_direct && address.to_canonical().is_loopback() {
            return None;
        }
        match name {
            Some(name) => self.for_host(name),
            None => self.for_host(&address.to_canonical().to_string()),
        }
    }
}

impl Proxy {
    fn parse(url: &str) -> Result<Self, ProxyError> {
        let uri: Uri = url.parse().map_err(|_| ProxyError::Setting)?;
        if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(ProxyError::Setting);
        }
        let authority = uri.authority().ok_or(ProxyError::Setting)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(ProxyError::Setting);
        }
        let authorization = match authority.as_str().rsplit_once('@') {
            Some((user, _)) => Some(Zeroizing::new(STANDARD.encode(&*percent_decoded(user)?))),
            None => None,
        };
        Ok(Self { host, port: authority.port_u16().unwrap_or(80), authorization })
    }

    /// Asks the proxy, over a connection to it, for a tunnel to `host:port`.
    pub async fn tunnel(&self, stream: &mut TcpStream, host: &str, port: u16) -> Result<(), ProxyError> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut request = Zeroizing::new(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"));
        if let Some(authorization) = &self.authorization {
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // Byte by byte: what follows the head belongs to the tunnel.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= MAX_ANSWER_BYTES {
                return Err(ProxyError::Answer);
            }
            answer.push(stream.read_u8().await?);
        }
        match status(&answer) {
            Some(200) => Ok(()),
            Some(status) => Err(ProxyError::Refused(status)),
            None => Err(ProxyError::Answer),
        }
    }
}

fn variable(names: [&str; 2]) -> Zeroizing<String> {
    let value = names.into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    Zeroizing::new(value.unwrap_or_default())
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|b| *b == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

fn percent_decoded(text: &str) -> Result<Zeroizing<Vec<u8>>, ProxyError> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(ProxyError::Setting) };
        decoded.push(high * 16 + low);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn no_proxy_covers_names_subdomains_addresses_and_everything() {
        let proxies = Proxies::from_values("http://proxy.example:3128", "internal.example, .corp,10.0.0.7").unwrap();
        for direct in ["internal.example", "a.internal.example", "x.corp", "10.0.0.7", "localhost", "127.0.0.1", "::1"]
        {
            assert!(proxies.for_host(direct).is_none(), "{direct}");
        }
        for proxied in ["workspace.example", "notinternal.example", "110.0.0.7"] {
            assert_eq!(proxies.for_host(proxied).map(|p| p.port), Some(3128), "{proxied}");
        }
        assert!(Proxies::from_values("http://proxy.example", "*").unwrap().for_host("workspace.example").is_none());
    }

    #[test]
    fn no_proxy_has_networks_too_for_hosts_that_are_addresses() {
        let proxies =
            Proxies::from_values("http://proxy.example", "10.0.0.0/8, fd00::/8 ,*.lan,Corp.Example.").unwrap();
        for direct in ["10.200.0.1", "fd12::1", "::ffff:10.1.1.1", "a.lan", "lan", "x.corp.example", "corp.example."] {
            assert!(proxies.for_host(direct).is_none(), "{direct}");
        }
        for proxied in ["11.0.0.1", "fe80::1", "10.0.0.1.example", "wlan", "example"] {
            assert!(proxies.for_host(proxied).is_some(), "{proxied}");
        }
    }

    #[test]
    fn an_address_is_judged_by_the_name_that_it_was_resolved_from() {
        let proxies = Proxies::from_values("http://proxy.example", "direct.example,192.0.2.0/24").unwrap();
        let (address, other) = (IpAddr::from([192, 0, 2, 7]), IpAddr::from([198, 51, 100, 7]));
        assert!(proxies.for_address(Some("direct.example"), other).is_none());
        assert!(proxies.for_address(None, address).is_none());
        assert!(proxies.for_address(Some("workspace.example"), address).is_some());
        assert!(proxies.for_address(None, other).is_some());
        assert!(proxies.for_address(Some("workspace.example"), IpAddr::from([127, 0, 0, 1])).is_none());
        let every = Proxies::from_setting(&ProxySetting::Url("http://proxy.example".to_owned())).unwrap();
        assert!(every.for_address(None, IpAddr::from([127, 0, 0, 1])).is_some());
    }

    #[test]
    fn a_setting_that_is_not_understood_is_an_error_that_does_not_repeat_it() {
        for bad in ["https://u:canary@p:1", "socks5://u:canary@p", "u:canary@p:1", "http://u:%zzcanary@p:1"] {
            let error = Proxies::from_setting(&ProxySetting::Url(bad.to_owned())).err().unwrap();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_with_the_credentials_and_leaves_the_rest_of_the_stream_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:p%40ss@{}", listener.local_addr().unwrap());
        let proxy = Proxy::parse(&url).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello").await.unwrap();
            String::from_utf8(head).unwrap()
        });
        let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await.unwrap();
        proxy.tunnel(&mut stream, "workspace.example", 443).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "hello");
        let head = server.await.unwrap();
        assert!(head.starts_with("CONNECT workspace.example:443 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode("user:p@ss"))), "{head}");
    }

    #[test]
    fn only_status_200_opens_a_tunnel() {
        assert_eq!(status(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), Some(407));
        assert_eq!(status(b"SSH-2.0-x\r\n\r\n"), None);
    }
}
