//! What a transaction remembers of its failed sessions: who should be chosen last, and whether any signers are left to try.

use super::authorisation::is_passing;
use countersign_wire::group::Group;
use countersign_wire::ids::PartyId;
use countersign_wire::refusal::Code;
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Suspicion {
    spoilt: BTreeMap<PartyId, u32>,
    /// Signers whose session failed for a reason that no retry changes.
    finished_sets: BTreeSet<Vec<u16>>,
}

/// How a started session failed.
pub(super) struct Failed<'a> {
    /// Its signers.
    pub signers: &'a [u16],
    /// Who said so; nobody, if nobody said anything in time.
    pub from: Option<PartyId>,
    /// Whom it blames.
    pub blamed: Option<PartyId>,
    pub code: Code,
}

impl Suspicion {
    /// How many sessions this party may have spoilt.
    pub fn of(&self, party: &PartyId) -> u32 {
        self.spoilt.get(party).copied().unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.spoilt.is_empty()
    }

    /// Takes note of a failed session. Who accuses another is suspected as well: one of the two is wrong, and nobody here
    /// can tell which.
    pub fn note(&mut self, group: &Group, failed: &Failed<'_>) {
        let customer = group.customer();
        let others = failed.signers.iter().filter_map(|index| group.party(*index)).map(|party| party.id);
        let others: Vec<PartyId> = others.filter(|id| Some(*id) != customer).collect();
        let silence = matches!(failed.code, Code::Timeout | Code::Channel | Code::Cancelled);
        let by_customer = failed.from == customer;
        let suspected = |id: &PartyId| match failed.blamed {
            Some(blamed) => *id == blamed || Some(*id) == failed.from,
            None if silence || failed.from.is_none() || by_customer => true,
            None => Some(*id) == failed.from,
        };
        for id in others.into_iter().filter(suspected) {
            let spoilt = self.spoilt.entry(id).or_default();
            *spoilt = spoilt.saturating_add(1);
        }
        if !is_passing(failed.code) {
            self.finished_sets.insert(failed.signers.to_vec());
        }
    }

    /// Whether all signers that the group allows have failed for good.
    pub fn no_signers_are_left(&self, group: &Group) -> bool {
        let clouds = u64::from(group.size().saturating_sub(1));
        let chosen = u64::from(group.threshold.saturating_sub(1));
        u64::try_from(self.finished_sets.len()).is_ok_and(|failed| failed >= combinations(clouds, chosen))
    }
}

/// `n` over `k`, at most `u64::MAX`.
fn combinations(n: u64, k: u64) -> u64 {
    // Each step's division is exact as long as nothing saturates: the product of i + 1 successive numbers.
    (0..k.min(n)).fold(u64::from(k <= n), |all, i| {
        all.saturating_mul(n.saturating_sub(i)).checked_div(i.saturating_add(1)).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signers_are_counted() {
        assert_eq!([(2, 2), (2, 1), (4, 2), (5, 0), (1, 2)].map(|(n, k)| combinations(n, k)), [1, 2, 6, 1, 0]);
    }
}
