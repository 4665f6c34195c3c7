//! Ceremonies of one pairing: Prepare → Ready → Start → rounds → Done or Aborted, and the agreement about outcomes.

mod agreement;
mod authorise;
mod certify;
mod early;
mod evidence;
mod execution;
mod peers;
mod prepare;
mod rounds;
mod session;
mod sign;
mod start;
mod suspension;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;

pub(crate) use peers::Peers;
pub(crate) use session::Session;
pub(crate) use sign::Understood;

use crate::serving::{Cx, PairingState};
use countersign_wire::ceremony::{CosignerMessage, GroupState, ToCosigner, WorkspaceMessage};
use countersign_wire::ids::{GroupId, SessionId};
use countersign_wire::peer::Packet;
use countersign_wire::relay::RelayDown;
use countersign_wire::{List, Message, Signed};
use std::collections::{BTreeMap, BTreeSet};

/// What runs in a pairing; nothing of it outlives the boot.
pub(crate) struct Ceremonies {
    pub sessions: BTreeMap<SessionId, Session>,
    pub peers: Peers,
    pub executions: execution::Executions,
    /// Sessions whose outcome this party signed never to hold.
    pub forsworn: BTreeSet<SessionId>,
    pub evidence: evidence::EvidenceLog,
    /// Jobs that outlive their session until they said whether what they were given was true.
    pub unsettled: BTreeMap<u64, verdict::Unsettled>,
}

impl Ceremonies {
    pub(crate) fn new(channel_key: countersign_channel::StaticKey) -> Self {
        Self {
            sessions: BTreeMap::new(),
            peers: Peers::new(channel_key),
            executions: execution::Executions::default(),
            forsworn: BTreeSet::new(),
            evidence: evidence::EvidenceLog::default(),
            unsettled: BTreeMap::new(),
        }
    }
}

impl PairingState {
    /// A frame came over the pairing's link. What cannot be authenticated is dropped and counted: the host may have made it.
    pub(crate) fn link_data(&mut self, cx: &mut Cx<'_>, frame: &[u8]) {
        match RelayDown::decode(frame) {
            Ok(RelayDown::Workspace(bytes)) => self.workspace_data(cx, &bytes),
            Ok(RelayDown::Peer { from, packet }) => match Packet::decode(&packet) {
                Ok(packet) => self.peer_packet(cx, from, packet),
                Err(_) => cx.counts.channel_errors += 1,
            },
            Err(_) => cx.counts.channel_errors += 1,
        }
    }

    fn workspace_data(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        let opened =
            borsh::from_slice::<Signed<ToCosigner>>(bytes).ok().and_then(|s| s.open(&self.record.message_key).ok());
        let Some(ToCosigner { to, message }) = opened else {
            cx.counts.channel_errors += 1;
            return;
        };
        if to != self.party() {
            cx.counts.channel_errors += 1;
            return;
        }
        match message {
            WorkspaceMessage::ProposeGroup(group) => self.propose_group(cx, group),
            WorkspaceMessage::Authorise(request) => self.authorise(cx, request),
            WorkspaceMessage::ApproveChange(change) => self.approve_change(cx, change),
            WorkspaceMessage::ProposeApproval { change, user, approval } => {
                self.propose_approval(change, user, approval)
            }
            WorkspaceMessage::Prepare { session, deadline_ms, work } => self.prepare(cx, session, deadline_ms, work),
            WorkspaceMessage::Start { session, signers, readies } => self.start(cx, session, &signers, &readies),
            WorkspaceMessage::Cancel { session } => self.cancel(cx, session),
            WorkspaceMessage::Query { group, subject, session } => self.query(cx, group, subject, session),
            WorkspaceMessage::Commit { subject, session, held } => self.commit(cx, subject, session, &held),
            WorkspaceMessage::Publish { subject, session, durable } => self.publish(cx, subject, session, &durable),
            WorkspaceMessage::Discard { subject, session, party, never } => {
                self.discard(cx, subject, session, party, &never)
            }
            WorkspaceMessage::Certify { key, vault_account, asset } => self.certify(cx, key, vault_account, asset),
            WorkspaceMessage::Withdraw { transaction } => self.withdraw(cx, transaction),
        }
    }

    /// How ready a group is here.
    pub(crate) fn group_state(&self, id: &GroupId) -> GroupState {
        use crate::state::Agreed;
        if self.record.accepted_group(id).is_none() {
            return GroupState::Proposed;
        }
        match self.aux.get(id).map(|aux| aux.agreed) {
            Some(Agreed::Held) => GroupState::AuxPending,
            Some(Agreed::Durable | Agreed::Published) => GroupState::Ready,
            None if self.primes.contains_key(id) => GroupState::AwaitingAux,
            None => GroupState::FindingPrimes,
        }
    }

    /// Tells the workspace which boot this is and how ready its groups are.
    pub(crate) fn hello(&self, cx: &mut Cx<'_>) {
        let groups = self.record.groups.iter().map(|g| (g.group.id, self.group_state(&g.group.id))).collect();
        let hello = CosignerMessage::Hello {
            boot: cx.boot,
            role: self.record.role,
            version: countersign_wire::Text::cut(cx.caps.version),
            groups: List::cut(groups),
        };
        self.tell(cx, &hello);
    }
}
