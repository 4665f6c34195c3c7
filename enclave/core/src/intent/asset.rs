//! The assets that this co-signer knows: compiled in, hence measured. Nobody outside can add one.

use sha3::{Digest as _, Keccak256};

/// An asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its id in the HTTP API.
    pub id: &'static str,
    /// SLIP-44 coin type: the second element of all its paths.
    pub coin_type: u32,
}

/// SLIP-44: 60 is Ether, 1 is every test network.
const ASSETS: [Asset; 3] = [
    Asset { id: "ETH", coin_type: 60 },
    Asset { id: "ETH_TEST5", coin_type: 1 },
    Asset { id: "ETH_TEST6", coin_type: 1 },
];

/// The asset of this id.
pub fn asset(id: &str) -> Option<Asset> {
    ASSETS.into_iter().find(|asset| asset.id == id)
}

/// The Ethereum address of an uncompressed secp256k1 public key (SEC 1, section 2.3.3), with its checksum (EIP-55).
pub fn ethereum_address(uncompressed: &[u8; 65]) -> String {
    let [_, point @ ..] = uncompressed;
    let hash: [u8; 32] = Keccak256::digest(point).into();
    let [_, _, _, _, _, _, _, _, _, _, _, _, address @ ..] = hash;
    with_checksum(&address)
}

/// EIP-55: a letter is upper-case where the digit of the hash over the lower-case text is 8 or more.
fn with_checksum(address: &[u8; 20]) -> String {
    let lower = hex::encode(address);
    let hash = hex::encode(Keccak256::digest(lower.as_bytes()));
    let digits = lower.chars().zip(hash.chars());
    let cased = digits.map(|(digit, by)| if by >= '8' { digit.to_ascii_uppercase() } else { digit });
    format!("0x{}", cased.collect::<String>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The examples of EIP-55.
    #[test]
    fn checksums_are_those_of_eip_55() {
        for expected in [
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
            "0xde709f2102306220921060314715629080e2fb77",
            "0x27b1fdb04752bbc536007a920d24acb045561c26",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            let address: [u8; 20] = hex::decode(&expected[2..]).unwrap().try_into().unwrap();
            assert_eq!(with_checksum(&address), expected);
        }
    }

    #[test]
    fn the_generators_address_is_the_known_one() {
        let generator = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
                         483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
        let key: [u8; 65] = hex::decode(generator).unwrap().try_into().unwrap();
        assert_eq!(ethereum_address(&key), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
    }

    #[test]
    fn assets_are_found_by_their_exact_id() {
        assert_eq!(asset("ETH").map(|a| a.coin_type), Some(60));
        assert_eq!(asset("ETH_TEST5").map(|a| a.coin_type), Some(1));
        assert_eq!(asset("eth"), None);
        assert_eq!(asset("BTC"), None);
    }
}
