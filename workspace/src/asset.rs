//! The assets that vault accounts can have. Co-signers have their own, measured table; this one only chooses keys, and
//! says at once what would be refused there.

use countersign_mpc::public;
use countersign_wire::key::{DerivationPath, Operation, PathError, PublicKey};
use sha3::{Digest, Keccak256};

/// What a new key of every asset is made for.
pub const OPERATIONS: [Operation; 4] =
    [Operation::Raw, Operation::TypedMessage, Operation::Transfer, Operation::ContractCall];
/// The same where no operator allows bare hashes.
pub const OPERATIONS_WITHOUT_RAW: [Operation; 3] =
    [Operation::TypedMessage, Operation::Transfer, Operation::ContractCall];

/// An asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its id in the HTTP API.
    pub id: &'static str,
    /// SLIP-44 coin type: 60 is Ether, 1 is every test network.
    pub coin_type: u32,
    /// Chain id (EIP-155).
    pub chain_id: u64,
    /// The highest fee that co-signers take in one transaction, in Wei: gas limit × highest price of one gas.
    pub max_fee_wei: u64,
}

/// Half an Ether: the co-signers' cap.
const MAX_FEE_WEI: u64 = 500_000_000_000_000_000;
/// The same of test networks, ten Ether.
const MAX_TEST_FEE_WEI: u64 = 10_000_000_000_000_000_000;

const ASSETS: [Asset; 3] = [
    Asset { id: "ETH", coin_type: 60, chain_id: 1, max_fee_wei: MAX_FEE_WEI },
    Asset { id: "ETH_TEST5", coin_type: 1, chain_id: 11_155_111, max_fee_wei: MAX_TEST_FEE_WEI },
    Asset { id: "ETH_TEST6", coin_type: 1, chain_id: 17_000, max_fee_wei: MAX_TEST_FEE_WEI },
];

/// The asset of this id.
pub fn find(id: &str) -> Option<Asset> {
    ASSETS.into_iter().find(|asset| asset.id == id)
}

impl Asset {
    /// The path of a vault account's address: `44 / coin type / vault account / 0 / 0`.
    ///
    /// # Errors
    /// The vault account's number is 2^31 or more.
    pub fn path(&self, vault_account: u32) -> Result<DerivationPath, PathError> {
        DerivationPath::vault(self.coin_type, vault_account, 0, 0)
    }

    /// The address of a public key, with its checksum (EIP-55). `None` where it is no public key.
    pub fn address(&self, public_key: &PublicKey) -> Option<String> {
        let uncompressed = public::uncompressed(public_key).ok()?;
        let (_, point) = uncompressed.split_first()?;
        let hash = Keccak256::digest(point);
        Some(with_checksum(&hex::encode(hash.get(12..)?)))
    }
}

fn with_checksum(lower: &str) -> String {
    let hash = hex::encode(Keccak256::digest(lower.as_bytes()));
    let mut address = String::from("0x");
    for (digit, by) in lower.chars().zip(hash.chars()) {
        address.push(if by >= '8' { digit.to_ascii_uppercase() } else { digit });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_eip_55() {
        for example in ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"] {
            assert_eq!(with_checksum(&example[2..].to_lowercase()), example);
        }
    }

    #[test]
    fn the_address_of_the_generator_is_the_well_known_one_of_secret_key_one() {
        let mut generator = [2; 33];
        generator[1..]
            .copy_from_slice(&hex::decode("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap());
        let eth = find("ETH").unwrap();
        assert_eq!(eth.address(&generator).unwrap(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
        assert_eq!(eth.address(&[0; 33]), None);
        assert_eq!(eth.path(7).unwrap().elements(), [44, 60, 7, 0, 0]);
    }
}
