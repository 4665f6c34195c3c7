//! A workspace that says what a test wants, to real co-signers: their coordinator is silenced, and every step of the
//! protocol is spoken by hand under the workspace's own keys.

use super::scenario::{GROUP, SimulatedCli, add_user};
use super::workspace::Keys;
use super::world::World;
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::ceremony::{CosignerMessage, Ready, Work, WorkspaceMessage};
use countersign_wire::command::Change;
use countersign_wire::group::{Group, Role};
use countersign_wire::ids::{KeyId, PartyId, SessionId};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::KeyEntry;
use countersign_wire::transaction::{Authorisation, TransactionRequest};
use countersign_wire::{List, Signed, Text};
use std::sync::Arc;

/// Id of the second workspace.
pub const SECOND_WORKSPACE: u8 = 2;
/// Simulated time in which any answer comes, in ms.
const ANSWER_MS: u64 = 400;

/// A session's id.
pub fn session(n: u8) -> SessionId {
    SessionId([n; 16])
}

/// What a co-signer answered to a Prepare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It takes part.
    Ready(Signed<Ready>),
    /// It does not.
    Refused(Refusal),
    /// The work is done; its result again.
    Done(Box<CosignerMessage>),
}

impl Answer {
    /// The code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Answer::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// The Ready.
    pub fn ready(self) -> Signed<Ready> {
        match self {
            Answer::Ready(ready) => ready,
            other => panic!("expected a Ready, got {other:?}"),
        }
    }
}

impl World {
    /// The coordinator says nothing any more: the test does.
    pub fn hostile(mut self) -> Self {
        self.workspace.silent = true;
        self
    }

    /// The identity of co-signer `i`.
    pub fn party(&self, i: usize) -> PartyId {
        self.cosigners[i].party.expect("paired")
    }

    /// Waits for the link of co-signer `i`, and until the co-signer knows of it: before that its answers are lost.
    pub fn wait_for_link(&mut self, i: usize) {
        assert!(self.run(60_000, |w| w.cosigners[i].link_open), "the link of co-signer {i} comes up");
        self.run(ANSWER_MS, |_| false);
    }

    /// The group of the base world.
    pub fn group(&self) -> Group {
        self.workspace.store.groups[&GROUP].group.clone()
    }

    /// The index of co-signer `i` in the group.
    pub fn index(&self, i: usize) -> u16 {
        self.group().index_of(&self.party(i)).expect("in the group")
    }

    /// The co-signer at an index of the group.
    pub fn at_index(&self, index: u16) -> usize {
        let party = self.group().party(index).expect("in the group").id;
        self.cosigners.iter().position(|c| c.party == Some(party)).expect("simulated")
    }

    /// Says something to co-signer `i` and waits. Returns what it answered, greetings left out.
    pub fn exchange_with(&mut self, i: usize, message: WorkspaceMessage) -> Vec<CosignerMessage> {
        let (to, before) = (self.party(i), self.workspace.heard.len());
        self.say(to, message);
        self.run(ANSWER_MS, |_| false);
        self.heard_since(before, i)
    }

    /// What co-signer `i` said after the first `before` messages, greetings left out.
    pub fn heard_since(&self, before: usize, i: usize) -> Vec<CosignerMessage> {
        let party = self.party(i);
        let said = self.workspace.heard[before..].iter().filter(|(from, _)| *from == party).map(|(_, m)| m.clone());
        said.filter(|m| !matches!(m, CosignerMessage::Hello { .. } | CosignerMessage::Users { .. })).collect()
    }

    /// Asks co-signer `i` to authorise.
    pub fn authorise(&mut self, i: usize, request: &TransactionRequest) -> Result<Signed<Authorisation>, Refusal> {
        let answers = self.exchange_with(i, WorkspaceMessage::Authorise(request.clone()));
        for answer in &answers {
            match answer {
                CosignerMessage::Authorised { transaction, authorisation, .. }
                    if *transaction == request.transaction =>
                {
                    return Ok(authorisation.clone());
                }
                CosignerMessage::AuthorisationRefused { transaction, refusal, .. }
                    if *transaction == request.transaction =>
                {
                    return Err(refusal.clone());
                }
                _ => {}
            }
        }
        panic!("no decision: {answers:?}")
    }

    /// Prepares a session at co-signer `i`.
    pub fn prepare(&mut self, i: usize, session: SessionId, work: &Work) -> Answer {
        let message = WorkspaceMessage::Prepare { session, deadline_ms: 8_000, work: work.clone() };
        let answers = self.exchange_with(i, message);
        let of_another =
            |m: &&CosignerMessage| matches!(m, CosignerMessage::Aborted { session: s, .. } if *s != session);
        match answers.iter().find(|m| !of_another(m)) {
            Some(CosignerMessage::Ready { ready, .. }) => Answer::Ready(ready.clone()),
            Some(CosignerMessage::Refused { refusal, .. }) => Answer::Refused(refusal.clone()),
            Some(other) => Answer::Done(Box::new(other.clone())),
            None => panic!("no answer to Prepare"),
        }
    }

    /// Starts a session at co-signer `i` with these signers and Readies, and does not wait.
    pub fn start_at(&mut self, i: usize, session: SessionId, signers: &[u16], readies: &[Signed<Ready>]) {
        let signers = List::new(signers.to_vec()).expect("few");
        let readies = List::new(readies.to_vec()).expect("few");
        let to = self.party(i);
        self.say(to, WorkspaceMessage::Start { session, signers, readies });
    }

    /// Prepares `work` at the co-signers of these indices and starts it there. Returns what each said after the Start.
    pub fn session_of(&mut self, id: SessionId, signers: &[u16], work: &Work) -> Vec<Vec<CosignerMessage>> {
        let who: Vec<usize> = signers.iter().map(|index| self.at_index(*index)).collect();
        let readies: Vec<_> = who.iter().map(|i| self.prepare(*i, id, work).ready()).collect();
        let before = self.workspace.heard.len();
        for i in &who {
            self.start_at(*i, id, signers, &readies);
        }
        self.run(10_000, |_| false);
        who.iter().map(|i| self.heard_since(before, *i)).collect()
    }

    /// The key as co-signer `i` lists it.
    pub fn key_at(&mut self, i: usize, key: &KeyId) -> Option<KeyEntry> {
        match self.ask_admin(i, &AdminRequest::Keys) {
            AdminResponse::Keys(keys) => keys.iter().find(|k| k.key == *key).cloned(),
            other => panic!("no keys: {other:?}"),
        }
    }

    /// One question of an admin.
    pub fn ask_admin(&mut self, i: usize, request: &AdminRequest) -> AdminResponse {
        let mut cli = self.cli(i);
        let answer = cli.ask(self, request);
        cli.close(self);
        answer
    }

    /// A change of the operator.
    pub fn operator(&mut self, i: usize, change: Change) -> AdminResponse {
        let mut cli = self.cli(i);
        let answer = cli.change(self, change);
        cli.close(self);
        answer
    }

    /// A new admin connection.
    pub fn cli(&mut self, i: usize) -> SimulatedCli {
        self.cosigners[i].admin_mail.clear();
        let connection = 1_000 + self.now;
        self.run(1, |_| false);
        SimulatedCli::open(self, i, connection)
    }

    /// Whether any execution of this world produced a signature over `digest`.
    pub fn signed(&self, digest: &[u8; 32]) -> bool {
        self.scheme.memory.lock().expect("not poisoned").signed.contains(digest)
    }

    /// Number of executions that any machine began.
    pub fn executions(&self) -> usize {
        self.scheme.memory.lock().expect("not poisoned").executions.len()
    }

    /// Pairs co-signer `i` with a second workspace, which is silent and speaks for the rest of the run: `say` and `party`
    /// are its own from now on. Returns its keys.
    pub fn pair_second(&mut self, i: usize, user: &str) -> Arc<Keys> {
        let keys = Arc::new(Keys::new(SECOND_WORKSPACE));
        self.workspace.silent = true;
        self.workspace.keys = Arc::clone(&keys);
        let mut add = add_user(self, i, user, "second-jti");
        add.token = Text::new(keys.pairing_token(user, "second-jti", self.now)).expect("short");
        add.workspace = keys.fingerprint();
        match self.operator(i, Change::AddUser(Box::new(add))) {
            AdminResponse::Done(Done::UserAdded { party, pairing, .. }) => {
                self.cosigners[i].party = Some(party);
                self.cosigners[i].pairing = Some(pairing);
            }
            other => panic!("not added: {other:?}"),
        }
        assert!(
            self.run(10_000, |w| w.workspace.heard.iter().any(|(from, _)| Some(*from) == w.cosigners[i].party)),
            "it greets"
        );
        keys
    }

    /// The work of signing one digest.
    pub fn signing(request: &TransactionRequest, authorisation: &Signed<Authorisation>, digest_index: u16) -> Work {
        Work::Sign { request: request.clone(), authorisation: authorisation.clone(), digest_index }
    }

    /// The group in which co-signer `i` is somebody else's peer: the same parties, one of them exchanged for a stranger.
    pub fn group_with_stranger(&self, i: usize, stranger: PartyId) -> Group {
        let mut group = self.group();
        let party = self.party(i);
        let mut parties = group.parties.to_vec();
        let victim = parties.iter_mut().find(|p| p.id != party && p.role == Role::Cloud).expect("a cloud co-signer");
        victim.id = stranger;
        parties.sort_by_key(|p| p.id);
        group.parties = List::new(parties).expect("as many");
        group
    }
}
