//! Ethereum addresses of public keys.

use k256::elliptic_curve::sec1::ToEncodedPoint;
use sha3::{Digest, Keccak256};

/// The address of a compressed secp256k1 public key with its checksum in upper and lower case (EIP-55); `None` where the
/// bytes are no point of the curve.
pub fn address(public_key: &[u8; 33]) -> Option<String> {
    let point = k256::PublicKey::from_sec1_bytes(public_key).ok()?.to_encoded_point(false);
    let hash = Keccak256::digest(point.as_bytes().get(1..)?);
    Some(checksummed(hash.get(12..)?))
}

fn checksummed(bytes: &[u8]) -> String {
    let lower = hex::encode(bytes);
    let hash = hex::encode(Keccak256::digest(lower.as_bytes()));
    let cased = lower.chars().zip(hash.chars()).map(|(c, h)| if h >= '8' { c.to_ascii_uppercase() } else { c });
    format!("0x{}", cased.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_the_eip_come_out() {
        for address in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            assert_eq!(checksummed(&hex::decode(&address[2..]).unwrap()), address);
        }
    }

    #[test]
    fn a_known_key_has_its_known_address() {
        // The generator, the public key of secret 1.
        let generator = hex::decode("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap();
        let generator: [u8; 33] = generator.try_into().unwrap();
        assert_eq!(address(&generator).as_deref(), Some("0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"));
        assert_eq!(address(&[2; 33]).is_some(), k256::PublicKey::from_sec1_bytes(&[2; 33]).is_ok());
        assert_eq!(address(&[0xff; 33]), None);
    }
}
