//! What Ethereum's transactions and typed data may be: a workspace says at once what its co-signers would refuse, so both
//! read the same table. It is part of what an enclave image measures.

use crate::key::{DerivationPath, PathError};

/// An asset that vault accounts can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its id in the HTTP API.
    pub id: &'static str,
    /// Its coin type (SLIP-44), the second element of a vault account's path.
    pub coin_type: u32,
    /// Its chain (EIP-155).
    pub chain_id: u64,
    /// Decimals of its smallest unit.
    pub decimals: usize,
    /// The highest fee that one transaction may offer, in wei: gas limit × highest price of one gas.
    pub max_fee_wei: u64,
}

/// Half an Ether pays for a large call (1,000,000 gas) at 500 Gwei and for a plain transfer at more than 23,000: prices of
/// days when a chain is overrun. What is above is a mistake, or a workspace that burns its customer's money or hands it to
/// whoever proposes the block. Nobody can raise the cap from outside: it is measured.
const MAX_FEE_WEI: u64 = 500_000_000_000_000_000;
/// What test networks pay with is worth nothing, and their prices jump: this cap only stops nonsense.
const MAX_TEST_FEE_WEI: u64 = 10_000_000_000_000_000_000;

/// SLIP-44: 60 is Ether, 1 is every test network. Chains: the main one, Sepolia, Holesky.
const ASSETS: [Asset; 3] = [
    Asset { id: "ETH", coin_type: 60, chain_id: 1, decimals: 18, max_fee_wei: MAX_FEE_WEI },
    Asset { id: "ETH_TEST5", coin_type: 1, chain_id: 11_155_111, decimals: 18, max_fee_wei: MAX_TEST_FEE_WEI },
    Asset { id: "ETH_TEST6", coin_type: 1, chain_id: 17_000, decimals: 18, max_fee_wei: MAX_TEST_FEE_WEI },
];

impl Asset {
    /// The asset of this id.
    pub fn find(id: &str) -> Option<Self> {
        ASSETS.into_iter().find(|asset| asset.id == id)
    }

    /// The path of a vault account's address: `44 / coin type / vault account / 0 / 0`.
    ///
    /// # Errors
    /// The vault account's number is 2^31 or more.
    pub fn path(&self, vault_account: u32) -> Result<DerivationPath, PathError> {
        DerivationPath::vault(self.coin_type, vault_account, 0, 0)
    }
}

/// Addresses in one access list (EIP-2930).
pub const MAX_ACCESSED_ADDRESSES: usize = 128;
/// Storage keys in one access list, of all its addresses.
pub const MAX_ACCESSED_KEYS: usize = 256;

/// Types of one typed-data document (EIP-712).
pub const MAX_TYPES: usize = 64;
/// Members of one type.
pub const MAX_MEMBERS: usize = 64;
/// Types within types.
pub const MAX_DEPTH: usize = 16;
/// Bytes of a name of a type or a member.
pub const MAX_IDENTIFIER_BYTES: usize = 128;
/// Dimensions of an array.
pub const MAX_DIMENSIONS: usize = 4;
/// Items of one array.
pub const MAX_ARRAY_ITEMS: usize = 4096;

/// The type of a domain.
pub const DOMAIN: &str = "EIP712Domain";
/// The members that a domain may have, in the order of the standard.
pub const DOMAIN_MEMBERS: [(&str, &str); 5] = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_found_by_their_exact_id_and_have_the_paths_of_their_coins() {
        let found = |id| Asset::find(id).map(|a| (a.coin_type, a.chain_id));
        assert_eq!(found("ETH"), Some((60, 1)));
        assert_eq!(found("ETH_TEST5"), Some((1, 11_155_111)));
        assert_eq!(found("ETH_TEST6"), Some((1, 17_000)));
        assert_eq!(found("eth"), None);
        assert_eq!(found("BTC"), None);
        assert_eq!(Asset::find("ETH").unwrap().path(7).unwrap().elements(), [44, 60, 7, 0, 0]);
    }
}
