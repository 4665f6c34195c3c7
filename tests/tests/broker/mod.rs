//! A host in the middle: between a real enclave's process and its real host's, on a Unix socket of its own. It reads every
//! message, and a script decides what becomes of it.

#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

mod dials;

use countersign_stack::System;
use countersign_stack::stack::Stack;
use countersign_wire::Message;
use countersign_wire::frame::{self, HEADER_BYTES};
use countersign_wire::host_link::{FromEnclave, FromHost, Opening};
pub use dials::{Dials, OwnServer};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// What one side says to the other.
#[derive(Debug, Clone)]
pub enum Said {
    /// The enclave to the host.
    Up(FromEnclave),
    /// The host to the enclave.
    Down(FromHost),
}

/// What becomes of a message: itself, nothing, other messages, in either direction.
pub type Script = Box<dyn FnMut(Said) -> Vec<Said> + Send>;

/// Passes everything on.
pub fn honest() -> Script {
    Box::new(|said| vec![said])
}

/// State that scripts and streams share.
pub struct Shared {
    script: Mutex<Script>,
    /// How streams that the enclave asks for are dialled.
    pub dials: Mutex<Dials>,
    /// Told when all streams are to be cut.
    cut: Notify,
    /// Every byte that the enclave gave away, in order of arrival.
    pub given: Mutex<Vec<u8>>,
    /// What it was given and gave, as messages.
    pub seen: Mutex<Vec<Said>>,
    host: PathBuf,
}

/// The host in the middle. It ends when dropped.
pub struct Broker {
    pub shared: Arc<Shared>,
    socket: PathBuf,
    enclave: String,
    honest_socket: OsString,
    task: JoinHandle<()>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Broker {
    /// Puts itself between an enclave and its host: from the enclave's next start on, see [`Broker::restart`].
    pub fn between(stack: &mut Stack, member: &str, folder: &Path) -> Self {
        let enclave = stack.member(member).unwrap().enclave();
        let socket = folder.join("middle");
        let arguments = &mut stack.processes.get(&enclave).unwrap().plan_mut().arguments;
        let place = arguments.iter().position(|a| a == "--host-socket").unwrap() + 1;
        let honest_socket = std::mem::replace(&mut arguments[place], socket.clone().into());
        let shared = Arc::new(Shared {
            script: Mutex::new(honest()),
            dials: Mutex::new(Dials::Honest),
            cut: Notify::new(),
            given: Mutex::default(),
            seen: Mutex::default(),
            host: PathBuf::from(&honest_socket),
        });
        let listener = UnixListener::bind(&socket).unwrap();
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, socket, enclave, honest_socket, task }
    }

    /// From now on this script decides.
    pub fn set(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// From now on streams are dialled like this. Those that were open, and kept for the next request, are cut.
    pub fn dial(&self, dials: Dials) {
        *self.shared.dials.lock().unwrap() = dials;
        self.shared.cut.notify_waiters();
    }

    /// Starts the enclave again; it comes to this host.
    pub async fn restart(&self, stack: &mut Stack) {
        stack.processes.kill(&self.enclave).await.unwrap();
        stack.processes.start(&self.enclave).await.unwrap();
    }

    /// Goes: the enclave starts again with its honest host.
    pub async fn leave(self, system: &mut System) {
        let process = system.stack.processes.get(&self.enclave).unwrap();
        let middle = self.socket.as_os_str();
        for argument in process.plan_mut().arguments.iter_mut().filter(|a| *a == middle) {
            argument.clone_from(&self.honest_socket);
        }
        self.restart(&mut system.stack).await;
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((enclave, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { serve(enclave, &shared).await });
    }
}

async fn serve(mut enclave: UnixStream, shared: &Arc<Shared>) -> Option<()> {
    let opening = read(&mut enclave).await?;
    shared.given.lock().unwrap().extend(&opening);
    let mut host = UnixStream::connect(&shared.host).await.ok()?;
    match Opening::decode(&opening).ok()? {
        Opening::Control { .. } => {
            write(&mut host, &opening).await?;
            control(enclave, host, shared).await
        }
        Opening::SignAwsCall => {
            write(&mut host, &opening).await?;
            tokio::io::copy_bidirectional(&mut enclave, &mut host).await.ok().map(drop)
        }
        Opening::Dial => dials::serve(enclave, host, &opening, shared).await,
    }
}

/// One frame's payload; `None` where the stream ends.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await.ok()?;
    let mut payload = vec![0; frame::payload_len(&header).ok()?];
    stream.read_exact(&mut payload).await.ok()?;
    Some(payload)
}

/// Writes one frame.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), payload: &[u8]) -> Option<()> {
    stream.write_all(&frame::header(payload.len()).ok()?).await.ok()?;
    stream.write_all(payload).await.ok()
}

async fn control(enclave: UnixStream, host: UnixStream, shared: &Arc<Shared>) -> Option<()> {
    let (mut from_enclave, mut to_enclave) = enclave.into_split();
    let (mut from_host, mut to_host) = host.into_split();
    let (queue, mut said) = mpsc::channel(64);
    let up = queue.clone();
    let recorder = Arc::clone(shared);
    let reader = tokio::spawn(async move {
        while let Some(payload) = read(&mut from_enclave).await {
            recorder.given.lock().unwrap().extend(&payload);
            let message = FromEnclave::decode(&payload).expect("an honest enclave speaks the protocol");
            if up.send(Some(Said::Up(message))).await.is_err() {
                return;
            }
        }
        let _ = up.send(None).await;
    });
    let other = tokio::spawn(async move {
        while let Some(payload) = read(&mut from_host).await {
            let message = FromHost::decode(&payload).expect("an honest host speaks the protocol");
            if queue.send(Some(Said::Down(message))).await.is_err() {
                return;
            }
        }
        let _ = queue.send(None).await;
    });
    // The end of either side is the end of both.
    while let Some(Some(message)) = said.recv().await {
        shared.seen.lock().unwrap().push(message.clone());
        let all = (shared.script.lock().unwrap())(message);
        let mut written = Some(());
        for message in all {
            written = match message {
                Said::Up(message) => write(&mut to_host, &message.encode()).await,
                Said::Down(message) => write(&mut to_enclave, &message.encode()).await,
            };
            if written.is_none() {
                break;
            }
        }
        if written.is_none() {
            break;
        }
    }
    reader.abort();
    other.abort();
    Some(())
}
