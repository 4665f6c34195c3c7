//! An enclave's end of the admin protocol, with a host in front of it that can misbehave.

mod rules;

use cosigner_dev::{DevelopmentRoot, SoftwareNsm};
use countersign_attest::Measurements;
use countersign_channel::{StaticKey, Transport, admin};
use countersign_wire::admin::{AdminPacket, AdminRequest, AdminResponse, CallbackTest};
use countersign_wire::callback::{Attempt, CallbackSubject};
use countersign_wire::command::{ApprovalSetting, Command, Initiator};
use countersign_wire::group::Role;
use countersign_wire::host_link::HostHealth;
use countersign_wire::ids::{ApiUserId, BootId, ChangeId, InstanceId, OperatorId, PairingId, PartyId, WorkspaceId};
use countersign_wire::limits::MAX_NAME_BYTES;
use countersign_wire::refusal::Code;
use countersign_wire::status::{Event, KeyEntry, PairingStatus, UserStatus};
use countersign_wire::{Bytes, List, Message, SigningIdentity, Text, frame};
use rand_core::{OsRng, RngCore};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Workspace and pairing that every simulated enclave is paired with.
pub const WORKSPACE: WorkspaceId = WorkspaceId([0xaa; 16]);
pub const PAIRING: PairingId = PairingId([0xbb; 16]);
/// The user that every pairing token is for.
pub const USER: &str = "api-user-1";
/// The public key with which requests to handlers are signed; its content does not matter here.
pub const CALLBACK_KEY: [u8; 60] = [0x42; 60];

/// The same for a user with a key of its own.
pub const OWN_CALLBACK_KEY: [u8; 60] = [0x43; 60];

pub use rules::user_status;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Another operator is there after the claim.
    ExtraOperatorAfterClaim,
    /// Commands are carried out and the answer is lost.
    LoseAnswers,
    /// The enclave refuses commands.
    Refuse(Code),
    /// Somebody else changes the settings once it was asked how an API user's requests are approved.
    SettingsChangeMeanwhile,
    /// The workspace proposes something else once the proposal was looked at.
    ProposalChangesMeanwhile(ApprovalSetting),
    /// The host accepts and says nothing.
    SilentHandshake,
    /// The host passes the handshake and swallows requests.
    SilentRequests,
    /// The host alters the answers.
    TamperAnswers,
    /// The host answers with an earlier second handshake message.
    ReplayHandshake,
    /// The host repeats the first answer for every later request.
    RepeatAnswers,
    /// The host speaks something else.
    Garbage(Vec<u8>),
}

/// What the enclave knows about an API user's handler, beside its status.
#[derive(Debug, Clone)]
pub struct Callback {
    pub setting: ApprovalSetting,
    pub attempts: Vec<(CallbackSubject, Attempt)>,
    pub proposal: Option<(ChangeId, ApprovalSetting)>,
    /// What a probe brings.
    pub test: Option<CallbackTest>,
}

pub struct State {
    pub instance: InstanceId,
    identity: SigningIdentity,
    pub operators: Vec<(OperatorId, Text<MAX_NAME_BYTES>)>,
    pub required: u16,
    pub sealing_key: String,
    pub settings_epoch: u64,
    pub pending_changes: u16,
    pub pairings: Vec<PairingStatus>,
    pub users: Vec<UserStatus>,
    pub callbacks: BTreeMap<ApiUserId, Callback>,
    /// Lines that are still kept.
    pub events: Vec<Event>,
    pub name: String,
    pub host: Option<(HostHealth, u64)>,
    pub unstored: u32,
    /// What refused commands are told.
    pub refusal_detail: String,
    /// Milliseconds by which its clock is behind.
    pub clock_behind_ms: u64,
    /// Another boot; connections of the one before end.
    pub boot: BootId,
    pub keys: Vec<KeyEntry>,
    pub initiators: Vec<Initiator>,
    pub fault: Fault,
    /// Every command that was accepted.
    pub accepted: Vec<Command>,
    /// Every byte that came through the socket, as the host saw it.
    pub seen_by_host: Vec<u8>,
    /// Milliseconds that documents are older than they should be.
    pub document_age_ms: u64,
    pub measurements: Measurements,
    root: Arc<DevelopmentRoot>,
    recorded_handshake: Option<Vec<u8>>,
    recorded_answer: Option<Vec<Vec<u8>>>,
}

pub struct SimulatedEnclave {
    pub socket: PathBuf,
    pub root_file: PathBuf,
    _dir: TempDir,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

pub fn real_measurements() -> Measurements {
    Measurements { pcr0: [0x10; 48], pcr1: [0x11; 48], pcr2: [0x12; 48], pcr8: None }
}

pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl SimulatedEnclave {
    /// A fresh enclave behind its own socket.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let root = Arc::new(DevelopmentRoot::generate().unwrap());
        let root_file = dir.path().join("root.pem");
        std::fs::write(&root_file, root.certificate_pem()).unwrap();
        let mut secret = [0u8; 32];
        OsRng.fill_bytes(&mut secret);
        let state = State {
            instance: InstanceId(SigningIdentity::from_secret(&secret).public()),
            identity: SigningIdentity::from_secret(&secret),
            operators: Vec::new(),
            required: 0,
            sealing_key: String::new(),
            settings_epoch: 0,
            pending_changes: 0,
            pairings: Vec::new(),
            users: Vec::new(),
            callbacks: BTreeMap::new(),
            events: Vec::new(),
            name: String::new(),
            host: None,
            unstored: 0,
            refusal_detail: "simulated".to_owned(),
            clock_behind_ms: 0,
            keys: Vec::new(),
            initiators: Vec::new(),
            fault: Fault::None,
            accepted: Vec::new(),
            seen_by_host: Vec::new(),
            document_age_ms: 0,
            measurements: real_measurements(),
            root,
            boot: BootId([7; 16]),
            recorded_handshake: None,
            recorded_answer: None,
        };
        let state = Arc::new(Mutex::new(state));
        let stop = Arc::new(AtomicBool::new(false));
        let listener = UnixListener::bind(&socket).unwrap();
        let (shared, stopped) = (state.clone(), stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // One CLI at a time is enough; it ends when it hangs up.
                let _ = serve(stream.unwrap(), &shared);
            }
        });
        Self { socket, root_file, _dir: dir, state, stop }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn fault(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// Makes this enclave look like another one in all but its instance.
    pub fn copy_settings_of(&self, other: &Self) {
        let (operators, required, sealing_key, epoch, root) = {
            let other = other.state();
            let o = &*other;
            (o.operators.clone(), o.required, o.sealing_key.clone(), o.settings_epoch, o.root.clone())
        };
        let mut state = self.state();
        (state.operators, state.required, state.sealing_key) = (operators, required, sealing_key);
        (state.settings_epoch, state.root) = (epoch, root);
    }
}

impl Drop for SimulatedEnclave {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.socket);
    }
}

/// A pairing as the status shows it.
pub fn pairing_status(role: Role) -> PairingStatus {
    PairingStatus {
        pairing: PAIRING,
        workspace: WORKSPACE,
        fingerprint: countersign_wire::ids::WorkspaceFingerprint([0xcc; 32]),
        url: Text::new("https://workspace.example").unwrap(),
        party: PartyId([0x0d; 32]),
        role,
        link_up: true,
        link_trouble: Text::default(),
        require_intent: true,
        users: 1,
        initiators: 0,
        groups: List::default(),
        keys_ready: 0,
        keys_suspended: 0,
    }
}

fn serve(mut stream: UnixStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let fault = state.lock().unwrap().fault.clone();
    if let Fault::Garbage(bytes) = &fault {
        stream.write_all(bytes)?;
        return drain(&mut stream);
    }
    let AdminPacket::Handshake1 { noise } = read_packet(&mut stream, state)? else { panic!("no handshake") };
    if fault == Fault::SilentHandshake {
        return drain(&mut stream);
    }
    let (mut transport, message2) = state.lock().unwrap().handshake(&noise);
    let instance = state.lock().unwrap().instance;
    write_packet(&mut stream, &AdminPacket::Handshake2 { instance, noise: Bytes::new(message2).unwrap() })?;
    let boot = state.lock().unwrap().boot;
    let mut nonce = None;
    loop {
        let AdminPacket::Data { counter, sealed } = read_packet(&mut stream, state)? else { panic!("no data") };
        let Some(plain) = transport.open(counter, &sealed).unwrap() else { continue };
        let request = AdminRequest::decode(&plain).unwrap();
        if state.lock().unwrap().boot != boot {
            return Ok(());
        }
        let is_command = matches!(request, AdminRequest::Command(_));
        let response = state.lock().unwrap().answer(request, &mut nonce);
        if fault == Fault::SilentRequests {
            return drain(&mut stream);
        }
        if fault == Fault::LoseAnswers && is_command {
            return Ok(());
        }
        for sealed in state.lock().unwrap().seal(&mut transport, &response) {
            stream.write_all(&frame::header(sealed.len()).unwrap())?;
            stream.write_all(&sealed)?;
        }
    }
}

fn drain(stream: &mut UnixStream) -> io::Result<()> {
    let mut sink = [0u8; 1024];
    while stream.read(&mut sink)? > 0 {}
    Ok(())
}

fn read_packet(stream: &mut UnixStream, state: &Mutex<State>) -> io::Result<AdminPacket> {
    let mut header = [0u8; frame::HEADER_BYTES];
    stream.read_exact(&mut header)?;
    let mut payload = vec![0u8; frame::payload_len(&header).unwrap()];
    stream.read_exact(&mut payload)?;
    state.lock().unwrap().seen_by_host.extend_from_slice(&payload);
    Ok(AdminPacket::decode(&payload).unwrap())
}

fn write_packet(stream: &mut UnixStream, packet: &AdminPacket) -> io::Result<()> {
    let payload = packet.encode();
    stream.write_all(&frame::header(payload.len()).unwrap())?;
    stream.write_all(&payload)
}

impl State {
    fn handshake(&mut self, message1: &[u8]) -> (Transport, Vec<u8>) {
        let age = self.document_age_ms;
        let mut nsm = SoftwareNsm::new(self.root.clone(), "i-0-enc0", self.measurements, move || now_ms() - age);
        let key = StaticKey::generate(&mut OsRng);
        let (transport, message2) =
            admin::respond(&self.identity, &key, self.boot, &mut OsRng, &mut nsm, message1).unwrap();
        match (&self.fault, self.recorded_handshake.clone()) {
            (Fault::ReplayHandshake, Some(recorded)) => (transport, recorded),
            _ => {
                self.recorded_handshake = Some(message2.clone());
                (transport, message2)
            }
        }
    }

    fn seal(&mut self, transport: &mut Transport, response: &AdminResponse) -> Vec<Vec<u8>> {
        let packets = transport.seal(&response.encode()).unwrap();
        let tamper = self.fault == Fault::TamperAnswers;
        let encoded = packets.into_iter().map(|(counter, mut sealed)| {
            if tamper {
                *sealed.last_mut().unwrap() ^= 1;
            }
            AdminPacket::Data { counter, sealed: Bytes::new(sealed).unwrap() }.encode()
        });
        let encoded: Vec<Vec<u8>> = encoded.collect();
        if self.fault == Fault::RepeatAnswers {
            return self.recorded_answer.get_or_insert(encoded).clone();
        }
        encoded
    }
}
