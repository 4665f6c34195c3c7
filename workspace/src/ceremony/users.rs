//! What a co-signer says about itself and its API users.

use countersign_wire::ids::{ApiUserId, PartyId};
use countersign_wire::status::ApprovalKind;
use std::collections::BTreeMap;

/// A co-signer's API users, as it said last. Nothing but what is shown follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerUsers {
    /// The co-signer.
    pub party: PartyId,
    /// Its name, for people; may be empty.
    pub name: String,
    /// Who is paired, how requests are approved, and the digest of that setting.
    pub users: BTreeMap<ApiUserId, (ApprovalKind, [u8; 32])>,
}
