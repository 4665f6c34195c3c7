//! A host that dials: serves streams as `countersign_wire::dial` says, on a Unix socket.

use cosigner_enclave::frames::{read_message, write_message};
use cosigner_enclave::transport::Unix;
use countersign_wire::dial::{DialAnswer, DialRequest, DialStep};
use countersign_wire::host_link::Opening;
use countersign_wire::{List, Text};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// What was asked for.
#[derive(Default)]
pub struct Asked {
    pub resolved: Vec<String>,
    pub dialled: Vec<(IpAddr, u16)>,
}

pub struct Broker {
    folder: TempDir,
    pub asked: Arc<Mutex<Asked>>,
    names: Arc<Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>>,
    task: JoinHandle<()>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Broker {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("host.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Asked::default()));
        let names = Arc::new(Mutex::new(BTreeMap::new()));
        let (all_asked, all_names) = (asked.clone(), names.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, all_asked.clone(), all_names.clone()));
            }
        });
        Self { folder, asked, names, task }
    }

    pub fn transport(&self) -> Unix {
        Unix { path: self.folder.path().join("host.sock") }
    }

    /// The next time that `name` is resolved, it has these addresses; the last answer given stays.
    pub fn answer(&self, name: &str, addresses: &[IpAddr]) {
        self.names.lock().unwrap().entry(name.to_owned()).or_default().push_back(addresses.to_vec());
    }

    pub fn dialled(&self) -> Vec<(IpAddr, u16)> {
        self.asked.lock().unwrap().dialled.clone()
    }
}

type Names = Arc<Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>>;

async fn serve(mut stream: UnixStream, asked: Arc<Mutex<Asked>>, names: Names) {
    assert_eq!(read_message::<Opening>(&mut stream).await.unwrap(), Opening::Dial);
    while let Ok(request) = read_message::<DialRequest>(&mut stream).await {
        match request {
            DialRequest::Resolve { name } => {
                asked.lock().unwrap().resolved.push(name.as_str().to_owned());
                let answer = resolve(&names, &name);
                write_message(&mut stream, &answer).await.unwrap();
            }
            DialRequest::Connect { address, port } => {
                let address = IpAddr::from(address);
                asked.lock().unwrap().dialled.push((address, port));
                match TcpStream::connect((address, port)).await {
                    Ok(mut tcp) => {
                        write_message(&mut stream, &DialAnswer::Connected).await.unwrap();
                        let _ = copy_bidirectional(&mut stream, &mut tcp).await;
                    }
                    Err(error) => {
                        let failed =
                            DialAnswer::Failed { step: DialStep::Connect, detail: Text::cut(error.to_string()) };
                        write_message(&mut stream, &failed).await.unwrap();
                    }
                }
                return;
            }
        }
    }
}

fn resolve(names: &Names, name: &str) -> DialAnswer {
    let mut names = names.lock().unwrap();
    let addresses = names.get_mut(name).map(|answers| match answers.len() {
        0 | 1 => answers.front().cloned().unwrap_or_default(),
        _ => answers.pop_front().unwrap(),
    });
    match addresses {
        Some(addresses) => {
            let addresses = addresses.into_iter().map(Into::into).collect();
            DialAnswer::Resolved { addresses: List::new(addresses).unwrap() }
        }
        None => DialAnswer::Failed { step: DialStep::Resolve, detail: Text::cut("no such name") },
    }
}
