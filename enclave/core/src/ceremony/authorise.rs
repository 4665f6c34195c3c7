//! The customer's co-signer authorises, before any session: intent, key, purpose, path, replay, and the handler's word.

use super::sign::{Understood, no_signatures};
use crate::callback::{self, Verdict};
use crate::input::ExchangeOutcome;
use crate::ledger::Known;
use crate::limits::{AUTHORISATION_MS, MAX_WAITING_PER_PAIRING, MAX_WAITING_PER_USER};
use crate::serving::{Cx, ExchangeOwner, PairingState};
use crate::state::{Decision, RequestRecord};
use countersign_token::{PublicKey, SigningKey};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::command::{ApprovalSetting, Handler};
use countersign_wire::group::Role;
use countersign_wire::ids::TransactionId;
use countersign_wire::key::Operation;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::{Approval, Authorisation, TransactionRequest};
use countersign_wire::{List, Signed, Text};

/// A request whose handler is being asked.
pub(crate) struct Asking {
    request: TransactionRequest,
    understood: Understood,
    request_id: String,
    handler_key: PublicKey,
}

/// What to do with a request that passed all checks.
enum Next {
    Authorised(Signed<Authorisation>),
    Refused(Refusal, bool),
    Ask(Box<Understood>, Handler),
    Approve(Box<Understood>),
}

impl PairingState {
    pub(super) fn authorise(&mut self, cx: &mut Cx<'_>, request: TransactionRequest) {
        let transaction = request.transaction;
        if let Some(asking) = self.ceremonies.asking.get(&transaction) {
            let answer = if asking.request == request {
                CosignerMessage::AuthorisationWaiting { transaction, attempt: None }
            } else {
                let refusal =
                    Refusal::new(Code::Conflict, "the handler is being asked about other content under this id");
                CosignerMessage::AuthorisationRefused { transaction, refusal, last: false, attempt: None }
            };
            return self.tell(cx, &answer);
        }
        match self.next(cx, &request).unwrap_or_else(|refusal| {
            let last = is_final(refusal.code);
            Next::Refused(refusal, last)
        }) {
            Next::Authorised(authorisation) => {
                self.tell(cx, &CosignerMessage::Authorised { transaction, authorisation, attempt: None })
            }
            Next::Refused(refusal, last) => self.refused(cx, transaction, refusal, last),
            Next::Ask(understood, handler) => {
                if let Err(refusal) = self.ask(cx, request, *understood, &handler) {
                    self.refused(cx, transaction, refusal, false);
                }
            }
            Next::Approve(understood) => self.decide(cx, &request, *understood, Ok(Approval::Auto)),
        }
    }

    fn next(&self, cx: &Cx<'_>, request: &TransactionRequest) -> Result<Next, Refusal> {
        if self.record.role != Role::Customer {
            return Err(Refusal::new(Code::NotAllowed, "only the customer's co-signer authorises"));
        }
        if self.record.accepted_group(&request.group).is_none() {
            return Err(Refusal::new(Code::GroupNotAccepted, format!("no accepted group {}", request.group)));
        }
        let understood = self.understand(cx, request)?;
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
        self.ledger.check_room(cx.now, self.ceremonies.asking.len())?;
        Ok(match &user.approval {
            ApprovalSetting::None => {
                let detail =
                    format!("API user {} has neither a callback handler nor an explicit --auto-approve", user.id);
                Next::Refused(Refusal::new(Code::NoHandler, detail), false)
            }
            ApprovalSetting::Auto => Next::Approve(Box::new(understood)),
            ApprovalSetting::Handler(handler) => Next::Ask(Box::new(understood), handler.clone()),
        })
    }

    /// The same intent must not be in front of a handler twice at once under two transactions (threat T55).
    fn check_not_asked_twice(&self, request: &TransactionRequest, understood: &Understood) -> Result<(), Refusal> {
        let Some(intent) = &understood.intent else { return Ok(()) };
        let same = |other: &Asking| {
            other.understood.intent.as_ref().is_some_and(|known| {
                let external = intent.external.is_some() && known.external == intent.external;
                known.initiator == intent.initiator && (known.nonce == intent.nonce || external)
            })
        };
        match self.ceremonies.asking.values().find(|a| same(a)) {
            Some(other) if other.request.transaction != request.transaction => {
                let detail =
                    format!("the client's request already stands for transaction {}", other.request.transaction);
                Err(Refusal::new(Code::IntentReplayed, detail))
            }
            _ => Ok(()),
        }
    }

    fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        request: TransactionRequest,
        understood: Understood,
        handler: &Handler,
    ) -> Result<(), Refusal> {
        let waiting = self.ceremonies.asking.values().filter(|a| a.request.signer == request.signer).count();
        if waiting >= MAX_WAITING_PER_USER || self.ceremonies.asking.len() >= MAX_WAITING_PER_PAIRING {
            return Err(Refusal::new(
                Code::Busy,
                format!("{waiting} requests of this API user wait for its handler; try again later"),
            ));
        }
        let handler_key = PublicKey::from_spki_der(handler.keys.first().map(|k| &**k).unwrap_or_default())
            .map_err(|e| Refusal::new(Code::Internal, format!("the handler's public key cannot be used: {e}")))?;
        let key = self.key_for(&request, &understood.decoded)?;
        let group = self
            .record
            .accepted_group(&request.group)
            .ok_or_else(|| Refusal::new(Code::GroupNotAccepted, "no such group"))?;
        let players: Vec<_> = group.parties.iter().map(|p| p.id).collect();
        let shown = callback::TransactionShown {
            pairing: self.record.id,
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
        let signing_key = SigningKey::from_pkcs8_der(self.record.callback_key.expose())
            .map_err(|e| Refusal::new(Code::Internal, format!("the callback signing key cannot be used: {e}")))?;
        let jwt = signing_key
            .sign(&question.payload, None)
            .map_err(|e| Refusal::new(Code::Internal, format!("the request to the handler cannot be signed: {e}")))?;
        let spec = callback::exchange(handler, jwt)?;
        let transaction = request.transaction;
        cx.exchange(ExchangeOwner::Callback(self.record.id, transaction), spec);
        let asking = Asking { request, understood, request_id: question.request_id, handler_key };
        self.ceremonies.asking.insert(transaction, asking);
        self.tell(cx, &CosignerMessage::AuthorisationWaiting { transaction, attempt: None });
        Ok(())
    }

    /// The handler answered, or did not.
    pub(crate) fn callback_done(&mut self, cx: &mut Cx<'_>, transaction: TransactionId, outcome: &ExchangeOutcome) {
        let Some(asking) = self.ceremonies.asking.remove(&transaction) else { return };
        let verdict = callback::verdict(outcome, &asking.handler_key, &asking.request_id);
        let label = match &verdict {
            Verdict::Approved => "approved",
            Verdict::Rejected { .. } => "rejected",
            Verdict::Failed(refusal) => refusal.code.as_str(),
        };
        let count = cx.counts.callbacks.entry(label).or_default();
        *count = count.saturating_add(1);
        let seen = self.callbacks.entry(asking.request.signer.clone()).or_default();
        let (counter, code) = match &verdict {
            Verdict::Approved => (&mut seen.approved, None),
            Verdict::Rejected { .. } => (&mut seen.rejected, Some(Code::Rejected)),
            Verdict::Failed(refusal) => (&mut seen.failed, Some(refusal.code)),
        };
        *counter = counter.saturating_add(1);
        seen.last = Some((code, cx.now));
        match verdict {
            Verdict::Approved => {
                let request_id = Text::cut(asking.request_id);
                self.decide(cx, &asking.request, asking.understood, Ok(Approval::Handler { request_id }));
            }
            Verdict::Rejected { reason } => {
                let refusal = Refusal::new(Code::Rejected, reason);
                self.decide(cx, &asking.request, asking.understood, Err(refusal));
            }
            Verdict::Failed(refusal) => self.refused(cx, transaction, refusal, false),
        }
    }

    /// Seals the decision and then tells it.
    fn decide(
        &mut self,
        cx: &mut Cx<'_>,
        request: &TransactionRequest,
        understood: Understood,
        approval: Result<Approval, Refusal>,
    ) {
        let transaction = request.transaction;
        let digests = understood.decoded.digests.len();
        let outcome = approval.and_then(|approval| self.authorisation(cx, request, &understood, approval));
        let (decision, message) = match outcome {
            Ok(signed) => {
                cx.counts.authorised += 1;
                let message = CosignerMessage::Authorised { transaction, authorisation: signed.clone(), attempt: None };
                (Decision::Authorised(signed), message)
            }
            Err(refusal) if refusal.code == Code::Rejected => {
                let message =
                    CosignerMessage::AuthorisationRefused { transaction, refusal: refusal.clone(), last: true, attempt: None };
                (Decision::Refused(refusal), message)
            }
            Err(refusal) => return self.refused(cx, transaction, refusal, false),
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
            Err(refusal) => self.refused(cx, transaction, refusal, false),
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

    fn refused(&self, cx: &mut Cx<'_>, transaction: TransactionId, refusal: Refusal, last: bool) {
        cx.counts.refused += 1;
        self.tell(cx, &CosignerMessage::AuthorisationRefused { transaction, refusal, last, attempt: None });
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
    )
}
