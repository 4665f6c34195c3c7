//! One attempt at a ceremony, as one party sees it.

use super::rounds::Incoming;
use crate::limits::{MAX_EARLY_MESSAGES, MAX_SESSION_MS, MIN_SESSION_MS};
use crate::serving::{Cx, PairingState};
use countersign_wire::ceremony::{CosignerMessage, Ready, Work};
use countersign_wire::group::Group;
use countersign_wire::ids::{PartyId, SessionId};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{Message, Signed};
use std::collections::BTreeMap;

/// A session.
pub(crate) struct Session {
    pub group: Group,
    pub index: u16,
    pub work: Work,
    pub work_hash: [u8; 32],
    /// What was agreed to; the Start must carry exactly this.
    pub ready: Ready,
    pub signed_ready: Signed<Ready>,
    pub deadline_at_ms: u64,
    pub stage: Stage,
    /// Messages of peers that started earlier than we, by sender.
    pub early: BTreeMap<PartyId, Vec<countersign_wire::peer::PeerMessage>>,
}

/// Where a session is.
pub(crate) enum Stage {
    /// Ready was given.
    Prepared,
    /// The rounds run.
    Running(Box<Rounds>),
}

/// The rounds of a session.
pub(crate) struct Rounds {
    pub execution: [u8; 32],
    pub job: u64,
    /// The other signers, with their index in the group.
    pub peers: BTreeMap<PartyId, PeerRounds>,
    pub next_broadcast: u32,
    /// Whether the job was given a message of a peer: it may find it false.
    pub given: bool,
}

/// The exchange of round messages with one peer.
pub(crate) struct PeerRounds {
    pub index: u16,
    pub next_out: u32,
    pub next_in: u32,
    /// The position that its next broadcast must have.
    pub next_broadcast: u32,
    /// Messages that came before their turn, by sequence.
    pub waiting: BTreeMap<u32, Incoming>,
}

impl PeerRounds {
    pub(crate) fn new(index: u16) -> Self {
        Self { index, next_out: 0, next_in: 0, next_broadcast: 0, waiting: BTreeMap::new() }
    }

    /// Whether a message with this number came before.
    pub(crate) fn knows(&self, sequence: u32) -> bool {
        sequence < self.next_in || self.waiting.contains_key(&sequence)
    }

    /// Takes a message in, whatever its order; returns those whose turn it is. Duplicates and the overflow are dropped: the
    /// session then ends by its deadline.
    pub(crate) fn take_in(&mut self, sequence: u32, message: Incoming) -> Vec<Incoming> {
        if self.knows(sequence) || self.waiting.len() >= MAX_EARLY_MESSAGES {
            return Vec::new();
        }
        self.waiting.insert(sequence, message);
        let mut due = Vec::new();
        while let Some(message) = self.waiting.remove(&self.next_in) {
            self.next_in = self.next_in.saturating_add(1);
            due.push(message);
        }
        due
    }
}

/// The time at which a session ends by itself.
pub(crate) fn deadline_at(now: u64, asked_ms: u32) -> u64 {
    now.saturating_add(u64::from(asked_ms).clamp(MIN_SESSION_MS, MAX_SESSION_MS))
}

impl PairingState {
    /// Ends a session. Its job is dropped, or left behind to say whether what it was given was true. Returns the session.
    pub(crate) fn end_session(&mut self, cx: &mut Cx<'_>, id: &SessionId) -> Option<Session> {
        let session = self.ceremonies.sessions.remove(id)?;
        if let Stage::Running(rounds) = &session.stage
            && !self.await_verdict(cx, *id, &session.work, rounds)
        {
            cx.drop_job(rounds.job);
        }
        self.forget_queued();
        Some(session)
    }

    /// Ends a session without an outcome and says so to the workspace.
    pub(crate) fn abort(&mut self, cx: &mut Cx<'_>, id: SessionId, refusal: Refusal, blamed: Option<PartyId>) {
        if self.end_session(cx, &id).is_some() {
            cx.counts.aborted += 1;
            self.tell(cx, &CosignerMessage::Aborted { session: id, refusal, blamed });
        }
    }

    /// Ends all sessions: the host is gone, and with it every message under way.
    pub(crate) fn end_all_sessions(&mut self, cx: &mut Cx<'_>) {
        let all: Vec<SessionId> = self.ceremonies.sessions.keys().copied().collect();
        for id in all {
            self.end_session(cx, &id);
        }
        self.forget_queued();
    }

    /// The coordinator ends a session.
    pub(crate) fn cancel(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        self.end_session(cx, &id);
    }

    /// Ends sessions whose time is over.
    pub(crate) fn expire_sessions(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        let over: Vec<SessionId> =
            self.ceremonies.sessions.iter().filter(|(_, s)| s.deadline_at_ms <= now).map(|(id, _)| *id).collect();
        for id in over {
            let silent = self.silent_peers(&id);
            let detail = if silent.is_empty() {
                "the session was not started in time".to_owned()
            } else {
                format!("no message in time from {}", silent.join(", "))
            };
            self.abort(cx, id, Refusal::new(Code::Timeout, detail), None);
        }
    }

    /// Peers of a running session that sent the least, to name them in a timeout.
    fn silent_peers(&self, id: &SessionId) -> Vec<String> {
        let Some(Stage::Running(rounds)) = self.ceremonies.sessions.get(id).map(|s| &s.stage) else {
            return Vec::new();
        };
        let least = rounds.peers.values().map(|p| p.next_in).min();
        rounds.peers.iter().filter(|(_, p)| Some(p.next_in) == least).map(|(id, _)| id.to_string()).collect()
    }
}

/// The hash by which parties agree that they were told the same work.
pub(crate) fn work_hash(work: &Work) -> [u8; 32] {
    work.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t19_messages_are_passed_on_once_and_in_order() {
        let mut peer = PeerRounds::new(1);
        let said =
            |broadcast: bool, byte: u8| Incoming { broadcast: broadcast.then_some((0, [0; 64])), bytes: vec![byte] };
        assert!(peer.take_in(1, said(true, 1)).is_empty());
        assert_eq!(peer.take_in(0, said(false, 0)), [said(false, 0), said(true, 1)]);
        assert!(peer.take_in(0, said(false, 9)).is_empty());
        assert!(peer.take_in(1, said(false, 9)).is_empty());
        assert_eq!(peer.take_in(2, said(false, 2)), [said(false, 2)]);
    }

    #[test]
    fn messages_before_their_turn_are_bounded() {
        let mut peer = PeerRounds::new(1);
        for sequence in 1..1_000 {
            peer.take_in(sequence, Incoming { broadcast: None, bytes: vec![] });
        }
        assert_eq!(peer.waiting.len(), MAX_EARLY_MESSAGES);
    }

    #[test]
    fn a_session_has_a_deadline_whatever_is_asked() {
        assert_eq!(deadline_at(10, 0), 10 + MIN_SESSION_MS);
        assert_eq!(deadline_at(10, u32::MAX), 10 + MAX_SESSION_MS);
    }
}
