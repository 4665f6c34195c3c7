//! Signing groups: the workspace proposes, operators accept.

use crate::serving::{Cx, PairingState};
use crate::state::GroupRecord;
use countersign_wire::Message;
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::group::Group;
use countersign_wire::refusal::{Code, Refusal};

impl PairingState {
    fn check_group(&self, group: &Group) -> Result<(), Refusal> {
        group.check().map_err(|e| Refusal::new(Code::Malformed, e.to_string()))?;
        let own = group.parties.iter().find(|p| p.id == self.party());
        let own = own.ok_or_else(|| Refusal::new(Code::PartyIndex, "this co-signer is not in the group"))?;
        if group.workspace != self.record.workspace {
            return Err(Refusal::new(Code::NotFound, "the group is of another workspace"));
        }
        if own.role != self.record.role {
            return Err(Refusal::new(
                Code::Mismatch,
                "the group gives this co-signer another role than its operators did",
            ));
        }
        Ok(())
    }

    /// The workspace proposes a group. It changes nothing until operators accept exactly it.
    pub(crate) fn propose_group(&mut self, cx: &mut Cx<'_>, group: Group) {
        if let Some(known) = self.record.groups.iter().find(|g| g.group.id == group.id) {
            if known.group == group && known.accepted {
                let accepted = CosignerMessage::GroupAccepted { group: group.id, hash: group.digest() };
                self.tell(cx, &accepted);
            }
            return;
        }
        if let Err(refusal) = self.check_group(&group) {
            tracing::warn!(group = %group.id, %refusal, "a proposed group was dropped");
            return;
        }
        if self.record.groups.push(GroupRecord { group, accepted: false }).is_ok() {
            self.save(cx);
            self.hello(cx);
        }
    }

    /// An operator accepts a group.
    pub(crate) fn accept_group(&mut self, cx: &mut Cx<'_>, group: &Group) -> Result<(), Refusal> {
        self.check_group(group)?;
        let known = self.record.groups.iter_mut().find(|g| g.group.id == group.id);
        let known = known
            .ok_or_else(|| Refusal::new(Code::NotFound, format!("the workspace proposed no group {}", group.id)))?;
        if known.group != *group {
            return Err(Refusal::new(
                Code::Mismatch,
                "the proposed group is not the one that was accepted; list the groups again",
            ));
        }
        known.accepted = true;
        self.save(cx);
        self.tell(cx, &CosignerMessage::GroupAccepted { group: group.id, hash: group.digest() });
        self.hello(cx);
        Ok(())
    }
}
