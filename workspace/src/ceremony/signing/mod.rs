//! A transaction: Authorisation of the customer's co-signer, then a session for each digest, then exactly one outcome.

mod sessions;

use super::attempts::Noted;
use super::authorisation;
use super::context::{Ceremony, Context, named};
use super::messages::{Kind, Report};
use super::parties::Parties;
use super::record::{Record, TransactionRecord, TransactionStatus};
use super::retry::Retry;
use super::session;
use super::suspicion::Suspicion;
use super::timers::Owner;
use countersign_wire::Signed;
use countersign_wire::callback::Attempt;
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::group::Group;
use countersign_wire::ids::PartyId;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::Authorisation;

/// The volatile part of one digest's signing.
#[derive(Default)]
struct DigestState {
    attempt: Option<session::Attempt>,
    attempts: u32,
    not_before_ms: u64,
    /// Waits for a link to come up or for a session to be free.
    blocked: bool,
}

pub(super) struct Signing {
    record: TransactionRecord,
    group: Group,
    asking: Retry,
    digests: Vec<DigestState>,
    /// When the wait for an Authorisation ends.
    wait_until_ms: u64,
    /// The Authorisation's end, while stored signatures may still be asked for.
    recover_until_ms: u64,
    queued: bool,
    /// A session was offered in this step: it need not queue.
    offered: bool,
    suspicion: Suspicion,
    changed: bool,
}

impl Signing {
    pub fn new(record: TransactionRecord, group: Group) -> Self {
        let digests = record.digests.iter().map(|_| DigestState::default()).collect();
        Self {
            record,
            group,
            asking: Retry::now(),
            digests,
            wait_until_ms: 0,
            recover_until_ms: u64::MAX,
            queued: false,
            offered: false,
            suspicion: Suspicion::default(),
            changed: false,
        }
    }

    fn owner(&self) -> Owner {
        Owner::Transaction(self.record.request.transaction)
    }

    fn subject(&self) -> String {
        self.record.request.transaction.to_string()
    }

    fn is_asking(&self) -> bool {
        matches!(self.record.status, TransactionStatus::Submitted | TransactionStatus::PendingAuthorization)
    }

    fn set_status(&mut self, ctx: &Context<'_>, status: TransactionStatus) {
        if self.record.status != status {
            self.record.status = status;
            self.record.updated_at_ms = ctx.now_ms;
            self.changed = true;
        }
    }

    fn note(&mut self, refusal: Refusal) {
        if self.record.reason.as_ref() != Some(&refusal) {
            self.record.reason = Some(refusal);
            self.changed = true;
        }
    }

    /// The one outcome.
    fn end(&mut self, ctx: &mut Context<'_>, status: TransactionStatus, reason: Option<Refusal>) {
        if self.record.status.is_final() {
            return;
        }
        for index in 0..self.digests.len() {
            self.close_attempt(ctx, index, true);
        }
        ctx.report(match &reason {
            None => Report::Succeeded { kind: Kind::Sign, subject: self.subject() },
            Some(refusal) => {
                Report::Failed { kind: Kind::Sign, subject: self.subject(), refusal: refusal.clone(), blamed: None }
            }
        });
        self.record.reason = reason;
        self.record.waiting = false;
        self.set_status(ctx, status);
    }

    /// The customer's co-signer was asked and has not authorised: it stops asking the handler. Said once, where the link is
    /// up, and once more when the co-signer says that it still waits.
    fn withdraw(&self, ctx: &mut Context<'_>) {
        if self.record.status == TransactionStatus::PendingAuthorization
            && let Some(customer) = self.group.customer()
        {
            ctx.send(customer, WorkspaceMessage::Withdraw { transaction: self.record.request.transaction });
        }
    }

    fn close_attempt(&mut self, ctx: &mut Context<'_>, index: usize, cancel: bool) {
        if let Some(attempt) = self.digests.get_mut(index).and_then(|d| d.attempt.take()) {
            *ctx.free_sign_sessions = ctx.free_sign_sessions.saturating_add(1);
            if cancel {
                attempt.cancel(ctx, &self.group);
            } else {
                ctx.close_session(&attempt.session);
            }
        }
    }

    fn ask(&mut self, ctx: &mut Context<'_>) {
        self.wait_until_ms = self.record.wait_until_ms(ctx.settings.authorise_ms);
        if ctx.now_ms >= self.wait_until_ms {
            self.withdraw(ctx);
            let sentence = "no Authorisation of the customer's co-signer in time; is it connected?";
            let reason = self.record.reason.take().unwrap_or_else(|| Refusal::new(Code::Timeout, sentence));
            return self.end(ctx, TransactionStatus::Timeout, Some(reason));
        }
        let Some(customer) = self.group.customer() else { return };
        if self.asking.is_due(ctx.now_ms)
            && ctx.send(customer, WorkspaceMessage::Authorise(self.record.request.clone()))
        {
            self.asking.sent(ctx.now_ms, ctx.settings);
            if self.record.attempts.next_at_ms().is_some() {
                self.asking.later(ctx.now_ms, ctx.settings.series_poll_ms);
            }
            self.set_status(ctx, TransactionStatus::PendingAuthorization);
        }
    }

    fn note_attempt(&mut self, ctx: &mut Context<'_>, attempt: Option<&Attempt>) {
        let Some(attempt) = attempt else { return };
        let noted = self.record.attempts.note(attempt);
        self.changed |= noted != Noted::Known;
        if noted == Noted::New {
            ctx.report(Report::Attempt { kind: Kind::Sign, subject: self.subject(), attempt: attempt.clone() });
        }
    }

    fn on_waiting(&mut self, ctx: &mut Context<'_>, from: PartyId, attempt: Option<&Attempt>) {
        if !self.is_asking() || self.group.customer() != Some(from) {
            return;
        }
        self.note_attempt(ctx, attempt);
        self.changed |= !self.record.waiting;
        self.record.waiting = true;
        // The co-signer drives the series itself; it is asked again in case its word gets lost.
        if self.record.attempts.next_at_ms().is_some() {
            self.asking.later(ctx.now_ms, ctx.settings.series_poll_ms);
        }
    }

    fn on_authorised(
        &mut self,
        ctx: &mut Context<'_>,
        from: PartyId,
        signed: &Signed<Authorisation>,
        attempt: Option<&Attempt>,
    ) {
        if !self.is_asking() || self.group.customer() != Some(from) {
            return;
        }
        self.note_attempt(ctx, attempt);
        match authorisation::check(signed, &self.record, &self.group, ctx.workspace) {
            Ok(word) => {
                self.record.authorisation = Some(signed.clone());
                self.record.not_after_ms = Some(word.not_after_ms);
                self.record.waiting = false;
                self.record.reason = None;
                self.set_status(ctx, TransactionStatus::Queued);
            }
            Err(refusal) => {
                ctx.bad_message(from, refusal.to_string());
                self.end(ctx, TransactionStatus::Failed, Some(named(&from, &refusal)));
            }
        }
    }

    fn on_not_authorised(
        &mut self,
        ctx: &mut Context<'_>,
        from: PartyId,
        refusal: &Refusal,
        last: bool,
        attempt: Option<&Attempt>,
    ) {
        if !self.is_asking() || self.group.customer() != Some(from) {
            return;
        }
        self.note_attempt(ctx, attempt);
        if last || !authorisation::may_ask_again(refusal.code) {
            let status = authorisation::status_of_refusal(refusal.code);
            self.end(ctx, status, Some(refusal.clone()));
        } else {
            self.note(refusal.clone());
        }
    }
}

impl Ceremony for Signing {
    fn concerns(&self, party: &PartyId) -> bool {
        self.group.index_of(party).is_some()
    }

    fn greeted(&mut self, _ctx: &mut Context<'_>, party: PartyId) {
        if self.group.customer() == Some(party) {
            self.asking = Retry::now();
        }
        for state in &mut self.digests {
            if let Some(attempt) = &mut state.attempt {
                attempt.greeted(&party);
            }
        }
    }

    fn rebooted(&mut self, ctx: &mut Context<'_>, party: PartyId) {
        for index in 0..self.digests.len() {
            let attempt = self.digests.get_mut(index).and_then(|d| d.attempt.as_mut());
            if attempt.is_some_and(|a| a.is_ended_by_reboot(&self.group, &party)) {
                let sentence = format!("co-signer {party} restarted during the session");
                self.spoilt(index, Some(party), None, Code::ProtocolAborted);
                self.attempt_over(ctx, index, Refusal::new(Code::ProtocolAborted, sentence), false);
            }
        }
    }

    fn receive(&mut self, ctx: &mut Context<'_>, from: PartyId, message: &CosignerMessage) {
        if self.record.status.is_final() {
            return;
        }
        match message {
            CosignerMessage::Authorised { authorisation, attempt, .. } => {
                self.on_authorised(ctx, from, authorisation, attempt.as_ref());
            }
            CosignerMessage::AuthorisationRefused { refusal, last, attempt, .. } => {
                self.on_not_authorised(ctx, from, refusal, *last, attempt.as_ref());
            }
            CosignerMessage::AuthorisationWaiting { attempt, .. } => self.on_waiting(ctx, from, attempt.as_ref()),
            CosignerMessage::Ready { session, ready } => {
                if let Some(state) = self.index_of(session).and_then(|index| self.digests.get_mut(index))
                    && let Some(attempt) = &mut state.attempt
                {
                    attempt.on_ready(ctx, &self.group, from, ready);
                }
            }
            CosignerMessage::Refused { session, refusal } => {
                if let Some(index) = self.index_of(session)
                    && let Some(attempt) = self.digests.get_mut(index).and_then(|d| d.attempt.as_mut())
                    && attempt.on_refused(&self.group, from, refusal)
                {
                    let last = self.spoilt(index, Some(from), None, refusal.code);
                    self.attempt_over(ctx, index, named(&from, refusal), last);
                }
            }
            CosignerMessage::Aborted { session, refusal, blamed } => {
                let index = self.index_of(session);
                let attempt = index.and_then(|i| self.digests.get(i)).and_then(|d| d.attempt.as_ref());
                if let Some(index) = index
                    && attempt.is_some_and(|a| a.is_ended_by(&self.group, &from))
                {
                    let subject = self.subject();
                    let refusal = named(&from, refusal);
                    if blamed.is_some() {
                        let report =
                            Report::Failed { kind: Kind::Sign, subject, refusal: refusal.clone(), blamed: *blamed };
                        ctx.report(report);
                    }
                    let last = self.spoilt(index, Some(from), *blamed, refusal.code);
                    self.attempt_over(ctx, index, refusal, last);
                }
            }
            CosignerMessage::SignatureDone { digest_index, public_key, signature, .. } => {
                self.on_signature(ctx, from, *digest_index, public_key, signature);
            }
            _ => {}
        }
    }

    fn advance(&mut self, ctx: &mut Context<'_>) {
        if self.is_asking() {
            self.ask(ctx);
        }
        if matches!(self.record.status, TransactionStatus::Queued | TransactionStatus::PendingSignature) {
            self.sign(ctx);
        }
    }

    fn next_wake_ms(&self, parties: &Parties) -> Option<u64> {
        if self.record.status.is_final() {
            return None;
        }
        if self.is_asking() {
            let up = self.group.customer().is_some_and(|id| parties.is_connected(&id));
            let resend = if up { self.asking.at_ms } else { u64::MAX };
            return Some(resend.min(self.wait_until_ms));
        }
        let not_after_ms = self.record.not_after_ms.unwrap_or(u64::MAX);
        let started = self.record.started.iter().any(Option::is_some);
        let end = if started { self.recover_until_ms } else { not_after_ms };
        let states = self.digests.iter().zip(&self.record.signatures).filter(|(_, signature)| signature.is_none());
        let wakes = states.map(|(state, _)| match &state.attempt {
            Some(attempt) => attempt.next_wake_ms(parties, &self.group),
            // A freed session or a link that comes up calls `advance` without being asked to.
            None if state.blocked => end,
            None => state.not_before_ms.min(end),
        });
        wakes.min()
    }

    fn take_record(&mut self) -> Option<Record> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| Record::Transaction(self.record.clone()))
    }

    fn is_over(&self) -> bool {
        self.record.status.is_final()
    }

    fn session_offered(&mut self) {
        (self.queued, self.offered) = (false, true);
    }

    fn cancel(&mut self, ctx: &mut Context<'_>) {
        self.withdraw(ctx);
        let reason = Refusal::new(Code::Cancelled, "cancelled by an API user");
        self.end(ctx, TransactionStatus::Cancelled, Some(reason));
    }
}
