//! The sessions of a transaction: one for each digest at a time, again and again under the same Authorisation.

use super::super::context::{Context, list_parties};
use super::super::messages::{Kind, Report};
use super::super::parties::Parties;
use super::super::record::TransactionStatus;
use super::super::retry::{jittered, wait_before_attempt};
use super::super::session::{Attempt, Turn};
use super::super::suspicion::Failed;
use super::Signing;
use countersign_wire::ceremony::{Work, WorkspaceMessage};
use countersign_wire::ids::{PartyId, SessionId};
use countersign_wire::key::{EcdsaSignature, PublicKey};
use countersign_wire::refusal::{Code, Refusal};

impl Signing {
    pub(super) fn sign(&mut self, ctx: &mut Context<'_>) {
        let Some(not_after_ms) = self.record.not_after_ms else { return };
        self.recover_until_ms = not_after_ms.saturating_add(ctx.settings.recover_ms);
        for index in 0..self.digests.len() {
            if self.record.status.is_final() {
                return;
            }
            if self.record.signatures.get(index).is_some_and(Option::is_none) {
                self.sign_digest(ctx, index, not_after_ms);
            }
        }
        self.offered = false;
        let complete = self.record.signatures.iter().all(Option::is_some);
        if complete && !self.record.status.is_final() {
            self.end(ctx, TransactionStatus::Completed, None);
        }
    }

    fn sign_digest(&mut self, ctx: &mut Context<'_>, index: usize, not_after_ms: u64) {
        let Some(state) = self.digests.get_mut(index) else { return };
        match &mut state.attempt {
            Some(attempt) => match attempt.advance(ctx, &self.group) {
                Turn::Goes => {}
                Turn::Starts => {
                    // Stored before the Start leaves: from now on a signature may exist.
                    if let Some(started) = self.record.started.get_mut(index) {
                        *started = Some(attempt.session);
                    }
                    self.changed = true;
                }
                Turn::Over { refusal, last } => {
                    let last = self.spoilt(index, None, None, refusal.code) || last;
                    self.attempt_over(ctx, index, refusal, last);
                }
            },
            None => {
                let in_time = ctx.now_ms < not_after_ms;
                let started = self.record.started.iter().any(Option::is_some);
                if !in_time && (!started || ctx.now_ms >= self.recover_until_ms) {
                    let sentence = "the Authorisation ran out before all signatures were there";
                    let reason = Refusal::new(Code::AuthorisationExpired, self.because(sentence));
                    self.end(ctx, TransactionStatus::Timeout, Some(reason));
                } else if ctx.now_ms >= state.not_before_ms {
                    self.begin(ctx, index, in_time);
                }
            }
        }
    }

    fn because(&self, sentence: &str) -> String {
        match &self.record.reason {
            Some(reason) => format!("{sentence}; last: {reason}"),
            None => sentence.to_owned(),
        }
    }

    fn enough_connected(&self, parties: &Parties, in_time: bool) -> bool {
        let up = self.group.parties.iter().filter(|p| parties.is_connected(&p.id)).count();
        let customer_up = self.group.customer().is_some_and(|id| parties.is_connected(&id));
        if in_time { customer_up && up >= usize::from(self.group.threshold) } else { up > 0 }
    }

    fn set_blocked(&mut self, index: usize, blocked: bool) {
        if let Some(state) = self.digests.get_mut(index) {
            state.blocked = blocked;
        }
    }

    fn begin(&mut self, ctx: &mut Context<'_>, index: usize, in_time: bool) {
        let Some(signed) = self.record.authorisation.clone() else { return };
        self.set_blocked(index, true);
        if !self.enough_connected(ctx.parties, in_time) {
            let away = self.group.parties.iter().map(|p| &p.id).filter(|id| !ctx.parties.is_connected(id));
            let sentence = format!("waiting for co-signer {} to connect", list_parties(away));
            return self.note(Refusal::new(Code::Timeout, sentence));
        }
        // Who waits already comes first.
        if *ctx.free_sign_sessions == 0 || !(self.offered || ctx.waiting_for_session.is_empty()) {
            if !self.queued {
                self.queued = true;
                ctx.waiting_for_session.push_back(self.record.request.transaction);
            }
            return;
        }
        *ctx.free_sign_sessions = ctx.free_sign_sessions.saturating_sub(1);
        let session = ctx.open_session(self.owner());
        if let Some(Some(old)) = self.record.started.get(index) {
            // A session of an earlier attempt or run may still be going on somewhere.
            for party in self.group.parties.iter() {
                ctx.send(party.id, WorkspaceMessage::Cancel { session: *old });
            }
        }
        let authorisation_hash = signed.body_digest();
        let digest_index = u16::try_from(index).unwrap_or(u16::MAX);
        let request = self.record.request.clone();
        let work = Work::Sign { request, authorisation: signed, digest_index };
        let mut attempt = Attempt::new(ctx, session, work, authorisation_hash, in_time, self.suspicion.clone());
        // Nobody is Ready yet: this only sends the Prepares.
        let _ = attempt.advance(ctx, &self.group);
        if let Some(state) = self.digests.get_mut(index) {
            state.attempt = Some(attempt);
        }
        self.set_blocked(index, false);
        self.set_status(ctx, TransactionStatus::PendingSignature);
        ctx.report(Report::Began { kind: Kind::Sign, subject: self.subject() });
    }

    /// Takes note of a session that failed. Whether no other signers are left that could do better.
    pub(super) fn spoilt(&mut self, index: usize, from: Option<PartyId>, blamed: Option<PartyId>, code: Code) -> bool {
        let attempt = self.digests.get(index).and_then(|d| d.attempt.as_ref());
        let Some(signers) = attempt.and_then(Attempt::signers) else { return false };
        self.suspicion.note(&self.group, &Failed { signers, from, blamed, code });
        self.suspicion.no_signers_are_left(&self.group)
    }

    pub(super) fn attempt_over(&mut self, ctx: &mut Context<'_>, index: usize, refusal: Refusal, last: bool) {
        self.close_attempt(ctx, index, true);
        let Some(state) = self.digests.get_mut(index) else { return };
        state.attempts = state.attempts.saturating_add(1);
        let (first_ms, longest_ms) = (ctx.settings.retry_first_ms, ctx.settings.retry_longest_ms);
        let wait_ms = wait_before_attempt(state.attempts, first_ms, longest_ms);
        state.not_before_ms = ctx.now_ms.saturating_add(jittered(wait_ms, ctx.entropy));
        let exhausted = state.attempts >= ctx.settings.sign_attempts;
        if refusal.code == Code::AuthorisationExpired {
            return self.end(ctx, TransactionStatus::Timeout, Some(refusal));
        }
        if last || exhausted {
            return self.end(ctx, TransactionStatus::Failed, Some(refusal));
        }
        ctx.report(Report::Failed {
            kind: Kind::Sign,
            subject: self.subject(),
            refusal: refusal.clone(),
            blamed: None,
        });
        self.note(refusal);
    }

    /// The digest whose attempt this session is.
    pub(super) fn index_of(&self, session: &SessionId) -> Option<usize> {
        self.digests.iter().position(|d| d.attempt.as_ref().is_some_and(|a| a.session == *session))
    }

    pub(super) fn on_signature(
        &mut self,
        ctx: &mut Context<'_>,
        from: PartyId,
        digest_index: u16,
        public_key: &PublicKey,
        signature: &EcdsaSignature,
    ) {
        let index = usize::from(digest_index);
        let Some(digest) = self.record.digests.get(index).copied() else {
            return ctx.bad_message(from, format!("expected a digest index below {}", self.record.digests.len()));
        };
        if self.record.authorisation.is_none() {
            return ctx.bad_message(from, "expected no signature before the Authorisation, got one");
        }
        let Some(slot) = self.record.signatures.get_mut(index) else { return };
        if slot.is_some() {
            return;
        }
        let is_ours = *public_key == self.record.public_key;
        if !is_ours || !ctx.checks.is_signature(&self.record.public_key, &digest, signature) {
            return ctx.bad_message(from, "expected a signature of the certified key over the digest, got another one");
        }
        *slot = Some(*signature);
        self.changed = true;
        // No Cancel: the other signers are about to finish too.
        self.close_attempt(ctx, index, false);
    }
}
