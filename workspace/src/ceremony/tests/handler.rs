//! The callback handler of a simulated co-signer, its operators, and what a test has them do.

use super::party::{Out, Party, Wish};
use crate::ceremony::attempts::tests::attempt;
use countersign_wire::callback::{AttemptResult, ChangeApproval, ChangeVerdict, ConfigChange};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::ids::{ApiUserId, ChangeId, TransactionId};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::ApprovalKind;
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{List, Message, Signed, SigningIdentity, Text};
use std::collections::BTreeMap;

/// What a word about a change gets wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forgery {
    /// It is signed with another key.
    Key,
    /// It is about another content.
    Content,
    /// It is about another change.
    Change,
    /// It is another user's.
    Signer,
}

/// What a test has the handler and the operators do. Shared, so that it can be changed while the co-signer runs.
pub struct Control {
    /// What the handler says about changes.
    pub verdict: ChangeVerdict,
    /// The handler takes its time with changes.
    pub holds: bool,
    /// The word about a change is forged.
    pub forges: Option<Forgery>,
    /// There is no word about a change, for this reason.
    pub refuses: Option<Code>,
    /// The operators sign what the workspace proposes.
    pub operators_sign: bool,
    /// How often the handler answers RETRY where a transaction asks for it.
    pub retries: u16,
    /// How long it waits then.
    pub retry_ms: u64,
    /// The API users, how their requests are approved.
    pub users: BTreeMap<ApiUserId, (ApprovalKind, [u8; 32])>,
    /// What the workspace proposes.
    pub proposed: BTreeMap<ApiUserId, (ChangeId, ApprovalSetting)>,
    /// Messages that asked about changes, and those that asked about transactions.
    pub asked_changes: u32,
    pub asked_transactions: u32,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            verdict: ChangeVerdict::Approve,
            holds: false,
            forges: None,
            refuses: None,
            operators_sign: false,
            retries: 3,
            retry_ms: 300,
            users: BTreeMap::new(),
            proposed: BTreeMap::new(),
            asked_changes: 0,
            asked_transactions: 0,
        }
    }
}

impl Party {
    /// What it says about its users, where it has any.
    pub fn users(&mut self) -> Option<CosignerMessage> {
        self.told_users = Some(self.control.lock().unwrap().users.clone());
        let control = self.control.lock().unwrap();
        let users: Vec<_> = control.users.iter().map(|(id, (kind, digest))| (id.clone(), *kind, *digest)).collect();
        let name = Text::new("harbour").unwrap();
        (!users.is_empty()).then(|| CosignerMessage::Users { name, users: List::new(users).unwrap() })
    }

    pub fn on_change(&mut self, now_ms: u64, change: ConfigChange) -> Vec<Out> {
        let holds = {
            let mut control = self.control.lock().unwrap();
            control.asked_changes += 1;
            control.holds
        };
        if holds {
            let id = change.id;
            self.held_changes.insert(id, change);
            return vec![Out::Up(CosignerMessage::ChangeWaiting { change: id, attempt: None })];
        }
        vec![Out::Up(self.decided(now_ms, &change))]
    }

    fn decided(&self, now_ms: u64, change: &ConfigChange) -> CosignerMessage {
        let control = self.control.lock().unwrap();
        if let Some(code) = control.refuses {
            let call = attempt(1, AttemptResult::Failed, Some(code), None);
            let refusal = Refusal::new(code, "no valid answer");
            return CosignerMessage::ChangeRefused { change: change.id, refusal, last: true, attempt: Some(call) };
        }
        let (result, code, reason) = match control.verdict {
            ChangeVerdict::Approve => (AttemptResult::Approved, None, ""),
            ChangeVerdict::Reject => (AttemptResult::Rejected, Some(Code::Rejected), "not in my house"),
            ChangeVerdict::Ignore => (AttemptResult::Ignored, Some(Code::Ignored), "the handler gave no reason"),
        };
        let mut word = ChangeApproval {
            workspace: self.workspace,
            change: change.id,
            signer: change.signer.clone(),
            change_hash: change.digest(),
            request_id: Text::new("a-request").unwrap(),
            verdict: control.verdict,
            reason: Text::new(reason).unwrap(),
            decided_at_ms: now_ms,
        };
        let other = SigningIdentity::from_secret(&[0xee; 32]);
        let mut key = &self.approval_key;
        match control.forges {
            None => {}
            Some(Forgery::Key) => key = &other,
            Some(Forgery::Content) => word.change_hash = [0; 32],
            Some(Forgery::Change) => word.change = ChangeId([0; 16]),
            Some(Forgery::Signer) => word.signer = "somebody".parse().unwrap(),
        }
        let approval = Signed::sign(&word, key);
        CosignerMessage::ChangeDecided { change: change.id, approval, attempt: Some(attempt(1, result, code, None)) }
    }

    /// What changed since it was looked at last.
    pub fn controlled(&mut self, now_ms: u64) -> Vec<Out> {
        let mut out = Vec::new();
        if !self.held_changes.is_empty() && !self.control.lock().unwrap().holds {
            for change in std::mem::take(&mut self.held_changes).into_values() {
                out.push(Out::Up(self.decided(now_ms, &change)));
            }
        }
        let signed = {
            let mut control = self.control.lock().unwrap();
            let proposed = if control.operators_sign { std::mem::take(&mut control.proposed) } else { BTreeMap::new() };
            let any = !proposed.is_empty();
            for (user, (_, setting)) in proposed {
                control.users.insert(user, (ApprovalKind::Handler, setting.digest()));
            }
            any
        };
        let now = self.control.lock().unwrap().users.clone();
        if signed || self.told_users.as_ref().is_some_and(|told| *told != now) {
            out.extend(self.users().map(Out::Up));
        }
        out
    }

    /// The handler answered RETRY: once more later. `None` where it does not any more.
    pub fn retry(&mut self, now_ms: u64, request: &TransactionRequest) -> Option<Vec<Out>> {
        let (retries, retry_ms) = {
            let control = self.control.lock().unwrap();
            (control.retries, control.retry_ms)
        };
        let transaction = request.transaction;
        let number = self.series.get(&transaction).map_or(0, |(_, last)| last.number) + 1;
        if number > retries {
            return None;
        }
        let call = attempt(number, AttemptResult::Retry, Some(Code::Retry), Some(now_ms + retry_ms));
        self.series.insert(transaction, (request.clone(), call.clone()));
        let waiting = CosignerMessage::AuthorisationWaiting { transaction, attempt: Some(call) };
        Some(vec![Out::Up(waiting), Out::Later(retry_ms, Wish::HandlerAnswered(transaction))])
    }

    /// The last word of a series, and the call that brought it.
    pub fn last_call(&self, transaction: &TransactionId) -> Option<countersign_wire::callback::Attempt> {
        let number = self.series.get(transaction).map_or(0, |(_, last)| last.number) + 1;
        Some(attempt(number, AttemptResult::Approved, None, None))
    }
}
