//! Whether a word about a configuration change counts.

use super::record::{Approver, ChangeRecord};
use countersign_wire::callback::ChangeApproval;
use countersign_wire::ids::WorkspaceId;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{Message, Signed};

/// Opens a word and compares it with what was asked: signed with the approving API user's own key, about this very change of
/// this workspace.
pub(super) fn check(
    signed: &Signed<ChangeApproval>,
    record: &ChangeRecord,
    approver: &Approver,
    workspace: WorkspaceId,
) -> Result<ChangeApproval, Refusal> {
    let word = signed.open(&approver.approval_key).map_err(|e| Refusal::new(Code::NotAuthorised, e.to_string()))?;
    let checks = [
        (word.workspace == workspace, "workspace"),
        (word.change == record.change.id, "change"),
        (word.signer == record.change.signer, "API user"),
        (word.change_hash == record.change.digest(), "content"),
    ];
    match checks.into_iter().find(|(fits, _)| !fits) {
        Some((_, what)) => {
            Err(Refusal::new(Code::Mismatch, format!("the word about the change is for another {what}")))
        }
        None => Ok(word),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::record::Payload;
    use super::*;
    use countersign_wire::callback::{ChangeVerdict, ConfigChange};
    use countersign_wire::ids::{ChangeId, PartyId};
    use countersign_wire::{Bytes, SigningIdentity, Text};

    const WORKSPACE: WorkspaceId = WorkspaceId([9; 16]);

    #[test]
    fn t25_a_word_counts_with_the_users_own_key_and_about_exactly_what_was_shown() {
        let key = SigningIdentity::from_secret(&[1; 32]);
        let approver = Approver { party: PartyId([2; 32]), approval_key: key.public() };
        let change = ConfigChange {
            id: ChangeId([3; 16]),
            signer: "signer".parse().unwrap(),
            kind: Text::new("ADD_USER").unwrap(),
            extra_info: Bytes::new(b"{}".to_vec()).unwrap(),
        };
        let payload = Payload::AddWallet { wallet: "w".into(), name: "w".into(), customer_ref_id: None };
        let by = "admin".parse().unwrap();
        let record = ChangeRecord::new(change.clone(), Some(approver.clone()), payload, by, 0);
        let good = ChangeApproval {
            workspace: WORKSPACE,
            change: change.id,
            signer: change.signer.clone(),
            change_hash: change.digest(),
            request_id: Text::new("r").unwrap(),
            verdict: ChangeVerdict::Approve,
            reason: Text::default(),
            decided_at_ms: 1,
        };
        let verdict = |word: &ChangeApproval, key: &SigningIdentity| {
            check(&Signed::sign(word, key), &record, &approver, WORKSPACE).map_err(|refusal| refusal.code)
        };
        assert_eq!(verdict(&good, &key), Ok(good.clone()));
        assert_eq!(verdict(&good, &SigningIdentity::from_secret(&[4; 32])), Err(Code::NotAuthorised));
        let other = ConfigChange { extra_info: Bytes::new(b"{ }".to_vec()).unwrap(), ..change };
        for bad in [
            ChangeApproval { workspace: WorkspaceId([8; 16]), ..good.clone() },
            ChangeApproval { change: ChangeId([4; 16]), ..good.clone() },
            ChangeApproval { signer: "other".parse().unwrap(), ..good.clone() },
            ChangeApproval { change_hash: other.digest(), ..good.clone() },
        ] {
            assert_eq!(verdict(&bad, &key), Err(Code::Mismatch), "{bad:?}");
        }
    }
}
