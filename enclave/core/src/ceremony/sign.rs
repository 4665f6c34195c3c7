//! Whether this party signs a digest: the request, the Authorisation and the ledger must all say the same as what it
//! decoded itself.

use super::prepare::NoReady;
use super::session::Stage;
use super::verdict::signs;
use crate::intent;
use crate::ledger::Known;
use crate::limits::{AUTHORISATION_MS, AUTHORISED_INTENT_MAX_AGE_MS, CLOCK_SKEW_MS};
use crate::serving::{Cx, PairingState, blobs};
use crate::state::{Agreed, Decision, KeyRecord, RequestRecord};
use countersign_wire::ceremony::{CosignerMessage, GroupState};
use countersign_wire::group::{Group, Role};
use countersign_wire::ids::SessionId;
use countersign_wire::key::{DerivationPath, Operation};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::{Authorisation, Digest, IntentId, TransactionRequest, digests_hash};
use countersign_wire::{List, Message, Signed};

/// What a party found when it consented to sign.
pub(super) struct SignConsent {
    pub group: Group,
    pub aux_outcome: [u8; 32],
    pub epoch: u32,
}

/// A request as this party decoded and proved it.
pub(crate) struct Understood {
    pub hash: [u8; 32],
    pub decoded: intent::Decoded,
    pub intent: Option<IntentId>,
    pub digests_hash: [u8; 32],
}

impl Understood {
    /// A request that was understood before, with the intent that was proved then: its age no longer matters.
    pub(crate) fn again(request: &TransactionRequest, intent: Option<IntentId>) -> Result<Self, Refusal> {
        let decoded = intent::decode(&request.body, request.unsigned.as_deref())?;
        let digests_hash = digests_hash(&decoded.digests);
        Ok(Self { hash: request.digest(), decoded, intent, digests_hash })
    }
}

impl PairingState {
    /// Decodes a request and, where intent is required or given, proves that an initiator asked for it, at most `max_age_ms`
    /// ago.
    pub(super) fn understand(
        &self,
        cx: &Cx<'_>,
        request: &TransactionRequest,
        max_age_ms: u64,
    ) -> Result<Understood, Refusal> {
        let decoded = intent::decode(&request.body, request.unsigned.as_deref())?;
        let hash = request.digest();
        let known = self.ledger.get(&request.transaction).filter(|r| r.request_hash == hash);
        let proven = match (&request.token, known) {
            // The record was made from exactly these bytes when the intent was fresh: its age no longer matters.
            (_, Some(record)) => record.intent.clone(),
            (None, None) if !self.record.require_intent => None,
            (_, None) => {
                let floor = self.record.intent_floor_ms;
                Some(intent::verify_intent(request, &self.record.initiators, cx.now, max_age_ms, floor)?.id)
            }
        };
        let digests_hash = digests_hash(&decoded.digests);
        Ok(Understood { hash, decoded, intent: proven, digests_hash })
    }

    /// The initiator of a request that was understood before is still one, with the same key: an operator may have removed it
    /// since. How old the request is no longer matters.
    pub(super) fn check_still_asked_for(&self, request: &TransactionRequest) -> Result<(), Refusal> {
        if request.token.is_none() && !self.record.require_intent {
            return Ok(());
        }
        intent::verify_initiator(request, &self.record.initiators)
    }

    /// One digest has one session at a time: two that run at once would make two signatures (threat T56). The caller ends one
    /// that was only prepared.
    fn check_not_signing(&self, request: &TransactionRequest, digest_index: u16) -> Result<(), Refusal> {
        let (transaction, sessions) = (&request.transaction, self.ceremonies.sessions.values());
        let running = sessions
            .filter(|s| matches!(s.stage, Stage::Running(_)))
            .any(|s| signs(&s.work, transaction, digest_index));
        if running || self.is_unsettled(transaction, digest_index) {
            let detail = "another session signs this digest now; ask again when it is over";
            return Err(Refusal::new(Code::Busy, detail));
        }
        Ok(())
    }

    /// The key of a request, if it may serve it: READY, not suspended, made for this operation, coin and signer (threat T12, T60).
    pub(super) fn key_for(
        &self,
        request: &TransactionRequest,
        decoded: &intent::Decoded,
    ) -> Result<&KeyRecord, Refusal> {
        let key = self.keys.get(&request.key).filter(|k| k.group == request.group && k.agreed != Agreed::Held);
        let key = key.ok_or_else(|| {
            Refusal::new(Code::NotFound, format!("no READY key {} in group {}", request.key, request.group))
        })?;
        if let Some(refusal) = &key.suspended {
            let detail = format!("the key is suspended at this co-signer ({refusal}); an operator may clear it");
            return Err(Refusal::new(Code::Quarantined, detail));
        }
        let mismatch = |what: String| Err(Refusal::new(Code::PurposeMismatch, what));
        if !key.purpose.allows(decoded.operation) {
            return mismatch(format!("the key was not made for {}", decoded.operation));
        }
        if key.purpose.coin_type != decoded.asset.coin_type {
            let made_for = key.purpose.coin_type;
            return mismatch(format!(
                "the key was made for coin type {made_for}, the request is for {}",
                decoded.asset.coin_type
            ));
        }
        if key.purpose.signer != request.signer {
            return mismatch(format!("the key belongs to API user {}, not {}", key.purpose.signer, request.signer));
        }
        Ok(key)
    }

    pub(super) fn consent_sign(
        &mut self,
        cx: &mut Cx<'_>,
        session: SessionId,
        request: &TransactionRequest,
        signed: &Signed<Authorisation>,
        digest_index: u16,
    ) -> Result<SignConsent, NoReady> {
        let Some(group) = self.record.accepted_group(&request.group).cloned() else {
            return Err(Refusal::new(Code::GroupNotAccepted, format!("no accepted group {}", request.group)).into());
        };
        let authorisation = self.check_authorisation(&group, signed)?;
        let understood = self.understand(cx, request, AUTHORISED_INTENT_MAX_AGE_MS)?;
        let key = self.key_for(request, &understood.decoded)?;
        check_same(&authorisation, request, &understood, key, &self.record.workspace)?;
        let (epoch, key_group) = (key.epoch, key.group);
        if let Known::Decided(record) = self.ledger.check(
            &request.transaction,
            &understood.hash,
            understood.intent.as_ref(),
            &understood.digests_hash,
        )? {
            match &record.decision {
                Decision::Authorised(known) if known == signed => {}
                Decision::Authorised(_) | Decision::Refused(_) => {
                    return Err(Refusal::new(
                        Code::NotAuthorised,
                        "another decision about this transaction is on record here",
                    )
                    .into());
                }
            }
            if let Some(Some((public_key, signature))) = record.signatures.get(usize::from(digest_index)) {
                return Err(NoReady::Done(Box::new(CosignerMessage::SignatureDone {
                    session,
                    transaction: request.transaction,
                    digest_index,
                    public_key: *public_key,
                    signature: *signature,
                })));
            }
            self.check_still_asked_for(request)?;
        } else if self.record.role == Role::Customer {
            return Err(Refusal::new(Code::NotAuthorised, "this co-signer has no record of that Authorisation").into());
        }
        if usize::from(digest_index) >= authorisation.digests.len() {
            return Err(Refusal::new(
                Code::Malformed,
                format!("the transaction has {} digests", authorisation.digests.len()),
            )
            .into());
        }
        check_lifetime(&authorisation, cx.now)?;
        self.check_not_signing(request, digest_index)?;
        let aux = self.aux.get(&key_group).filter(|_| matches!(self.group_state(&key_group), GroupState::Ready));
        let Some(aux_outcome) = aux.map(|aux| aux.outcome) else {
            return Err(Refusal::new(Code::NotYet, "the group has no auxiliary information yet").into());
        };
        if self.record.role == Role::Cloud {
            self.bind(cx, request, signed, &authorisation, understood)?;
        }
        Ok(SignConsent { group, aux_outcome, epoch })
    }

    /// An Authorisation of the group's customer co-signer (threat T56).
    fn check_authorisation(&self, group: &Group, signed: &Signed<Authorisation>) -> Result<Authorisation, Refusal> {
        let customer =
            group.customer().ok_or_else(|| Refusal::new(Code::Internal, "the group has no customer co-signer"))?;
        signed.open(&customer.0).map_err(|e| {
            let detail = format!("expected an Authorisation signed by the customer's co-signer {customer}: {e}");
            Refusal::new(Code::NotAuthorised, detail)
        })
    }

    /// A cloud co-signer binds the intent and the transaction to these digests, durably, before its Ready leaves.
    fn bind(
        &mut self,
        cx: &mut Cx<'_>,
        request: &TransactionRequest,
        signed: &Signed<Authorisation>,
        authorisation: &Authorisation,
        understood: Understood,
    ) -> Result<(), Refusal> {
        if self.ledger.get(&request.transaction).is_some() {
            return Ok(());
        }
        let record = RequestRecord {
            transaction: request.transaction,
            request_hash: understood.hash,
            intent: understood.intent,
            digests_hash: understood.digests_hash,
            decision: Decision::Authorised(signed.clone()),
            position: authorisation.ledger_position,
            decided_at_ms: cx.now,
            signatures: no_signatures(authorisation.digests.len()),
        };
        self.enter(cx, record)
    }

    /// Takes a record into the ledger and seals it.
    pub(super) fn enter(&mut self, cx: &mut Cx<'_>, record: RequestRecord) -> Result<(), Refusal> {
        let (forgotten, floor) = self.ledger.prune(cx.now)?;
        for transaction in forgotten {
            cx.delete(blobs::request(self.record.id, transaction));
        }
        if let Some(floor) = floor {
            self.record.intent_floor_ms = self.record.intent_floor_ms.max(floor);
            self.save(cx);
        }
        cx.save(blobs::request(self.record.id, record.transaction), &record);
        self.ledger.insert(record);
        Ok(())
    }
}

/// One empty place for each digest.
pub(super) fn no_signatures<const N: usize>(
    digests: usize,
) -> List<Option<(countersign_wire::key::PublicKey, countersign_wire::key::EcdsaSignature)>, N> {
    List::cut(vec![None; digests])
}

/// Compares the Authorisation with what this party decoded itself, field by field (threats T11, T56). Pure.
fn check_same(
    authorisation: &Authorisation,
    request: &TransactionRequest,
    understood: &Understood,
    key: &KeyRecord,
    workspace: &countersign_wire::ids::WorkspaceId,
) -> Result<(), Refusal> {
    let decoded = &understood.decoded;
    let digests: &[Digest] = &authorisation.digests;
    let paths: &[DerivationPath] = &authorisation.paths;
    let operation: Operation = authorisation.operation;
    let differing = [
        ("workspace", authorisation.workspace == *workspace),
        ("transaction", authorisation.transaction == request.transaction),
        ("request", authorisation.request_hash == understood.hash),
        ("intent", understood.intent.is_none() || authorisation.intent == understood.intent),
        ("operation", operation == decoded.operation),
        ("digests", digests == decoded.digests.as_slice()),
        ("paths", paths == decoded.paths.as_slice()),
        ("algorithm", authorisation.algorithm == key.purpose.algorithm),
        ("key", authorisation.key == request.key),
        ("epoch", authorisation.epoch == key.epoch),
        ("group", authorisation.group == request.group),
        ("signer", authorisation.signer == request.signer),
    ];
    match differing.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((field, _)) => Err(Refusal::new(
            Code::Mismatch,
            format!("the Authorisation's {field} is not what was decoded from the request"),
        )),
    }
}

/// An Authorisation serves for its minutes only, also where the customer's clock was ahead when it was issued (threat T56).
/// Pure.
fn check_lifetime(authorisation: &Authorisation, now: u64) -> Result<(), Refusal> {
    if now > authorisation.not_after_ms {
        return Err(Refusal::new(Code::AuthorisationExpired, "the Authorisation expired; ask with a new transaction"));
    }
    if authorisation.issued_at_ms > now.saturating_add(CLOCK_SKEW_MS) {
        let detail = "the Authorisation is of the future: a co-signer's clock is wrong; correct it and ask again";
        return Err(Refusal::new(Code::ClockSkew, detail));
    }
    if authorisation.not_after_ms.saturating_sub(authorisation.issued_at_ms) > AUTHORISATION_MS {
        return Err(Refusal::new(Code::Mismatch, "the Authorisation is for longer than any may be"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::key::Algorithm;
    use countersign_wire::transaction::Approval;

    #[test]
    fn t56_an_authorisation_serves_from_its_issue_for_its_ten_minutes() {
        const NOW: u64 = 1_800_000_000_000;
        let issued = |issued_at_ms: u64, lasts_ms: u64| Authorisation {
            workspace: countersign_wire::ids::WorkspaceId([5; 16]),
            transaction: countersign_wire::ids::TransactionId([6; 16]),
            request_hash: [0; 32],
            intent: None,
            operation: Operation::Raw,
            digests: List::default(),
            algorithm: Algorithm::EcdsaSecp256k1,
            key: countersign_wire::ids::KeyId([2; 16]),
            epoch: 0,
            paths: List::default(),
            group: countersign_wire::ids::GroupId([1; 16]),
            signer: "signer".parse().unwrap(),
            approval: Approval::Auto,
            ledger_position: 1,
            issued_at_ms,
            not_after_ms: issued_at_ms + lasts_ms,
        };
        let code = |a: &Authorisation| check_lifetime(a, NOW).err().map(|refusal| refusal.code);
        assert_eq!(code(&issued(NOW, AUTHORISATION_MS)), None);
        assert_eq!(code(&issued(NOW - AUTHORISATION_MS, AUTHORISATION_MS)), None);
        assert_eq!(code(&issued(NOW + CLOCK_SKEW_MS, AUTHORISATION_MS)), None);
        assert_eq!(code(&issued(NOW - AUTHORISATION_MS - 1, AUTHORISATION_MS)), Some(Code::AuthorisationExpired));
        assert_eq!(code(&issued(NOW + CLOCK_SKEW_MS + 1, AUTHORISATION_MS)), Some(Code::ClockSkew));
        assert_eq!(code(&issued(NOW, AUTHORISATION_MS + 1)), Some(Code::Mismatch));
    }
}
