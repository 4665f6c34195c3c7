//! Start: the coordinator names the signers and carries every one's whole Ready. Each party compares them with its own
//! before its first message; a difference is the coordinator's error, and nobody is blamed (threat T62).

use super::execution::execution_id;
use super::session::{PeerRounds, Rounds, Session, Stage};
use crate::effect::JobSpec;
use crate::serving::{Cx, JobOwner, PairingState};
use countersign_mpc::{AuxInfoBytes, ExecutionId, KeyShareBytes, Plan, Primes};
use countersign_wire::Signed;
use countersign_wire::ceremony::{Ready, Work};
use countersign_wire::ids::{BootId, PartyId, SessionId};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::Authorisation;
use std::collections::BTreeMap;

fn inconsistent(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::CoordinatorInconsistent, detail)
}

/// Checks a Start against what this party agreed to. Returns the other signers with their index and boot. Pure.
fn check(
    session: &Session,
    signers: &[u16],
    readies: &[Signed<Ready>],
) -> Result<Vec<(PartyId, u16, BootId)>, Refusal> {
    let group = &session.group;
    let all: Vec<u16> = (0..group.size()).collect();
    let right_set = match session.work {
        Work::Sign { .. } => group.are_signers(signers),
        Work::Aux { .. } | Work::Keygen { .. } => signers == all.as_slice(),
    };
    if !right_set || !signers.contains(&session.index) {
        return Err(Refusal::new(
            Code::PartyIndex,
            format!("{signers:?} are not signers of this group with this party among them"),
        ));
    }
    if readies.len() != signers.len() {
        return Err(inconsistent(format!("expected {} Readies, got {}", signers.len(), readies.len())));
    }
    let mut others = Vec::new();
    for (index, signed) in signers.iter().zip(readies) {
        let party = group.party(*index).ok_or_else(|| inconsistent("no such party"))?.id;
        let ready =
            signed.open(&party.0).map_err(|e| inconsistent(format!("the Ready of {party} is not its own: {e}")))?;
        if *index == session.index {
            if *signed != session.signed_ready {
                return Err(inconsistent("the own Ready was altered"));
            }
            continue;
        }
        let own = &session.ready;
        let same = [
            ("session", ready.session == own.session),
            ("work", ready.work_hash == own.work_hash),
            ("Authorisation", ready.authorisation_hash == own.authorisation_hash),
            ("group", ready.group_hash == own.group_hash),
            ("auxiliary information", ready.aux_outcome == own.aux_outcome),
            ("epoch", ready.epoch == own.epoch),
            ("number of signers", ready.signers_wanted == own.signers_wanted),
            ("presignature", ready.presignature == own.presignature),
        ];
        if let Some((field, _)) = same.iter().find(|(_, same)| !same) {
            return Err(inconsistent(format!("{party} was told another {field}")));
        }
        others.push((party, *index, ready.boot));
    }
    Ok(others)
}

/// No session starts under an Authorisation that expired after it was prepared (threat T56). It was verified at Prepare.
fn check_not_expired(authorisation: &Signed<Authorisation>, now: u64) -> Result<(), Refusal> {
    match authorisation.peek_unverified() {
        Ok(authorisation) if now <= authorisation.not_after_ms => Ok(()),
        _ => Err(Refusal::new(Code::AuthorisationExpired, "the Authorisation expired before the session was started")),
    }
}

impl PairingState {
    pub(super) fn start(&mut self, cx: &mut Cx<'_>, id: SessionId, signers: &[u16], readies: &[Signed<Ready>]) {
        let Some(session) = self.ceremonies.sessions.get(&id) else { return };
        if matches!(session.stage, Stage::Running(_)) {
            return;
        }
        if let Err(refusal) = self.try_start(cx, id, signers, readies) {
            self.abort(cx, id, refusal, None);
        }
    }

    fn try_start(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        signers: &[u16],
        readies: &[Signed<Ready>],
    ) -> Result<(), Refusal> {
        let session = self.ceremonies.sessions.get(&id).ok_or_else(|| inconsistent("no such session"))?;
        let others = check(session, signers, readies)?;
        let (work_hash, group_hash) = (&session.work_hash, &session.ready.group_hash);
        let execution = execution_id(&id, &session.work, work_hash, group_hash, &session.group, signers, readies);
        if let Work::Sign { request, authorisation, .. } = &session.work {
            self.check_quarantine(&request.key, &others)?;
            check_not_expired(authorisation, cx.now)?;
            self.check_still_asked_for(request)?;
        }
        let plan = self.plan(session, ExecutionId(execution), signers)?;
        self.ceremonies.executions.use_once(execution)?;
        let job = cx.start_job(JobOwner::Session(self.record.id, id), JobSpec::Mpc(Box::new(plan)));
        let peers: BTreeMap<PartyId, PeerRounds> =
            others.iter().map(|(party, index, _)| (*party, PeerRounds::new(*index))).collect();
        let rounds = Rounds { execution, job, peers, next_broadcast: 0, given: false };
        let mut early = BTreeMap::new();
        if let Some(session) = self.ceremonies.sessions.get_mut(&id) {
            session.stage = Stage::Running(Box::new(rounds));
            early = std::mem::take(&mut session.early);
        }
        for (party, _, boot) in &others {
            self.reach(cx, *party, *boot);
        }
        for (party, messages) in early {
            for message in messages {
                self.peer_message(cx, party, message);
            }
        }
        Ok(())
    }

    fn plan(&self, session: &Session, execution: ExecutionId, signers: &[u16]) -> Result<Plan, Refusal> {
        let gone = |what: &str| Refusal::new(Code::Internal, format!("{what} is gone"));
        let (index, parties) = (session.index, session.group.size());
        match &session.work {
            Work::Aux { group } => {
                let primes = self.primes.get(group).ok_or_else(|| gone("the group's primes"))?;
                Ok(Plan::AuxInfo { execution, index, parties, primes: Primes::from_vec(primes.expose().to_vec()) })
            }
            Work::Keygen { .. } => Ok(Plan::Keygen { execution, index, parties, threshold: session.group.threshold }),
            Work::Sign { request, authorisation, digest_index } => {
                let customer = session.group.customer().ok_or_else(|| gone("the customer's co-signer"))?;
                let authorisation =
                    authorisation.open(&customer.0).map_err(|e| Refusal::new(Code::NotAuthorised, e.to_string()))?;
                let place = usize::from(*digest_index);
                let (digest, path) = authorisation
                    .digests
                    .get(place)
                    .zip(authorisation.paths.get(place))
                    .ok_or_else(|| gone("the digest"))?;
                let key = self.keys.get(&request.key).ok_or_else(|| gone("the key"))?;
                let aux = self.aux.get(&key.group).ok_or_else(|| gone("the auxiliary information"))?;
                Ok(Plan::Sign {
                    execution,
                    index,
                    signers: signers.to_vec(),
                    share: KeyShareBytes::from_vec(key.share.expose().to_vec()),
                    aux: AuxInfoBytes::from_vec(aux.aux.expose().to_vec()),
                    path: path.clone(),
                    digest: *digest,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::SigningIdentity;
    use countersign_wire::group::{Group, Party, Role};
    use countersign_wire::ids::{GroupId, WorkspaceId};
    use countersign_wire::{List, Message};

    type Change<'a> = &'a dyn Fn(&mut Ready);

    fn identity(n: u8) -> SigningIdentity {
        SigningIdentity::from_secret(&[n; 32])
    }

    fn session(keys: &[SigningIdentity]) -> Session {
        let role = |i| if i == 0 { Role::Customer } else { Role::Cloud };
        let parties = keys.iter().enumerate().map(|(i, k)| Party { id: PartyId(k.public()), role: role(i) }).collect();
        let parties = List::new(parties).unwrap();
        let group = Group { workspace: WorkspaceId([5; 16]), id: GroupId([1; 16]), parties, threshold: 3 };
        let ready = Ready {
            session: SessionId([4; 16]),
            work_hash: [1; 32],
            authorisation_hash: Some([2; 32]),
            group_hash: group.digest(),
            aux_outcome: Some([3; 32]),
            epoch: 1,
            signers_wanted: 3,
            presignature: None,
            boot: BootId([1; 16]),
            random: [0; 32],
        };
        Session {
            index: 0,
            work: Work::Aux { group: group.id },
            work_hash: ready.work_hash,
            signed_ready: Signed::sign(&ready, &keys[0]),
            ready,
            group,
            deadline_at_ms: u64::MAX,
            stage: Stage::Prepared,
            early: BTreeMap::new(),
        }
    }

    #[test]
    fn t62_a_peer_that_really_agreed_to_something_else_stops_the_start() {
        let mut keys: Vec<_> = [11, 12, 13].map(identity).into();
        keys.sort_by_key(SigningIdentity::public);
        let session = session(&keys);
        let readies = |change: Change| -> Vec<Signed<Ready>> {
            let mut other = session.ready.clone();
            other.random = [9; 32];
            other.boot = BootId([2; 16]);
            let honest = Signed::sign(&other, &keys[1]);
            change(&mut other);
            vec![session.signed_ready.clone(), honest, Signed::sign(&other, &keys[2])]
        };
        assert_eq!(check(&session, &[0, 1, 2], &readies(&|_| {})).unwrap().len(), 2);
        let changes: [(&str, Change); 8] = [
            ("session", &|r| r.session = SessionId([5; 16])),
            ("work", &|r| r.work_hash = [9; 32]),
            ("Authorisation", &|r| r.authorisation_hash = None),
            ("group", &|r| r.group_hash = [9; 32]),
            ("auxiliary information", &|r| r.aux_outcome = Some([9; 32])),
            ("epoch", &|r| r.epoch = 2),
            ("number of signers", &|r| r.signers_wanted = 2),
            ("presignature", &|r| r.presignature = Some([4; 32])),
        ];
        for (field, change) in changes {
            let refusal = check(&session, &[0, 1, 2], &readies(change)).unwrap_err();
            assert_eq!(refusal.code, Code::CoordinatorInconsistent);
            assert!(refusal.detail.as_str().ends_with(&format!("told another {field}")), "{field}: {refusal}");
        }
        let mut altered = readies(&|_| {});
        altered[0] = Signed::sign(&Ready { random: [7; 32], ..session.ready.clone() }, &keys[0]);
        assert_eq!(check(&session, &[0, 1, 2], &altered).unwrap_err().code, Code::CoordinatorInconsistent);
    }
}
