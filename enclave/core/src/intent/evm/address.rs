//! Ethereum addresses, and the checksum in their letters' case (EIP-55).

use sha3::{Digest as _, Keccak256};

/// An address: the last 20 bytes of the Keccak-256 of a public key, or a contract's.
pub type Address = [u8; 20];

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another form.
    #[error("expected an address of 0x and 40 hexadecimal digits")]
    Form,
    /// Upper and lower case that are no checksum: most likely a mistyped address.
    #[error("the address is in upper and lower case and its checksum (EIP-55) is wrong: check it digit by digit")]
    Checksum,
}

/// The Ethereum address of an uncompressed secp256k1 public key (SEC 1, section 2.3.3), with its checksum.
pub fn ethereum_address(uncompressed: &[u8; 65]) -> String {
    let [_, point @ ..] = uncompressed;
    let hash: [u8; 32] = Keccak256::digest(point).into();
    let [_, _, _, _, _, _, _, _, _, _, _, _, address @ ..] = hash;
    checksummed(&address)
}

/// An address as text. A letter is upper-case where the digit of the hash over the lower-case text is 8 or more.
pub fn checksummed(address: &Address) -> String {
    let lower = hex::encode(address);
    let hash = hex::encode(Keccak256::digest(lower.as_bytes()));
    let digits = lower.chars().zip(hash.chars());
    let cased = digits.map(|(digit, by)| if by >= '8' { digit.to_ascii_uppercase() } else { digit });
    format!("0x{}", cased.collect::<String>())
}

/// Reads an address. Where it is written in both cases, they must be its checksum.
pub fn address(text: &str) -> Result<Address, AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::Form)?;
    let address: Address =
        hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(AddressError::Form)?;
    let (upper, lower) = (|c: char| c.is_ascii_uppercase(), |c: char| c.is_ascii_lowercase());
    let mixed = digits.contains(upper) && digits.contains(lower);
    if mixed && checksummed(&address) != text {
        return Err(AddressError::Checksum);
    }
    Ok(address)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The examples of EIP-55.
    const EXAMPLES: [&str; 8] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn checksums_are_those_of_eip_55() {
        for expected in EXAMPLES {
            let bytes: Address = hex::decode(&expected[2..]).unwrap().try_into().unwrap();
            assert_eq!(checksummed(&bytes), expected);
            assert_eq!(address(expected), Ok(bytes));
            assert_eq!(address(&expected.to_lowercase()), Ok(bytes));
            assert_eq!(address(&format!("0x{}", expected[2..].to_uppercase())), Ok(bytes));
        }
    }

    #[test]
    fn one_letter_in_the_wrong_case_is_noticed() {
        let right = EXAMPLES[4];
        for (at, letter) in right.char_indices().skip(2).filter(|(_, c)| c.is_ascii_alphabetic()) {
            let flipped =
                if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
            let mut wrong = right.to_owned();
            wrong.replace_range(at..=at, &flipped.to_string());
            assert_eq!(address(&wrong), Err(AddressError::Checksum), "{wrong}");
        }
    }

    #[test]
    fn another_form_is_not_an_address() {
        let digits = &EXAMPLES[2][2..];
        for bad in ["", "0x", digits, &format!("0X{digits}"), &format!("0x{digits}00"), &format!("0x{}", &digits[2..])]
        {
            assert_eq!(address(bad), Err(AddressError::Form), "{bad:?}");
        }
        assert_eq!(address(&format!("0x{}zz", &digits[2..])), Err(AddressError::Form));
        assert_eq!(address(&format!(" 0x{digits}")), Err(AddressError::Form));
    }

    #[test]
    fn the_generators_address_is_the_known_one() {
        let generator = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
                         483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
        let key: [u8; 65] = hex::decode(generator).unwrap().try_into().unwrap();
        assert_eq!(ethereum_address(&key), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
    }
}
