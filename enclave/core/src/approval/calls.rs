//! Admission, the wait for a turn, the call, and what its answer leads to.

use super::attempt::{Times, attempt};
use super::{About, Asking, Stage};
use crate::callback::{self, Caller, Question, Verdict};
use crate::events::{CALL, Fields};
use crate::input::ExchangeReport;
use crate::limits::{CERTIFICATE_WARNING_MS, MAX_TURN_MS, REPEAT_WARNING_MS};
use crate::serving::{Cx, ExchangeOwner, PairingState, Serving};
use countersign_wire::Text;
use countersign_wire::callback::{Attempt, CallbackSubject, ChangeVerdict};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::command::{ApprovalSetting, Handler};
use countersign_wire::ids::{ApiUserId, TransactionId};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::Severity;
use countersign_wire::transaction::Approval;

impl PairingState {
    /// Puts a request in front of its user's handler: it is called in its turn.
    pub(crate) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        user: &ApiUserId,
        about: About,
        question: Question,
    ) -> Result<(), Refusal> {
        question.bounded()?;
        let subject = about.subject();
        let stage = Stage::Waiting { since_ms: cx.now };
        let asking = Asking { user: user.clone(), about, question, stage, attempts: 0, last: None, is_sealed: false };
        self.askings.check_room(&asking)?;
        self.askings.insert(asking);
        cx.running.places.join(&(self.record.id, user.clone()), subject);
        self.tell_waiting(cx, &subject);
        Ok(())
    }

    /// The request has not been decided.
    pub(crate) fn tell_waiting(&self, cx: &mut Cx<'_>, subject: &CallbackSubject) {
        let attempt = self.askings.get(subject).and_then(|asking| asking.last.clone());
        match *subject {
            CallbackSubject::Transaction(transaction) => {
                self.tell(cx, &CosignerMessage::AuthorisationWaiting { transaction, attempt });
            }
            CallbackSubject::Change(change) => self.tell(cx, &CosignerMessage::ChangeWaiting { change, attempt }),
            CallbackSubject::Test => {}
        }
    }

    fn handler_of(&self, user: &ApiUserId) -> Result<Handler, Refusal> {
        match self.record.user(user).map(|user| &user.approval) {
            Some(ApprovalSetting::Handler(handler)) => Ok(handler.clone()),
            _ => Err(Refusal::new(Code::HandlerChanged, format!("API user {user} has no handler any more"))),
        }
    }

    /// It is the request's turn.
    fn call(&mut self, cx: &mut Cx<'_>, caller: &Caller, subject: CallbackSubject) {
        let started = self.start_call(cx, caller, subject);
        if let Err(refusal) = started {
            cx.running.places.ended(caller);
            if let Some(asking) = self.take_asking(cx, &subject) {
                self.fail(cx, asking, refusal, None);
            }
        }
    }

    fn start_call(&mut self, cx: &mut Cx<'_>, caller: &Caller, subject: CallbackSubject) -> Result<(), Refusal> {
        let gone = || Refusal::new(Code::Internal, "the request is gone");
        let asking = self.askings.all.get(&subject).ok_or_else(gone)?;
        let handler = self.handler_of(&asking.user)?;
        let key = self.request_keys.of_user(&self.record, &asking.user)?;
        let body = callback::body(&handler, &asking.question.payload, &key, cx.now, cx.random());
        let spec = callback::exchange(&handler, asking.about.endpoint(), body)?;
        let exchange = cx.exchange(ExchangeOwner::Callback(caller.clone(), subject), spec);
        let asking = self.askings.all.get_mut(&subject).ok_or_else(gone)?;
        let waited_ms = match asking.stage {
            Stage::Waiting { since_ms } => u32::try_from(cx.now.saturating_sub(since_ms)).unwrap_or(u32::MAX),
            Stage::Called { .. } | Stage::Retry { .. } => 0,
        };
        asking.stage = Stage::Called { exchange, at_ms: cx.now, waited_ms };
        Ok(())
    }

    /// A call of a handler ended. One that is not waited for any more counts for nothing.
    fn called(&mut self, cx: &mut Cx<'_>, exchange: u64, subject: CallbackSubject, report: &ExchangeReport) {
        let Some(asking) = self.askings.get(&subject) else { return };
        let Stage::Called { exchange: expected, at_ms, waited_ms } = asking.stage else { return };
        if expected != exchange {
            return;
        }
        let (user, number) = (asking.user.clone(), asking.attempts.saturating_add(1));
        let keys = self.handler_of(&user).and_then(|handler| callback::keys(&handler));
        let may_ignore = matches!(asking.about, About::Change(_));
        let verdict = match keys {
            Ok(keys) => {
                callback::verdict(callback::judge(report, &keys, &asking.question.request_id, cx.now), may_ignore)
            }
            Err(refusal) => Verdict::Failed(refusal),
        };
        let times = Times { began_ms: at_ms, ended_ms: cx.now, waited_ms };
        let mut attempt = attempt(number, times, report, &verdict);
        let retry_at = match verdict {
            Verdict::Retry => self.retry_at(cx.now, &user, number),
            _ => None,
        };
        attempt.next_at_ms = retry_at;
        self.certificate_seen(cx, &user, report);
        self.take_down(cx, &user, subject, &attempt);
        match (verdict, retry_at) {
            (Verdict::Retry, Some(at_ms)) => self.retry_later(cx, &subject, attempt, at_ms),
            (verdict, _) => {
                if let Some(asking) = self.take_asking(cx, &subject) {
                    self.conclude(cx, asking, verdict, attempt);
                }
            }
        }
    }

    /// Takes a request out of all books.
    pub(super) fn take_asking(&mut self, cx: &mut Cx<'_>, subject: &CallbackSubject) -> Option<Asking> {
        let asking = self.askings.remove(subject)?;
        if let Stage::Waiting { .. } = asking.stage {
            cx.running.places.leave(&(self.record.id, asking.user.clone()), subject);
        }
        if asking.is_sealed {
            cx.delete(crate::serving::blobs::asking(self.record.id, subject));
        }
        Some(asking)
    }

    /// The workspace does not want a transaction any more: the handler is not asked about it again, and an answer that is
    /// under way counts for nothing.
    pub(crate) fn withdraw(&mut self, cx: &mut Cx<'_>, transaction: TransactionId) {
        if self.take_asking(cx, &CallbackSubject::Transaction(transaction)).is_some() {
            let mut fields = Fields::default();
            fields.add("pairing", self.record.id).add("transaction", transaction);
            cx.event(
                Severity::Info,
                "withdrawn",
                fields,
                "the workspace ended the transaction while its handler was asked",
            );
        }
    }

    /// The handler's last word about a request.
    fn conclude(&mut self, cx: &mut Cx<'_>, asking: Asking, verdict: Verdict, attempt: Attempt) {
        let request_id = Text::cut(asking.question.request_id.clone());
        let verdict = match verdict {
            Verdict::Retry => {
                let detail = format!("the handler answered RETRY {} times, as often as it may", attempt.number);
                Err(Refusal::new(Code::RetriesExhausted, detail))
            }
            Verdict::Approved => Ok(ChangeVerdict::Approve),
            Verdict::Rejected { .. } => Ok(ChangeVerdict::Reject),
            Verdict::Ignored { .. } => Ok(ChangeVerdict::Ignore),
            Verdict::Failed(refusal) => return self.fail(cx, asking, refusal, Some(attempt)),
        };
        match (asking.about, verdict) {
            (About::Transaction { request, understood }, Ok(ChangeVerdict::Approve)) => {
                let approval = Ok(Approval::Handler { request_id });
                self.decide(cx, &request, *understood, approval, Some(attempt));
            }
            (About::Transaction { request, understood }, Ok(_)) => {
                let refusal = Refusal::new(Code::Rejected, attempt.detail.to_string());
                self.decide(cx, &request, *understood, Err(refusal), Some(attempt));
            }
            (About::Transaction { request, understood }, Err(refusal)) => {
                self.decide(cx, &request, *understood, Err(refusal), Some(attempt));
            }
            (About::Change(change), Ok(verdict)) => {
                let reason = attempt.detail.to_string();
                self.decide_change(cx, &change, verdict, request_id, &reason, Some(attempt));
            }
            (About::Change(change), Err(refusal)) => {
                let reason = refusal.to_string();
                self.decide_change(cx, &change, ChangeVerdict::Reject, request_id, &reason, Some(attempt));
            }
        }
    }

    /// There is no word of the handler: the request fails, and is not approved.
    pub(super) fn fail(&mut self, cx: &mut Cx<'_>, asking: Asking, refusal: Refusal, attempt: Option<Attempt>) {
        match asking.about {
            About::Transaction { request, .. } => self.refused(cx, request.transaction, refusal, false, attempt),
            About::Change(change) => {
                self.tell(cx, &CosignerMessage::ChangeRefused { change: change.id, refusal, last: false, attempt });
            }
        }
    }

    /// For the status, the log and the metrics.
    pub(super) fn take_down(&mut self, cx: &mut Cx<'_>, user: &ApiUserId, subject: CallbackSubject, attempt: &Attempt) {
        self.callbacks.entry(user.clone()).or_default().add(subject, attempt);
        let severity = match attempt.result {
            countersign_wire::callback::AttemptResult::Failed => Severity::Warning,
            _ => Severity::Info,
        };
        let mut fields = Fields::default();
        fields.add("user", user).add("pairing", self.record.id);
        match subject {
            CallbackSubject::Transaction(id) => fields.add("transaction", id),
            CallbackSubject::Change(id) => fields.add("change", id),
            CallbackSubject::Test => fields.add("test", true),
        };
        fields.add("attempt", attempt.number).add("result", attempt.result.as_str());
        if let Some(code) = attempt.code {
            fields.add("code", code);
        }
        fields.add("took_ms", attempt.took_us / 1_000).add("waited_ms", attempt.waited_ms);
        let steps = [
            ("resolve_ms", attempt.steps.resolve_us),
            ("connect_ms", attempt.steps.connect_us),
            ("tls_ms", attempt.steps.tls_us),
            ("answer_ms", attempt.steps.answer_us),
        ];
        for (name, us) in steps {
            if let Some(us) = us {
                fields.add(name, us / 1_000);
            }
        }
        cx.event(severity, CALL, fields, attempt.detail.as_str());
    }

    /// Warns, once a day, of a certificate that soon ends.
    pub(super) fn certificate_seen(&mut self, cx: &mut Cx<'_>, user: &ApiUserId, report: &ExchangeReport) {
        let Some(server) = &report.server else { return };
        let history = self.callbacks.entry(user.clone()).or_default();
        history.certificate_expires_at_ms = Some(server.certificate_expires_at_ms);
        self.warn_of_certificates(cx);
    }

    /// Warns of each handler's certificate that soon ends, once a day, also while the handler is not called.
    fn warn_of_certificates(&mut self, cx: &mut Cx<'_>) {
        for (user, history) in &mut self.callbacks {
            let Some(expires_at_ms) = history.certificate_expires_at_ms else { continue };
            let left_ms = expires_at_ms.saturating_sub(cx.now);
            let warned_ago = cx.now.saturating_sub(history.warned_at_ms);
            if left_ms < CERTIFICATE_WARNING_MS && warned_ago >= REPEAT_WARNING_MS {
                history.warned_at_ms = cx.now;
                let mut fields = Fields::default();
                fields.add("user", user).add("pairing", self.record.id).add("days_left", left_ms / 86_400_000);
                let text = "the certificate of the callback handler soon expires";
                cx.event(Severity::Warning, "certificate", fields, text);
            }
        }
    }

    /// Time passed: series that are due take their place in the line, and who waited too long leaves it.
    pub(crate) fn askings_tick(&mut self, cx: &mut Cx<'_>) {
        self.warn_of_certificates(cx);
        let mut late = Vec::new();
        let id = self.record.id;
        for (subject, asking) in &mut self.askings.all {
            match asking.stage {
                Stage::Retry { at_ms } if at_ms <= cx.now => {
                    asking.stage = Stage::Waiting { since_ms: cx.now };
                    cx.running.places.join(&(id, asking.user.clone()), *subject);
                }
                Stage::Waiting { since_ms } if cx.now.saturating_sub(since_ms) > MAX_TURN_MS => {
                    // A series waits for its turn as long as it takes: it holds its place in the schedule.
                    if !asking.is_sealed {
                        late.push(*subject);
                    }
                }
                Stage::Retry { .. } | Stage::Waiting { .. } | Stage::Called { .. } => {}
            }
        }
        for subject in late {
            if let Some(asking) = self.take_asking(cx, &subject) {
                let detail = format!("it was not the request's turn within {} s; try again later", MAX_TURN_MS / 1_000);
                self.fail(cx, asking, Refusal::new(Code::Busy, detail), None);
            }
        }
        self.delete_stale(cx);
    }

    /// The host is gone, and with it every call. What is not sealed is asked for again by the workspace.
    pub(crate) fn askings_lost(&mut self, now: u64) {
        self.askings.all.retain(|_, asking| asking.is_sealed);
        self.askings.bytes = self.askings.all.values().map(Asking::bytes).sum();
        for asking in self.askings.all.values_mut() {
            if !asking.is_retrying() {
                asking.stage = Stage::Retry { at_ms: now };
            }
        }
    }
}

impl Serving {
    /// Calls whoever's turn it is.
    pub(crate) fn call_handlers(&mut self, cx: &mut Cx<'_>) {
        if !cx.running.places.is_waited_for() {
            return;
        }
        let handlers = super::count_handlers(self);
        while let Some((caller, subject)) = cx.running.places.next(handlers) {
            match self.pairings.get_mut(&caller.0) {
                Some(pairing) => pairing.call(cx, &caller, subject),
                None => cx.running.places.ended(&caller),
            }
        }
    }

    /// A call of a handler ended.
    pub(crate) fn callback_done(
        &mut self,
        cx: &mut Cx<'_>,
        exchange: u64,
        caller: &Caller,
        subject: CallbackSubject,
        report: &ExchangeReport,
    ) {
        cx.running.places.ended(caller);
        if let Some(pairing) = self.pairings.get_mut(&caller.0) {
            pairing.called(cx, exchange, subject, report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::tests::{Honest, keygen};
    use countersign_wire::ids::BootId;

    #[test]
    fn a_certificate_that_soon_ends_is_warned_of_once_a_day_also_while_nobody_calls() {
        const DAY_MS: u64 = 86_400_000;
        let mut party = Honest::new(0, keygen());
        let user: ApiUserId = "api-user-1".parse().unwrap_or_else(|_| unreachable!());
        let begun = 1_000 * DAY_MS;
        let mut warnings = Vec::new();
        for hours in [0, 1, 23, 25, 26, 50] {
            let now = begun + hours * DAY_MS / 24;
            let (count, _) = party.step_at(now, |state, cx| {
                let history = state.callbacks.entry(user.clone()).or_default();
                history.certificate_expires_at_ms = Some(begun + 10 * DAY_MS);
                state.warn_of_certificates(cx);
                cx.counts.events.after(BootId([1; 16]), 0).lines.len()
            });
            warnings.push(count);
        }
        assert_eq!(warnings, [1, 1, 1, 2, 2, 3]);
    }
}
