//! The rounds of a session: messages between the own job and the peers' jobs, and what comes out.

use super::evidence;
use super::prepare::subject_of;
use super::session::{Rounds, Stage};
use crate::effect::Effect;
use crate::input::JobEvent;
use crate::limits::MAX_EARLY_MESSAGES;
use crate::serving::{Cx, PairingState};
use countersign_mpc::{Failure, Output};
use countersign_wire::ceremony::Work;
use countersign_wire::ids::{KeyId, PartyId, SessionId};
use countersign_wire::peer::{Broadcast, BroadcastWord, PeerMessage};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::signed::{sign_bytes, verify_bytes};
use countersign_wire::{Bytes, List, Message};
use std::collections::BTreeSet;

/// The reason of a suspension that evidence about the same execution may resolve.
fn inconsistent(execution: &[u8; 32]) -> Refusal {
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

    fn rounds_mut(&mut self, id: &SessionId) -> Option<&mut Rounds> {
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
        if self.rounds_mut(&id).is_none_or(|rounds| rounds.job != job) {
            return;
        }
        match event {
            JobEvent::Send { to, message } => self.send_round(cx, id, to, &message),
            JobEvent::Done(output) => self.done(cx, id, output),
            JobEvent::Failed(failure) => self.failed(cx, id, failure),
            JobEvent::BadMessage { from, detail } => self.bad_message(cx, id, from, &detail),
            JobEvent::PrimesFound(_) | JobEvent::Primes(_) | JobEvent::CallbackKey(_) => {}
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
                if let Some(session) = self.ceremonies.sessions.get_mut(&id)
                    && matches!(session.stage, Stage::Prepared)
                {
                    let early = session.early.entry(from).or_default();
                    if session.group.index_of(&from).is_some() && early.len() < MAX_EARLY_MESSAGES {
                        early.push(message);
                    }
                    return;
                }
            }
            PeerMessage::Evidence { .. } => {}
        }
        match message {
            PeerMessage::Round { session, execution, sequence, broadcast, bytes } => {
                self.round(cx, from, session, execution, sequence, broadcast, bytes.into_vec());
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

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    fn round(
        &mut self,
        cx: &mut Cx<'_>,
        from: PartyId,
        id: SessionId,
        execution: [u8; 32],
        sequence: u32,
        broadcast: Option<(u32, [u8; 64])>,
        bytes: Vec<u8>,
    ) {
        let key = self.key_of(&id);
        let Some(rounds) = self.rounds_mut(&id) else { return };
        if rounds.execution != execution || !rounds.peers.contains_key(&from) {
            return;
        }
        if let Some((position, signature)) = broadcast {
            let said = Broadcast { execution, position, hash: evidence::hash(&bytes) };
            if verify_bytes(Broadcast::NAME, &said.encode(), &signature, &from.0).is_err() {
                return self.misbehaved(cx, id, from, "a broadcast without its sender's signature");
            }
            self.ceremonies.evidence.heard(id, key, BroadcastWord { sender: from, broadcast: said, signature });
        }
        let Some(rounds) = self.rounds_mut(&id) else { return };
        let job = rounds.job;
        let Some(peer) = rounds.peers.get_mut(&from) else { return };
        let index = peer.index;
        for (broadcast, message) in peer.take_in(sequence, broadcast.is_some(), bytes) {
            cx.out.push(Effect::JobMessage { job, from: index, broadcast, message });
        }
    }

    fn done(&mut self, cx: &mut Cx<'_>, id: SessionId, output: Output) {
        let Some(session) = self.ceremonies.sessions.remove(&id) else { return };
        if let Stage::Running(rounds) = &session.stage {
            cx.running.jobs.remove(&rounds.job);
        }
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
                self.suspend(cx, &id, Some(request.key), &refusal);
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
                let refusal = Refusal::new(
                    Code::ProtocolAborted,
                    format!("a proof or signature failed, by whom cannot be shown: {detail}"),
                );
                self.suspend(cx, &id, key, &refusal);
                refusal
            }
            Failure::BroadcastInconsistent { .. } => {
                let execution = self.rounds_mut(&id).map(|rounds| rounds.execution).unwrap_or_default();
                let refusal = inconsistent(&execution);
                self.suspend(cx, &id, key, &refusal);
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
        self.quarantine(cx, &id, self.key_of(&id), party);
        self.give_up(cx, &id);
        let refusal = Refusal::new(Code::PeerMisbehaved, format!("co-signer {party}: {detail}"));
        self.abort(cx, id, refusal, Some(party));
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
    fn show_words(&mut self, cx: &mut Cx<'_>, peer: PartyId, id: &SessionId, execution: &[u8; 32]) {
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
        self.quarantine(cx, &session, key, culprit);
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
