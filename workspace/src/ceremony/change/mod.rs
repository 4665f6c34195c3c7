//! A configuration change: the approving API user's word, then, where it takes effect inside an enclave, its operators'.

mod record;
mod verdict;

pub use record::{Approver, CHANGE_LIFE_MS, ChangeRecord, ChangeStatus, Payload};

use super::attempts::Noted;
use super::authorisation;
use super::context::{Ceremony, Context, named};
use super::messages::{Effect, Kind, Report};
use super::parties::Parties;
use super::record::{AuditNote, Record, TransactionStatus};
use super::retry::Retry;
use countersign_wire::Signed;
use countersign_wire::callback::{Attempt, ChangeApproval, ChangeVerdict};
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::command::ApprovalSetting;
use countersign_wire::ids::{ApiUserId, PartyId};
use countersign_wire::refusal::{Code, Refusal};

/// Words about one change that did not count and are in the audit log; more are counted only.
const MAX_AUDITED: u32 = 10;

pub(super) struct Changing {
    record: ChangeRecord,
    asking: Retry,
    /// The co-signer said that it asks: it tells by itself what comes of that.
    told: bool,
    dropped: u32,
    changed: bool,
}

impl Changing {
    pub fn new(record: ChangeRecord) -> Self {
        Self { record, asking: Retry::now(), told: false, dropped: 0, changed: false }
    }

    fn subject(&self) -> String {
        self.record.change.id.to_string()
    }

    /// Whom it waits for.
    fn addressee(&self) -> Option<PartyId> {
        match (self.record.status, &self.record.approver, &self.record.payload) {
            (ChangeStatus::PendingApproval, Some(approver), _) => Some(approver.party),
            (ChangeStatus::WaitingForOperators, _, Payload::SetApproval { party, .. }) => Some(*party),
            _ => None,
        }
    }

    fn set_status(&mut self, ctx: &mut Context<'_>, status: ChangeStatus, reason: Option<Refusal>) {
        self.record.status = status;
        self.record.decided_at_ms = Some(ctx.now_ms);
        self.record.reason = reason;
        self.asking = Retry::now();
        self.told = false;
        self.changed = true;
        ctx.report(Report::Change { subject: self.subject(), status });
    }

    fn end(&mut self, ctx: &mut Context<'_>, status: ChangeStatus, reason: Option<Refusal>) {
        if !self.record.status.is_final() {
            self.set_status(ctx, status, reason);
        }
    }

    fn note_attempt(&mut self, ctx: &mut Context<'_>, attempt: Option<&Attempt>) {
        let Some(attempt) = attempt else { return };
        let noted = self.record.attempts.note(attempt);
        self.changed |= noted != Noted::Known;
        if noted == Noted::New {
            ctx.report(Report::Attempt { kind: Kind::Change, subject: self.subject(), attempt: attempt.clone() });
        }
    }

    /// A word that does not count changes nothing.
    fn drop_word(&mut self, ctx: &mut Context<'_>, from: PartyId, refusal: &Refusal) {
        ctx.bad_message(from, refusal.to_string());
        ctx.report(Report::ForgedApproval { subject: self.subject() });
        self.dropped = self.dropped.saturating_add(1);
        if self.dropped <= MAX_AUDITED {
            let note = AuditNote {
                actor: format!("co-signer {from}"),
                action: "config_change.forged_approval",
                subject: self.subject(),
                detail: refusal.to_string(),
            };
            ctx.effects.push(Effect::Persist(Box::new(Record::Audit(note))));
        }
    }

    fn on_decided(
        &mut self,
        ctx: &mut Context<'_>,
        from: PartyId,
        signed: &Signed<ChangeApproval>,
        attempt: Option<&Attempt>,
    ) {
        let Some(approver) = self.asked(from) else { return };
        let word = match verdict::check(signed, &self.record, &approver, ctx.workspace) {
            Ok(word) => word,
            Err(refusal) => return self.drop_word(ctx, from, &refusal),
        };
        self.note_attempt(ctx, attempt);
        self.record.approval = Some(signed.clone());
        match (word.verdict, &self.record.payload) {
            (ChangeVerdict::Approve, Payload::SetApproval { .. }) => {
                self.set_status(ctx, ChangeStatus::WaitingForOperators, None);
            }
            (ChangeVerdict::Approve, _) => self.end(ctx, ChangeStatus::Approved, None),
            (ChangeVerdict::Reject, _) => {
                let reason = Refusal::new(Code::Rejected, word.reason.as_str());
                self.end(ctx, ChangeStatus::Rejected, Some(reason));
            }
            (ChangeVerdict::Ignore, _) => {
                let reason = word.reason.as_str();
                let detail = format!("the callback handler answered IGNORE, and nobody else decides: {reason}");
                self.end(ctx, ChangeStatus::Failed, Some(Refusal::new(Code::Ignored, detail)));
            }
        }
    }

    fn on_refused(
        &mut self,
        ctx: &mut Context<'_>,
        from: PartyId,
        refusal: &Refusal,
        last: bool,
        attempt: Option<&Attempt>,
    ) {
        if self.asked(from).is_none() {
            return;
        }
        self.note_attempt(ctx, attempt);
        if last || !authorisation::may_ask_again(refusal.code) {
            let status = match authorisation::status_of_refusal(refusal.code) {
                TransactionStatus::Rejected => ChangeStatus::Rejected,
                _ => ChangeStatus::Failed,
            };
            return self.end(ctx, status, Some(refusal.clone()));
        }
        let trouble = Some(named(&from, refusal));
        if self.record.reason != trouble {
            self.record.reason = trouble;
            self.changed = true;
        }
    }

    /// The approver, where it is this co-signer's turn.
    fn asked(&self, from: PartyId) -> Option<Approver> {
        let pending = self.record.status == ChangeStatus::PendingApproval;
        self.record.approver.clone().filter(|approver| pending && approver.party == from)
    }

    fn propose(&mut self, ctx: &mut Context<'_>, party: PartyId, user: &ApiUserId, approval: &ApprovalSetting) {
        if ctx.parties.approval_of(&party, user) == Some(approval.digest()) {
            return self.end(ctx, ChangeStatus::Approved, None);
        }
        let message = WorkspaceMessage::ProposeApproval {
            change: self.record.change.id,
            user: user.clone(),
            approval: approval.clone(),
        };
        if self.asking.is_due(ctx.now_ms) && ctx.send(party, message) {
            self.asking.later(ctx.now_ms, ctx.settings.series_poll_ms);
        }
    }

    fn ask(&mut self, ctx: &mut Context<'_>, party: PartyId) {
        let message = WorkspaceMessage::ApproveChange(self.record.change.clone());
        if self.asking.is_due(ctx.now_ms) && ctx.send(party, message) {
            self.asking.sent(ctx.now_ms, ctx.settings);
            if self.told {
                self.asking.later(ctx.now_ms, ctx.settings.series_poll_ms);
            }
        }
    }
}

impl Ceremony for Changing {
    fn concerns(&self, party: &PartyId) -> bool {
        let operators = matches!(&self.record.payload, Payload::SetApproval { party: p, .. } if p == party);
        operators || self.record.approver.as_ref().is_some_and(|approver| approver.party == *party)
    }

    fn greeted(&mut self, _ctx: &mut Context<'_>, party: PartyId) {
        if self.addressee() == Some(party) {
            self.asking = Retry::now();
            self.told = false;
        }
    }

    fn rebooted(&mut self, ctx: &mut Context<'_>, party: PartyId) {
        self.greeted(ctx, party);
    }

    fn receive(&mut self, ctx: &mut Context<'_>, from: PartyId, message: &CosignerMessage) {
        match message {
            CosignerMessage::ChangeWaiting { attempt, .. } if self.asked(from).is_some() => {
                self.note_attempt(ctx, attempt.as_ref());
                self.told = true;
                self.asking.later(ctx.now_ms, ctx.settings.series_poll_ms);
            }
            CosignerMessage::ChangeDecided { approval, attempt, .. } => {
                self.on_decided(ctx, from, approval, attempt.as_ref());
            }
            CosignerMessage::ChangeRefused { refusal, last, attempt, .. } => {
                self.on_refused(ctx, from, refusal, *last, attempt.as_ref());
            }
            _ => {}
        }
    }

    fn advance(&mut self, ctx: &mut Context<'_>) {
        if self.record.status.is_final() {
            return;
        }
        if ctx.now_ms >= self.record.until_ms {
            let sentence = match self.record.status {
                ChangeStatus::WaitingForOperators => "the co-signer's operators did not sign it within seven days",
                _ => "the approving API user's handler did not decide within seven days",
            };
            return self.end(ctx, ChangeStatus::Failed, Some(Refusal::new(Code::Timeout, sentence)));
        }
        let Some(party) = self.addressee() else { return };
        match (self.record.status, self.record.payload.clone()) {
            (ChangeStatus::WaitingForOperators, Payload::SetApproval { user, approval, .. }) => {
                self.propose(ctx, party, &user, &approval);
            }
            _ => self.ask(ctx, party),
        }
    }

    fn next_wake_ms(&self, parties: &Parties) -> Option<u64> {
        let up = self.addressee().is_some_and(|id| parties.is_connected(&id));
        let resend = if up { self.asking.at_ms } else { u64::MAX };
        (!self.record.status.is_final()).then(|| resend.min(self.record.until_ms))
    }

    fn take_record(&mut self) -> Option<Record> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| Record::Change(self.record.clone()))
    }

    fn is_over(&self) -> bool {
        self.record.status.is_final()
    }

    fn cancel(&mut self, ctx: &mut Context<'_>) {
        let reason = Refusal::new(Code::Cancelled, "cancelled in the workspace");
        self.end(ctx, ChangeStatus::Cancelled, Some(reason));
    }
}
