//! The bytes of every top-level message are fixed: `testdata/golden.txt` holds them. A change here is a change of the
//! protocol, and needs a new version of the message.
//!
//! `COUNTERSIGN_WRITE_GOLDEN=1` writes the file anew; read the difference before you commit it.

#![allow(clippy::unwrap_used, reason = "tests only")]

#[path = "golden/admin.rs"]
mod admin;
#[path = "golden/callback.rs"]
mod callback;
#[path = "golden/fields.rs"]
mod fields;
#[path = "golden/host.rs"]
mod host;
#[path = "golden/variants.rs"]
mod variants;

use borsh::BorshSerialize;
use countersign_wire::agreement::{Acknowledgement, NeverHeld, Stage, Subject};
use countersign_wire::ceremony::{CosignerMessage, GroupState, Ready, ToCosigner, Work, WorkspaceMessage};
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::group::{Group, Party, Role};
use countersign_wire::ids::*;
use countersign_wire::key::{Algorithm, DerivationPath, EcdsaSignature, KeyPurpose, Operation};
use countersign_wire::peer::{Broadcast, Packet, PeerMessage};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::relay::{RelayDown, RelayUp};
use countersign_wire::status::ApprovalKind;
use countersign_wire::transaction::{Approval, Authorisation, IntentId, TransactionRequest};
use countersign_wire::{Bytes, DecodeError, List, Message, Signed, SigningIdentity, Text};
use std::collections::BTreeMap;
use std::fmt::Debug;
use variants::Variants;

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

    /// Takes samples down, at least one of each variant.
    fn every<M: Message + Variants + PartialEq + Debug>(&mut self, samples: Vec<M>) {
        self.every_by(samples, M::variant, M::ALL);
    }

    /// As [`Self::every`], for messages that are told apart by what is in them.
    fn every_by<M: Message + PartialEq + Debug>(
        &mut self,
        samples: Vec<M>,
        variant: impl Fn(&M) -> &'static str,
        all: &[&str],
    ) {
        let mut missing: Vec<&str> = all.to_vec();
        for sample in samples {
            let label = variant(&sample);
            missing.retain(|other| *other != label);
            self.add(label, &sample);
        }
        assert_eq!(missing, [""; 0], "{}: variants without a sample", M::NAME);
    }

    /// Takes down how each variant of a type inside of messages is encoded.
    fn every_field<T: Variants + BorshSerialize>(&mut self, name: &str, samples: &[T]) {
        let mut missing: Vec<&str> = T::ALL.to_vec();
        for sample in samples {
            missing.retain(|other| *other != sample.variant());
            let line = format!("field/{name} {}", sample.variant());
            assert!(self.0.insert(line, borsh::to_vec(sample).unwrap()).is_none(), "{} once", sample.variant());
        }
        assert_eq!(missing, [""; 0], "{name}: variants without a sample");
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
        unsigned: Some(bytes(b"u")),
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
    let key = KeyId([6; 16]);
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
        signer: "signer".parse().unwrap(),
        operations: list(vec![Operation::Raw, Operation::TypedMessage]),
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
    let sign = Work::Sign { request: request(), authorisation: Signed::sign(&authorisation(), &me), digest_index: 0 };
    book.every(vec![
        Work::Aux { group: GroupId([4; 16]) },
        Work::Keygen { group: GroupId([4; 16]), key, purpose: purpose() },
        sign.clone(),
    ]);

    let words = || list(vec![(PartyId([1; 32]), Signed::sign(&acknowledgement, &me))]);
    let subject = Subject::Key(key);
    let told = vec![
        WorkspaceMessage::ProposeGroup(group()),
        WorkspaceMessage::Authorise(request()),
        WorkspaceMessage::ApproveChange(callback::change()),
        WorkspaceMessage::ProposeApproval {
            change: ChangeId([77; 16]),
            user: "signer".parse().unwrap(),
            approval: ApprovalSetting::None,
        },
        WorkspaceMessage::Prepare { session, deadline_ms: 1000, work: sign },
        WorkspaceMessage::Start {
            session,
            signers: list(vec![0, 1]),
            readies: list(vec![Signed::sign(&ready(), &me)]),
        },
        WorkspaceMessage::Cancel { session },
        WorkspaceMessage::Query { group: GroupId([4; 16]), subject, session },
        WorkspaceMessage::Commit { subject, session, held: words() },
        WorkspaceMessage::Publish { subject, session, durable: words() },
        WorkspaceMessage::Discard { subject, session, party: PartyId([2; 32]), never: Signed::sign(&never, &me) },
        WorkspaceMessage::Certify { key, vault_account: 0, asset: text("ETH") },
        WorkspaceMessage::Withdraw { transaction: TransactionId([5; 16]) },
    ];
    let told = told.into_iter().map(|message| ToCosigner { to: PartyId([1; 32]), message }).collect();
    book.every_by(told, |m| m.message.variant(), WorkspaceMessage::ALL);

    let transaction = TransactionId([5; 16]);
    let (change, attempt) = (ChangeId([77; 16]), || Some(callback::attempt()));
    book.every(vec![
        CosignerMessage::Hello {
            boot: BootId([17; 16]),
            role: Role::Cloud,
            version: text("1"),
            groups: list(vec![(GroupId([4; 16]), GroupState::Ready)]),
        },
        CosignerMessage::GroupAccepted { group: GroupId([4; 16]), hash: [26; 32] },
        CosignerMessage::Users {
            name: text("first"),
            users: list(vec![("signer".parse().unwrap(), ApprovalKind::Handler, [93; 32])]),
        },
        CosignerMessage::Authorised {
            transaction,
            authorisation: Signed::sign(&authorisation(), &me),
            attempt: attempt(),
        },
        CosignerMessage::AuthorisationRefused { transaction, refusal: refusal.clone(), last: true, attempt: attempt() },
        CosignerMessage::AuthorisationWaiting { transaction, attempt: attempt() },
        CosignerMessage::ChangeWaiting { change, attempt: None },
        CosignerMessage::ChangeDecided {
            change,
            approval: Signed::sign(&callback::change_approval(), &me),
            attempt: attempt(),
        },
        CosignerMessage::ChangeRefused { change, refusal: refusal.clone(), last: false, attempt: None },
        CosignerMessage::Ready { session, ready: Signed::sign(&ready(), &me) },
        CosignerMessage::Refused { session, refusal: refusal.clone() },
        CosignerMessage::Aborted { session, refusal: refusal.clone(), blamed: Some(PartyId([2; 32])) },
        CosignerMessage::SignatureDone { session, transaction, digest_index: 0, public_key: [23; 33], signature },
        CosignerMessage::Acknowledged { acknowledgement: Signed::sign(&acknowledgement, &me) },
        CosignerMessage::NeverHeld { never: Signed::sign(&never, &me) },
        CosignerMessage::StillRunning { subject, session },
        CosignerMessage::KeyPublished { key, session, public_key: [23; 33] },
        CosignerMessage::Certificate { key, certificate: Signed::sign(&certificate, &me) },
        CosignerMessage::CertificateRefused { key, vault_account: 0, asset: text("ETH"), refusal: refusal.clone() },
    ]);

    book.every(vec![RelayUp::Workspace(bytes(b"w")), RelayUp::Peer { to: PartyId([2; 32]), packet: bytes(b"p") }]);
    book.every(vec![
        RelayDown::Workspace(bytes(b"w")),
        RelayDown::Peer { from: PartyId([2; 32]), packet: bytes(b"p") },
    ]);

    let channel = [27; 16];
    book.every(vec![
        Packet::Handshake1 { channel, noise: bytes(b"1") },
        Packet::Handshake2 { channel, noise: bytes(b"2") },
        Packet::Handshake3 { channel, noise: bytes(b"3") },
        Packet::Data { channel, counter: 28, sealed: bytes(b"d") },
        Packet::Unknown { channel },
        Packet::Knock,
    ]);
    book.every(vec![
        PeerMessage::Round {
            session,
            execution: [24; 32],
            sequence: 1,
            broadcast: Some((0, [29; 64])),
            bytes: bytes(b"m"),
        },
        PeerMessage::Evidence { session, execution: [24; 32], words: list(vec![]) },
        PeerMessage::Abort { session, execution: [24; 32], subject: Some(subject) },
    ]);
    host::add(&mut book);
    admin::add(&mut book);
    callback::add(&mut book);
    fields::add(&mut book);
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
