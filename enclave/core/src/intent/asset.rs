//! The assets that this co-signer knows: compiled in, hence measured. Nobody outside can add one.

/// An asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its id in the HTTP API.
    pub id: &'static str,
    /// SLIP-44 coin type: the second element of all its paths.
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

/// The asset of this id.
pub fn asset(id: &str) -> Option<Asset> {
    ASSETS.into_iter().find(|asset| asset.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_found_by_their_exact_id() {
        let found = |id| asset(id).map(|a| (a.coin_type, a.chain_id));
        assert_eq!(found("ETH"), Some((60, 1)));
        assert_eq!(found("ETH_TEST5"), Some((1, 11_155_111)));
        assert_eq!(found("ETH_TEST6"), Some((1, 17_000)));
        assert_eq!(found("eth"), None);
        assert_eq!(found("BTC"), None);
    }
}
