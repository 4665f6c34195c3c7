//! Between an operator and an enclave.

use super::variants::Variants;
use super::{Book, bytes, callback, group, list, purpose, text};
use countersign_wire::Text;
use countersign_wire::admin::{AdminPacket, AdminRequest, AdminResponse, Done};
use countersign_wire::ceremony::GroupState;
use countersign_wire::command::{
    AddUser, ApprovalSetting, Change, Command, Handler, HandlerTls, Initiator, Measurements, Network,
    OperatorSignature, RetrySchedule, SignedCommand,
};
use countersign_wire::dial::Address;
use countersign_wire::group::Role;
use countersign_wire::ids::*;
use countersign_wire::key::KeyStatus;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::{ApprovalKind, Description, GroupStatus, KeyEntry, PairingStatus, Status, UserStatus};

const PAIRING: PairingId = PairingId([19; 16]);

fn network() -> Network {
    Network { address: Address::V4([10, 0, 0, 0]), prefix: 8 }
}

fn measurements() -> Measurements {
    Measurements { pcr0: [40; 48], pcr1: [41; 48], pcr2: [42; 48], pcr8: Some([43; 48]) }
}

fn initiator() -> Initiator {
    Initiator { user: "client".parse().unwrap(), public_key: bytes(b"i") }
}

pub fn handler() -> Handler {
    Handler {
        url: text("https://handler.example"),
        keys: list(vec![bytes(b"h")]),
        tls: HandlerTls::Root(bytes(b"r")),
        networks: list(vec![network()]),
        deadline_ms: 30_000,
        retry: RetrySchedule { every_s: 180, times: 20 },
        dated_requests: true,
        own_request_key: true,
    }
}

fn add_user() -> AddUser {
    AddUser {
        token: text("a.b.c"),
        workspace: WorkspaceFingerprint([44; 32]),
        workspace_root: Some(bytes(b"w")),
        workspace_networks: list(vec![network()]),
        role: Role::Customer,
        initiators: list(vec![initiator()]),
        peer_measurements: list(vec![measurements()]),
        require_intent: true,
        allow_raw: false,
        approval: ApprovalSetting::Handler(handler()),
    }
}

fn description() -> Description {
    Description {
        instance: InstanceId([31; 32]),
        boot: BootId([17; 16]),
        version: text("1"),
        name: text("first"),
        operators: list(vec![(OperatorId([33; 32]), text("alice"))]),
        required: 1,
        sealing_key: text("key"),
        settings_epoch: 2,
        pending_changes: 0,
        nonce: [32; 32],
        measurements: measurements(),
    }
}

fn status() -> Status {
    let proposed = GroupStatus { group: group(), hash: [45; 32], state: GroupState::FindingPrimes, primes_found: 3 };
    let pairing = PairingStatus {
        pairing: PAIRING,
        workspace: WorkspaceId([3; 16]),
        fingerprint: WorkspaceFingerprint([44; 32]),
        url: text("https://w"),
        party: PartyId([1; 32]),
        role: Role::Customer,
        link_up: true,
        link_trouble: text("it was down"),
        require_intent: true,
        users: 1,
        initiators: 2,
        groups: list(vec![proposed]),
        keys_ready: 3,
        keys_suspended: 4,
    };
    Status {
        description: description(),
        now_ms: 50,
        booted_at_ms: 51,
        pairings: list(vec![pairing]),
        signatures: 52,
        sessions: 53,
        unstored: 54,
        host: Some((callback::health(), 55)),
    }
}

pub fn user() -> UserStatus {
    UserStatus {
        pairing: PAIRING,
        workspace: WorkspaceId([3; 16]),
        user: "signer".parse().unwrap(),
        approval: ApprovalKind::Handler,
        handler_url: text("https://handler.example"),
        allow_raw: true,
        handler_mode: text("public key"),
        confirmed: true,
        last_attempt: Some(callback::attempt()),
        approved: 61,
        rejected: 62,
        retried: 64,
        failed: 63,
        waiting: 65,
        retrying: 66,
        certificate_expires_at_ms: Some(67),
    }
}

fn key() -> KeyEntry {
    KeyEntry {
        pairing: PAIRING,
        key: KeyId([6; 16]),
        status: KeyStatus::Ready,
        purpose: purpose(),
        public_key: Some([23; 33]),
        detail: Text::default(),
    }
}

pub fn add(book: &mut Book) {
    book.every(vec![
        AdminPacket::Handshake1 { noise: bytes(b"1") },
        AdminPacket::Handshake2 { instance: InstanceId([31; 32]), noise: bytes(b"2") },
        AdminPacket::Data { counter: 1, sealed: bytes(b"d") },
    ]);
    let signature = OperatorSignature { operator: OperatorId([33; 32]), signature: [34; 64] };
    book.every(vec![
        AdminRequest::Describe,
        AdminRequest::Status,
        AdminRequest::Users,
        AdminRequest::Keys,
        AdminRequest::Initiators { pairing: PAIRING },
        AdminRequest::CallbackPublicKey { pairing: PAIRING },
        AdminRequest::Callback { pairing: PAIRING, user: "signer".parse().unwrap() },
        AdminRequest::Events { after: 1 },
        AdminRequest::Command(SignedCommand { command: bytes(b"c"), signatures: list(vec![signature]) }),
    ]);
    let answers = vec![
        AdminResponse::Described(description()),
        AdminResponse::Status(Box::new(status())),
        AdminResponse::Users(list(vec![user()])),
        AdminResponse::Keys(list(vec![key()])),
        AdminResponse::Initiators(list(vec![initiator()])),
        AdminResponse::PublicKey(bytes(b"k")),
        AdminResponse::Callback(Box::new(callback::callback_status())),
        AdminResponse::Events(callback::events()),
        AdminResponse::Refused(Refusal::new(Code::Rejected, "no")),
        AdminResponse::Done(Done::Claimed),
        AdminResponse::Done(Done::UserAdded {
            user: "signer".parse().unwrap(),
            pairing: PAIRING,
            party: PartyId([1; 32]),
            workspace: WorkspaceId([3; 16]),
            callback_public_key: bytes(b"k"),
        }),
        AdminResponse::Done(Done::InitiatorAdded),
        AdminResponse::Done(Done::InitiatorRemoved),
        AdminResponse::Done(Done::GroupAccepted { group: GroupId([4; 16]) }),
        AdminResponse::Done(Done::QuarantineCleared),
        AdminResponse::Done(Done::ApprovalSet { request_key: bytes(b"k"), ended: 1 }),
        AdminResponse::Done(Done::CallbackTested(Box::new(callback::test()))),
        AdminResponse::Done(Done::UserRemoved { pairing_removed: true }),
        AdminResponse::Done(Done::Renamed),
        AdminResponse::Done(Done::SealingKeyRotated),
    ];
    let variant = |answer: &AdminResponse| match answer {
        AdminResponse::Done(done) => done.variant(),
        other => other.variant(),
    };
    let others = AdminResponse::ALL.iter().copied().filter(|name| *name != "done");
    let all: Vec<&str> = others.chain(Done::ALL.iter().copied()).collect();
    book.every_by(answers, variant, &all);

    let operators = list(vec![(OperatorId([33; 32]), text("alice"))]);
    let changes = vec![
        Change::Claim { operators, required: 1, sealing_key: text("key") },
        Change::AddUser(Box::new(add_user())),
        Change::AddInitiator { pairing: PAIRING, initiator: initiator() },
        Change::RemoveInitiator { pairing: PAIRING, user: "client".parse().unwrap() },
        Change::AcceptGroup { pairing: PAIRING, group: group() },
        Change::ClearQuarantine { pairing: PAIRING, key: KeyId([6; 16]) },
        Change::SetApproval {
            pairing: PAIRING,
            user: "signer".parse().unwrap(),
            approval: ApprovalSetting::Handler(handler()),
        },
        Change::TestCallback { pairing: PAIRING, user: "signer".parse().unwrap() },
        Change::RemoveUser { pairing: PAIRING, user: "signer".parse().unwrap() },
        Change::Rename { name: text("first") },
        Change::RotateSealingKey { sealing_key: text("other key") },
    ];
    let command = |change| Command { instance: InstanceId([31; 32]), settings_epoch: 1, nonce: [32; 32], change };
    let commands = changes.into_iter().map(command).collect();
    book.every_by(commands, |c: &Command| c.change.variant(), Change::ALL);
}
