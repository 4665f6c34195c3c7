//! Execution ids: never the same twice, and bound to everything that selects key, path and digest.

use crate::limits::MAX_EXECUTIONS;
use countersign_wire::Signed;
use countersign_wire::ceremony::{Ready, Work};
use countersign_wire::group::Group;
use countersign_wire::ids::SessionId;
use countersign_wire::message::digest_of;
use countersign_wire::refusal::{Code, Refusal};
use std::collections::{BTreeSet, VecDeque};

/// The execution id of a session: SHA-256 over protocol, session, work (key, epoch, path and digest are inside, through the
/// request and the Authorisation), the group (ordered identities and threshold), the signers, and every Ready in party
/// order. The Readies' randomness makes it unique even if the coordinator repeats a session id.
pub(crate) fn execution_id(
    session: &SessionId,
    work: &Work,
    work_hash: &[u8; 32],
    group_hash: &[u8; 32],
    group: &Group,
    signers: &[u16],
    readies: &[Signed<Ready>],
) -> [u8; 32] {
    let protocol = match work {
        Work::Aux { .. } => "cggmp24/aux-info",
        Work::Keygen { .. } => "cggmp24/keygen",
        Work::Sign { .. } => "cggmp24/full-signing",
    };
    let digests: Vec<[u8; 32]> = readies.iter().map(Signed::body_digest).collect();
    let fields = (protocol, session, work_hash, group_hash, group.threshold, signers, digests);
    digest_of("countersign/execution/v1", &borsh::to_vec(&fields).unwrap_or_default())
}

/// The execution ids of this boot, the last [`MAX_EXECUTIONS`] of them. Ids carry our own fresh randomness, so forgetting
/// the oldest cannot let one be repeated in practice.
#[derive(Default)]
pub(crate) struct Executions {
    known: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Executions {
    /// Remembers an execution id; a repeated one is refused (threat T14).
    pub(super) fn use_once(&mut self, execution: [u8; 32]) -> Result<(), Refusal> {
        if !self.known.insert(execution) {
            return Err(Refusal::new(Code::ExecutionRepeated, "this execution ran before; prepare a new session"));
        }
        self.order.push_back(execution);
        if self.order.len() > MAX_EXECUTIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t14_a_repeated_execution_id_is_refused() {
        let mut used = Executions::default();
        assert!(used.use_once([1; 32]).is_ok());
        assert_eq!(used.use_once([1; 32]).unwrap_err().code, Code::ExecutionRepeated);
    }

    #[test]
    fn t14_the_oldest_execution_ids_are_forgotten_first_whatever_their_value() {
        let id = |n: usize| digest_of("test", &n.to_be_bytes());
        let mut used = Executions::default();
        for n in 0..MAX_EXECUTIONS + 10 {
            used.use_once(id(n)).unwrap();
        }
        assert_eq!((used.known.len(), used.order.len()), (MAX_EXECUTIONS, MAX_EXECUTIONS));
        for n in 10..MAX_EXECUTIONS + 10 {
            assert_eq!(used.use_once(id(n)).unwrap_err().code, Code::ExecutionRepeated);
        }
        assert!(used.use_once(id(0)).is_ok());
    }
}
