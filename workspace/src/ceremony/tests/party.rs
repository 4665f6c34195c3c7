//! A simulated co-signer: keeps the rules of `countersign_wire::ceremony` and `agreement`, with rounds that are one peer
//! message a pair. It panics where a message would break what the rules promise.

use super::handler::Control;
use crate::ceremony::PublicChecks;
use crate::ceremony::attempts::tests::attempt;
use countersign_wire::agreement::{Acknowledgement, Acknowledgements, NeverHeld, Stage, Subject};
use countersign_wire::callback::{Attempt, AttemptResult, ConfigChange};
use countersign_wire::ceremony::{CosignerMessage, GroupState, Ready, Work, WorkspaceMessage};
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::group::{Group, Role};
use countersign_wire::ids::{
    ApiUserId, BootId, ChangeId, GroupId, KeyId, PartyId, SessionId, TransactionId, WorkspaceId,
};
use countersign_wire::key::{Algorithm, DerivationPath, EcdsaSignature, Operation, PublicKey};
use countersign_wire::message::digest_of;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::ApprovalKind;
use countersign_wire::transaction::{Approval, Authorisation, TransactionRequest};
use countersign_wire::{List, Message, Signed, SigningIdentity, Text};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

pub const WORKSPACE: WorkspaceId = WorkspaceId([9; 16]);

/// A scheme whose signatures anybody can make: what is tested here is who gets which one when.
pub struct FakeScheme;

pub fn fake_signature(public_key: &PublicKey, digest: &[u8; 32]) -> EcdsaSignature {
    let r = digest_of("test/signature", &[public_key.as_slice(), digest].concat());
    EcdsaSignature { r, s: [1; 32], v: 0 }
}

pub fn fake_address(asset: &str, public_key: &PublicKey) -> String {
    format!("{asset}:{}", hex::encode(public_key))
}

impl PublicChecks for FakeScheme {
    fn is_signature(&self, public_key: &PublicKey, digest: &[u8; 32], signature: &EcdsaSignature) -> bool {
        *signature == fake_signature(public_key, digest)
    }
    fn address(&self, asset: &str, public_key: &PublicKey) -> Option<String> {
        Some(fake_address(asset, public_key))
    }
}

/// What a request asks for: JSON as clients write it, or, in tests of the coordinator alone, digests of 32 bytes each.
fn content_of(request: &TransactionRequest) -> (Operation, u32, Vec<[u8; 32]>, Option<String>) {
    if request.body.first() != Some(&b'{') {
        return (Operation::Raw, 0, request.body.chunks(32).map(|chunk| chunk.try_into().unwrap()).collect(), None);
    }
    let content = crate::content::read(&request.body).unwrap();
    let messages = content.messages(request.unsigned.as_ref().map(|unsigned| unsigned.as_ref()));
    let digests = messages.iter().map(|(_, digest)| *digest).collect();
    (content.operation, content.vault_account, digests, content.note)
}

pub fn digests_of(request: &TransactionRequest) -> Vec<[u8; 32]> {
    content_of(request).2
}

#[derive(Clone)]
pub struct HeldOutcome {
    pub session: SessionId,
    pub held: Signed<Acknowledgement>,
    pub stage: Stage,
    pub published: bool,
}

struct Session {
    work: Work,
    ready: Signed<Ready>,
    until_ms: u64,
    signers: Option<Vec<PartyId>>,
    heard: BTreeSet<PartyId>,
}

/// Something that a party wants to happen.
pub enum Out {
    Up(CosignerMessage),
    /// "I started this session", to another party.
    Peer(PartyId, SessionId),
    /// Give this input back after some time.
    Later(u64, Wish),
}

#[derive(Clone)]
pub enum Wish {
    PrimesFound(GroupId),
    HandlerAnswered(TransactionId),
}

pub struct Party {
    pub workspace: WorkspaceId,
    pub identity: SigningIdentity,
    pub role: Role,
    pub boot: BootId,
    // durable
    pub groups: BTreeMap<GroupId, (Group, GroupState)>,
    pub outcomes: BTreeMap<Subject, HeldOutcome>,
    never: BTreeSet<SessionId>,
    pub authorised: BTreeMap<TransactionId, Signed<Authorisation>>,
    pub signatures: BTreeMap<(TransactionId, u16), EcdsaSignature>,
    pub asked_handler: BTreeMap<TransactionId, u32>,
    /// Requests whose handler answered RETRY, with the last call.
    pub series: BTreeMap<TransactionId, (TransactionRequest, Attempt)>,
    pub held_changes: BTreeMap<ChangeId, ConfigChange>,
    pub approval_key: SigningIdentity,
    pub control: Arc<Mutex<Control>>,
    pub told_users: Option<BTreeMap<ApiUserId, (ApprovalKind, [u8; 32])>>,
    // volatile
    pending: BTreeMap<TransactionId, TransactionRequest>,
    sessions: BTreeMap<SessionId, Session>,
    /// How long an Authorisation holds.
    pub authorisation_ms: u64,
    /// Whether an operator allowed RAW.
    pub allow_raw: bool,
    /// What it does in place of a signing session's rounds.
    pub spoils: Option<Spoils>,
    /// Signing sessions that it was told to start.
    pub sign_starts: BTreeSet<SessionId>,
    /// Transactions that it was told nobody wants any more, each time it was told.
    pub withdrawn: Vec<TransactionId>,
}

/// How a party spoils a signing session that it was eager to join.
#[derive(Clone, Copy)]
pub enum Spoils {
    /// It says nothing.
    Silently,
    /// It aborts at once.
    With(Code),
}

pub fn outcome_of(session: SessionId) -> [u8; 32] {
    digest_of("test/outcome", &session.0)
}

pub fn public_key_of(session: SessionId) -> PublicKey {
    let mut key = [2; 33];
    key[1..].copy_from_slice(&outcome_of(session));
    key
}

impl Party {
    pub fn new(secret: u8, role: Role, rng: &mut ChaCha20Rng) -> Self {
        let mut this = Self {
            workspace: WORKSPACE,
            identity: SigningIdentity::from_secret(&[secret; 32]),
            role,
            boot: BootId([0; 16]),
            groups: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            never: BTreeSet::new(),
            authorised: BTreeMap::new(),
            signatures: BTreeMap::new(),
            asked_handler: BTreeMap::new(),
            series: BTreeMap::new(),
            held_changes: BTreeMap::new(),
            approval_key: SigningIdentity::from_secret(&[secret ^ 0x80; 32]),
            control: Arc::default(),
            told_users: None,
            pending: BTreeMap::new(),
            sessions: BTreeMap::new(),
            authorisation_ms: 120_000,
            allow_raw: true,
            spoils: None,
            sign_starts: BTreeSet::new(),
            withdrawn: Vec::new(),
        };
        this.restart(rng);
        this
    }

    pub fn id(&self) -> PartyId {
        PartyId(self.identity.public())
    }

    /// Loses everything volatile.
    pub fn restart(&mut self, rng: &mut ChaCha20Rng) {
        rng.fill_bytes(&mut self.boot.0);
        self.pending.clear();
        self.sessions.clear();
    }

    pub fn hello(&self) -> CosignerMessage {
        let groups = self.groups.iter().map(|(id, (_, state))| (*id, *state)).collect();
        CosignerMessage::Hello {
            boot: self.boot,
            role: self.role,
            version: Text::new("test").unwrap(),
            groups: List::new(groups).unwrap(),
        }
    }

    /// What a restarted co-signer does by itself: primes are searched again, nothing else.
    pub fn resume(&self) -> Vec<Out> {
        let searching = self.groups.iter().filter(|(_, (_, state))| *state == GroupState::FindingPrimes);
        searching.map(|(id, _)| Out::Later(700, Wish::PrimesFound(*id))).collect()
    }

    pub fn wish(&mut self, now_ms: u64, wish: Wish) -> Vec<Out> {
        match wish {
            Wish::PrimesFound(group) => {
                let (_, state) = self.groups.get_mut(&group).unwrap();
                if *state == GroupState::FindingPrimes {
                    *state = GroupState::AwaitingAux;
                }
                vec![Out::Up(self.hello())]
            }
            Wish::HandlerAnswered(transaction) => {
                let in_series = self.series.get(&transaction).map(|(request, _)| request.clone());
                let Some(request) = self.pending.remove(&transaction).or(in_series) else { return vec![] };
                if self.authorised.contains_key(&transaction) {
                    return vec![];
                }
                let note = content_of(&request).3;
                if note.as_deref() == Some("reject-me") || request.body.first() == Some(&0xff) {
                    let refusal = Refusal::new(Code::Rejected, "reject-me");
                    let call = attempt(1, AttemptResult::Rejected, Some(Code::Rejected), None);
                    let attempt = Some(call);
                    return vec![Out::Up(CosignerMessage::AuthorisationRefused {
                        transaction,
                        refusal,
                        last: true,
                        attempt,
                    })];
                }
                let retries = note.as_deref() == Some("retry-me") || request.body.first() == Some(&0xee);
                if retries && let Some(out) = self.retry(now_ms, &request) {
                    return out;
                }
                let attempt = self.last_call(&transaction);
                let authorisation = self.authorise(now_ms, &request);
                self.authorised.insert(transaction, authorisation.clone());
                vec![Out::Up(CosignerMessage::Authorised { transaction, authorisation, attempt })]
            }
        }
    }

    pub fn authorise(&self, now_ms: u64, request: &TransactionRequest) -> Signed<Authorisation> {
        let (operation, vault_account, digests, _) = content_of(request);
        let path = DerivationPath::vault(60, vault_account, 0, 0).unwrap();
        Signed::sign(
            &Authorisation {
                workspace: self.workspace,
                transaction: request.transaction,
                request_hash: request.digest(),
                intent: None,
                operation,
                paths: List::new(vec![path; digests.len()]).unwrap(),
                digests: List::new(digests).unwrap(),
                algorithm: Algorithm::EcdsaSecp256k1,
                key: request.key,
                epoch: 0,
                group: request.group,
                signer: request.signer.clone(),
                approval: Approval::Auto,
                ledger_position: 1,
                issued_at_ms: now_ms,
                not_after_ms: now_ms + self.authorisation_ms,
            },
            &self.identity,
        )
    }

    fn refuse(session: SessionId, code: Code) -> Vec<Out> {
        vec![Out::Up(CosignerMessage::Refused { session, refusal: Refusal::new(code, "no") })]
    }

    pub fn on_message(&mut self, now_ms: u64, message: WorkspaceMessage, rng: &mut ChaCha20Rng) -> Vec<Out> {
        match message {
            WorkspaceMessage::ProposeGroup(group) => self.accept(group),
            WorkspaceMessage::Authorise(request) => self.on_authorise(request),
            WorkspaceMessage::Prepare { session, deadline_ms, work } => {
                self.on_prepare(now_ms, session, u64::from(deadline_ms), work, rng)
            }
            WorkspaceMessage::Start { session, signers, readies } => self.on_start(session, &signers, &readies),
            WorkspaceMessage::Cancel { session } => {
                self.sessions.remove(&session);
                vec![]
            }
            WorkspaceMessage::Query { group, subject, session } => self.on_query(group, subject, session),
            WorkspaceMessage::Commit { subject, session, held } => self.on_commit(subject, session, &held),
            WorkspaceMessage::Publish { subject, session, durable } => self.on_publish(subject, session, &durable),
            WorkspaceMessage::Discard { subject, session, party, never } => {
                self.on_discard(subject, session, party, &never)
            }
            WorkspaceMessage::Certify { key, vault_account, asset } => self.certify(key, vault_account, asset),
            WorkspaceMessage::ApproveChange(change) => self.on_change(now_ms, change),
            WorkspaceMessage::ProposeApproval { change, user, approval } => {
                self.control.lock().unwrap().proposed.insert(user, (change, approval));
                vec![]
            }
            WorkspaceMessage::Withdraw { transaction } => {
                self.withdrawn.push(transaction);
                self.pending.remove(&transaction);
                self.series.remove(&transaction);
                vec![]
            }
        }
    }

    fn accept(&mut self, group: Group) -> Vec<Out> {
        let (id, hash) = (group.id, group.digest());
        let accepted = Out::Up(CosignerMessage::GroupAccepted { group: id, hash });
        if self.groups.contains_key(&id) {
            return vec![accepted];
        }
        self.groups.insert(id, (group, GroupState::FindingPrimes));
        vec![accepted, Out::Up(self.hello()), Out::Later(700, Wish::PrimesFound(id))]
    }

    fn on_authorise(&mut self, request: TransactionRequest) -> Vec<Out> {
        let transaction = request.transaction;
        self.control.lock().unwrap().asked_transactions += 1;
        if let Some(authorisation) = self.authorised.get(&transaction).cloned() {
            return vec![Out::Up(CosignerMessage::Authorised { transaction, authorisation, attempt: None })];
        }
        if let Some((_, last)) = self.series.get(&transaction) {
            let attempt = Some(last.clone());
            return vec![Out::Up(CosignerMessage::AuthorisationWaiting { transaction, attempt })];
        }
        let waiting = Out::Up(CosignerMessage::AuthorisationWaiting { transaction, attempt: None });
        if self.pending.insert(transaction, request).is_some() {
            return vec![waiting];
        }
        *self.asked_handler.entry(transaction).or_default() += 1;
        vec![waiting, Out::Later(150, Wish::HandlerAnswered(transaction))]
    }

    fn on_prepare(
        &mut self,
        now_ms: u64,
        session: SessionId,
        deadline_ms: u64,
        work: Work,
        rng: &mut ChaCha20Rng,
    ) -> Vec<Out> {
        if let Some(open) = self.sessions.get(&session) {
            assert_eq!(open.work, work, "one session, one work");
            return vec![Out::Up(CosignerMessage::Ready { session, ready: open.ready.clone() })];
        }
        if self.never.contains(&session) {
            return Self::refuse(session, Code::Cancelled);
        }
        let (group_id, wanted, authorisation_hash) = match &work {
            Work::Aux { group } => {
                match self.groups.get(group).map(|(_, state)| *state) {
                    Some(GroupState::AwaitingAux) => {}
                    Some(GroupState::AuxPending) => return Self::refuse(session, Code::KeyPending),
                    Some(GroupState::FindingPrimes) => return Self::refuse(session, Code::NotYet),
                    _ => return Self::refuse(session, Code::Conflict),
                }
                (*group, None, None)
            }
            Work::Keygen { group, key, purpose } => {
                if self.role == Role::Customer && !self.allow_raw && purpose.allows(Operation::Raw) {
                    return Self::refuse(session, Code::RawNotAllowed);
                }
                if !matches!(self.groups.get(group), Some((_, GroupState::Ready))) {
                    return Self::refuse(session, Code::NotYet);
                }
                match self.outcomes.get(&Subject::Key(*key)).map(|o| o.stage) {
                    None => {}
                    Some(Stage::Held) => return Self::refuse(session, Code::KeyPending),
                    Some(Stage::Durable) => panic!("a READY key is generated again"),
                }
                (*group, None, None)
            }
            Work::Sign { request, authorisation, digest_index } => {
                if let Some(signature) = self.signatures.get(&(request.transaction, *digest_index)) {
                    return vec![self.done(session, request, *digest_index, *signature)];
                }
                let (group, _) = &self.groups[&request.group];
                let word = authorisation.open(&group.customer().unwrap().0).unwrap();
                if word.not_after_ms <= now_ms {
                    return Self::refuse(session, Code::AuthorisationExpired);
                }
                (request.group, Some(group.threshold), Some(authorisation.body_digest()))
            }
        };
        let (group, _) = &self.groups[&group_id];
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        let ready = Ready {
            session,
            work_hash: work.digest(),
            authorisation_hash,
            group_hash: group.digest(),
            aux_outcome: None,
            epoch: 0,
            signers_wanted: wanted.unwrap_or(group.size()),
            presignature: None,
            boot: self.boot,
            random,
        };
        let ready = Signed::sign(&ready, &self.identity);
        let until_ms = now_ms + deadline_ms;
        let opened = Session { work, ready: ready.clone(), until_ms, signers: None, heard: BTreeSet::new() };
        self.sessions.insert(session, opened);
        vec![Out::Up(CosignerMessage::Ready { session, ready })]
    }

    fn done(
        &self,
        session: SessionId,
        request: &TransactionRequest,
        digest_index: u16,
        signature: EcdsaSignature,
    ) -> Out {
        let key_session = self.outcomes[&Subject::Key(request.key)].session;
        Out::Up(CosignerMessage::SignatureDone {
            session,
            transaction: request.transaction,
            digest_index,
            public_key: public_key_of(key_session),
            signature,
        })
    }

    fn on_start(&mut self, session: SessionId, signers: &[u16], readies: &[Signed<Ready>]) -> Vec<Out> {
        let me = self.id();
        let Some(open) = self.sessions.get_mut(&session) else {
            return Self::refuse(session, Code::NotFound);
        };
        let group_id = match &open.work {
            Work::Aux { group } | Work::Keygen { group, .. } => *group,
            Work::Sign { request, .. } => request.group,
        };
        let (group, _) = &self.groups[&group_id];
        let ids: Vec<PartyId> = signers.iter().map(|index| group.party(*index).unwrap().id).collect();
        assert_eq!(ids.len(), readies.len());
        for (id, ready) in ids.iter().zip(readies) {
            let word = ready.open(&id.0).unwrap();
            assert_eq!((word.session, word.work_hash), (session, open.work.digest()));
        }
        if let Work::Sign { .. } = open.work {
            assert!(group.are_signers(signers) && ids.contains(&group.customer().unwrap()));
        }
        assert!(ids.contains(&me), "Start reaches signers only");
        if !readies.contains(&open.ready) {
            return Self::refuse(session, Code::CoordinatorInconsistent);
        }
        if open.signers.is_some() {
            return vec![];
        }
        open.signers = Some(ids.clone());
        if let Work::Sign { .. } = open.work {
            self.sign_starts.insert(session);
            match self.spoils {
                None => {}
                Some(Spoils::Silently) => return vec![],
                Some(Spoils::With(code)) => {
                    self.sessions.remove(&session);
                    let refusal = Refusal::new(code, "no more");
                    return vec![Out::Up(CosignerMessage::Aborted { session, refusal, blamed: None })];
                }
            }
        }
        let mut out: Vec<Out> = ids.into_iter().filter(|id| *id != me).map(|id| Out::Peer(id, session)).collect();
        out.extend(self.finish_if_heard(session));
        out
    }

    pub fn on_peer(&mut self, from: PartyId, session: SessionId) -> Vec<Out> {
        if let Some(open) = self.sessions.get_mut(&session) {
            open.heard.insert(from);
        }
        self.finish_if_heard(session)
    }

    fn finish_if_heard(&mut self, session: SessionId) -> Vec<Out> {
        let me = self.id();
        if self.spoils.is_some() && self.sign_starts.contains(&session) {
            return vec![];
        }
        let complete = self.sessions.get(&session).is_some_and(|open| {
            open.signers.as_ref().is_some_and(|s| s.iter().all(|id| *id == me || open.heard.contains(id)))
        });
        if !complete {
            return vec![];
        }
        let open = self.sessions.remove(&session).unwrap();
        match open.work {
            Work::Aux { group } => vec![self.hold(group, Subject::Aux(group), session), Out::Up(self.hello())],
            Work::Keygen { group, key, .. } => vec![self.hold(group, Subject::Key(key), session)],
            Work::Sign { request, digest_index, .. } => {
                let public_key = public_key_of(self.outcomes[&Subject::Key(request.key)].session);
                let signature = fake_signature(&public_key, &digests_of(&request)[usize::from(digest_index)]);
                self.signatures.insert((request.transaction, digest_index), signature);
                vec![self.done(session, &request, digest_index, signature)]
            }
        }
    }

    fn acknowledge(
        &self,
        group: GroupId,
        subject: Subject,
        session: SessionId,
        stage: Stage,
    ) -> Signed<Acknowledgement> {
        let outcome = outcome_of(session);
        Signed::sign(&Acknowledgement { group, subject, session, outcome, stage }, &self.identity)
    }

    fn hold(&mut self, group: GroupId, subject: Subject, session: SessionId) -> Out {
        let held = self.acknowledge(group, subject, session, Stage::Held);
        let outcome = HeldOutcome { session, held: held.clone(), stage: Stage::Held, published: false };
        assert!(self.outcomes.insert(subject, outcome).is_none(), "nothing held is overwritten");
        if let Subject::Aux(group) = subject {
            self.groups.get_mut(&group).unwrap().1 = GroupState::AuxPending;
        }
        Out::Up(CosignerMessage::Acknowledged { acknowledgement: held })
    }

    fn on_query(&mut self, group: GroupId, subject: Subject, session: SessionId) -> Vec<Out> {
        if self.sessions.contains_key(&session) {
            return vec![Out::Up(CosignerMessage::StillRunning { subject, session })];
        }
        if let Some(outcome) = self.outcomes.get(&subject).filter(|o| o.session == session) {
            return vec![Out::Up(CosignerMessage::Acknowledged { acknowledgement: outcome.held.clone() })];
        }
        self.never.insert(session);
        vec![Out::Up(self.never_word(group, subject, session))]
    }

    fn never_word(&self, group: GroupId, subject: Subject, session: SessionId) -> CosignerMessage {
        CosignerMessage::NeverHeld { never: Signed::sign(&NeverHeld { group, subject, session }, &self.identity) }
    }

    fn group_of(&self, subject: &Subject, words: &Acknowledgements) -> Group {
        let group = match subject {
            Subject::Aux(group) => *group,
            Subject::Key(_) => words.first().unwrap().1.peek_unverified().unwrap().group,
        };
        self.groups[&group].0.clone()
    }

    fn check_words(&self, subject: Subject, session: SessionId, words: &Acknowledgements, stage: Stage) -> Group {
        let group = self.group_of(&subject, words);
        assert!(words.iter().map(|(id, _)| id).eq(group.parties.iter().map(|p| &p.id)), "all parties, in order");
        for (id, word) in words {
            let word = word.open(&id.0).unwrap();
            assert_eq!((word.subject, word.session, word.stage), (subject, session, stage));
            assert_eq!(word.outcome, outcome_of(session));
        }
        group
    }

    fn on_commit(&mut self, subject: Subject, session: SessionId, held: &Acknowledgements) -> Vec<Out> {
        let group = self.check_words(subject, session, held, Stage::Held).id;
        let outcome = self.outcomes.get_mut(&subject).expect("what was held is still there");
        assert_eq!(outcome.session, session);
        outcome.stage = Stage::Durable;
        let acknowledgement = self.acknowledge(group, subject, session, Stage::Durable);
        vec![Out::Up(CosignerMessage::Acknowledged { acknowledgement })]
    }

    fn on_publish(&mut self, subject: Subject, session: SessionId, durable: &Acknowledgements) -> Vec<Out> {
        self.check_words(subject, session, durable, Stage::Durable);
        let outcome = self.outcomes.get_mut(&subject).expect("what is durable is still there");
        assert_eq!((outcome.session, outcome.stage), (session, Stage::Durable));
        outcome.published = true;
        match subject {
            Subject::Aux(group) => {
                self.groups.get_mut(&group).unwrap().1 = GroupState::Ready;
                vec![Out::Up(self.hello())]
            }
            Subject::Key(key) => {
                let public_key = public_key_of(session);
                vec![Out::Up(CosignerMessage::KeyPublished { key, session, public_key })]
            }
        }
    }

    fn on_discard(
        &mut self,
        subject: Subject,
        session: SessionId,
        party: PartyId,
        never: &Signed<NeverHeld>,
    ) -> Vec<Out> {
        let word = never.open(&party.0).unwrap();
        assert_eq!((word.subject, word.session), (subject, session));
        assert_ne!(party, self.id());
        self.sessions.remove(&session);
        if let Some(outcome) = self.outcomes.get(&subject).filter(|o| o.session == session) {
            assert_eq!(outcome.stage, Stage::Held, "a durable outcome is never discarded");
            self.outcomes.remove(&subject);
        }
        self.never.insert(session);
        if let Subject::Aux(group) = subject {
            let (_, state) = self.groups.get_mut(&group).unwrap();
            if *state == GroupState::AuxPending && !self.outcomes.contains_key(&subject) {
                *state = GroupState::FindingPrimes;
                return vec![Out::Up(self.hello()), Out::Later(700, Wish::PrimesFound(group))];
            }
        }
        vec![]
    }

    pub fn certify(&self, key: KeyId, vault_account: u32, asset: Text<32>) -> Vec<Out> {
        let outcome = &self.outcomes[&Subject::Key(key)];
        let group = &self.groups[&outcome.held.peek_unverified().unwrap().group].0;
        let public_key = public_key_of(outcome.session);
        let certificate = KeyCertificate {
            workspace: self.workspace,
            vault_account,
            address: Text::new(fake_address(&asset, &public_key)).unwrap(),
            asset,
            key,
            algorithm: Algorithm::EcdsaSecp256k1,
            signer: "signer".parse().unwrap(),
            operations: List::new(vec![Operation::TypedMessage]).unwrap(),
            path: DerivationPath::vault(60, vault_account, 0, 0).unwrap(),
            public_key,
            group: group.id,
            parties: List::new(group.parties.iter().map(|p| p.id).collect()).unwrap(),
            threshold: group.threshold,
            epoch: 0,
        };
        let certificate = Signed::sign(&certificate, &self.identity);
        vec![Out::Up(CosignerMessage::Certificate { key, certificate })]
    }

    /// Sessions whose deadline passed.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Out> {
        let late: Vec<SessionId> =
            self.sessions.iter().filter(|(_, s)| s.until_ms <= now_ms).map(|(id, _)| *id).collect();
        let mut out = self.controlled(now_ms);
        for session in late {
            self.sessions.remove(&session);
            let refusal = Refusal::new(Code::Timeout, "late");
            out.push(Out::Up(CosignerMessage::Aborted { session, refusal, blamed: None }));
        }
        out
    }
}
