//! A handler that answers as a test has it, right or wrong, on real sockets under real TLS.

#![allow(dead_code, reason = "each test binary uses its part")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_stack::certificates::Authority;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Between two bytes of an answer that drips.
const DRIP_EVERY: Duration = Duration::from_millis(300);
/// Longest head of a request that this server reads.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What a server does with a request.
pub enum Reply {
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Sends them one by one.
    Drip(Vec<u8>),
    /// Keeps silent.
    Nothing,
    /// Resets the connection.
    Reset,
}

impl Reply {
    /// An HTTP answer; `headers` are whole lines.
    pub fn of(status: &str, headers: &str, body: &[u8]) -> Self {
        Reply::Bytes(response(status, headers, body))
    }
}

/// Answers requests.
pub trait Answer: Send + Sync {
    /// The reply to a request at a path.
    fn to(&self, path: &str, body: &[u8]) -> Reply;
}

/// The bytes of an HTTP answer; `headers` are whole lines.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The payload of a request, whoever signed it: that the co-signer's key did is the samples' matter.
pub fn payload(body: &[u8]) -> Option<Value> {
    if body.starts_with(b"{") {
        return serde_json::from_slice(body).ok();
    }
    let part = std::str::from_utf8(body).ok()?.split('.').nth(1)?.to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It is over.
    Expired,
    /// It is for another name.
    WrongName,
    /// Nobody signed it but itself.
    SelfSigned,
}

/// A server with one certificate.
pub struct Server {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// The certificate, PEM.
    pub certificate: PathBuf,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A certificate with this flaw, PEM in a file, and its key.
fn certificate(flaw: Flaw, authority: &Authority, folder: &Path) -> (PathBuf, Vec<u8>, Vec<u8>) {
    let names = if flaw == Flaw::WrongName { vec!["elsewhere.example".into()] } else { vec!["127.0.0.1".to_owned()] };
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "handler");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if flaw == Flaw::Expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let made = match flaw {
        Flaw::SelfSigned => params.self_signed(&key).unwrap(),
        Flaw::None | Flaw::Expired | Flaw::WrongName => authority.sign(params, &key).unwrap(),
    };
    let file = folder.join(format!("{flaw:?}.pem"));
    std::fs::write(&file, made.pem()).unwrap();
    (file, made.der().to_vec(), key.serialize_der())
}

impl Server {
    /// Starts one on loopback, on a port that the system gives.
    pub async fn start(flaw: Flaw, authority: &Authority, folder: &Path, answer: Arc<dyn Answer>) -> Self {
        let (file, der, key) = certificate(flaw, authority, folder);
        let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(der)], PrivateKeyDer::try_from(key).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, acceptor.clone(), answer.clone()));
            }
        });
        Self { url, certificate: file, accepting }
    }
}

/// Requests of one connection, until it ends. A client that does not like the certificate hangs up in the handshake.
async fn connection(stream: TcpStream, acceptor: TlsAcceptor, answer: Arc<dyn Answer>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    while let Some((path, body)) = request(&mut stream).await {
        match answer.to(&path, &body) {
            Reply::Bytes(bytes) => {
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            Reply::Drip(bytes) => {
                for byte in bytes {
                    if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                    tokio::time::sleep(DRIP_EVERY).await;
                }
            }
            Reply::Nothing => {
                // Until the client gives up.
                let _ = stream.read_u8().await;
                return;
            }
            Reply::Reset => {
                let (stream, _) = stream.into_inner();
                let _ = stream.set_zero_linger();
                return;
            }
        }
    }
}

/// Path and body of the next request.
async fn request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES {
            return None;
        }
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    })?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((path, body))
}
