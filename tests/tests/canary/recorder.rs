//! A TLS server in front of the workspace, under a certificate of the same authority: it hears what enclaves and hosts
//! say to the workspace and are told, tokens among it.

use countersign_stack::stack::Stack;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Heard = Arc<Mutex<Vec<u8>>>;

pub struct Recorder {
    pub url: String,
    heard: Heard,
}

impl Recorder {
    /// In front of the stack's first workspace.
    pub async fn start(stack: &Stack) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = stack.authority.issue(folder.path()).unwrap();
        let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let mut server = server.with_no_client_auth().with_single_cert(chain, key).unwrap();
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(stack.authority.certificate()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];

        let workspace: SocketAddr = stack.workspace().unwrap().url.strip_prefix("https://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (acceptor, connector) = (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)));
        let heard = Heard::default();
        let record = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, connector, record) = (acceptor.clone(), connector.clone(), Arc::clone(&record));
                tokio::spawn(async move {
                    let near = acceptor.accept(stream).await.ok()?;
                    let far = TcpStream::connect(workspace).await.ok()?;
                    let far = connector.connect(ServerName::from(workspace.ip()), far).await.ok()?;
                    let ((near_in, near_out), (far_in, far_out)) = (tokio::io::split(near), tokio::io::split(far));
                    tokio::join!(pump(near_in, far_out, &record), pump(far_in, near_out, &record));
                    Some(())
                });
            }
        });
        Self { url, heard }
    }

    /// Every text that was the value of a JSON member of this name.
    pub fn values_of(&self, member: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let text = String::from_utf8_lossy(&heard);
        let mut all: Vec<String> = text
            .split(&format!("\"{member}\":\""))
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, heard: &Heard) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() || to.flush().await.is_err() {
            break;
        }
        heard.lock().unwrap().extend(&buffer[..count]);
    }
    let _ = to.shutdown().await;
}
