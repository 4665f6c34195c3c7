//! Execution ids: never the same twice, and bound to everything that selects key, path and digest.

use crate::limits::MAX_EXECUTIONS;
use countersign_wire::Signed;
use countersign_wire::ceremony::{Ready, Work};
use countersign_wire::group::Group;
use countersign_wire::ids::SessionId;
use countersign_wire::message::digest_of;
use countersign_wire::refusal::{Code, Refusal};
use std::collections::BTreeSet;

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

/// Remembers an execution id; a repeated one is refused (threat T14).
pub(crate) fn use_once(used: &mut BTreeSet<[u8; 32]>, execution: [u8; 32]) -> Result<(), Refusal> {
    if used.contains(&execution) {
        return Err(Refusal::new(Code::ExecutionRepeated, "this execution ran before; prepare a new session"));
    }
    if used.len() >= MAX_EXECUTIONS {
        // Ids carry our own fresh randomness, so forgetting the oldest half cannot let one be repeated in practice.
        let keep = used.split_off(&[0x80; 32]);
        *used = keep;
    }
    used.insert(execution);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t14_a_repeated_execution_id_is_refused() {
        let mut used = BTreeSet::new();
        assert!(use_once(&mut used, [1; 32]).is_ok());
        assert_eq!(use_once(&mut used, [1; 32]).unwrap_err().code, Code::ExecutionRepeated);
    }
}
