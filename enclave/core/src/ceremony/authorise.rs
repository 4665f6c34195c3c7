//! The customer's co-signer authorises, before any session: intent, key, purpose, path, replay, and the handler's word.

use super::sign::{Understood, no_signatures};
use crate::approval::About;
use crate::callback;
use crate::ledger::Known;
use crate::limits::{AUTHORISATION_MS, INTENT_MAX_AGE_MS};
use crate::serving::{Cx, PairingState};
use crate::state::{Decision, RequestRecord};
use countersign_wire::callback::{Attempt, CallbackSubject};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::group::Role;
use countersign_wire::ids::TransactionId;
use countersign_wire::key::Operation;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::{Approval, Authorisation, IntentId, TransactionRequest};
use countersign_wire::{List, Signed};

/// What to do with a request that passed all checks.
enum Next {
    Authorised(Signed<Authorisation>),
    Refused(Refusal, bool),
    Ask(Box<Understood>),
    Approve(Box<Understood>),
}

impl PairingState {
    pub(super) fn authorise(&mut self, cx: &mut Cx<'_>, request: TransactionRequest) {
        let transaction = request.transaction;
        let subject = CallbackSubject::Transaction(transaction);
        if let Some(asking) = self.askings.get(&subject) {
            if matches!(&asking.about, About::Transaction { request: known, .. } if **known == request) {
                return self.tell_waiting(cx, &subject);
            }
            let refusal = Refusal::new(Code::Conflict, "the handler is being asked about other content under this id");
            let attempt = None;
            return self
                .tell(cx, &CosignerMessage::AuthorisationRefused { transaction, refusal, last: false, attempt });
        }
        match self.next(cx, &request).unwrap_or_else(|refusal| {
            let last = is_final(refusal.code);
            Next::Refused(refusal, last)
        }) {
            Next::Authorised(authorisation) => {
                self.tell(cx, &CosignerMessage::Authorised { transaction, authorisation, attempt: None })
            }
            Next::Refused(refusal, last) => self.refused(cx, transaction, refusal, last, None),
            Next::Ask(understood) => {
                if let Err(refusal) = self.ask_handler(cx, request, *understood) {
                    self.refused(cx, transaction, refusal, false, None);
                }
            }
            Next::Approve(understood) => self.decide(cx, &request, *understood, Ok(Approval::Auto), None),
        }
    }

    fn next(&self, cx: &Cx<'_>, request: &TransactionRequest) -> Result<Next, Refusal> {
        if self.record.role != Role::Customer {
            return Err(Refusal::new(Code::NotAllowed, "only the customer's co-signer authorises"));
        }
        if self.record.accepted_group(&request.group).is_none() {
            return Err(Refusal::new(Code::GroupNotAccepted, format!("no accepted group {}", request.group)));
        }
        let understood = self.understand(cx, request, INTENT_MAX_AGE_MS)?;
        let known = self.ledger.check(
            &request.transaction,
            &understood.hash,
            understood.intent.as_ref(),
            &understood.digests_hash,
        )?;
        if let Known::Decided(record) = known {
            return Ok(match &record.decision {
                Decision::Authorised(authorisation) => {
                    self.check_still_asked_for(request)?;
                    Next::Authorised(authorisation.clone())
                }
                Decision::Refused(refusal) => Next::Refused(refusal.clone(), true),
            });
        }
        self.check_not_asked_twice(request, &understood)?;
        let key = self.key_for(request, &understood.decoded)?;
        let user = self.record.user(&request.signer).ok_or_else(|| {
            Refusal::new(Code::NotFound, format!("API user {} is not paired with this co-signer", request.signer))
        })?;
        if understood.decoded.operation == Operation::Raw && !user.allow_raw {
            return Err(Refusal::new(Code::RawNotAllowed, format!("no operator allowed RAW for API user {}", user.id)));
        }
        let vault = (understood.decoded.vault_account, understood.decoded.asset.id.to_owned());
        if self.vaults.get(&vault) != Some(&key.key) {
            let detail =
                format!("asset {} of vault account {} has no certificate for key {}", vault.1, vault.0, key.key);
            return Err(Refusal::new(Code::NotFound, detail));
        }
        // A decision that a handler makes must find its place in the ledger still free.
        self.ledger.check_room(cx.now, self.askings.len())?;
        Ok(match &user.approval {
            ApprovalSetting::None => {
                let detail =
                    format!("API user {} has neither a callback handler nor an explicit --auto-approve", user.id);
                Next::Refused(Refusal::new(Code::NoHandler, detail), false)
            }
            ApprovalSetting::Auto => Next::Approve(Box::new(understood)),
            ApprovalSetting::Handler(_) => Next::Ask(Box::new(understood)),
        })
    }

    /// The same intent must not be in front of a handler twice at once under two transactions (threat T55).
    fn check_not_asked_twice(&self, request: &TransactionRequest, understood: &Understood) -> Result<(), Refusal> {
        let Some(intent) = &understood.intent else { return Ok(()) };
        let same = |known: &IntentId| {
            let external = intent.external.is_some() && known.external == intent.external;
            known.initiator == intent.initiator && (known.nonce == intent.nonce || external)
        };
        let other = self.askings.values().find_map(|asking| match &asking.about {
            About::Transaction { request, understood } if understood.intent.as_ref().is_some_and(same) => {
                Some(request.transaction)
            }
            About::Transaction { .. } | About::Change(_) => None,
        });
        match other {
            Some(other) if other != request.transaction => {
                let detail = format!("the client's request already stands for transaction {other}");
                Err(Refusal::new(Code::IntentReplayed, detail))
            }
            _ => Ok(()),
        }
    }

    /// Shows the request to the signer's handler.
    fn ask_handler(
        &mut self,
        cx: &mut Cx<'_>,
        request: TransactionRequest,
        understood: Understood,
    ) -> Result<(), Refusal> {
        let key = self.key_for(&request, &understood.decoded)?;
        let group = self
            .record
            .accepted_group(&request.group)
            .ok_or_else(|| Refusal::new(Code::GroupNotAccepted, "no such group"))?;
        let players: Vec<_> = group.parties.iter().map(|p| p.id).collect();
        let shown = callback::TransactionShown {
            pairing: self.record.id,
            secret: &self.request_id_secret(),
            transaction: request.transaction,
            intent: understood.intent.as_ref(),
            decoded: &understood.decoded,
            key: key.key,
            epoch: key.epoch,
            algorithm: key.purpose.algorithm,
            signer: &request.signer,
            players: &players,
        };
        let question = callback::tx_sign_request(&shown);
        let user = request.signer.clone();
        let about = About::Transaction { request: Box::new(request), understood: Box::new(understood) };
        self.ask(cx, &user, about, question)
    }

    /// Seals the decision and then tells it.
    pub(crate) fn decide(
        &mut self,
        cx: &mut Cx<'_>,
        request: &TransactionRequest,
        understood: Understood,
        approval: Result<Approval, Refusal>,
        attempt: Option<Attempt>,
    ) {
        let transaction = request.transaction;
        // Since it was asked, a decision about it, or about the same intent, may have come onto record (threat T55).
        let known =
            self.ledger.check(&transaction, &understood.hash, understood.intent.as_ref(), &understood.digests_hash);
        match known {
            Ok(Known::New) => {}
            Ok(Known::Decided(record)) => {
                let message = match &record.decision {
                    Decision::Authorised(authorisation) => {
                        CosignerMessage::Authorised { transaction, authorisation: authorisation.clone(), attempt }
                    }
                    Decision::Refused(refusal) => {
                        let refusal = refusal.clone();
                        CosignerMessage::AuthorisationRefused { transaction, refusal, last: true, attempt }
                    }
                };
                return self.tell(cx, &message);
            }
            Err(refusal) => return self.refused(cx, transaction, refusal, true, attempt),
        }
        let digests = understood.decoded.digests.len();
        let outcome = approval.and_then(|approval| self.authorisation(cx, request, &understood, approval));
        let (decision, message) = match outcome {
            Ok(signed) => {
                cx.counts.authorised += 1;
                let authorisation = signed.clone();
                let message = CosignerMessage::Authorised { transaction, authorisation, attempt: attempt.clone() };
                (Decision::Authorised(signed), message)
            }
            Err(refusal) if matches!(refusal.code, Code::Rejected | Code::RetriesExhausted) => {
                let told = refusal.clone();
                let attempt = attempt.clone();
                let message = CosignerMessage::AuthorisationRefused { transaction, refusal: told, last: true, attempt };
                (Decision::Refused(refusal), message)
            }
            Err(refusal) => return self.refused(cx, transaction, refusal, false, attempt),
        };
        let record = RequestRecord {
            transaction,
            request_hash: understood.hash,
            intent: understood.intent,
            digests_hash: understood.digests_hash,
            decision,
            position: self.ledger.next_position(cx.now),
            decided_at_ms: cx.now,
            signatures: no_signatures(digests),
        };
        match self.enter(cx, record) {
            Ok(()) => self.tell(cx, &message),
            Err(refusal) => self.refused(cx, transaction, refusal, false, attempt),
        }
    }

    fn authorisation(
        &self,
        cx: &Cx<'_>,
        request: &TransactionRequest,
        understood: &Understood,
        approval: Approval,
    ) -> Result<Signed<Authorisation>, Refusal> {
        // Settings may have changed while the handler was thinking: the initiator must still be one, the key usable.
        self.check_still_asked_for(request)?;
        let key = self.key_for(request, &understood.decoded)?;
        let too_many = |_| Refusal::new(Code::Malformed, "too many digests");
        let authorisation = Authorisation {
            workspace: self.record.workspace,
            transaction: request.transaction,
            request_hash: understood.hash,
            intent: understood.intent.clone(),
            operation: understood.decoded.operation,
            digests: List::new(understood.decoded.digests.clone()).map_err(too_many)?,
            algorithm: key.purpose.algorithm,
            key: key.key,
            epoch: key.epoch,
            paths: List::new(understood.decoded.paths.clone()).map_err(too_many)?,
            group: key.group,
            signer: request.signer.clone(),
            approval,
            ledger_position: self.ledger.next_position(cx.now),
            issued_at_ms: cx.now,
            not_after_ms: cx.now.saturating_add(AUTHORISATION_MS),
        };
        Ok(Signed::sign(&authorisation, &self.identity))
    }

    pub(crate) fn refused(
        &self,
        cx: &mut Cx<'_>,
        transaction: TransactionId,
        refusal: Refusal,
        last: bool,
        attempt: Option<Attempt>,
    ) {
        cx.counts.refused += 1;
        self.tell(cx, &CosignerMessage::AuthorisationRefused { transaction, refusal, last, attempt });
    }
}

/// Whether asking again for the same transaction can never change a refusal with this code.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::Malformed
            | Code::Conflict
            | Code::IntentMissing
            | Code::IntentMismatch
            | Code::IntentStale
            | Code::IntentReplayed
            | Code::PurposeMismatch
            | Code::FeeTooHigh
            | Code::Mismatch
    )
}
