//! Key certificates: the customer's co-signer's word that an address belongs to its key.

use crate::ids::{ApiUserId, GroupId, KeyId, PartyId, WorkspaceId};
use crate::key::{Algorithm, DerivationPath, Operation, PublicKey};
use crate::limits::MAX_PARTIES;
use crate::{List, Text, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// What is certified. Signed with the identity of the customer's co-signer in that pairing. Never fund an address without it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyCertificate {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The vault account, as the HTTP API names it.
    pub vault_account: u32,
    /// The asset, as the HTTP API names it, `ETH` for example.
    pub asset: Text<32>,
    /// The key from which the public key is derived.
    pub key: KeyId,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The API user whose settings at this co-signer (handler, RAW) rule over the key. The workspace chose it when the key
    /// was made, so whoever funds the address compares it.
    pub signer: ApiUserId,
    /// What the key may sign; sorted, each once. `RAW` among them: any hash.
    pub operations: List<Operation, 8>,
    /// The derivation path.
    pub path: DerivationPath,
    /// The derived public key, compressed.
    pub public_key: PublicKey,
    /// The address in the asset's own form (EIP-55 for Ethereum).
    pub address: Text<128>,
    /// The group that holds the key.
    pub group: GroupId,
    /// Its parties in order.
    pub parties: List<PartyId, MAX_PARTIES>,
    /// How many of them sign.
    pub threshold: u16,
    /// The epoch of the share set.
    pub epoch: u32,
}

message!(KeyCertificate, "countersign/key-certificate", 2, 4096);
