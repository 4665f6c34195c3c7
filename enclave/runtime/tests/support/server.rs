//! A TLS server on the loopback that answers with bytes of the test's choice.

use rustls::ServerConfig;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the server saw.
#[derive(Default)]
pub struct Seen {
    /// TLS handshakes that succeeded on this side.
    pub sessions: usize,
    /// Everything that came after them.
    pub plain: Vec<u8>,
}

pub struct Server {
    pub port: u16,
    pub seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The server's side of a session.
pub struct Session {
    pub stream: TlsStream<TcpStream>,
    seen: Arc<Mutex<Seen>>,
}

impl Session {
    /// Reads head and body of one request; `false` if the client closes instead.
    pub async fn read_request(&mut self) -> bool {
        let mut all = Vec::new();
        loop {
            let mut part = [0; 4096];
            let len = self.stream.read(&mut part).await.unwrap_or(0);
            if len == 0 {
                return false;
            }
            all.extend_from_slice(&part[..len]);
            self.seen.lock().unwrap().plain.extend_from_slice(&part[..len]);
            if let Some(head) = all.windows(4).position(|window| window == b"\r\n\r\n") {
                let text = String::from_utf8(all[..head].to_ascii_lowercase()).unwrap();
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if all.len() >= head + 4 + length.parse::<usize>().unwrap() {
                    return true;
                }
            }
        }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // The client may have gone away: that is what some tests are about.
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Ends the session as TLS wants it.
    pub async fn close(mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends the TCP connection with a reset.
    pub fn reset(self) {
        let (tcp, _) = self.stream.into_inner();
        #[allow(deprecated)] // a linger of zero does not block
        tcp.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Server {
    /// Serves every session with `script`.
    pub async fn start<F, R>(config: Arc<ServerConfig>, script: F) -> Self
    where
        F: Fn(Session) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let script = Arc::new(script);
        let sessions = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, seen, script) = (TlsAcceptor::from(config.clone()), sessions.clone(), script.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        seen.lock().unwrap().sessions += 1;
                        script(Session { stream, seen }).await;
                    }
                });
            }
        });
        Self { port, seen, task }
    }

    /// Serves every request with the same bytes, then closes.
    pub async fn answering(config: Arc<ServerConfig>, answer: impl Into<Vec<u8>>) -> Self {
        let answer: Vec<u8> = answer.into();
        Self::start(config, move |mut session| {
            let answer = answer.clone();
            async move {
                session.read_request().await;
                session.write(answer).await;
                session.close().await;
            }
        })
        .await
    }

    /// Serves every request with the same bytes, and keeps the connection.
    pub async fn keeping(config: Arc<ServerConfig>, answer: impl Into<Vec<u8>>) -> Self {
        let answer: Vec<u8> = answer.into();
        Self::start(config, move |mut session| {
            let answer = answer.clone();
            async move {
                while session.read_request().await {
                    session.write(&answer).await;
                }
            }
        })
        .await
    }

    /// TLS handshakes that succeeded.
    pub fn sessions(&self) -> usize {
        self.seen.lock().unwrap().sessions
    }

    pub fn plain(&self) -> String {
        String::from_utf8(self.seen.lock().unwrap().plain.clone()).unwrap()
    }
}
