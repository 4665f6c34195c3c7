//! The addresses of public keys.

use countersign_mpc::public;
use countersign_wire::key::PublicKey;
use sha3::{Digest, Keccak256};

/// The address of a public key, with its checksum (EIP-55). `None` where it is no public key.
pub fn address(public_key: &PublicKey) -> Option<String> {
    let uncompressed = public::uncompressed(public_key).ok()?;
    let (_, point) = uncompressed.split_first()?;
    let hash = Keccak256::digest(point);
    Some(with_checksum(&hex::encode(hash.get(12..)?)))
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
        assert_eq!(address(&generator).unwrap(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
        assert_eq!(address(&[0; 33]), None);
    }
}
