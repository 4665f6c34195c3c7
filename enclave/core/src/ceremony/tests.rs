//! What one co-signer of the group can do with messages of its own choice, in a session that runs.

use super::session::{PeerRounds, Rounds, Session, Stage};
use super::{evidence, prepare::subject_of};
use crate::capability::{Capabilities, without_documents};
use crate::effect::Effect;
use crate::limits::{MAX_EARLY_KEYGEN_BYTES, MAX_EARLY_PAIRING_BYTES, MAX_EARLY_SIGN_BYTES};
use crate::serving::{Counts, Cx, JobOwner, PairingState, Running};
use crate::state::{Agreed, Decision, GroupRecord, KeyRecord, Pairing, RequestRecord, Secret};
use countersign_channel::StaticKey;
use countersign_wire::ceremony::{CosignerMessage, Ready, Work};
use countersign_wire::group::{Group, Party, Role};
use countersign_wire::ids::{BootId, GroupId, KeyId, PairingId, PartyId, SessionId, TransactionId, WorkspaceId};
use countersign_wire::key::{Algorithm, KeyPurpose, Operation};
use countersign_wire::limits::{MAX_SCHEME_MESSAGES, MAX_SIGN_MESSAGE_BYTES};
use countersign_wire::peer::{Broadcast, PeerMessage};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::relay::RelayUp;
use countersign_wire::signed::sign_bytes;
use countersign_wire::transaction::{Approval, Authorisation, IntentId, TransactionRequest};
use countersign_wire::{Bytes, List, Message, Signed, SigningIdentity, Text};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::BTreeMap;

const GROUP: GroupId = GroupId([1; 16]);
const KEY: KeyId = KeyId([2; 16]);
const EXECUTION: [u8; 32] = [3; 32];
const SESSION: SessionId = SessionId([4; 16]);
/// Who lies.
const MALLORY: usize = 2;

fn identities() -> Vec<SigningIdentity> {
    let mut all: Vec<_> = [11, 12, 13].map(|n| SigningIdentity::from_secret(&[n; 32])).into();
    all.sort_by_key(SigningIdentity::public);
    all
}

fn party(i: usize) -> PartyId {
    PartyId(identities()[i].public())
}

fn group() -> Group {
    let role = |i| if i == 0 { Role::Customer } else { Role::Cloud };
    let parties = (0..3).map(|i| Party { id: party(i), role: role(i) }).collect();
    Group { workspace: WorkspaceId([5; 16]), id: GROUP, parties: List::new(parties).unwrap(), threshold: 3 }
}

fn signer() -> KeyPurpose {
    KeyPurpose {
        algorithm: Algorithm::EcdsaSecp256k1,
        coin_type: 60,
        operations: List::new(vec![Operation::Raw]).unwrap(),
        signer: "signer".parse().unwrap(),
    }
}

fn signing() -> Work {
    let request = TransactionRequest {
        transaction: TransactionId([6; 16]),
        group: GROUP,
        key: KEY,
        signer: "signer".parse().unwrap(),
        method: Text::new("POST").unwrap(),
        path: Text::new("/v1/transactions").unwrap(),
        body: Bytes::new(b"{}".to_vec()).unwrap(),
        token: None,
        unsigned: None,
    };
    let authorisation = Authorisation {
        workspace: WorkspaceId([5; 16]),
        transaction: request.transaction,
        request_hash: request.digest(),
        intent: None,
        operation: Operation::Raw,
        digests: List::new(vec![[7; 32]]).unwrap(),
        algorithm: Algorithm::EcdsaSecp256k1,
        key: KEY,
        epoch: 0,
        paths: List::default(),
        group: GROUP,
        signer: request.signer.clone(),
        approval: Approval::Auto,
        ledger_position: 1,
        issued_at_ms: 0,
        not_after_ms: u64::MAX,
    };
    let authorisation = Signed::sign(&authorisation, &identities()[0]);
    Work::Sign { request, authorisation, digest_index: 0 }
}

pub(crate) fn keygen() -> Work {
    Work::Keygen { group: GROUP, key: KeyId([8; 16]), purpose: signer() }
}

/// An honest party and what its steps need.
pub(crate) struct Honest {
    state: PairingState,
    caps: Capabilities,
    running: Running,
    counts: Counts,
}

impl Honest {
    /// A party with a key and with one session.
    pub(crate) fn new(i: usize, work: Work) -> Self {
        let identity = identities().swap_remove(i);
        let record = Pairing {
            id: PairingId([9; 16]),
            identity: Secret::new(&[1; 32]),
            role: if i == 0 { Role::Customer } else { Role::Cloud },
            workspace: WorkspaceId([5; 16]),
            fingerprint: countersign_wire::pairing_http::workspace_fingerprint(
                &WorkspaceId([5; 16]),
                &[0; 32],
                &[0; 32],
            ),
            message_key: [0; 32],
            url: Text::default(),
            root: None,
            networks: List::default(),
            offered: true,
            refresh_token: Secret::new(b"token"),
            require_intent: false,
            peer_measurements: List::default(),
            callback_key: Secret::new(&[]),
            users: List::default(),
            initiators: List::default(),
            groups: List::new(vec![GroupRecord { group: group(), accepted: true }]).unwrap(),
            intent_floor_ms: 0,
        };
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut state = PairingState::new(record, identity, StaticKey::generate(&mut rng));
        state.link.is_up = true;
        let key = KeyRecord {
            key: KEY,
            group: GROUP,
            purpose: signer(),
            agreed: Agreed::Published,
            session: SessionId([1; 16]),
            outcome: [0; 32],
            epoch: 0,
            share: Secret::new(&[]),
            public_key: [2; 33],
            chain_code: [0; 32],
            suspended: None,
            quarantined: List::default(),
        };
        state.keys.insert(KEY, key);
        let caps = without_documents(rng);
        let mut honest = Self { state, caps, running: Running::default(), counts: Counts::default() };
        honest.open(SESSION, work, true);
        honest
    }

    /// One step of its core.
    pub(crate) fn step<R>(&mut self, act: impl FnOnce(&mut PairingState, &mut Cx<'_>) -> R) -> (R, Vec<Effect>) {
        self.step_at(1, act)
    }

    /// The same at a time.
    pub(crate) fn step_at<R>(
        &mut self,
        now: u64,
        act: impl FnOnce(&mut PairingState, &mut Cx<'_>) -> R,
    ) -> (R, Vec<Effect>) {
        let mut cx = Cx {
            now,
            caps: &mut self.caps,
            out: Vec::new(),
            changes: Vec::new(),
            running: &mut self.running,
            counts: &mut self.counts,
            boot: BootId([1; 16]),
        };
        let result = act(&mut self.state, &mut cx);
        (result, cx.out)
    }

    /// One more session, running or only prepared.
    fn open(&mut self, id: SessionId, work: Work, runs: bool) {
        let own = self.state.party();
        let index = group().index_of(&own).unwrap();
        let ready = Ready {
            session: id,
            work_hash: [0; 32],
            authorisation_hash: None,
            group_hash: group().digest(),
            aux_outcome: None,
            epoch: 0,
            signers_wanted: 3,
            presignature: None,
            boot: BootId([1; 16]),
            random: [0; 32],
        };
        let job = 100 + u64::from(id.0[0]);
        self.running.jobs.insert(job, JobOwner::Session(self.state.record.id, id));
        let others = (0..3).map(party).filter(|p| *p != own);
        let peers = others.map(|p| (p, PeerRounds::new(group().index_of(&p).unwrap()))).collect();
        let rounds = Rounds { execution: EXECUTION, job, peers, next_broadcast: 0, given: false };
        let session = Session {
            group: group(),
            index,
            work,
            work_hash: [0; 32],
            signed_ready: Signed::sign(&ready, &self.state.identity),
            ready,
            deadline_at_ms: u64::MAX,
            stage: if runs { Stage::Running(Box::new(rounds)) } else { Stage::Prepared },
            early: BTreeMap::new(),
        };
        self.state.ceremonies.sessions.insert(id, session);
    }

    /// A message of Mallory comes.
    fn hear(&mut self, message: PeerMessage) -> Vec<Effect> {
        self.step(|state, cx| state.peer_message(cx, party(MALLORY), message)).1
    }

    fn has_quarantined(&self) -> Vec<PartyId> {
        self.state.keys[&KEY].quarantined.to_vec()
    }

    fn is_open(&self, id: SessionId) -> bool {
        self.state.ceremonies.sessions.contains_key(&id)
    }

    fn evidence(&self) -> PeerMessage {
        let words = List::cut(self.state.ceremonies.evidence.words(&EXECUTION));
        PeerMessage::Evidence { session: SESSION, execution: EXECUTION, words }
    }
}

/// What a step passed on to its job.
fn passed_on(effects: &[Effect]) -> Vec<&[u8]> {
    let messages = effects.iter().filter_map(|effect| match effect {
        Effect::JobMessage { message, .. } => Some(message.as_slice()),
        _ => None,
    });
    messages.collect()
}

/// What a step told the workspace.
fn told(effects: &[Effect]) -> impl Iterator<Item = CosignerMessage> + '_ {
    effects.iter().filter_map(|effect| match effect {
        Effect::LinkSend { frame, .. } => match RelayUp::decode(frame) {
            Ok(RelayUp::Workspace(bytes)) => {
                borsh::from_slice::<Signed<CosignerMessage>>(&bytes).unwrap().peek_unverified().ok()
            }
            _ => None,
        },
        _ => None,
    })
}

/// The aborts that a step told the workspace.
fn aborted(effects: &[Effect]) -> Vec<(Code, Option<PartyId>)> {
    told(effects)
        .filter_map(|m| match m {
            CosignerMessage::Aborted { refusal, blamed, .. } => Some((refusal.code, blamed)),
            _ => None,
        })
        .collect()
}

/// A broadcast that Mallory signs for a position of its choice.
fn broadcast(sequence: u32, position: u32, bytes: &[u8]) -> PeerMessage {
    let said = Broadcast { execution: EXECUTION, position, hash: evidence::hash(bytes) };
    let signature = sign_bytes(Broadcast::NAME, &said.encode(), &identities()[MALLORY]);
    round(SESSION, sequence, Some((position, signature)), bytes.to_vec())
}

fn round(session: SessionId, sequence: u32, broadcast: Option<(u32, [u8; 64])>, bytes: Vec<u8>) -> PeerMessage {
    PeerMessage::Round { session, execution: EXECUTION, sequence, broadcast, bytes: Bytes::new(bytes).unwrap() }
}

#[test]
fn t18_a_broadcast_signed_for_a_position_of_its_sender_s_choice_convicts_it() {
    for position in [1, 5, 9, u32::MAX] {
        let mut bob = Honest::new(1, signing());
        let effects = bob.hear(broadcast(0, position, b"to Bob"));
        assert!(passed_on(&effects).is_empty());
        assert_eq!(aborted(&effects), [(Code::PeerMisbehaved, Some(party(MALLORY)))], "{position}");
        assert_eq!(bob.has_quarantined(), [party(MALLORY)]);
        assert!(bob.state.keys[&KEY].suspended.is_none() && !bob.is_open(SESSION));
    }
    let mut alice = Honest::new(0, signing());
    assert_eq!(passed_on(&alice.hear(broadcast(0, 0, b"one"))), [b"one"]);
    let repeated = alice.hear(broadcast(1, 0, b"two"));
    assert_eq!(aborted(&repeated), [(Code::PeerMisbehaved, Some(party(MALLORY)))], "the same position twice");
}

#[test]
fn t18_two_victims_of_different_broadcasts_always_hold_what_convicts_whatever_junk_came_with_it() {
    let (mut alice, mut bob) = (Honest::new(0, signing()), Honest::new(1, signing()));
    // Signed for places far ahead, and again for the one that is due: none of it has its turn.
    for sequence in 2..16 {
        let effects = alice.hear(broadcast(sequence, sequence, b"junk"));
        assert!(passed_on(&effects).is_empty() && aborted(&effects).is_empty());
    }
    assert_eq!(alice.state.ceremonies.evidence.words(&EXECUTION).len(), 0, "junk is not remembered");
    alice.hear(broadcast(0, 0, b"to Alice"));
    bob.hear(broadcast(0, 0, b"to Bob"));
    let effects = bob.hear(alice.evidence());
    assert_eq!(aborted(&effects), [(Code::PeerMisbehaved, Some(party(MALLORY)))]);
    assert_eq!(bob.has_quarantined(), [party(MALLORY)]);
}

#[test]
fn t18_honest_broadcasts_in_any_order_reach_the_job_in_their_own() {
    let mut alice = Honest::new(0, signing());
    assert!(passed_on(&alice.hear(broadcast(2, 1, b"second"))).is_empty());
    assert!(passed_on(&alice.hear(round(SESSION, 1, None, b"for Alice".to_vec()))).is_empty());
    let effects = alice.hear(broadcast(0, 0, b"first"));
    assert_eq!(passed_on(&effects), [&b"first"[..], b"for Alice", b"second"]);
    assert!(alice.has_quarantined().is_empty());
}

#[test]
fn t15_a_session_that_its_peer_ends_leaves_the_job_to_say_whether_it_was_false() {
    use crate::input::JobEvent;
    use countersign_mpc::Failure;
    let failed = |culprit| JobEvent::Failed(Failure::Protocol { culprit, detail: "false".into() });
    let index = group().index_of(&party(MALLORY)).unwrap();
    for (event, code, blamed) in [
        (failed(Some(index)), Code::PeerMisbehaved, Some(party(MALLORY))),
        (failed(None), Code::ProtocolAborted, None),
        (JobEvent::BadMessage { from: index, detail: "none".into() }, Code::PeerMisbehaved, Some(party(MALLORY))),
        (JobEvent::Failed(Failure::BroadcastInconsistent { differing: vec![index] }), Code::ProtocolAborted, None),
    ] {
        let mut alice = Honest::new(0, signing());
        alice.hear(broadcast(0, 0, b"false"));
        let effects = alice.hear(PeerMessage::Abort { session: SESSION, execution: EXECUTION, subject: None });
        assert_eq!(aborted(&effects), [(Code::Cancelled, None)]);
        let Some(Effect::FinishJob { job }) = effects.iter().find(|e| matches!(e, Effect::FinishJob { .. })) else {
            panic!("the job does not finish");
        };
        let job = *job;
        let said = JobEvent::Send { to: None, message: b"share".to_vec() };
        let (_, effects) = alice.step(|state, cx| state.job_event(cx, SESSION, job, said));
        assert!(effects.is_empty(), "nothing that it makes leaves");
        assert!(alice.hear(broadcast(1, 1, b"more")).is_empty(), "and nothing more comes in");
        let (_, effects) = alice.step(|state, cx| state.job_event(cx, SESSION, job, event));
        assert_eq!(aborted(&effects), [(code, blamed)]);
        let key = &alice.state.keys[&KEY];
        assert_eq!((key.suspended.is_some(), key.quarantined.is_empty()), (blamed.is_none(), blamed.is_none()));
        assert!(alice.state.ceremonies.unsettled.is_empty() && alice.running.jobs.is_empty());
    }
}

#[test]
fn t15_a_flood_behind_a_false_message_convicts_by_itself_and_never_reaches_the_job() {
    let large = || vec![0; MAX_SIGN_MESSAGE_BYTES + 1];
    let late = u32::try_from(MAX_SCHEME_MESSAGES).unwrap();
    for flood in
        [round(SESSION, 1, None, large()), round(SESSION, 9, None, large()), round(SESSION, late, None, vec![])]
    {
        let mut alice = Honest::new(0, signing());
        assert_eq!(passed_on(&alice.hear(broadcast(0, 0, b"false"))), [b"false"]);
        let effects = alice.hear(flood);
        assert!(passed_on(&effects).is_empty());
        assert_eq!(aborted(&effects), [(Code::PeerMisbehaved, Some(party(MALLORY)))]);
        assert_eq!(alice.has_quarantined(), [party(MALLORY)]);
    }
    // The most and the largest that a scheme has are heard.
    let mut alice = Honest::new(0, signing());
    for sequence in 0..late {
        let effects = alice.hear(round(SESSION, sequence, None, vec![0; MAX_SIGN_MESSAGE_BYTES]));
        assert_eq!((passed_on(&effects).len(), aborted(&effects).len()), (1, 0), "{sequence}");
    }
}

#[test]
fn t47_a_conviction_is_sealed_once_however_often_it_is_shown() {
    let (mut alice, mut bob) = (Honest::new(0, signing()), Honest::new(1, signing()));
    alice.hear(broadcast(0, 0, b"to Alice"));
    bob.hear(broadcast(0, 0, b"to Bob"));
    let shown = alice.evidence();
    let mut sealed = || {
        let message = shown.clone();
        bob.step(|state, cx| {
            state.peer_message(cx, party(MALLORY), message);
            cx.changes.len()
        })
        .0
    };
    assert_eq!([sealed(), sealed(), sealed()], [1, 0, 0]);
    bob.step(|state, cx| state.clear_quarantine(cx, KEY)).0.unwrap();
    bob.hear(alice.evidence());
    assert!(bob.has_quarantined().is_empty(), "what operators cleared stays clear");
}

#[test]
fn t47_jobs_without_a_session_count_as_sessions_and_leave_when_they_need_more() {
    let mut alice = Honest::new(0, signing());
    alice.hear(broadcast(0, 0, b"true"));
    alice.step(|state, cx| state.cancel(cx, SESSION));
    assert_eq!(alice.state.ceremonies.unsettled.len(), 1);
    let job = *alice.state.ceremonies.unsettled.keys().next().unwrap();
    alice.step(|state, cx| state.job_event(cx, SESSION, job, crate::input::JobEvent::Unfinished));
    assert!(alice.state.ceremonies.unsettled.is_empty() && alice.running.jobs.is_empty());
    // One that was given nothing has nothing to say.
    alice.open(SESSION, signing(), true);
    alice.step(|state, cx| state.cancel(cx, SESSION));
    assert!(alice.state.ceremonies.unsettled.is_empty() && alice.running.jobs.is_empty());
}

#[test]
fn t47_what_waits_for_its_turn_is_limited_in_bytes_and_costs_only_its_own_session() {
    for (runs, work, most) in [
        (true, signing(), MAX_EARLY_SIGN_BYTES),
        (false, signing(), MAX_EARLY_SIGN_BYTES),
        (false, keygen(), MAX_EARLY_KEYGEN_BYTES),
    ] {
        let mut alice = Honest::new(0, keygen());
        let other = SessionId([50; 16]);
        alice.open(other, work, runs);
        for sequence in 1..=8 {
            let effects = alice.hear(round(other, sequence, None, vec![0; most / 8]));
            assert!(effects.is_empty() && alice.is_open(other), "as much as is allowed");
        }
        let effects = alice.hear(round(other, 9, None, vec![0; 1]));
        assert_eq!(aborted(&effects), [(Code::Busy, None)]);
        assert!(!alice.is_open(other) && alice.is_open(SESSION));
        assert!(alice.has_quarantined().is_empty());
    }
}

#[test]
fn t47_what_waits_in_all_sessions_is_limited_and_whoever_sent_most_pays() {
    let mut alice = Honest::new(0, signing());
    let id = |n: usize| SessionId([u8::try_from(n).unwrap(); 16]);
    let sessions = MAX_EARLY_PAIRING_BYTES / MAX_EARLY_SIGN_BYTES;
    for n in 100..101 + sessions {
        alice.open(id(n), signing(), false);
    }
    for n in 100..100 + sessions {
        assert!(alice.hear(round(id(n), 0, None, vec![0; MAX_EARLY_SIGN_BYTES])).is_empty());
    }
    // An honest peer is a little ahead, and is heard.
    let honest = round(id(100 + sessions), 0, None, vec![0; 1_000]);
    let (_, effects) = alice.step(|state, cx| state.peer_message(cx, party(1), honest));
    assert_eq!(aborted(&effects), [(Code::Busy, None)]);
    let open = (100..101 + sessions).filter(|n| alice.is_open(id(*n))).count();
    assert_eq!(open, sessions, "one session of Mallory's is over");
    assert!(alice.is_open(id(100 + sessions)) && alice.is_open(SESSION));
    let session = &alice.state.ceremonies.sessions[&id(100 + sessions)];
    assert_eq!((session.early[&party(1)].len(), subject_of(&session.work)), (1, None));
}

#[test]
fn t55_an_approval_that_comes_behind_a_decision_changes_nothing() {
    const BODY: &[u8] = br#"{"operation":"TYPED_MESSAGE","assetId":"ETH","source":{"type":"VAULT_ACCOUNT","id":"0"},
        "extraParameters":{"rawMessageData":{"messages":[{"content":"68656c6c6f","type":"EIP191"}]}}}"#;
    let Work::Sign { request, .. } = signing() else { panic!("a signature") };
    let request = TransactionRequest { body: Bytes::new(BODY.to_vec()).unwrap(), ..request };
    let intent = IntentId { initiator: "client".parse().unwrap(), nonce: Text::new("n").unwrap(), external: None };
    let understood = || super::Understood::again(&request, Some(intent.clone())).unwrap();
    let record = |transaction, request_hash| RequestRecord {
        transaction,
        request_hash,
        intent: Some(intent.clone()),
        digests_hash: understood().digests_hash,
        decision: Decision::Refused(Refusal::new(Code::Rejected, "no")),
        position: 1,
        decided_at_ms: 1,
        signatures: List::default(),
    };
    // Once the very same transaction was rejected, once its intent stands for another one.
    for (known, code) in [
        (record(request.transaction, request.digest()), Code::Rejected),
        (record(TransactionId([9; 16]), [0; 32]), Code::IntentReplayed),
    ] {
        let mut alice = Honest::new(0, keygen());
        let (ledger, effects) = alice.step(|state, cx| {
            state.ledger.insert(known);
            state.decide(cx, &request, understood(), Ok(Approval::Auto), None);
            state.ledger.len()
        });
        assert_eq!(ledger, 1);
        let told: Vec<_> = told(&effects).collect();
        let refused = |m: &CosignerMessage| matches!(m, CosignerMessage::AuthorisationRefused { refusal, last: true, .. } if refusal.code == code);
        assert!(told.len() == 1 && refused(&told[0]), "{told:?}");
    }
}
