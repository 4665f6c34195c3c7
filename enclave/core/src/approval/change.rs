//! Configuration changes of the workspace: a handler's word about them, signed with the API user's own approval key. They
//! change nothing here.

use super::About;
use crate::callback::config_change_sign_request;
use crate::limits::{CHANGE_KEEP_MS, MAX_CHANGES_PER_PAIRING, SURE_CHANGES_PER_USER};
use crate::serving::{Cx, PairingState, blobs};
use crate::state::ChangeRecord;
use countersign_wire::callback::{Attempt, CallbackSubject, ChangeApproval, ChangeVerdict, ConfigChange};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::group::Role;
use countersign_wire::ids::{ApiUserId, ChangeId};
use countersign_wire::limits::MAX_USERS;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{Message, Signed, SigningIdentity, Text};
use zeroize::Zeroizing;

impl PairingState {
    /// The workspace asks for an API user's word about a change.
    pub(crate) fn approve_change(&mut self, cx: &mut Cx<'_>, change: ConfigChange) {
        let (id, subject) = (change.id, CallbackSubject::Change(change.id));
        if let Some(asking) = self.askings.get(&subject) {
            if matches!(&asking.about, About::Change(known) if *known == change) {
                return self.tell_waiting(cx, &subject);
            }
            let detail = "the handler is being asked about another change under this id; use a new id";
            return self.change_refused(cx, id, Refusal::new(Code::Conflict, detail));
        }
        if let Err(refusal) = self.consider_change(cx, change) {
            self.change_refused(cx, id, refusal);
        }
    }

    fn change_refused(&self, cx: &mut Cx<'_>, change: ChangeId, refusal: Refusal) {
        let last = matches!(refusal.code, Code::Malformed | Code::Conflict | Code::NotAllowed);
        self.tell(cx, &CosignerMessage::ChangeRefused { change, refusal, last, attempt: None });
    }

    fn consider_change(&mut self, cx: &mut Cx<'_>, change: ConfigChange) -> Result<(), Refusal> {
        if self.record.role != Role::Customer {
            return Err(Refusal::new(Code::NotAllowed, "only the customer's co-signer approves changes"));
        }
        if let Some(known) = self.changes.get(&change.id) {
            if known.change_hash != change.digest() {
                let detail = "another change was decided here under this id; use a new id";
                return Err(Refusal::new(Code::Conflict, detail));
            }
            let approval = known.approval.clone();
            self.tell(cx, &CosignerMessage::ChangeDecided { change: change.id, approval, attempt: None });
            return Ok(());
        }
        let question = config_change_sign_request(self.record.id, &self.request_id_secret(), &change)?;
        let user = change.signer.clone();
        let approval = self.record.user(&user).map(|user| &user.approval).ok_or_else(|| {
            Refusal::new(Code::NotFound, format!("API user {user} is not paired with this co-signer"))
        })?;
        self.check_change_room(cx.now, &user)?;
        match approval {
            ApprovalSetting::None => {
                let detail = format!("API user {user} has neither a callback handler nor an explicit --auto-approve");
                Err(Refusal::new(Code::NoHandler, detail))
            }
            ApprovalSetting::Auto => {
                let reason = "an operator paired this API user with auto-approve";
                self.decide_change(cx, &change, ChangeVerdict::Approve, Text::default(), reason, None);
                Ok(())
            }
            ApprovalSetting::Handler(_) => self.ask(cx, &user, About::Change(change), question),
        }
    }

    /// Whether a decision that is made later will find its place: every API user has a few for sure, and as many more as would
    /// leave the same for somebody else.
    fn check_change_room(&self, now: u64, user: &ApiUserId) -> Result<(), Refusal> {
        let waiting: Vec<&ApiUserId> = self
            .askings
            .values()
            .filter(|asking| matches!(asking.about, About::Change(_)))
            .map(|asking| &asking.user)
            .collect();
        let kept: Vec<&ChangeRecord> = self.changes.values().filter(|record| !is_old(record, now)).collect();
        let of_user = waiting.iter().filter(|whose| **whose == user).count()
            + kept.iter().filter(|record| record.signer == *user).count();
        let taken = kept.len().saturating_add(waiting.len());
        let free = MAX_CHANGES_PER_PAIRING.saturating_sub(MAX_USERS * SURE_CHANGES_PER_USER).saturating_sub(taken);
        if of_user >= SURE_CHANGES_PER_USER.max(free) {
            let detail = format!(
                "{of_user} changes that API user {user} decided are remembered, as many as there is room for; try again \
                 later"
            );
            return Err(Refusal::new(Code::Busy, detail));
        }
        Ok(())
    }

    /// Seals the word and then tells it.
    pub(super) fn decide_change(
        &mut self,
        cx: &mut Cx<'_>,
        change: &ConfigChange,
        verdict: ChangeVerdict,
        request_id: Text<64>,
        reason: &str,
        attempt: Option<Attempt>,
    ) {
        let Some(key) = self.approval_key(&change.signer) else {
            let refusal = Refusal::new(Code::NotFound, format!("API user {} has no approval key", change.signer));
            return self.change_refused(cx, change.id, refusal);
        };
        let change_hash = change.digest();
        let word = ChangeApproval {
            workspace: self.record.workspace,
            change: change.id,
            signer: change.signer.clone(),
            change_hash,
            request_id,
            verdict,
            reason: Text::cut(reason),
            decided_at_ms: cx.now,
        };
        let record = ChangeRecord {
            change: change.id,
            signer: change.signer.clone(),
            change_hash,
            approval: Signed::sign(&word, &key),
            decided_at_ms: cx.now,
        };
        let old = self.changes.values().filter(|record| is_old(record, cx.now)).map(|record| record.change);
        let old: Vec<ChangeId> = old.take(crate::limits::MAX_FORGOTTEN_AT_ONCE).collect();
        for id in old {
            self.changes.remove(&id);
            cx.delete(blobs::change(self.record.id, id));
        }
        cx.save(blobs::change(self.record.id, change.id), &record);
        let approval = record.approval.clone();
        self.changes.insert(change.id, record);
        self.tell(cx, &CosignerMessage::ChangeDecided { change: change.id, approval, attempt });
    }

    fn approval_key(&self, user: &ApiUserId) -> Option<SigningIdentity> {
        let secret = self.record.user(user)?.approval_key.expose();
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(secret.try_into().ok()?);
        Some(SigningIdentity::from_secret(&secret))
    }
}

fn is_old(record: &ChangeRecord, now: u64) -> bool {
    now.saturating_sub(record.decided_at_ms) > CHANGE_KEEP_MS
}
