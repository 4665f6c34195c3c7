//! What co-signers say in an agreement.

use super::super::context::Context;
use super::super::record::{AgreementPhase, Dropped};
use super::Agreement;
use countersign_wire::agreement::{Acknowledgement, NeverHeld, Stage, Subject};
use countersign_wire::ceremony::{CosignerMessage, Ready};
use countersign_wire::ids::{PartyId, SessionId};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{Message, Signed};

impl Agreement {
    /// A party's message that concerns this agreement.
    pub fn receive(&mut self, ctx: &mut Context<'_>, from: PartyId, message: &CosignerMessage) {
        match message {
            CosignerMessage::Ready { session, ready } => self.on_ready(ctx, from, *session, ready),
            CosignerMessage::Refused { session, refusal } => self.on_refused(ctx, from, *session, refusal),
            CosignerMessage::Aborted { session, refusal, blamed } => {
                self.on_aborted(ctx, from, *session, refusal, *blamed);
            }
            CosignerMessage::Acknowledged { acknowledgement } => self.on_acknowledged(ctx, from, acknowledgement),
            CosignerMessage::NeverHeld { never } => self.on_never_held(ctx, from, never),
            _ => {}
        }
    }

    /// A party's link came up: what it has not answered is due at once.
    pub fn greeted(&mut self, party: PartyId) {
        self.retries.remove(&party);
        self.discards.remove(&party);
    }

    /// A party restarted: its consent is void, and what it was computing is gone.
    pub fn rebooted(&mut self, ctx: &mut Context<'_>, party: PartyId) {
        self.greeted(party);
        match self.record.phase {
            AgreementPhase::Preparing { .. } => {
                self.readies.remove(&party);
            }
            AgreementPhase::Started { session } if !self.held.contains_key(&party) => {
                let sentence = format!("co-signer {party} restarted during the session");
                self.note(Refusal::new(Code::ProtocolAborted, sentence));
                self.resolve(ctx, session);
            }
            _ => {}
        }
    }

    fn on_ready(&mut self, ctx: &mut Context<'_>, from: PartyId, session: SessionId, signed: &Signed<Ready>) {
        if self.record.phase != (AgreementPhase::Preparing { session }) || self.readies.contains_key(&from) {
            return;
        }
        let ready = match signed.open(&from.0) {
            Ok(ready) => ready,
            Err(e) => return ctx.bad_message(from, e.to_string()),
        };
        if !ctx.parties.may_be_boot(&from, &ready.boot) {
            return ctx.bad_message(from, "expected a Ready of the current boot, got one of an earlier boot");
        }
        let fits = ready.session == session
            && ready.work_hash == self.work_hash()
            && ready.group_hash == self.group.digest()
            && ready.authorisation_hash.is_none()
            && ready.signers_wanted == self.group.size();
        if fits {
            self.readies.insert(from, signed.clone());
        } else {
            let refusal = Refusal::new(Code::Mismatch, "it consented to something else than it was asked");
            self.give_up(ctx, Self::named(&from, &refusal), None);
        }
    }

    fn on_refused(&mut self, ctx: &mut Context<'_>, from: PartyId, session: SessionId, refusal: &Refusal) {
        let refusal = Self::named(&from, refusal);
        match self.record.phase {
            AgreementPhase::Preparing { session: current } if current == session => match refusal.code {
                // It may be ready in a moment: Prepare, with Discard before it, is sent again until the deadline.
                Code::Busy | Code::NotYet | Code::KeyPending => self.note(refusal),
                _ => self.give_up(ctx, refusal, None),
            },
            AgreementPhase::Started { session: current }
                if current == session && !self.held.contains_key(&from) && !is_of_prepare(refusal.code) =>
            {
                self.note(refusal);
                self.resolve(ctx, session);
            }
            _ => {}
        }
    }

    fn on_aborted(
        &mut self,
        ctx: &mut Context<'_>,
        from: PartyId,
        session: SessionId,
        refusal: &Refusal,
        blamed: Option<PartyId>,
    ) {
        let refusal = Self::named(&from, refusal);
        match self.record.phase {
            AgreementPhase::Preparing { session: current } if current == session => {
                self.give_up(ctx, refusal, blamed);
            }
            AgreementPhase::Started { session: current } if current == session && !self.held.contains_key(&from) => {
                self.note(refusal);
                self.resolve(ctx, session);
            }
            _ => {}
        }
    }

    fn on_acknowledged(&mut self, ctx: &mut Context<'_>, from: PartyId, signed: &Signed<Acknowledgement>) {
        let word = match signed.open(&from.0) {
            Ok(word) => word,
            Err(e) => return ctx.bad_message(from, e.to_string()),
        };
        if word.subject != self.subject || word.group != self.group.id || Some(word.session) != self.session() {
            return;
        }
        match (&self.record.phase, word.stage) {
            (AgreementPhase::Started { .. }, Stage::Held) => {
                self.held.insert(from, (signed.clone(), word.outcome));
            }
            (AgreementPhase::Committed { held, .. }, Stage::Durable) => {
                let agreed = held.first().and_then(|(id, first)| first.open(&id.0).ok()).map(|first| first.outcome);
                if agreed == Some(word.outcome) {
                    self.durable.insert(from, signed.clone());
                } else {
                    ctx.bad_message(from, "expected a Durable for the outcome that all hold, got one for another");
                }
            }
            _ => {}
        }
    }

    fn on_never_held(&mut self, ctx: &mut Context<'_>, from: PartyId, signed: &Signed<NeverHeld>) {
        let word = match signed.open(&from.0) {
            Ok(word) => word,
            Err(e) => return ctx.bad_message(from, e.to_string()),
        };
        if word.subject != self.subject || word.group != self.group.id {
            return;
        }
        if self.record.dropped.as_ref().is_some_and(|d| d.session == word.session) {
            // Its own word that it does not hold the dropped session either: nothing is left to discard there.
            self.discards.insert(from, u32::MAX);
            return;
        }
        match self.record.phase {
            AgreementPhase::Started { session } if session == word.session => {
                ctx.close_session(&session);
                let never = signed.clone();
                self.record.dropped = Some(Dropped { session, party: from, never });
                let sentence = format!("co-signer {from} did not finish the session");
                let trouble = self.trouble.take().unwrap_or_else(|| Refusal::new(Code::ProtocolAborted, sentence));
                self.attempt_failed(ctx, trouble, None);
            }
            AgreementPhase::Committed { session, .. } | AgreementPhase::Published { session, .. }
                if session == word.session =>
            {
                ctx.bad_message(from, "expected what it acknowledged to be held, got its word that it never was");
            }
            _ => {}
        }
    }
}

/// Whether only a Prepare is refused with this code. All parties of a started session have answered theirs with Ready: a
/// later answer is to one that was delayed or repeated on the way, and leaves the session alone.
fn is_of_prepare(code: Code) -> bool {
    matches!(
        code,
        Code::Busy
            | Code::NotYet
            | Code::KeyPending
            | Code::SessionOver
            | Code::Conflict
            | Code::GroupNotAccepted
            | Code::Malformed
            | Code::RawNotAllowed
    )
}

/// Which agreement a co-signer's word concerns, as the word itself says; the agreement checks the signature.
pub(in crate::ceremony) fn subject_of(message: &CosignerMessage) -> Option<Subject> {
    match message {
        CosignerMessage::Acknowledged { acknowledgement } => {
            acknowledgement.peek_unverified().ok().map(|word| word.subject)
        }
        CosignerMessage::NeverHeld { never } => never.peek_unverified().ok().map(|word| word.subject),
        CosignerMessage::StillRunning { subject, .. } => Some(*subject),
        _ => None,
    }
}
