//! How all parties come to hold the same outcome, and what happens where one does not: see `countersign_wire::agreement`.

use crate::limits::MAX_FORSWORN;
use crate::serving::{Cx, PairingState, blobs};
use crate::state::{Agreed, AuxRecord, KeyRecord, Secret};
use countersign_mpc::{AuxInfoBytes, KeyShareBytes, public};
use countersign_wire::agreement::{Acknowledgement, Acknowledgements, NeverHeld, Stage, Subject};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::group::Group;
use countersign_wire::ids::{GroupId, KeyId, PartyId, SessionId};
use countersign_wire::key::{EcdsaSignature, KeyPurpose};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::{Authorisation, TransactionRequest};
use countersign_wire::{List, Signed};

/// What is known here about a subject.
#[derive(Clone, Copy)]
struct Held {
    group: GroupId,
    session: SessionId,
    outcome: [u8; 32],
    agreed: Agreed,
}

/// All parties of the group, each once, say `stage` about exactly this outcome. Pure.
fn all_say(group: &Group, expected: &Acknowledgement, said: &Acknowledgements) -> Result<(), Refusal> {
    let mismatch = |detail: String| Err(Refusal::new(Code::Mismatch, detail));
    if said.len() != group.parties.len() {
        return mismatch(format!("expected acknowledgements of {} parties, got {}", group.parties.len(), said.len()));
    }
    for party in &group.parties {
        let Some((_, signed)) = said.iter().find(|(id, _)| *id == party.id) else {
            return mismatch(format!("no acknowledgement of {}", party.id));
        };
        match signed.open(&party.id.0) {
            Ok(acknowledgement) if acknowledgement == *expected => {}
            Ok(_) => return mismatch(format!("{} acknowledged something else", party.id)),
            Err(error) => return mismatch(format!("the acknowledgement of {} is not its own: {error}", party.id)),
        }
    }
    Ok(())
}

impl PairingState {
    fn held(&self, subject: Subject) -> Option<Held> {
        match subject {
            Subject::Aux(group) => {
                self.aux.get(&group).map(|a| Held { group, session: a.session, outcome: a.outcome, agreed: a.agreed })
            }
            Subject::Key(key) => self.keys.get(&key).map(|k| Held {
                group: k.group,
                session: k.session,
                outcome: k.outcome,
                agreed: k.agreed,
            }),
        }
    }

    /// This party's word about a subject, as far as it is.
    pub(super) fn acknowledged(&self, subject: Subject) -> Option<CosignerMessage> {
        let held = self.held(subject)?;
        let stage = if held.agreed == Agreed::Held { Stage::Held } else { Stage::Durable };
        let word = Acknowledgement { group: held.group, subject, session: held.session, outcome: held.outcome, stage };
        Some(CosignerMessage::Acknowledged { acknowledgement: Signed::sign(&word, &self.identity) })
    }

    pub(super) fn hold_aux(
        &mut self,
        cx: &mut Cx<'_>,
        session: SessionId,
        group: GroupId,
        aux: &AuxInfoBytes,
    ) -> Result<(), Refusal> {
        let outcome = public::aux_commitment(aux).map_err(|e| Refusal::new(Code::Internal, e.to_string()))?;
        let record = AuxRecord { group, agreed: Agreed::Held, session, outcome, aux: Secret::new(aux.expose()) };
        cx.save(blobs::aux(self.record.id, group), &record);
        self.aux.insert(group, record);
        self.tell_acknowledged(cx, Subject::Aux(group));
        Ok(())
    }

    pub(super) fn hold_key(
        &mut self,
        cx: &mut Cx<'_>,
        session: SessionId,
        group: GroupId,
        key: KeyId,
        purpose: &KeyPurpose,
        share: &KeyShareBytes,
    ) -> Result<(), Refusal> {
        let made = public::outcome(share).map_err(|e| Refusal::new(Code::Internal, e.to_string()))?;
        let expected = self.record.accepted_group(&group).map(|g| (g.size(), g.threshold, g.index_of(&self.party())));
        if expected != Some((made.parties, made.threshold, Some(made.index))) {
            return Err(Refusal::new(Code::Internal, "the share is not one of this party in this group"));
        }
        let record = KeyRecord {
            key,
            group,
            purpose: purpose.clone(),
            agreed: Agreed::Held,
            session,
            outcome: key_outcome(&key, &group, purpose, &made.commitment),
            epoch: 0,
            share: Secret::new(share.expose()),
            public_key: made.public_key,
            chain_code: made.chain_code,
            suspended: None,
            quarantined: List::default(),
        };
        cx.save(blobs::key(self.record.id, key), &record);
        self.keys.insert(key, record);
        self.tell_acknowledged(cx, Subject::Key(key));
        Ok(())
    }

    pub(super) fn hold_signature(
        &mut self,
        cx: &mut Cx<'_>,
        session: SessionId,
        request: &TransactionRequest,
        authorisation: &Signed<Authorisation>,
        digest_index: u16,
        signature: EcdsaSignature,
    ) -> Result<(), Refusal> {
        let internal = |e: String| Refusal::new(Code::Internal, e);
        let group = self.record.accepted_group(&request.group).ok_or_else(|| internal("the group is gone".into()))?;
        let customer = group.customer().ok_or_else(|| internal("the group has no customer".into()))?;
        let authorisation = authorisation.open(&customer.0).map_err(|e| internal(e.to_string()))?;
        let place = usize::from(digest_index);
        let digest = authorisation.digests.get(place).ok_or_else(|| internal("no such digest".into()))?;
        let path = authorisation.paths.get(place).ok_or_else(|| internal("no such path".into()))?;
        let key = self.keys.get(&request.key).ok_or_else(|| internal("the key is gone".into()))?;
        let public_key = public::derive(&key.public_key, &key.chain_code, path).map_err(|e| internal(e.to_string()))?;
        if !public::verify(&public_key, digest, &signature) {
            return Err(Refusal::new(Code::ProtocolAborted, "the signature does not verify"));
        }
        let record =
            self.ledger.get_mut(&request.transaction).ok_or_else(|| internal("the ledger record is gone".into()))?;
        let slot =
            record.signatures.iter_mut().nth(place).ok_or_else(|| internal("no place for the signature".into()))?;
        if slot.is_some() {
            // One digest, one signature: the first one stands.
            return Ok(());
        }
        *slot = Some((public_key, signature));
        cx.save(blobs::request(self.record.id, request.transaction), record);
        cx.counts.signatures += 1;
        let transaction = request.transaction;
        self.tell(cx, &CosignerMessage::SignatureDone { session, transaction, digest_index, public_key, signature });
        Ok(())
    }

    fn tell_acknowledged(&self, cx: &mut Cx<'_>, subject: Subject) {
        if let Some(message) = self.acknowledged(subject) {
            self.tell(cx, &message);
        }
        if matches!(subject, Subject::Aux(_)) {
            self.hello(cx);
        }
    }

    /// Signs that this party will never hold the session's outcome, and keeps that word: the session is refused from now on.
    fn never_held(&mut self, cx: &mut Cx<'_>, group: GroupId, subject: Subject, session: SessionId) {
        let forsworn = &mut self.ceremonies.forsworn;
        if forsworn.len() >= MAX_FORSWORN && !forsworn.contains(&session) {
            return;
        }
        forsworn.insert(session);
        let never = Signed::sign(&NeverHeld { group, subject, session }, &self.identity);
        self.tell(cx, &CosignerMessage::NeverHeld { never });
    }

    pub(super) fn query(&mut self, cx: &mut Cx<'_>, group: GroupId, subject: Subject, session: SessionId) {
        if self.held(subject).is_some_and(|held| held.session == session) {
            return self.tell_acknowledged(cx, subject);
        }
        if self.ceremonies.sessions.contains_key(&session) {
            return self.tell(cx, &CosignerMessage::StillRunning { subject, session });
        }
        self.never_held(cx, group, subject, session);
    }

    pub(super) fn commit(&mut self, cx: &mut Cx<'_>, subject: Subject, session: SessionId, said: &Acknowledgements) {
        let Some(held) = self.held(subject).filter(|held| held.session == session) else { return };
        if held.agreed == Agreed::Held {
            let Some(group) = self.record.accepted_group(&held.group) else { return };
            let expected =
                Acknowledgement { group: held.group, subject, session, outcome: held.outcome, stage: Stage::Held };
            if let Err(refusal) = all_say(group, &expected, said) {
                return self.tell(cx, &CosignerMessage::Refused { session, refusal });
            }
            self.set_agreed(cx, subject, Agreed::Durable);
        }
        self.tell_acknowledged(cx, subject);
    }

    pub(super) fn publish(&mut self, cx: &mut Cx<'_>, subject: Subject, session: SessionId, said: &Acknowledgements) {
        let Some(held) = self.held(subject).filter(|held| held.session == session) else { return };
        let Some(group) = self.record.accepted_group(&held.group) else { return };
        if held.agreed != Agreed::Published {
            let expected =
                Acknowledgement { group: held.group, subject, session, outcome: held.outcome, stage: Stage::Durable };
            let verdict = if held.agreed == Agreed::Held {
                Err(Refusal::new(Code::KeyPending, "expected all parties' Held first"))
            } else {
                all_say(group, &expected, said)
            };
            if let Err(refusal) = verdict {
                return self.tell(cx, &CosignerMessage::Refused { session, refusal });
            }
            self.set_agreed(cx, subject, Agreed::Published);
        }
        if let Subject::Key(key) = subject
            && let Some(record) = self.keys.get(&key)
        {
            self.tell(cx, &CosignerMessage::KeyPublished { key, session, public_key: record.public_key });
        }
    }

    fn set_agreed(&mut self, cx: &mut Cx<'_>, subject: Subject, agreed: Agreed) {
        match subject {
            Subject::Aux(group) => {
                if let Some(record) = self.aux.get_mut(&group) {
                    record.agreed = agreed;
                    cx.save(blobs::aux(self.record.id, group), record);
                }
                // The primes are inside the auxiliary information now; nobody needs a second copy.
                if self.primes.remove(&group).is_some() {
                    cx.delete(blobs::primes(self.record.id, group));
                }
            }
            Subject::Key(key) => {
                if let Some(record) = self.keys.get_mut(&key) {
                    record.agreed = agreed;
                    cx.save(blobs::key(self.record.id, key), record);
                }
            }
        }
    }

    /// Another party signed that it never held the outcome: a PENDING one is dropped. One that all hold stays.
    pub(super) fn discard(
        &mut self,
        cx: &mut Cx<'_>,
        subject: Subject,
        session: SessionId,
        party: PartyId,
        never: &Signed<NeverHeld>,
    ) {
        let Some(held) = self.held(subject).filter(|h| h.session == session && h.agreed == Agreed::Held) else {
            // Nothing is held: say so, so that the coordinator can go on.
            if self.held(subject).is_none_or(|h| h.session != session)
                && !self.ceremonies.sessions.contains_key(&session)
            {
                let group = match subject {
                    Subject::Aux(group) => Some(group),
                    Subject::Key(_) => never.peek_unverified().ok().map(|n| n.group),
                };
                if let Some(group) = group {
                    self.never_held(cx, group, subject, session);
                }
            }
            return;
        };
        let Some(group) = self.record.accepted_group(&held.group) else { return };
        let expected = NeverHeld { group: held.group, subject, session };
        // The own word is not taken: nobody but the party itself can say that it holds nothing.
        let other = party != self.party() && group.index_of(&party).is_some();
        let proven = other && never.open(&party.0).is_ok_and(|said| said == expected);
        if !proven {
            let refusal =
                Refusal::new(Code::Mismatch, "expected the signed word of a party that it never held this outcome");
            return self.tell(cx, &CosignerMessage::Refused { session, refusal });
        }
        match subject {
            Subject::Aux(group) => {
                self.aux.remove(&group);
                cx.delete(blobs::aux(self.record.id, group));
            }
            Subject::Key(key) => {
                self.keys.remove(&key);
                cx.delete(blobs::key(self.record.id, key));
            }
        }
        self.never_held(cx, held.group, subject, session);
        self.hello(cx);
    }
}

/// What is acknowledged about a key: the public outcome of the protocol, and what the key is for.
fn key_outcome(key: &KeyId, group: &GroupId, purpose: &KeyPurpose, commitment: &[u8; 32]) -> [u8; 32] {
    let fields = borsh::to_vec(&(key, group, purpose, commitment)).unwrap_or_default();
    countersign_wire::message::digest_of("countersign/key-outcome/v1", &fields)
}
