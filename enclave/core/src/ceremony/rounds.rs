//! The rounds of a session: messages between the own job and the peers' jobs, and what comes out.

use super::evidence;
use super::prepare::subject_of;
use super::session::{Rounds, Stage};
use super::verdict::unknown_culprit;
use crate::effect::Effect;
use crate::input::JobEvent;
use crate::serving::{Cx, PairingState};
use countersign_mpc::{Failure, Output};
use countersign_wire::ceremony::Work;
use countersign_wire::ids::{KeyId, PartyId, SessionId};
use countersign_wire::limits::{
    MAX_KEYGEN_MESSAGE_BYTES, MAX_SCHEME_MESSAGE_BYTES, MAX_SCHEME_MESSAGES, MAX_SIGN_MESSAGE_BYTES,
};
use countersign_wire::peer::{Broadcast, BroadcastWord, PeerMessage};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::signed::{sign_bytes, verify_bytes};
use countersign_wire::{Bytes, List, Message};
use std::collections::BTreeSet;

/// A peer's message as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    /// For a broadcast: what its sender says is its position, and the signature.
    pub broadcast: Option<(u32, [u8; 64])>,
    pub bytes: Vec<u8>,
}

/// The reason of a suspension that evidence about the same execution may resolve.
pub(super) fn inconsistent(execution: &[u8; 32]) -> Refusal {
    let execution = hex::encode(execution);
    Refusal::new(Code::ProtocolAborted, format!("parties received different broadcasts in execution {execution}"))
}

impl PairingState {
    /// Peers with whom a session is running.
    pub(super) fn running_peers(&self) -> BTreeSet<PartyId> {
        let running = self.ceremonies.sessions.values().filter_map(|s| match &s.stage {
            Stage::Running(rounds) => Some(rounds.peers.keys().copied()),
            Stage::Prepared => None,
        });
        running.flatten().collect()
    }

    pub(super) fn rounds_mut(&mut self, id: &SessionId) -> Option<&mut Rounds> {
        match &mut self.ceremonies.sessions.get_mut(id)?.stage {
            Stage::Running(rounds) => Some(rounds),
            Stage::Prepared => None,
        }
    }

    pub(super) fn key_of(&self, id: &SessionId) -> Option<KeyId> {
        match &self.ceremonies.sessions.get(id)?.work {
            Work::Sign { request, .. } => Some(request.key),
            Work::Aux { .. } | Work::Keygen { .. } => None,
        }
    }

    /// The own job reports.
    pub(crate) fn job_event(&mut self, cx: &mut Cx<'_>, id: SessionId, job: u64, event: JobEvent) {
        if self.ceremonies.unsettled.contains_key(&job) {
            return self.settle(cx, job, event);
        }
        if self.rounds_mut(&id).is_none_or(|rounds| rounds.job != job) {
            return;
        }
        if matches!(event, JobEvent::Done(_) | JobEvent::Failed(_) | JobEvent::BadMessage { .. }) {
            cx.running.jobs.remove(&job);
        }
        match event {
            JobEvent::Send { to, message } => self.send_round(cx, id, to, &message),
            JobEvent::Done(output) => self.done(cx, id, output),
            JobEvent::Failed(failure) => self.failed(cx, id, failure),
            JobEvent::BadMessage { from, detail } => self.bad_message(cx, id, from, &detail),
            JobEvent::Unfinished | JobEvent::PrimesFound(_) | JobEvent::Primes(_) | JobEvent::CallbackKey(_) => {}
        }
    }

    fn send_round(&mut self, cx: &mut Cx<'_>, id: SessionId, to: Option<u16>, message: &[u8]) {
        let Ok(bytes) = Bytes::new(message) else {
            let refusal = Refusal::new(Code::Internal, "the scheme made a message over the limit");
            return self.abort(cx, id, refusal, None);
        };
        let Some(rounds) = self.rounds_mut(&id) else { return };
        let execution = rounds.execution;
        let position = rounds.next_broadcast;
        if to.is_none() {
            rounds.next_broadcast = position.saturating_add(1);
        }
        let receivers: Vec<(PartyId, u32)> = rounds
            .peers
            .iter_mut()
            .filter(|(_, peer)| to.is_none_or(|index| peer.index == index))
            .map(|(party, peer)| {
                let sequence = peer.next_out;
                peer.next_out = sequence.saturating_add(1);
                (*party, sequence)
            })
            .collect();
        let broadcast = to.is_none().then(|| {
            let said = Broadcast { execution, position, hash: evidence::hash(message) };
            (position, sign_bytes(Broadcast::NAME, &said.encode(), &self.identity))
        });
        for (party, sequence) in receivers {
            let round = PeerMessage::Round { session: id, execution, sequence, broadcast, bytes: bytes.clone() };
            self.send_peer(cx, party, &round);
        }
    }

    /// A message of a peer, authenticated by its channel.
    pub(super) fn peer_message(&mut self, cx: &mut Cx<'_>, from: PartyId, message: PeerMessage) {
        match &message {
            PeerMessage::Round { session, .. } | PeerMessage::Abort { session, .. } => {
                let id = *session;
                if let Some(session) = self.ceremonies.sessions.get(&id)
                    && matches!(session.stage, Stage::Prepared)
                {
                    return self.keep_early(cx, id, from, message);
                }
            }
            PeerMessage::Evidence { .. } => {}
        }
        match message {
            PeerMessage::Round { session, execution, sequence, broadcast, bytes } => {
                let message = Incoming { broadcast, bytes: bytes.into_vec() };
                self.round(cx, from, session, execution, sequence, message);
            }
            PeerMessage::Abort { session, execution, .. } => {
                let ours =
                    self.rounds_mut(&session).is_some_and(|r| r.execution == execution && r.peers.contains_key(&from));
                if ours {
                    let refusal = Refusal::new(Code::Cancelled, format!("co-signer {from} gave up"));
                    self.abort(cx, session, refusal, None);
                }
            }
            PeerMessage::Evidence { execution, words, .. } => self.evidence(cx, from, &execution, &words),
        }
    }

    fn round(
        &mut self,
        cx: &mut Cx<'_>,
        from: PartyId,
        id: SessionId,
        execution: [u8; 32],
        sequence: u32,
        message: Incoming,
    ) {
        let Some(rounds) = self.rounds_mut(&id) else { return };
        let Some(peer) = rounds.peers.get(&from) else { return };
        if rounds.execution != execution || peer.knows(sequence) {
            return;
        }
        let is_next = sequence == peer.next_in;
        // In front of the job: a flood behind a false message would end the job before it found that one false.
        if let Err(detail) = self.check_size(&id, sequence, message.bytes.len()) {
            return self.misbehaved(cx, id, from, detail);
        }
        if !is_next && !self.make_room(cx, id, from, message.bytes.len()) {
            return;
        }
        let Some(peer) = self.rounds_mut(&id).and_then(|rounds| rounds.peers.get_mut(&from)) else { return };
        for message in peer.take_in(sequence, message) {
            if let Err(detail) = self.pass_on(cx, from, id, message) {
                return self.misbehaved(cx, id, from, detail);
            }
        }
    }

    /// No honest party sends more or larger messages than the scheme has.
    fn check_size(&self, id: &SessionId, sequence: u32, bytes: usize) -> Result<(), &'static str> {
        let most = match self.ceremonies.sessions.get(id).map(|session| &session.work) {
            Some(Work::Sign { .. }) => MAX_SIGN_MESSAGE_BYTES,
            Some(Work::Keygen { .. }) => MAX_KEYGEN_MESSAGE_BYTES,
            Some(Work::Aux { .. }) | None => MAX_SCHEME_MESSAGE_BYTES,
        };
        if usize::try_from(sequence).is_ok_and(|s| s < MAX_SCHEME_MESSAGES) && bytes <= most {
            return Ok(());
        }
        Err("a message beyond the number or size that the scheme has")
    }

    /// Hands a message whose turn it is to the job. What a broadcast's sender signed about it is remembered from here on:
    /// its position is the number of broadcasts before it, so that two different ones in one place always convict.
    fn pass_on(
        &mut self,
        cx: &mut Cx<'_>,
        from: PartyId,
        id: SessionId,
        message: Incoming,
    ) -> Result<(), &'static str> {
        let key = self.key_of(&id);
        let Some(rounds) = self.rounds_mut(&id) else { return Ok(()) };
        let (execution, job) = (rounds.execution, rounds.job);
        let Some(peer) = rounds.peers.get_mut(&from) else { return Ok(()) };
        let index = peer.index;
        if let Some((position, signature)) = message.broadcast {
            let said = Broadcast { execution, position, hash: evidence::hash(&message.bytes) };
            if verify_bytes(Broadcast::NAME, &said.encode(), &signature, &from.0).is_err() {
                return Err("a broadcast without its sender's signature");
            }
            if position != peer.next_broadcast {
                return Err("a broadcast signed for another position than its own");
            }
            peer.next_broadcast = position.saturating_add(1);
            self.ceremonies.evidence.heard(id, key, BroadcastWord { sender: from, broadcast: said, signature });
        }
        if let Some(rounds) = self.rounds_mut(&id) {
            rounds.given = true;
        }
        let broadcast = message.broadcast.is_some();
        cx.out.push(Effect::JobMessage { job, from: index, broadcast, message: message.bytes });
        Ok(())
    }

    fn done(&mut self, cx: &mut Cx<'_>, id: SessionId, output: Output) {
        let Some(session) = self.ceremonies.sessions.remove(&id) else { return };
        let outcome = match (&session.work, output) {
            (Work::Aux { group }, Output::AuxInfo(aux)) => self.hold_aux(cx, id, *group, &aux),
            (Work::Keygen { group, key, purpose }, Output::KeyShare(share)) => {
                self.hold_key(cx, id, *group, *key, purpose, &share)
            }
            (Work::Sign { request, authorisation, digest_index }, Output::Signature(signature)) => {
                self.hold_signature(cx, id, request, authorisation, *digest_index, signature)
            }
            _ => Err(Refusal::new(Code::Internal, "the job's output is not of the session's kind")),
        };
        if let Err(refusal) = outcome {
            if let (Code::ProtocolAborted, Work::Sign { request, .. }) = (refusal.code, &session.work) {
                self.suspend(cx, Some(&id), Some(request.key), &refusal);
            }
            cx.counts.aborted += 1;
            let message = countersign_wire::ceremony::CosignerMessage::Aborted { session: id, refusal, blamed: None };
            self.tell(cx, &message);
        }
        self.forget_queued();
    }

    fn failed(&mut self, cx: &mut Cx<'_>, id: SessionId, failure: Failure) {
        let key = self.key_of(&id);
        let refusal = match failure {
            Failure::Protocol { culprit, detail } => {
                if let Some(party) = culprit.and_then(|index| self.peer_at(&id, index)) {
                    return self.misbehaved(cx, id, party, &detail);
                }
                let refusal = unknown_culprit(&detail);
                self.suspend(cx, Some(&id), key, &refusal);
                refusal
            }
            Failure::BroadcastInconsistent { .. } => {
                let execution = self.rounds_mut(&id).map(|rounds| rounds.execution).unwrap_or_default();
                let refusal = inconsistent(&execution);
                self.suspend(cx, Some(&id), key, &refusal);
                self.show_evidence(cx, &execution, &id);
                refusal
            }
            Failure::Internal { detail } => Refusal::new(Code::Internal, detail),
        };
        self.give_up(cx, &id);
        self.abort(cx, id, refusal, None);
    }

    fn bad_message(&mut self, cx: &mut Cx<'_>, id: SessionId, from: u16, detail: &str) {
        if let Some(party) = self.peer_at(&id, from) {
            self.misbehaved(cx, id, party, detail);
        }
    }

    /// The other party with this index in the session's group.
    fn peer_at(&self, id: &SessionId, index: u16) -> Option<PartyId> {
        let party = self.ceremonies.sessions.get(id)?.group.party(index)?.id;
        (party != self.party()).then_some(party)
    }

    /// An authenticated peer sent what no honest party sends: it is quarantined for this key (threat T15).
    fn misbehaved(&mut self, cx: &mut Cx<'_>, id: SessionId, party: PartyId, detail: &str) {
        self.quarantine(cx, Some(&id), self.key_of(&id), party);
        self.give_up(cx, &id);
        self.drop_job_of(cx, &id);
        let refusal = Refusal::new(Code::PeerMisbehaved, format!("co-signer {party}: {detail}"));
        self.abort(cx, id, refusal, Some(party));
    }

    /// Who is guilty is known: what the job would say of it is not waited for.
    pub(super) fn drop_job_of(&mut self, cx: &mut Cx<'_>, id: &SessionId) {
        if let Some(rounds) = self.rounds_mut(id) {
            cx.drop_job(rounds.job);
        }
    }

    /// Tells the peers that this party gave up, so that they need not wait for the deadline.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>, id: &SessionId) {
        let subject = self.ceremonies.sessions.get(id).and_then(|s| subject_of(&s.work));
        let Some(rounds) = self.rounds_mut(id) else { return };
        let execution = rounds.execution;
        let parties: Vec<PartyId> = rounds.peers.keys().copied().collect();
        for party in parties {
            self.send_peer(cx, party, &PeerMessage::Abort { session: *id, execution, subject });
        }
    }

    fn show_evidence(&mut self, cx: &mut Cx<'_>, execution: &[u8; 32], id: &SessionId) {
        let Some(rounds) = self.rounds_mut(id).filter(|rounds| rounds.execution == *execution) else { return };
        let parties: Vec<PartyId> = rounds.peers.keys().copied().collect();
        for party in parties {
            self.show_words(cx, party, id, execution);
        }
    }

    /// Shows a peer what this party received, once an execution: it may be what the peer lacks to name the culprit.
    pub(super) fn show_words(&mut self, cx: &mut Cx<'_>, peer: PartyId, id: &SessionId, execution: &[u8; 32]) {
        if self.ceremonies.evidence.show_once(execution, peer) {
            let words = List::cut(self.ceremonies.evidence.words(execution));
            self.send_peer(cx, peer, &PeerMessage::Evidence { session: *id, execution: *execution, words });
        }
    }

    fn evidence(&mut self, cx: &mut Cx<'_>, from: PartyId, execution: &[u8; 32], words: &[BroadcastWord]) {
        let Some((culprit, session, key)) = self.ceremonies.evidence.compare(execution, words) else { return };
        if culprit == self.party() {
            return;
        }
        self.show_words(cx, from, &session, execution);
        self.resolve(key, &inconsistent(execution));
        self.quarantine(cx, Some(&session), key, culprit);
        self.forget_unsettled(cx, execution);
        self.drop_job_of(cx, &session);
        let refusal = Refusal::new(
            Code::PeerMisbehaved,
            format!("co-signer {culprit} sent different broadcasts to different parties"),
        );
        let message = countersign_wire::ceremony::CosignerMessage::Aborted {
            session,
            refusal: refusal.clone(),
            blamed: Some(culprit),
        };
        if self.ceremonies.sessions.contains_key(&session) {
            self.abort(cx, session, refusal, Some(culprit));
        } else {
            self.tell(cx, &message);
        }
    }
}
