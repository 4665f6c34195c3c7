//! Jobs that outlive their session. Whoever sends a false proof could end the session right behind it (an Abort of its
//! own, a Cancel of the workspace, the deadline, the host), before the job found it false: then nobody would be quarantined,
//! and attempts would be unlimited (threat T15). So a job of signing that was given anything finishes that, and says only
//! whether it was true: nothing that it says to others leaves, and it gets no further message.

use super::rounds::inconsistent;
use super::session::Rounds;
use crate::effect::Effect;
use crate::input::JobEvent;
use crate::serving::{Cx, PairingState};
use countersign_mpc::{Failure, Output};
use countersign_wire::ceremony::{CosignerMessage, Work};
use countersign_wire::ids::{KeyId, PartyId, SessionId, TransactionId};
use countersign_wire::key::EcdsaSignature;
use countersign_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;

/// What a verdict is about.
pub(crate) struct Unsettled {
    session: SessionId,
    execution: [u8; 32],
    key: KeyId,
    work: Work,
    /// The other signers by their index in the group.
    peers: BTreeMap<u16, PartyId>,
}

impl PairingState {
    /// Leaves the job of a session that ends behind, if it may have a verdict. Their number is bounded, as they count as
    /// sessions when another one is prepared.
    pub(super) fn await_verdict(&mut self, cx: &mut Cx<'_>, id: SessionId, work: &Work, rounds: &Rounds) -> bool {
        let Work::Sign { request, .. } = work else { return false };
        if !rounds.given || !cx.running.jobs.contains_key(&rounds.job) {
            return false;
        }
        let peers = rounds.peers.iter().map(|(party, peer)| (peer.index, *party)).collect();
        let (execution, key) = (rounds.execution, request.key);
        let unsettled = Unsettled { session: id, execution, key, work: work.clone(), peers };
        self.ceremonies.unsettled.insert(rounds.job, unsettled);
        cx.out.push(Effect::FinishJob { job: rounds.job });
        true
    }

    /// The culprit of an execution is known without the verdict.
    pub(super) fn forget_unsettled(&mut self, cx: &mut Cx<'_>, execution: &[u8; 32]) {
        self.ceremonies.unsettled.retain(|job, unsettled| {
            let concerned = unsettled.execution == *execution;
            if concerned {
                cx.drop_job(*job);
            }
            !concerned
        });
    }

    /// A job without a session reports.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>, job: u64, event: JobEvent) {
        if matches!(event, JobEvent::Send { .. } | JobEvent::PrimesFound(_)) {
            return;
        }
        cx.running.jobs.remove(&job);
        let Some(case) = self.ceremonies.unsettled.remove(&job) else { return };
        let refusal = match event {
            JobEvent::Failed(Failure::Protocol { culprit, detail }) => {
                let culprit = culprit.and_then(|index| case.peers.get(&index)).copied();
                return self.sentence(cx, &case, culprit, &detail);
            }
            JobEvent::BadMessage { from, detail } => {
                return self.sentence(cx, &case, case.peers.get(&from).copied(), &detail);
            }
            JobEvent::Failed(Failure::BroadcastInconsistent { .. }) => {
                for party in case.peers.values() {
                    self.show_words(cx, *party, &case.session, &case.execution);
                }
                inconsistent(&case.execution)
            }
            // Kept, so that no second one is made.
            JobEvent::Done(Output::Signature(signature)) => match self.keep_signature(cx, &case, signature) {
                Err(refusal) if refusal.code == Code::ProtocolAborted => refusal,
                Ok(()) | Err(_) => return,
            },
            _ => return,
        };
        self.suspend(cx, None, Some(case.key), &refusal);
        self.tell(cx, &CosignerMessage::Aborted { session: case.session, refusal, blamed: None });
    }

    fn sentence(&mut self, cx: &mut Cx<'_>, case: &Unsettled, culprit: Option<PartyId>, detail: &str) {
        let refusal = match culprit {
            Some(party) => {
                self.quarantine(cx, None, Some(case.key), party);
                Refusal::new(Code::PeerMisbehaved, format!("co-signer {party}: {detail}"))
            }
            None => {
                let refusal = unknown_culprit(detail);
                self.suspend(cx, None, Some(case.key), &refusal);
                refusal
            }
        };
        self.tell(cx, &CosignerMessage::Aborted { session: case.session, refusal, blamed: culprit });
    }

    fn keep_signature(&mut self, cx: &mut Cx<'_>, case: &Unsettled, signature: EcdsaSignature) -> Result<(), Refusal> {
        let Work::Sign { request, authorisation, digest_index } = &case.work else { return Ok(()) };
        self.hold_signature(cx, case.session, request, authorisation, *digest_index, signature)
    }

    /// Whether a job without a session may still make the signature of this digest.
    pub(super) fn is_unsettled(&self, transaction: &TransactionId, digest_index: u16) -> bool {
        self.ceremonies.unsettled.values().any(|case| signs(&case.work, transaction, digest_index))
    }
}

/// Whether the work is to sign this digest. Pure.
pub(super) fn signs(work: &Work, transaction: &TransactionId, digest_index: u16) -> bool {
    matches!(work, Work::Sign { request, digest_index: index, .. }
        if request.transaction == *transaction && *index == digest_index)
}

/// Something was false, and nobody can say whose.
pub(super) fn unknown_culprit(detail: &str) -> Refusal {
    Refusal::new(Code::ProtocolAborted, format!("a proof or signature failed, by whom cannot be shown: {detail}"))
}
