//! What a key may not do any more after a protocol was broken with it, until operators clear it (threat T15).
//!
//! A peer that was shown to be guilty is *quarantined* for the key; where nobody was, the key is *suspended*. Either is
//! sealed, and takes effect at once: sessions with the key that are already open end too, so that nobody gets as many
//! attempts as there are sessions.

use super::session::Stage;
use crate::serving::{Cx, PairingState, blobs};
use countersign_wire::List;
use countersign_wire::ids::{BootId, KeyId, PartyId, SessionId};
use countersign_wire::refusal::{Code, Refusal};

impl PairingState {
    /// Suspends a key for what happened in session `id`, if that is still open. Of two reasons only operators can lift the suspension.
    pub(super) fn suspend(&mut self, cx: &mut Cx<'_>, id: Option<&SessionId>, key: Option<KeyId>, refusal: &Refusal) {
        let Some(record) = key.and_then(|k| self.keys.get_mut(&k)) else { return };
        let before = record.suspended.clone();
        record.suspended = match &record.suspended {
            Some(known) if known != refusal => Some(Refusal::new(
                Code::ProtocolAborted,
                format!("more than one execution failed, the last one: {refusal}"),
            )),
            _ => Some(refusal.clone()),
        };
        let key = record.key;
        if record.suspended != before {
            cx.save(blobs::key(self.record.id, key), record);
        }
        self.end_others(cx, id, key, None);
    }

    /// Nobody takes part with this key beside `party` any more, for what happened in session `id`, if that is still open.
    pub(super) fn quarantine(&mut self, cx: &mut Cx<'_>, id: Option<&SessionId>, key: Option<KeyId>, party: PartyId) {
        let Some(record) = key.and_then(|k| self.keys.get_mut(&k)) else { return };
        if !record.quarantined.contains(&party) && record.quarantined.push(party).is_err() {
            record.suspended = Some(Refusal::new(Code::PeerMisbehaved, "more quarantined peers than a group has"));
        }
        let key = record.key;
        cx.save(blobs::key(self.record.id, key), record);
        self.end_others(cx, id, key, Some(party));
    }

    /// The culprit of exactly this suspension is known now: the key itself need not stay suspended for it. The caller
    /// quarantines the culprit, which seals the record.
    pub(super) fn resolve(&mut self, key: Option<KeyId>, reason: &Refusal) {
        if let Some(record) = key.and_then(|k| self.keys.get_mut(&k))
            && record.suspended.as_ref() == Some(reason)
        {
            record.suspended = None;
        }
    }

    /// Ends the running sessions with a key, all of them or those with one peer, but for the one that ends anyway.
    fn end_others(&mut self, cx: &mut Cx<'_>, except: Option<&SessionId>, key: KeyId, with: Option<PartyId>) {
        let concerned = |stage: &Stage| match stage {
            Stage::Running(rounds) => with.is_none_or(|party| rounds.peers.contains_key(&party)),
            Stage::Prepared => false,
        };
        let running = self.ceremonies.sessions.iter().filter(|(id, s)| Some(*id) != except && concerned(&s.stage));
        let ids: Vec<SessionId> = running.map(|(id, _)| *id).filter(|id| self.key_of(id) == Some(key)).collect();
        for id in ids {
            self.give_up(cx, &id);
            self.drop_job_of(cx, &id);
            let refusal = Refusal::new(Code::Quarantined, "another session with this key failed");
            self.abort(cx, id, refusal, None);
        }
    }

    /// Whether a prepared session with this key may still start with these peers.
    pub(super) fn check_quarantine(&self, key: &KeyId, others: &[(PartyId, u16, BootId)]) -> Result<(), Refusal> {
        let Some(record) = self.keys.get(key) else { return Ok(()) };
        if let Some(refusal) = &record.suspended {
            let detail = format!("the key is suspended at this co-signer ({refusal}); an operator may clear it");
            return Err(Refusal::new(Code::Quarantined, detail));
        }
        match others.iter().find(|(party, _, _)| record.quarantined.contains(party)) {
            None => Ok(()),
            Some((party, _, _)) => {
                let detail = format!("co-signer {party} is quarantined for this key until an operator clears it");
                Err(Refusal::new(Code::Quarantined, detail))
            }
        }
    }

    /// An operator lifts the suspension and the quarantine.
    pub(crate) fn clear_quarantine(&mut self, cx: &mut Cx<'_>, key: KeyId) -> Result<(), Refusal> {
        let unknown = || Refusal::new(Code::NotFound, format!("no key {key} in this pairing"));
        let record = self.keys.get_mut(&key).ok_or_else(unknown)?;
        record.suspended = None;
        record.quarantined = List::default();
        cx.save(blobs::key(self.record.id, key), record);
        Ok(())
    }
}
