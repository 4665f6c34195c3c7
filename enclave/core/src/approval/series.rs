//! RETRY series: sealed with their exact payload, their count and their next time before anybody hears of them.

use super::{About, Asking, Stage};
use crate::callback::{Question, next_attempt};
use crate::limits::MAX_FORGOTTEN_AT_ONCE;
use crate::serving::{Cx, PairingState, blobs};
use crate::state::{AskingAbout, AskingRecord};
use countersign_wire::callback::{Attempt, CallbackSubject};
use countersign_wire::command::{ApprovalSetting, HandlerTls};
use countersign_wire::ids::ApiUserId;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{List, Text};

impl PairingState {
    /// When the handler of `user`, which answered RETRY to the attempt with this number, is asked again; `None`: never.
    pub(super) fn retry_at(&self, now: u64, user: &ApiUserId, number: u16) -> Option<u64> {
        match self.record.user(user).map(|user| &user.approval) {
            Some(ApprovalSetting::Handler(handler)) => next_attempt(&handler.retry, number, now),
            _ => None,
        }
    }

    /// Seals where the series is, and then tells.
    pub(super) fn retry_later(&mut self, cx: &mut Cx<'_>, subject: &CallbackSubject, attempt: Attempt, at_ms: u64) {
        let Some(asking) = self.askings.all.get_mut(subject) else { return };
        asking.attempts = attempt.number;
        asking.last = Some(attempt);
        asking.stage = Stage::Retry { at_ms };
        match self.record_of(subject) {
            Ok(record) => {
                cx.save(blobs::asking(self.record.id, subject), &record);
                if let Some(asking) = self.askings.all.get_mut(subject) {
                    asking.is_sealed = true;
                }
                self.tell_waiting(cx, subject);
            }
            Err(refusal) => {
                if let Some(asking) = self.take_asking(cx, subject) {
                    self.fail(cx, asking, refusal, None);
                }
            }
        }
    }

    fn record_of(&self, subject: &CallbackSubject) -> Result<AskingRecord, Refusal> {
        let internal = |detail: String| Refusal::new(Code::Internal, detail);
        let asking = self.askings.get(subject).ok_or_else(|| internal("the request is gone".into()))?;
        let user = self.record.user(&asking.user).ok_or_else(|| internal("the API user is gone".into()))?;
        let next_at_ms = match asking.stage {
            Stage::Retry { at_ms } => at_ms,
            Stage::Waiting { .. } | Stage::Called { .. } => 0,
        };
        let about = match &asking.about {
            About::Transaction { request, understood } => {
                AskingAbout::Transaction { request: request.clone(), intent: understood.intent.clone() }
            }
            About::Change(change) => AskingAbout::Change(change.clone()),
        };
        Ok(AskingRecord {
            user: asking.user.clone(),
            about,
            payload: asking.question.bounded()?,
            request_id: Text::cut(asking.question.request_id.clone()),
            approval: asked_how(&user.approval),
            attempts: asking.attempts,
            next_at_ms,
            last: asking.last.clone(),
        })
    }

    /// A boot found a series. Where the handler is another one by now, or the request is not understood any more, it is over.
    pub(crate) fn restore_asking(&mut self, record: AskingRecord) {
        let about = match record.about {
            AskingAbout::Transaction { request, intent } => {
                match crate::ceremony::Understood::again(&request, intent) {
                    Ok(understood) => About::Transaction { request, understood: Box::new(understood) },
                    Err(refusal) => {
                        tracing::error!(%refusal, "a sealed request is not understood any more; it ends here");
                        let subject = CallbackSubject::Transaction(request.transaction);
                        return self.askings.stale.push(blobs::asking(self.record.id, &subject));
                    }
                }
            }
            AskingAbout::Change(change) => About::Change(change),
        };
        let subject = about.subject();
        if self.record.user(&record.user).is_none_or(|user| asked_how(&user.approval) != record.approval) {
            return self.askings.stale.push(blobs::asking(self.record.id, &subject));
        }
        self.askings.insert(Asking {
            user: record.user,
            about,
            question: Question { payload: record.payload.to_vec(), request_id: record.request_id.to_string() },
            stage: Stage::Retry { at_ms: record.next_at_ms },
            attempts: record.attempts,
            last: record.last,
            is_sealed: true,
        });
    }

    /// Ends everything that is in front of the handler of `user`: it is another one from now on, or none. Returns how many
    /// requests that were. Records of series go a few at a time; a boot before that knows them by the handler they were for.
    pub(super) fn end_askings(&mut self, cx: &mut Cx<'_>, user: &ApiUserId) -> u32 {
        let subjects: Vec<CallbackSubject> = self.askings.of_user(user).map(|asking| asking.about.subject()).collect();
        let mut ended = 0u32;
        for subject in subjects {
            let Some(asking) = self.askings.remove(&subject) else { continue };
            cx.running.places.leave(&(self.record.id, user.clone()), &subject);
            ended = ended.saturating_add(1);
            if asking.is_sealed {
                self.askings.stale.push(blobs::asking(self.record.id, &subject));
            }
            let detail = "operators changed how this API user's requests are approved while this one waited; ask again";
            let last = asking.last.clone();
            self.fail(cx, asking, Refusal::new(Code::HandlerChanged, detail), last);
        }
        ended
    }

    /// Deletes some records of series that are over. All pairings' changes of a step are one batch, and a batch is bounded: what
    /// others changed counts.
    pub(super) fn delete_stale(&mut self, cx: &mut Cx<'_>) {
        let some = self.askings.stale.len().min(MAX_FORGOTTEN_AT_ONCE.saturating_sub(cx.changes.len()));
        for blob in self.askings.stale.drain(..some) {
            // Since then the same request may have been asked about, and sealed, again.
            let is_back = self
                .askings
                .all
                .iter()
                .any(|(subject, asking)| asking.is_sealed && blobs::asking(self.record.id, subject) == blob);
            if !is_back {
                cx.delete(blob);
            }
        }
    }
}

/// Digest of what decides where and how a series asks. Its keys and pins are not part of it: one that is added ends nothing.
/// Where one was taken away and a crash came before the records of what that ended were deleted, a series lives on, and is
/// judged by the keys that are left.
fn asked_how(approval: &ApprovalSetting) -> [u8; 32] {
    without_keys(approval).digest()
}

fn without_keys(approval: &ApprovalSetting) -> ApprovalSetting {
    let mut approval = approval.clone();
    if let ApprovalSetting::Handler(handler) = &mut approval {
        handler.keys = List::default();
        if let HandlerTls::Pinned(pins) = &mut handler.tls {
            *pins = List::default();
        }
    }
    approval
}

/// Whether a setting is another one only in keys or pins that it has in addition.
pub(super) fn only_adds_keys(old: &ApprovalSetting, new: &ApprovalSetting) -> bool {
    let (ApprovalSetting::Handler(before), ApprovalSetting::Handler(after)) = (old, new) else { return false };
    let keeps_pins = match (&before.tls, &after.tls) {
        (HandlerTls::Pinned(before), HandlerTls::Pinned(after)) => before.iter().all(|pin| after.contains(pin)),
        _ => true,
    };
    without_keys(old) == without_keys(new)
        && before.mode() == after.mode()
        && keeps_pins
        && before.keys.iter().all(|key| after.keys.contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::tests::{Honest, keygen};
    use countersign_wire::ids::TransactionId;

    #[test]
    fn records_of_ended_series_of_all_pairings_together_fit_into_one_batch() {
        let mut party = Honest::new(0, keygen());
        let (changed, _) = party.step(|state, cx| {
            let ended = |pairing: u8| {
                let subject = move |n: u8| {
                    CallbackSubject::Transaction(TransactionId([pairing, n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
                };
                (0..60).map(subject).map(|subject| blobs::asking(state.record.id, &subject)).collect::<Vec<_>>()
            };
            let all = [ended(1), ended(2), ended(3)];
            let changed: Vec<usize> = all
                .into_iter()
                .map(|stale| {
                    state.askings.stale = stale;
                    state.delete_stale(cx);
                    cx.changes.len()
                })
                .collect();
            // What is left goes with the next batches.
            assert_eq!(state.askings.stale.len(), 60);
            cx.changes.clear();
            state.delete_stale(cx);
            assert_eq!(state.askings.stale.len(), 60 - MAX_FORGOTTEN_AT_ONCE);
            changed
        });
        assert_eq!(changed, [MAX_FORGOTTEN_AT_ONCE; 3]);
    }
}
