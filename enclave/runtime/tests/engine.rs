//! The task that owns the core, against a host that the tests play over a Unix socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use cosigner_core::{
    AddressRule, Body, Effect, ExchangeFailure, ExchangeSpec, Input, JobEvent, JobSpec, Purpose, SealingKeyAnswer,
    Trust,
};
use cosigner_enclave::exchange::PublicRoots;
use cosigner_enclave::farewell;
use cosigner_enclave::frames::{LinkError, read_message, write_message};
use cosigner_enclave::key_service::{KeyService, KeyServiceError};
use cosigner_enclave::transport::Unix;
use cosigner_enclave::{Decide, Fatal, Parts};
use countersign_mpc::{Cggmp24, ExecutionId, Plan};
use countersign_wire::frame::{MAGIC, VERSION};
use countersign_wire::host_link::{BlobWrite, CounterValue, FromEnclave, FromHost, HostHealth, Opening};
use countersign_wire::ids::{BootId, PairingId};
use countersign_wire::limits::{MAX_BATCH_WRITES, MAX_FRAME_BYTES};
use countersign_wire::{Bytes, Message, Text};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::{NOW_MS, clock};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const BOOT: BootId = BootId([7; 16]);
const PATIENCE: Duration = Duration::from_secs(60);

type Script = dyn FnMut(&Input) -> Vec<Effect> + Send;

/// A core that shows its inputs to the test and does what the test says.
struct Scripted {
    inputs: mpsc::UnboundedSender<(u64, Input)>,
    script: Box<Script>,
    /// From its first input on.
    failure: Option<&'static str>,
}

impl Decide for Scripted {
    fn step(&mut self, now_ms: u64, input: Input) -> Vec<Effect> {
        let effects = (self.script)(&input);
        self.inputs.send((now_ms, input)).unwrap();
        effects
    }

    fn failure(&self) -> Option<String> {
        self.failure.map(str::to_owned)
    }
}

struct NoKeyService;

impl KeyService for NoKeyService {
    async fn generate(&self, _: [u8; 32], _: &str) -> Result<SealingKeyAnswer, KeyServiceError> {
        Err(KeyServiceError::Service("there is none".into()))
    }

    async fn unwrap(&self, _: [u8; 32], _: &str, _: Vec<u8>) -> Result<SealingKeyAnswer, KeyServiceError> {
        Err(KeyServiceError::Service("there is none".into()))
    }
}

struct Enclave {
    inputs: mpsc::UnboundedReceiver<(u64, Input)>,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Fatal>>,
}

impl Enclave {
    fn start(
        socket: &Path,
        script: impl FnMut(&Input) -> Vec<Effect> + Send + 'static,
        failure: Option<&'static str>,
    ) -> Self {
        let (sender, inputs) = mpsc::unbounded_channel();
        let parts = Parts {
            core: Scripted { inputs: sender, script: Box::new(script), failure },
            clock: clock(),
            transport: Unix { path: socket.to_owned() },
            key_service: NoKeyService,
            entropy: Box::new(ChaCha20Rng::seed_from_u64(1)),
            scheme: Arc::new(Cggmp24),
            boot: BOOT,
            version: "1.2.3",
            public_roots: PublicRoots::default(),
        };
        let (shutdown, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(cosigner_enclave::run(parts, async move {
            let _ = ended.await;
        }));
        Self { inputs, shutdown: Some(shutdown), task }
    }

    async fn input(&mut self) -> Input {
        tokio::time::timeout(PATIENCE, self.inputs.recv()).await.expect("no input").expect("the core is gone").1
    }

    async fn end(mut self) {
        drop(self.shutdown.take());
        self.task.await.unwrap().unwrap();
    }
}

struct Host {
    folder: TempDir,
    listener: UnixListener,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("host.sock")).unwrap();
        Self { folder, listener }
    }

    fn start_enclave(&self, script: impl FnMut(&Input) -> Vec<Effect> + Send + 'static) -> Enclave {
        Enclave::start(&self.folder.path().join("host.sock"), script, None)
    }

    /// Takes a connection and reads its opening.
    async fn accept(&self) -> (UnixStream, Opening) {
        let (mut stream, _) = tokio::time::timeout(PATIENCE, self.listener.accept()).await.expect("nobody").unwrap();
        let opening = read_message(&mut stream).await.unwrap();
        (stream, opening)
    }

    /// Takes a control connection and welcomes the enclave.
    async fn welcome(&self) -> UnixStream {
        let (mut stream, opening) = self.accept().await;
        assert!(matches!(opening, Opening::Control { .. }));
        write_message(&mut stream, &welcome()).await.unwrap();
        stream
    }
}

fn welcome() -> FromHost {
    FromHost::Welcome { version: Text::cut("9.9") }
}

fn nothing(_: &Input) -> Vec<Effect> {
    Vec::new()
}

fn once_connected(effects: impl FnOnce() -> Vec<Effect> + Send) -> impl FnMut(&Input) -> Vec<Effect> + Send {
    let mut effects = Some(effects);
    move |input| match input {
        Input::HostConnected => effects.take().map(|effects| effects()).unwrap_or_default(),
        _ => Vec::new(),
    }
}

async fn closed(stream: &mut UnixStream) {
    let mut rest = Vec::new();
    // A reset, where the enclave left something unread, is an end as well.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("still open");
}

#[tokio::test]
async fn the_enclave_opens_says_who_it_is_and_comes_back_after_a_loss() {
    let host = Host::new();
    let mut enclave = host.start_enclave(|input| match input {
        Input::HostConnected => vec![Effect::LoadBlobs],
        _ => Vec::new(),
    });
    for _ in 0..3 {
        let (mut stream, opening) = host.accept().await;
        assert_eq!(opening, Opening::Control { boot: BOOT, version: Text::cut("1.2.3") });
        write_message(&mut stream, &welcome()).await.unwrap();
        assert!(matches!(enclave.input().await, Input::HostConnected));
        assert_eq!(read_message::<FromEnclave>(&mut stream).await.unwrap(), FromEnclave::LoadBlobs);
        write_message(&mut stream, &FromHost::BlobsEnd { count: 0 }).await.unwrap();
        assert!(matches!(enclave.input().await, Input::BlobsEnd { count: 0 }));
        drop(stream);
        assert!(matches!(enclave.input().await, Input::HostGone));
    }
    enclave.end().await;
}

#[tokio::test]
async fn a_host_that_starts_after_the_enclave_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("host.sock");
    let mut enclave = Enclave::start(&socket, nothing, None);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let host = Host { listener: UnixListener::bind(&socket).unwrap(), folder };
    let _stream = host.welcome().await;
    // Not `HostGone`: the core never had a host before.
    assert!(matches!(enclave.input().await, Input::HostConnected));
    enclave.end().await;
}

#[tokio::test]
async fn t46_another_version_is_refused_and_the_connection_tried_again() {
    let host = Host::new();
    let mut enclave = host.start_enclave(nothing);

    // A later message version.
    let (mut stream, _) = host.accept().await;
    let mut later = welcome().encode();
    later[0] += 1;
    stream.write_all(&frame(VERSION, &later)).await.unwrap();
    closed(&mut stream).await;
    // A later frame version.
    let (mut stream, _) = host.accept().await;
    stream.write_all(&frame(VERSION + 1, &welcome().encode())).await.unwrap();
    closed(&mut stream).await;
    // An unknown variant.
    let (mut stream, _) = host.accept().await;
    stream.write_all(&frame(VERSION, &unknown_variant())).await.unwrap();
    closed(&mut stream).await;
    // Something else than a welcome.
    let (mut stream, _) = host.accept().await;
    write_message(&mut stream, &FromHost::BlobsEnd { count: 0 }).await.unwrap();
    closed(&mut stream).await;

    let _stream = host.welcome().await;
    // The core heard of none of these.
    assert!(matches!(enclave.input().await, Input::HostConnected));
    enclave.end().await;
}

#[tokio::test]
async fn t46_a_message_that_does_not_belong_there_ends_the_connection() {
    let host = Host::new();
    let mut enclave = host.start_enclave(nothing);
    for bad in [frame(VERSION, &welcome().encode()), frame(VERSION, &unknown_variant()), b"GET / HTTP/1.1\r\n".to_vec()]
    {
        let mut stream = host.welcome().await;
        assert!(matches!(enclave.input().await, Input::HostConnected));
        stream.write_all(&bad).await.unwrap();
        closed(&mut stream).await;
        assert!(matches!(enclave.input().await, Input::HostGone));
    }
    enclave.end().await;
}

#[tokio::test]
async fn t45_a_declared_length_over_the_limit_ends_the_connection_at_once() {
    let host = Host::new();
    let mut enclave = host.start_enclave(nothing);
    let mut stream = host.welcome().await;
    assert!(matches!(enclave.input().await, Input::HostConnected));
    // Only the header comes; whoever waited for so much would wait for ever.
    let length = u32::try_from(MAX_FRAME_BYTES + 1).unwrap().to_be_bytes();
    stream.write_all(&[&MAGIC[..], &[VERSION, 0], &length].concat()).await.unwrap();
    closed(&mut stream).await;
    assert!(matches!(enclave.input().await, Input::HostGone));
    enclave.end().await;
}

fn unknown_variant() -> [u8; 2] {
    [welcome().encode()[0], 250]
}

fn frame(version: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&MAGIC[..], &[version, 0], &length, payload].concat()
}

#[tokio::test]
async fn a_full_queue_stops_the_core_and_loses_nothing() {
    const FRAMES: u16 = 400;
    let pairing = PairingId([1; 16]);
    let host = Host::new();
    let enclave = host.start_enclave(move |input| match input {
        Input::LinkData { frame, .. } => {
            let mut answer = vec![0; 100_000];
            answer[..2].copy_from_slice(&frame[..2]);
            vec![Effect::LinkSend { pairing, frame: answer }]
        }
        _ => Vec::new(),
    });
    let (mut reader, mut writer) = host.welcome().await.into_split();
    let writing = tokio::spawn(async move {
        for number in 0..FRAMES {
            let frame = Bytes::new(number.to_be_bytes()).unwrap();
            write_message(&mut writer, &FromHost::LinkData { pairing, frame }).await.unwrap();
        }
        writer
    });
    // While the host reads nothing, the core gets no further than the queue is long.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let taken = enclave.inputs.len();
    assert!(taken < 100, "the core took {taken} inputs");
    for number in 0..FRAMES {
        match read_message::<FromEnclave>(&mut reader).await.unwrap() {
            FromEnclave::LinkSend { frame, .. } => assert_eq!(frame[..2], number.to_be_bytes()),
            other => panic!("{other:?}"),
        }
    }
    let _writer = writing.await.unwrap();
    enclave.end().await;
}

#[tokio::test]
async fn what_the_host_says_about_itself_reaches_the_core() {
    let host = Host::new();
    let mut enclave = host.start_enclave(nothing);
    let mut stream = host.welcome().await;
    assert!(matches!(enclave.input().await, Input::HostConnected));
    let health = HostHealth { version: Text::cut("9.9"), disk_free_bytes: 5, proxied: true, ..HostHealth::default() };
    write_message(&mut stream, &FromHost::Health(health.clone())).await.unwrap();
    match enclave.input().await {
        Input::HostHealth(got) => assert_eq!(got, health),
        _ => panic!("another input"),
    }
    enclave.end().await;
}

#[tokio::test]
async fn the_core_is_woken_when_it_asked_for_it_and_not_before() {
    let host = Host::new();
    let mut enclave = host.start_enclave(once_connected(|| {
        // The later request replaces the earlier one.
        vec![Effect::WakeAt { at_ms: NOW_MS }, Effect::WakeAt { at_ms: NOW_MS + 300 }]
    }));
    let _stream = host.welcome().await;
    assert!(matches!(enclave.input().await, Input::HostConnected));
    let (now_ms, input) = tokio::time::timeout(PATIENCE, enclave.inputs.recv()).await.unwrap().unwrap();
    assert!(matches!(input, Input::Tick));
    assert!(now_ms >= NOW_MS + 300, "{now_ms}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(enclave.inputs.len(), 0, "one request is one tick");
    enclave.end().await;
}

#[tokio::test]
async fn a_panic_of_the_core_ends_everything() {
    let host = Host::new();
    let enclave = host.start_enclave(|_| panic!("a bug"));
    let mut stream = host.welcome().await;
    assert!(matches!(enclave.task.await.unwrap(), Err(Fatal::CorePanicked)));
    let said = read_message::<FromEnclave>(&mut stream).await.unwrap();
    assert_eq!(said, FromEnclave::Stopping { why: Text::cut("the core panicked") });
    assert!(matches!(read_message::<FromEnclave>(&mut stream).await, Err(LinkError::Closed)));
}

#[tokio::test]
async fn effects_that_cannot_be_executed_are_answered_with_a_failure() {
    let host = Host::new();
    let mut enclave = host.start_enclave(once_connected(|| {
        let write = BlobWrite { name: Text::cut("a"), value: None };
        vec![
            Effect::Persist { sequence: 3, fresh: false, writes: vec![write; MAX_BATCH_WRITES + 1] },
            Effect::GenerateSealingKey { instance: [1; 32], wrapping_key: Text::cut("arn:aws:kms:…") },
            Effect::Exchange { id: 5, spec: Box::new(denied_exchange()) },
            Effect::StartJob { job: 8, spec: JobSpec::CallbackKey },
            Effect::StartJob { job: 8, spec: JobSpec::CallbackKey },
        ]
    }));
    let _stream = host.welcome().await;
    let (mut persist, mut key, mut exchange, mut refused) = (false, false, false, false);
    while !(persist && key && exchange && refused) {
        match enclave.input().await {
            Input::PersistFailed { sequence: 3, .. } => persist = true,
            Input::SealingKey(Err(reason)) => {
                assert!(reason.contains("there is none"), "{reason}");
                key = true;
            }
            Input::ExchangeDone { id: 5, report } => {
                assert!(matches!(report.outcome, Err(ExchangeFailure::AddressDenied(_))), "{report:?}");
                exchange = true;
            }
            Input::Job { job: 8, event: JobEvent::Failed(_) } => refused = true,
            Input::HostConnected | Input::Job { job: 8, event: JobEvent::CallbackKey(_) } => {}
            _ => panic!("another input"),
        }
    }
    enclave.end().await;
}

fn denied_exchange() -> ExchangeSpec {
    ExchangeSpec {
        purpose: Purpose::Pairing,
        host: "127.0.0.1".into(),
        port: 443,
        path: "/".into(),
        content_type: "application/json",
        headers: Vec::new(),
        body: Body::Plain(Vec::new()),
        addresses: AddressRule { networks: Vec::new() },
        trust: Trust::PublicRoots,
        max_answer_bytes: 10,
        deadline_ms: 1000,
        keep_alive: false,
    }
}

#[tokio::test]
async fn an_enclave_whose_core_stops_tells_its_host_why_and_ends() {
    const WHY: &str = "storage: the head is missing";
    let host = Host::new();
    let enclave = Enclave::start(&host.folder.path().join("host.sock"), nothing, Some(WHY));
    let mut stream = host.welcome().await;
    let said = read_message::<FromEnclave>(&mut stream).await.unwrap();
    assert_eq!(said, FromEnclave::Stopping { why: Text::cut(format!("the co-signer cannot go on: {WHY}")) });
    closed(&mut stream).await;
    let ended = tokio::time::timeout(PATIENCE, enclave.task).await.expect("it goes on").unwrap();
    assert!(matches!(ended, Err(Fatal::CoreStopped(why)) if why == WHY));
}

#[tokio::test]
async fn an_enclave_that_does_not_start_tells_its_host_why() {
    let host = Host::new();
    let transport = Unix { path: host.folder.path().join("host.sock") };
    let said = tokio::spawn(async move { farewell::say(&transport, "1.2.3", "no clock").await });
    let (mut stream, opening) = host.accept().await;
    assert_eq!(opening, Opening::Control { boot: BootId([0; 16]), version: Text::cut("1.2.3") });
    write_message(&mut stream, &welcome()).await.unwrap();
    let why = read_message::<FromEnclave>(&mut stream).await.unwrap();
    assert_eq!(why, FromEnclave::Stopping { why: Text::cut("no clock") });
    closed(&mut stream).await;
    said.await.unwrap();
}

#[tokio::test]
async fn a_job_reports_to_the_core_until_it_is_dropped() {
    let host = Host::new();
    let plan = Plan::Keygen { execution: ExecutionId([1; 32]), index: 0, parties: 3, threshold: 3 };
    let mut plan = Some(Box::new(plan));
    let mut enclave = host.start_enclave(move |input| match input {
        Input::HostConnected => vec![Effect::StartJob { job: 4, spec: JobSpec::Mpc(plan.take().unwrap()) }],
        Input::LinkUp { .. } => vec![Effect::DropJob { job: 4 }, Effect::Report { ready: true, counters: vec![] }],
        _ => Vec::new(),
    });
    let mut stream = host.welcome().await;
    assert!(matches!(enclave.input().await, Input::HostConnected));
    assert!(matches!(enclave.input().await, Input::Job { job: 4, event: JobEvent::Send { .. } }));
    write_message(&mut stream, &FromHost::LinkUp { pairing: PairingId([1; 16]) }).await.unwrap();
    match read_message::<FromEnclave>(&mut stream).await.unwrap() {
        FromEnclave::Report { ready: true, counters } => {
            let jobs = counters.iter().find(|counter| counter.name.as_str() == "runtime_jobs").unwrap();
            assert_eq!(jobs.value, CounterValue::Gauge(0));
        }
        other => panic!("{other:?}"),
    }
    enclave.end().await;
}
