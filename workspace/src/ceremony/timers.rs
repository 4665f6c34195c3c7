use countersign_wire::ids::{ChangeId, GroupId, KeyId, TransactionId};
use std::collections::{BTreeMap, BTreeSet};

/// Which ceremony.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Group(GroupId),
    Key(KeyId),
    Transaction(TransactionId),
    Certificate(u32, String),
    Change(ChangeId),
}

/// When each ceremony has to be looked at next.
#[derive(Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(u64, Owner)>,
    by_owner: BTreeMap<Owner, u64>,
}

impl Timers {
    pub fn set(&mut self, owner: &Owner, at_ms: Option<u64>) {
        if let Some(old) = self.by_owner.remove(owner) {
            self.by_time.remove(&(old, owner.clone()));
        }
        if let Some(at_ms) = at_ms {
            self.by_owner.insert(owner.clone(), at_ms);
            self.by_time.insert((at_ms, owner.clone()));
        }
    }

    /// The time of the first.
    pub fn first_ms(&self) -> Option<u64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// One that is due.
    pub fn due(&self, now_ms: u64) -> Option<Owner> {
        self.by_time.first().filter(|(at, _)| *at <= now_ms).map(|(_, owner)| owner.clone())
    }
}
