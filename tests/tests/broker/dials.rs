//! Streams that the enclave asks its host to dial.

use super::{Shared, read, write};
use countersign_stack::certificates::ServerCertificate;
use countersign_wire::dial::{Address, DialAnswer, DialRequest};
use countersign_wire::{List, Message};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

/// How streams are dialled.
#[derive(Clone)]
pub enum Dials {
    /// As asked.
    Honest,
    /// Every name has this address, which is then dialled as asked.
    Resolve([u8; 4]),
    /// Every name is here, and every stream goes to this port, whichever was asked for.
    To(u16),
    /// Streams to this port end at a server of the host's own.
    Own(u16, Arc<OwnServer>),
}

/// How a client's handshake ended, and what the client said behind it.
pub type Heard = (Result<(), String>, Vec<u8>);

/// A TLS server of the host's own.
pub struct OwnServer {
    config: Arc<ServerConfig>,
    /// What clients did.
    pub heard: Mutex<Vec<Heard>>,
}

impl OwnServer {
    /// With this certificate.
    pub fn new(files: &ServerCertificate) -> Arc<Self> {
        let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(Self { config: Arc::new(config), heard: Mutex::default() })
    }

    async fn serve(&self, stream: UnixStream) {
        let (mut said, ended) = (Vec::new(), TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await);
        let ended = match ended {
            Ok(mut stream) => {
                let _ = stream.read_to_end(&mut said).await;
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        };
        self.heard.lock().unwrap().push((ended, said));
    }
}

/// One stream.
pub async fn serve(mut enclave: UnixStream, mut host: UnixStream, opening: &[u8], shared: &Arc<Shared>) -> Option<()> {
    write(&mut host, opening).await?;
    loop {
        let asked = read(&mut enclave).await?;
        shared.given.lock().unwrap().extend(&asked);
        let dials = shared.dials.lock().unwrap().clone();
        let answer = match (DialRequest::decode(&asked).ok()?, dials) {
            (DialRequest::Resolve { .. }, Dials::Resolve(address)) => {
                DialAnswer::Resolved { addresses: List::new(vec![Address::V4(address)]).ok()? }
            }
            (DialRequest::Resolve { .. }, Dials::Own(..)) => {
                DialAnswer::Resolved { addresses: List::new(vec![Address::V4([127, 0, 0, 66])]).ok()? }
            }
            (DialRequest::Resolve { .. }, Dials::To(_)) => {
                DialAnswer::Resolved { addresses: List::new(vec![Address::V4([127, 0, 0, 1])]).ok()? }
            }
            (DialRequest::Connect { .. }, Dials::To(port)) => {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
                write(&mut enclave, &DialAnswer::Connected.encode()).await?;
                return tokio::io::copy_bidirectional(&mut enclave, &mut server).await.ok().map(drop);
            }
            (DialRequest::Connect { port, .. }, Dials::Own(own, server)) if port == own => {
                write(&mut enclave, &DialAnswer::Connected.encode()).await?;
                server.serve(enclave).await;
                return Some(());
            }
            _ => {
                write(&mut host, &asked).await?;
                DialAnswer::decode(&read(&mut host).await?).ok()?
            }
        };
        write(&mut enclave, &answer.encode()).await?;
        match answer {
            DialAnswer::Connected => break,
            DialAnswer::Resolved { .. } => {}
            DialAnswer::Failed { .. } => return None,
        }
    }
    let ((mut from_enclave, mut to_enclave), (mut from_host, mut to_host)) = (enclave.split(), host.split());
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count) = from_enclave.read(&mut buffer).await {
            if count == 0 || to_host.write_all(&buffer[..count]).await.is_err() {
                break;
            }
            shared.given.lock().unwrap().extend(&buffer[..count]);
        }
        let _ = to_host.shutdown().await;
    };
    let down = async {
        let _ = tokio::io::copy(&mut from_host, &mut to_enclave).await;
        let _ = to_enclave.shutdown().await;
    };
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        () = shared.cut.notified() => {}
    }
    Some(())
}
