//! Signing groups: the parties that hold shares together.

use crate::ids::{GroupId, PartyId, WorkspaceId};
use crate::limits::MAX_PARTIES;
use crate::{List, message};
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeSet;

/// What a co-signer is in its pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Role {
    /// The customer's own co-signer: it alone issues Authorisations.
    Customer = 0,
    /// An independent co-signer: it takes part only under a customer's Authorisation.
    Cloud = 1,
}

/// One party of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Party {
    /// Its identity.
    pub id: PartyId,
    /// Its role.
    pub role: Role,
}

/// A signing group as the workspace proposes it and operators accept it. A party's index is its position in `parties`.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Group {
    /// The workspace that it belongs to.
    pub workspace: WorkspaceId,
    /// Its id.
    pub id: GroupId,
    /// Its parties, sorted by id, exactly one of them the customer's.
    pub parties: List<Party, MAX_PARTIES>,
    /// How many sign, `2 ≤ threshold ≤ parties`.
    pub threshold: u16,
}

message!(Group, "countersign/group", 1, 2048);

/// Why a group is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Fewer than two parties or more than the limit.
    #[error("expected 2 to {MAX_PARTIES} parties, got {0}")]
    Size(usize),
    /// Parties not sorted by id, or one twice.
    #[error("expected parties sorted by id, each once")]
    Order,
    /// Not exactly one customer's co-signer.
    #[error("expected exactly one customer co-signer, got {0}")]
    Customers(usize),
    /// A threshold outside of 2..=parties.
    #[error("expected a threshold from 2 to {parties}, got {threshold}")]
    Threshold {
        /// Number of parties.
        parties: usize,
        /// What was asked.
        threshold: u16,
    },
}

impl Group {
    /// Checks the rules above.
    pub fn check(&self) -> Result<(), GroupError> {
        let n = self.parties.len();
        if n < 2 {
            return Err(GroupError::Size(n));
        }
        if !self.parties.windows(2).all(|w| matches!(w, [a, b] if a.id < b.id)) {
            return Err(GroupError::Order);
        }
        let customers = self.parties.iter().filter(|p| p.role == Role::Customer).count();
        if customers != 1 {
            return Err(GroupError::Customers(customers));
        }
        if self.threshold < 2 || usize::from(self.threshold) > n {
            return Err(GroupError::Threshold { parties: n, threshold: self.threshold });
        }
        Ok(())
    }

    /// The index of a party, if it is one.
    pub fn index_of(&self, id: &PartyId) -> Option<u16> {
        self.parties.iter().position(|p| p.id == *id).and_then(|i| u16::try_from(i).ok())
    }

    /// The party at an index.
    pub fn party(&self, index: u16) -> Option<&Party> {
        self.parties.get(usize::from(index))
    }

    /// The customer's co-signer.
    pub fn customer(&self) -> Option<PartyId> {
        self.parties.iter().find(|p| p.role == Role::Customer).map(|p| p.id)
    }

    /// Number of parties.
    pub fn size(&self) -> u16 {
        u16::try_from(self.parties.len()).unwrap_or(u16::MAX)
    }

    /// Whether `signers` are indices of this group, sorted, each once, exactly the threshold many.
    pub fn are_signers(&self, signers: &[u16]) -> bool {
        let unique: BTreeSet<u16> = signers.iter().copied().collect();
        signers.len() == usize::from(self.threshold)
            && unique.len() == signers.len()
            && unique.iter().copied().eq(signers.iter().copied())
            && signers.iter().all(|i| *i < self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(ids: &[(u8, Role)], threshold: u16) -> Group {
        let parties = ids.iter().map(|(b, role)| Party { id: PartyId([*b; 32]), role: *role }).collect();
        Group { workspace: WorkspaceId([0; 16]), id: GroupId([0; 16]), parties: List::new(parties).unwrap(), threshold }
    }

    #[test]
    fn a_group_has_sorted_parties_one_customer_and_a_sane_threshold() {
        use Role::{Cloud, Customer};
        assert_eq!(group(&[(1, Cloud), (2, Customer), (3, Cloud)], 3).check(), Ok(()));
        assert_eq!(group(&[(2, Customer), (1, Cloud)], 2).check(), Err(GroupError::Order));
        assert_eq!(group(&[(1, Cloud), (1, Customer)], 2).check(), Err(GroupError::Order));
        assert_eq!(group(&[(1, Cloud), (2, Cloud)], 2).check(), Err(GroupError::Customers(0)));
        assert_eq!(group(&[(1, Customer), (2, Customer)], 2).check(), Err(GroupError::Customers(2)));
        assert!(matches!(group(&[(1, Customer), (2, Cloud)], 1).check(), Err(GroupError::Threshold { .. })));
        assert!(matches!(group(&[(1, Customer), (2, Cloud)], 3).check(), Err(GroupError::Threshold { .. })));
        assert_eq!(group(&[(1, Customer)], 2).check(), Err(GroupError::Size(1)));
    }

    #[test]
    fn t17_signers_are_known_sorted_and_unique() {
        let g = group(&[(1, Role::Cloud), (2, Role::Customer), (3, Role::Cloud)], 2);
        assert!(g.are_signers(&[0, 2]));
        for bad in [&[0u16][..], &[2, 0], &[1, 1], &[1, 3], &[0, 1, 2]] {
            assert!(!g.are_signers(bad), "{bad:?}");
        }
    }
}
