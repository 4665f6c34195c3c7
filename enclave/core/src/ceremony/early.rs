//! Messages of peers that came before their turn, and how many bytes of them are kept.

use super::session::{Session, Stage};
use crate::limits::{
    MAX_EARLY_AUX_BYTES, MAX_EARLY_KEYGEN_BYTES, MAX_EARLY_MESSAGES, MAX_EARLY_PAIRING_BYTES, MAX_EARLY_SIGN_BYTES,
};
use crate::serving::{Cx, PairingState};
use countersign_wire::ceremony::Work;
use countersign_wire::ids::{PartyId, SessionId};
use countersign_wire::peer::PeerMessage;
use countersign_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;

/// Most bytes of one peer that wait in a session.
fn most_waiting(work: &Work) -> usize {
    match work {
        Work::Aux { .. } => MAX_EARLY_AUX_BYTES,
        Work::Keygen { .. } => MAX_EARLY_KEYGEN_BYTES,
        Work::Sign { .. } => MAX_EARLY_SIGN_BYTES,
    }
}

fn bytes_of(message: &PeerMessage) -> usize {
    match message {
        PeerMessage::Round { bytes, .. } => bytes.len(),
        PeerMessage::Evidence { .. } | PeerMessage::Abort { .. } => 0,
    }
}

impl Session {
    /// Bytes that wait, by sender.
    fn waiting(&self) -> BTreeMap<PartyId, usize> {
        let mut waiting: BTreeMap<PartyId, usize> =
            self.early.iter().map(|(party, early)| (*party, early.iter().map(bytes_of).sum())).collect();
        if let Stage::Running(rounds) = &self.stage {
            for (party, peer) in &rounds.peers {
                let bytes: usize = peer.waiting.values().map(|m| m.bytes.len()).sum();
                let sum = waiting.entry(*party).or_default();
                *sum = sum.saturating_add(bytes);
            }
        }
        waiting
    }
}

impl PairingState {
    /// Keeps a message for a session that is not started here yet.
    pub(super) fn keep_early(&mut self, cx: &mut Cx<'_>, id: SessionId, from: PartyId, message: PeerMessage) {
        let Some(session) = self.ceremonies.sessions.get(&id) else { return };
        let full = session.early.get(&from).is_some_and(|early| early.len() >= MAX_EARLY_MESSAGES);
        if full || session.group.index_of(&from).is_none() || !self.make_room(cx, id, from, bytes_of(&message)) {
            return;
        }
        if let Some(session) = self.ceremonies.sessions.get_mut(&id) {
            session.early.entry(from).or_default().push(message);
        }
    }

    /// Whether `bytes` more of this peer may wait in this session. If not, the session is over; nobody is blamed. Where all
    /// sessions of the pairing together are over the limit, those of the peer of whom most waits make room.
    pub(super) fn make_room(&mut self, cx: &mut Cx<'_>, id: SessionId, from: PartyId, bytes: usize) -> bool {
        let Some(session) = self.ceremonies.sessions.get(&id) else { return false };
        let most = most_waiting(&session.work);
        let known = session.waiting().get(&from).copied().unwrap_or_default();
        if known.saturating_add(bytes) > most {
            self.too_early(cx, id, from, most);
            return false;
        }
        loop {
            let mut by_peer: BTreeMap<PartyId, (usize, SessionId)> = BTreeMap::from([(from, (bytes, id))]);
            let mut largest: BTreeMap<PartyId, usize> = BTreeMap::from([(from, bytes)]);
            for (session_id, session) in &self.ceremonies.sessions {
                for (party, waiting) in session.waiting() {
                    let entry = by_peer.entry(party).or_insert((0, *session_id));
                    entry.0 = entry.0.saturating_add(waiting);
                    let largest = largest.entry(party).or_default();
                    if waiting > *largest {
                        (*largest, entry.1) = (waiting, *session_id);
                    }
                }
            }
            let total = by_peer.values().fold(0usize, |sum, (waiting, _)| sum.saturating_add(*waiting));
            if total <= MAX_EARLY_PAIRING_BYTES {
                return true;
            }
            // There is an entry of `from` at least; each turn ends one session.
            let Some((party, (_, victim))) = by_peer.into_iter().max_by_key(|(_, (waiting, _))| *waiting) else {
                return false;
            };
            self.too_early(cx, victim, party, MAX_EARLY_PAIRING_BYTES);
            if victim == id {
                return false;
            }
        }
    }

    fn too_early(&mut self, cx: &mut Cx<'_>, id: SessionId, from: PartyId, most: usize) {
        self.give_up(cx, &id);
        let detail = format!("more than {most} bytes of co-signer {from} came before their turn; try again");
        self.abort(cx, id, Refusal::new(Code::Busy, detail), None);
    }
}
