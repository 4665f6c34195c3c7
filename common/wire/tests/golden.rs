//! The bytes of every top-level message are fixed: `testdata/golden.txt` holds them. A change here is a change of the
//! protocol, and needs a new version of the message.
//!
//! `COUNTERSIGN_WRITE_GOLDEN=1` writes the file anew; read the difference before you commit it.

#![allow(clippy::unwrap_used, reason = "tests only")]

use countersign_wire::admin::{AdminPacket, AdminRequest, AdminResponse, Done};
use countersign_wire::agreement::{Acknowledgement, NeverHeld, Stage, Subject};
use countersign_wire::ceremony::{CosignerMessage, GroupState, Ready, ToCosigner, Work, WorkspaceMessage};
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::command::{Change, Command};
use countersign_wire::dial::{Address, DialAnswer, DialRequest, DialStep};
use countersign_wire::group::{Group, Party, Role};
use countersign_wire::host_link::{BlobWrite, Counter, FromEnclave, FromHost, LinkDown, Opening};
use countersign_wire::ids::*;
use countersign_wire::key::{Algorithm, DerivationPath, EcdsaSignature, KeyPurpose, Operation};
use countersign_wire::peer::{Broadcast, Packet, PeerMessage};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::relay::{RelayDown, RelayUp};
use countersign_wire::transaction::{Approval, Authorisation, IntentId, TransactionRequest};
use countersign_wire::{Bytes, DecodeError, List, Message, Signed, SigningIdentity, Text};
use std::collections::BTreeMap;
use std::fmt::Debug;

fn text<const N: usize>(value: &str) -> Text<N> {
    Text::new(value).unwrap()
}

fn bytes<const N: usize>(value: &[u8]) -> Bytes<N> {
    Bytes::new(value).unwrap()
}

fn list<T, const N: usize>(items: Vec<T>) -> List<T, N> {
    List::new(items).unwrap()
}

#[derive(Default)]
struct Book(BTreeMap<String, Vec<u8>>);

impl Book {
    /// Takes a message down after checking what holds for every message.
    fn add<M: Message + PartialEq + Debug>(&mut self, label: &str, message: &M) {
        let encoded = message.encode();
        assert_eq!(M::decode(&encoded).as_ref(), Ok(message), "{label} round trips");
        let mut trailing = encoded.clone();
        trailing.push(0);
        assert!(M::decode(&trailing).is_err(), "{label}: trailing bytes are refused");
        assert!(M::decode(&encoded[..encoded.len() - 1]).is_err(), "{label}: a cut message is refused");
        let mut other = encoded.clone();
        other[0] = M::VERSION + 1;
        assert!(matches!(M::decode(&other), Err(DecodeError::Version { .. })), "{label}: another version is named");
        let huge = vec![M::VERSION; M::MAX_BYTES + 1];
        assert!(matches!(M::decode(&huge), Err(DecodeError::TooLarge { .. })), "{label}: its limit holds");
        assert!(self.0.insert(format!("{} {label}", M::NAME), encoded).is_none(), "{label} once");
    }
}

fn group() -> Group {
    let parties =
        vec![Party { id: PartyId([1; 32]), role: Role::Customer }, Party { id: PartyId([2; 32]), role: Role::Cloud }];
    Group { workspace: WorkspaceId([3; 16]), id: GroupId([4; 16]), parties: list(parties), threshold: 2 }
}

fn purpose() -> KeyPurpose {
    KeyPurpose {
        algorithm: Algorithm::EcdsaSecp256k1,
        coin_type: 60,
        operations: list(vec![Operation::Raw, Operation::TypedMessage]),
        signer: "signer".parse().unwrap(),
    }
}

fn request() -> TransactionRequest {
    TransactionRequest {
        transaction: TransactionId([5; 16]),
        group: GroupId([4; 16]),
        key: KeyId([6; 16]),
        signer: "signer".parse().unwrap(),
        method: text("POST"),
        path: text("/v1/transactions"),
        body: bytes(b"{}"),
        token: Some(text("a.b.c")),
    }
}

fn authorisation() -> Authorisation {
    Authorisation {
        workspace: WorkspaceId([3; 16]),
        transaction: TransactionId([5; 16]),
        request_hash: [7; 32],
        intent: Some(IntentId { initiator: "client".parse().unwrap(), nonce: text("n"), external: Some(text("x")) }),
        operation: Operation::TypedMessage,
        digests: list(vec![[8; 32]]),
        algorithm: Algorithm::EcdsaSecp256k1,
        key: KeyId([6; 16]),
        epoch: 0,
        paths: list(vec![DerivationPath::vault(60, 0, 0, 0).unwrap()]),
        group: GroupId([4; 16]),
        signer: "signer".parse().unwrap(),
        approval: Approval::Handler { request_id: text("r") },
        ledger_position: 9,
        issued_at_ms: 10,
        not_after_ms: 11,
    }
}

fn ready() -> Ready {
    Ready {
        session: SessionId([12; 16]),
        work_hash: [13; 32],
        authorisation_hash: Some([14; 32]),
        group_hash: [15; 32],
        aux_outcome: Some([16; 32]),
        epoch: 0,
        signers_wanted: 2,
        presignature: None,
        boot: BootId([17; 16]),
        random: [18; 32],
    }
}

fn book() -> Book {
    let me = SigningIdentity::from_secret(&[42; 32]);
    let session = SessionId([12; 16]);
    let (key, pairing) = (KeyId([6; 16]), PairingId([19; 16]));
    let signature = EcdsaSignature { r: [20; 32], s: [21; 32], v: 1 };
    let acknowledgement = Acknowledgement {
        group: GroupId([4; 16]),
        subject: Subject::Key(key),
        session,
        outcome: [22; 32],
        stage: Stage::Held,
    };
    let never = NeverHeld { group: GroupId([4; 16]), subject: Subject::Aux(GroupId([4; 16])), session };
    let certificate = KeyCertificate {
        workspace: WorkspaceId([3; 16]),
        vault_account: 0,
        asset: text("ETH"),
        key,
        algorithm: Algorithm::EcdsaSecp256k1,
        path: DerivationPath::vault(60, 0, 0, 0).unwrap(),
        public_key: [23; 33],
        address: text("0x00"),
        group: GroupId([4; 16]),
        parties: list(vec![PartyId([1; 32]), PartyId([2; 32])]),
        threshold: 2,
        epoch: 0,
    };
    let refusal = Refusal::new(Code::Rejected, "no");
    let mut book = Book::default();

    book.add("sample", &group());
    book.add("sample", &request());
    book.add("sample", &authorisation());
    book.add("sample", &ready());
    book.add("sample", &acknowledgement);
    book.add("sample", &never);
    book.add("sample", &certificate);
    book.add("sample", &Broadcast { execution: [24; 32], position: 1, hash: [25; 32] });
    book.add("aux", &Work::Aux { group: GroupId([4; 16]) });
    book.add("keygen", &Work::Keygen { group: GroupId([4; 16]), key, purpose: purpose() });
    let sign = Work::Sign { request: request(), authorisation: Signed::sign(&authorisation(), &me), digest_index: 0 };
    book.add("sign", &sign);

    let say = |message| ToCosigner { to: PartyId([1; 32]), message };
    let words = || list(vec![(PartyId([1; 32]), Signed::sign(&acknowledgement, &me))]);
    let subject = Subject::Key(key);
    book.add("propose-group", &say(WorkspaceMessage::ProposeGroup(group())));
    book.add("authorise", &say(WorkspaceMessage::Authorise(request())));
    book.add("prepare", &say(WorkspaceMessage::Prepare { session, deadline_ms: 1000, work: sign }));
    let start = WorkspaceMessage::Start {
        session,
        signers: list(vec![0, 1]),
        readies: list(vec![Signed::sign(&ready(), &me)]),
    };
    book.add("start", &say(start));
    book.add("cancel", &say(WorkspaceMessage::Cancel { session }));
    book.add("query", &say(WorkspaceMessage::Query { group: GroupId([4; 16]), subject, session }));
    book.add("commit", &say(WorkspaceMessage::Commit { subject, session, held: words() }));
    book.add("publish", &say(WorkspaceMessage::Publish { subject, session, durable: words() }));
    let discard =
        WorkspaceMessage::Discard { subject, session, party: PartyId([2; 32]), never: Signed::sign(&never, &me) };
    book.add("discard", &say(discard));
    book.add("certify", &say(WorkspaceMessage::Certify { key, vault_account: 0, asset: text("ETH") }));

    let hello = CosignerMessage::Hello {
        boot: BootId([17; 16]),
        role: Role::Cloud,
        version: text("1"),
        groups: list(vec![(GroupId([4; 16]), GroupState::Ready)]),
    };
    let transaction = TransactionId([5; 16]);
    book.add("hello", &hello);
    book.add("group-accepted", &CosignerMessage::GroupAccepted { group: GroupId([4; 16]), hash: [26; 32] });
    book.add(
        "authorised",
        &CosignerMessage::Authorised { transaction, authorisation: Signed::sign(&authorisation(), &me) },
    );
    book.add(
        "authorisation-refused",
        &CosignerMessage::AuthorisationRefused { transaction, refusal: refusal.clone(), last: true },
    );
    book.add("authorisation-waiting", &CosignerMessage::AuthorisationWaiting { transaction });
    book.add("ready", &CosignerMessage::Ready { session, ready: Signed::sign(&ready(), &me) });
    book.add("refused", &CosignerMessage::Refused { session, refusal: refusal.clone() });
    book.add(
        "aborted",
        &CosignerMessage::Aborted { session, refusal: refusal.clone(), blamed: Some(PartyId([2; 32])) },
    );
    let done =
        CosignerMessage::SignatureDone { session, transaction, digest_index: 0, public_key: [23; 33], signature };
    book.add("signature-done", &done);
    book.add("acknowledged", &CosignerMessage::Acknowledged { acknowledgement: Signed::sign(&acknowledgement, &me) });
    book.add("never-held", &CosignerMessage::NeverHeld { never: Signed::sign(&never, &me) });
    book.add("still-running", &CosignerMessage::StillRunning { subject, session });
    book.add("key-published", &CosignerMessage::KeyPublished { key, session, public_key: [23; 33] });
    book.add("certificate", &CosignerMessage::Certificate { key, certificate: Signed::sign(&certificate, &me) });
    let refused =
        CosignerMessage::CertificateRefused { key, vault_account: 0, asset: text("ETH"), refusal: refusal.clone() };
    book.add("certificate-refused", &refused);

    book.add("workspace", &RelayUp::Workspace(bytes(b"w")));
    book.add("peer", &RelayUp::Peer { to: PartyId([2; 32]), packet: bytes(b"p") });
    book.add("workspace", &RelayDown::Workspace(bytes(b"w")));
    book.add("peer", &RelayDown::Peer { from: PartyId([2; 32]), packet: bytes(b"p") });

    let channel = [27; 16];
    book.add("handshake-1", &Packet::Handshake1 { channel, noise: bytes(b"1") });
    book.add("handshake-2", &Packet::Handshake2 { channel, noise: bytes(b"2") });
    book.add("handshake-3", &Packet::Handshake3 { channel, noise: bytes(b"3") });
    book.add("data", &Packet::Data { channel, counter: 28, sealed: bytes(b"d") });
    book.add("unknown", &Packet::Unknown { channel });
    book.add("knock", &Packet::Knock);
    let round = PeerMessage::Round {
        session,
        execution: [24; 32],
        sequence: 1,
        broadcast: Some((0, [29; 64])),
        bytes: bytes(b"m"),
    };
    book.add("round", &round);
    book.add("evidence", &PeerMessage::Evidence { session, execution: [24; 32], words: list(vec![]) });
    book.add("abort", &PeerMessage::Abort { session, execution: [24; 32], subject: Some(subject) });

    book.add("control", &Opening::Control { boot: BootId([17; 16]), version: text("1") });
    book.add("dial", &Opening::Dial);
    book.add("load-blobs", &FromEnclave::LoadBlobs);
    let write = BlobWrite { name: text("blob"), value: Some(bytes(b"v")) };
    book.add("persist", &FromEnclave::Persist { sequence: 1, fresh: true, writes: list(vec![write]) });
    let open = FromEnclave::LinkOpen {
        pairing,
        url: text("wss://w"),
        access_token: text("t"),
        roots: list(vec![bytes(b"r")]),
    };
    book.add("link-open", &open);
    book.add("link-close", &FromEnclave::LinkClose { pairing });
    book.add("link-send", &FromEnclave::LinkSend { pairing, frame: bytes(b"f") });
    book.add("admin", &FromEnclave::Admin { connection: 1, packet: bytes(b"a") });
    book.add("admin-close", &FromEnclave::AdminClose { connection: 1 });
    let counter = Counter { name: text("c"), label: Some((text("l"), text("v"))), value: 2, monotonic: true };
    book.add("report", &FromEnclave::Report { ready: true, counters: list(vec![counter]) });
    book.add("welcome", &FromHost::Welcome { version: text("1") });
    book.add("blob", &FromHost::Blob { name: text("blob"), value: bytes(b"v") });
    book.add("blobs-end", &FromHost::BlobsEnd { count: 1 });
    book.add("persisted", &FromHost::Persisted { sequence: 1 });
    book.add("persist-failed", &FromHost::PersistFailed { sequence: 1, detail: text("full") });
    book.add("link-up", &FromHost::LinkUp { pairing });
    book.add("link-down", &FromHost::LinkDown { pairing, reason: LinkDown::Unauthorised });
    book.add("link-data", &FromHost::LinkData { pairing, frame: bytes(b"f") });
    book.add("admin-opened", &FromHost::AdminOpened { connection: 1 });
    book.add("admin", &FromHost::Admin { connection: 1, packet: bytes(b"a") });
    book.add("admin-closed", &FromHost::AdminClosed { connection: 1 });
    book.add("resolve", &DialRequest::Resolve { name: text("handler.example") });
    book.add("connect", &DialRequest::Connect { address: Address::V4([127, 0, 0, 1]), port: 443 });
    book.add("resolved", &DialAnswer::Resolved { addresses: list(vec![Address::V6([30; 16])]) });
    book.add("connected", &DialAnswer::Connected);
    book.add("failed", &DialAnswer::Failed { step: DialStep::Connect, detail: text("no") });

    book.add("handshake-1", &AdminPacket::Handshake1 { noise: bytes(b"1") });
    book.add("handshake-2", &AdminPacket::Handshake2 { instance: InstanceId([31; 32]), noise: bytes(b"2") });
    book.add("data", &AdminPacket::Data { counter: 1, sealed: bytes(b"d") });
    book.add("describe", &AdminRequest::Describe);
    book.add("status", &AdminRequest::Status);
    book.add("users", &AdminRequest::Users);
    book.add("keys", &AdminRequest::Keys);
    book.add("initiators", &AdminRequest::Initiators { pairing });
    book.add("callback-public-key", &AdminRequest::CallbackPublicKey { pairing });
    book.add("done-claimed", &AdminResponse::Done(Done::Claimed));
    book.add("refused", &AdminResponse::Refused(refusal));
    let command = |change| Command { instance: InstanceId([31; 32]), settings_epoch: 1, nonce: [32; 32], change };
    let operators = list(vec![(OperatorId([33; 32]), text("alice"))]);
    book.add("claim", &command(Change::Claim { operators, required: 1, sealing_key: text("key") }));
    book.add("accept-group", &command(Change::AcceptGroup { pairing, group: group() }));
    book.add("remove-initiator", &command(Change::RemoveInitiator { pairing, user: "client".parse().unwrap() }));
    book.add("clear-quarantine", &command(Change::ClearQuarantine { pairing, key }));
    book
}

#[test]
fn t46_every_message_has_exactly_the_bytes_that_are_written_down() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/golden.txt");
    let lines: Vec<String> = book().0.iter().map(|(label, bytes)| format!("{label} {}", hex::encode(bytes))).collect();
    let now = lines.join("\n") + "\n";
    if std::env::var_os("COUNTERSIGN_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    for (ours, golden) in now.lines().zip(written.lines()) {
        assert_eq!(ours, golden);
    }
    assert_eq!(now.lines().count(), written.lines().count());
}
