use super::users::CosignerUsers;
use countersign_wire::ceremony::GroupState;
use countersign_wire::ids::{ApiUserId, BootId, GroupId, PartyId};
use std::collections::BTreeMap;

/// What the coordinator knows about one co-signer. Nothing of it is durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartyView {
    /// Whether its link is up.
    pub connected: bool,
    /// Whether its Hello came since its link came up.
    pub greeted: bool,
    /// Its boot, as its last Hello said.
    pub boot: Option<BootId>,
    /// The state of its groups, as its last Hello said.
    pub groups: BTreeMap<GroupId, GroupState>,
    /// Version of its software, as its last Hello said.
    pub version: String,
    /// Its API users, as it said last.
    pub users: Option<CosignerUsers>,
    /// Unix time in ms of its last message.
    pub last_seen_ms: u64,
}

/// All co-signers that were ever seen since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parties(BTreeMap<PartyId, PartyView>);

impl Parties {
    /// One of them.
    pub fn get(&self, party: &PartyId) -> Option<&PartyView> {
        self.0.get(party)
    }

    /// Whether its link is up.
    pub fn is_connected(&self, party: &PartyId) -> bool {
        self.get(party).is_some_and(|p| p.connected)
    }

    /// How ready it says that a group is.
    pub fn group_state(&self, party: &PartyId, group: &GroupId) -> Option<GroupState> {
        self.get(party).and_then(|p| p.groups.get(group)).copied()
    }

    /// The digest of how an API user's requests are approved, as the co-signer said last.
    pub fn approval_of(&self, party: &PartyId, user: &ApiUserId) -> Option<[u8; 32]> {
        let users = self.get(party).and_then(|p| p.users.as_ref());
        users.and_then(|u| u.users.get(user)).map(|(_, digest)| *digest)
    }

    /// Whether `boot` can be its current one: no Hello said otherwise.
    pub fn may_be_boot(&self, party: &PartyId, boot: &BootId) -> bool {
        self.get(party).and_then(|p| p.boot).is_none_or(|b| b == *boot)
    }

    pub(super) fn entry(&mut self, party: PartyId) -> &mut PartyView {
        self.0.entry(party).or_default()
    }
}
