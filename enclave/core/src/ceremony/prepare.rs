//! Prepare: whether this party takes part, decided on what it knows and decodes itself.

use super::session::{Session, Stage, deadline_at, work_hash};
use super::verdict::signs;
use crate::limits::{MAX_KEYS_PER_PAIRING, MAX_SESSIONS_PER_PAIRING};
use crate::serving::{Cx, PairingState};
use crate::state::Agreed;
use countersign_wire::agreement::Subject;
use countersign_wire::ceremony::{CosignerMessage, GroupState, Ready, Work};
use countersign_wire::group::{Group, Role};
use countersign_wire::ids::{GroupId, KeyId, SessionId};
use countersign_wire::key::{KeyPurpose, Operation};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{Message, Signed};
use std::collections::BTreeMap;

/// What a party agrees to.
struct Consent {
    group: Group,
    authorisation_hash: Option<[u8; 32]>,
    aux_outcome: Option<[u8; 32]>,
    epoch: u32,
    signers_wanted: u16,
}

/// Why there is no Ready.
pub(super) enum NoReady {
    /// It is refused.
    Refused(Refusal),
    /// The work is done already; this says so.
    Done(Box<CosignerMessage>),
}

impl From<Refusal> for NoReady {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn refuse<T>(code: Code, detail: impl Into<String>) -> Result<T, NoReady> {
    Err(NoReady::Refused(Refusal::new(code, detail)))
}

impl PairingState {
    pub(super) fn prepare(&mut self, cx: &mut Cx<'_>, id: SessionId, deadline_ms: u32, work: Work) {
        let hash = work_hash(&work);
        if let Some(session) = self.ceremonies.sessions.get(&id) {
            let answer = if session.work_hash == hash {
                CosignerMessage::Ready { session: id, ready: session.signed_ready.clone() }
            } else {
                let refusal = Refusal::new(Code::Conflict, "this session was prepared with other work");
                CosignerMessage::Refused { session: id, refusal }
            };
            return self.tell(cx, &answer);
        }
        let consent = match self.consent(cx, id, &work) {
            Ok(consent) => consent,
            Err(NoReady::Refused(refusal)) => return self.tell(cx, &CosignerMessage::Refused { session: id, refusal }),
            Err(NoReady::Done(message)) => return self.tell(cx, &message),
        };
        let Some(index) = consent.group.index_of(&self.party()) else { return };
        self.supersede(cx, &work);
        let ready = Ready {
            session: id,
            work_hash: hash,
            authorisation_hash: consent.authorisation_hash,
            group_hash: consent.group.digest(),
            aux_outcome: consent.aux_outcome,
            epoch: consent.epoch,
            signers_wanted: consent.signers_wanted,
            presignature: None,
            boot: cx.boot,
            random: cx.random(),
        };
        let signed_ready = Signed::sign(&ready, &self.identity);
        let session = Session {
            group: consent.group,
            index,
            work,
            work_hash: hash,
            ready,
            signed_ready: signed_ready.clone(),
            deadline_at_ms: deadline_at(cx.now, deadline_ms),
            stage: Stage::Prepared,
            early: BTreeMap::new(),
        };
        self.ceremonies.sessions.insert(id, session);
        self.tell(cx, &CosignerMessage::Ready { session: id, ready: signed_ready });
    }

    /// A newer session for a digest takes the place of one that was only prepared: there is one at a time.
    fn supersede(&mut self, cx: &mut Cx<'_>, work: &Work) {
        let Work::Sign { request, digest_index, .. } = work else { return };
        let sessions = self.ceremonies.sessions.iter();
        let older = sessions.filter(|(_, s)| signs(&s.work, &request.transaction, *digest_index)).map(|(id, _)| *id);
        for id in older.collect::<Vec<_>>() {
            let refusal = Refusal::new(Code::Cancelled, "a newer session was prepared for the same digest");
            self.abort(cx, id, refusal, None);
        }
    }

    fn consent(&mut self, cx: &mut Cx<'_>, session: SessionId, work: &Work) -> Result<Consent, NoReady> {
        if self.ceremonies.forsworn.contains(&session) {
            return refuse(
                Code::SessionOver,
                "this party signed that it never held this session's outcome; open a new one",
            );
        }
        // A session that became a job without one still takes its place.
        if self.ceremonies.sessions.len().saturating_add(self.ceremonies.unsettled.len()) >= MAX_SESSIONS_PER_PAIRING {
            return refuse(Code::Busy, format!("{MAX_SESSIONS_PER_PAIRING} sessions are open; try again later"));
        }
        match work {
            Work::Aux { group } => self.consent_aux(group),
            Work::Keygen { group, key, purpose } => self.consent_keygen(group, key, purpose),
            Work::Sign { request, authorisation, digest_index } => {
                let ready = self.consent_sign(cx, session, request, authorisation, *digest_index)?;
                Ok(Consent {
                    signers_wanted: ready.group.threshold,
                    group: ready.group,
                    authorisation_hash: Some(authorisation.body_digest()),
                    aux_outcome: Some(ready.aux_outcome),
                    epoch: ready.epoch,
                })
            }
        }
    }

    /// A group that operators accepted, and in which this party has no other session for the same subject.
    fn group_for(&self, id: &GroupId, subject: Subject) -> Result<Group, NoReady> {
        let Some(group) = self.record.accepted_group(id) else {
            let detail = format!("operators of this co-signer have not accepted group {id}; `cosigner group accept`");
            return refuse(Code::GroupNotAccepted, detail);
        };
        if self.ceremonies.sessions.values().any(|s| subject_of(&s.work) == Some(subject)) {
            return refuse(Code::KeyPending, "a session for this is running; ask again when it has ended");
        }
        Ok(group.clone())
    }

    fn consent_aux(&self, id: &GroupId) -> Result<Consent, NoReady> {
        let group = self.group_for(id, Subject::Aux(*id))?;
        match self.group_state(id) {
            GroupState::AwaitingAux => {}
            GroupState::AuxPending | GroupState::Ready => {
                return match self.acknowledged(Subject::Aux(*id)) {
                    Some(message) => Err(NoReady::Done(Box::new(message))),
                    None => refuse(Code::Internal, "the auxiliary information cannot be acknowledged"),
                };
            }
            GroupState::Proposed | GroupState::FindingPrimes => {
                return refuse(Code::NotYet, "safe primes are still being found; this takes from seconds to minutes");
            }
        }
        Ok(Consent { signers_wanted: group.size(), group, authorisation_hash: None, aux_outcome: None, epoch: 0 })
    }

    fn consent_keygen(&self, id: &GroupId, key: &KeyId, purpose: &KeyPurpose) -> Result<Consent, NoReady> {
        let group = self.group_for(id, Subject::Key(*key))?;
        if let Some(known) = self.keys.get(key) {
            if known.purpose != *purpose || known.group != *id {
                return refuse(Code::Conflict, format!("key {key} exists with another purpose or group; use a new id"));
            }
            return match (known.agreed, self.acknowledged(Subject::Key(*key))) {
                (Agreed::Held, _) => {
                    refuse(Code::KeyPending, "the key is held without all acknowledgements; ask its session")
                }
                (_, Some(message)) => Err(NoReady::Done(Box::new(message))),
                (_, None) => refuse(Code::Internal, "the key cannot be acknowledged"),
            };
        }
        if !matches!(self.group_state(id), GroupState::Ready) {
            return refuse(Code::NotYet, "the group has no auxiliary information yet");
        }
        if self.keys.len() >= MAX_KEYS_PER_PAIRING {
            return refuse(Code::Busy, format!("this pairing has {MAX_KEYS_PER_PAIRING} keys"));
        }
        if !purpose.is_canonical() {
            return refuse(Code::Malformed, "expected the key's operations sorted, each once, at least one");
        }
        if self.record.role == Role::Customer {
            let Some(user) = self.record.user(&purpose.signer) else {
                return refuse(
                    Code::NotFound,
                    format!("API user {} is not paired with this co-signer", purpose.signer),
                );
            };
            if purpose.allows(Operation::Raw) && !user.allow_raw {
                return refuse(Code::RawNotAllowed, format!("no operator allowed RAW for API user {}", purpose.signer));
            }
        }
        let aux_outcome = self.aux.get(id).map(|aux| aux.outcome);
        Ok(Consent { signers_wanted: group.size(), group, authorisation_hash: None, aux_outcome, epoch: 0 })
    }
}

/// What a session's outcome will be acknowledged as.
pub(super) fn subject_of(work: &Work) -> Option<Subject> {
    match work {
        Work::Aux { group } => Some(Subject::Aux(*group)),
        Work::Keygen { key, .. } => Some(Subject::Key(*key)),
        Work::Sign { .. } => None,
    }
}
