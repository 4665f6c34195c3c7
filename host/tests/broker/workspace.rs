//! A loopback workspace relay: TLS with a certificate of its own authority, WebSocket upgrade, bearer token.

#![allow(clippy::result_large_err, reason = "the type of the handshake's callback")]

use crate::process::PATIENCE;
use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A relay that takes one token.
pub struct Workspace {
    pub url: String,
    pub roots: [Vec<u8>; 1],
    token: Arc<Mutex<String>>,
    attempts: Arc<AtomicUsize>,
    links: mpsc::UnboundedReceiver<Socket>,
}

impl Workspace {
    pub async fn start(token: &str) -> Self {
        let (acceptor, root) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://127.0.0.1:{}/v1/relay", listener.local_addr().unwrap().port());
        let token = Arc::new(Mutex::new(token.to_owned()));
        let attempts = Arc::new(AtomicUsize::new(0));
        let (sender, links) = mpsc::unbounded_channel();
        let (accepted, counted) = (token.clone(), attempts.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
                let (counted, sender) = (counted.clone(), sender.clone());
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    let socket = accept_hdr_async(stream, |request: &Request, response: Response| {
                        counted.fetch_add(1, Ordering::SeqCst);
                        check(request, &accepted.lock().unwrap()).map(|()| response)
                    });
                    sender.send(socket.await.ok()?).ok()
                });
            }
        });
        Self { url, roots: [root], token, attempts, links }
    }

    /// From now on only this token is good.
    pub fn set_token(&self, token: &str) {
        *self.token.lock().unwrap() = token.to_owned();
    }

    /// How often a WebSocket was asked for.
    pub fn attempts(&self) -> usize {
        self.attempts.load(Ordering::SeqCst)
    }

    /// The next accepted link.
    pub async fn link(&mut self) -> Socket {
        timeout(PATIENCE, self.links.recv()).await.expect("a link").unwrap()
    }
}

fn check(request: &Request, token: &str) -> Result<(), ErrorResponse> {
    let given = request.headers().get("authorization").map(|v| v.to_str().unwrap());
    if request.uri().path() == "/v1/relay" && given == Some(&format!("Bearer {token}")) {
        return Ok(());
    }
    let mut refusal = ErrorResponse::new(None);
    *refusal.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::UNAUTHORIZED;
    Err(refusal)
}

/// An acceptor for 127.0.0.1 and localhost, and the root (DER) that vouches for it.
fn tls() -> (TlsAcceptor, Vec<u8>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority.der().to_vec())
}

/// The next binary message; pings are answered on the way.
pub async fn receive(socket: &mut Socket) -> Vec<u8> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("a message").unwrap().unwrap() {
            Message::Binary(bytes) => return bytes.to_vec(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("expected a binary message, got {other:?}"),
        }
    }
}

/// Waits until the host closes the link.
pub async fn closed(mut socket: Socket) {
    while let Some(Ok(message)) = timeout(PATIENCE, socket.next()).await.expect("the end") {
        if message.is_close() {
            return;
        }
    }
}

pub async fn send(socket: &mut Socket, bytes: &[u8]) {
    socket.send(Message::Binary(bytes.to_vec().into())).await.unwrap();
}
