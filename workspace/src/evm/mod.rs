//! Ethereum's side of transactions: amounts, unsigned transactions, what becomes of them once signed, typed data.
//!
//! Co-signers have their own reader of all of it. This one is made of other people's code, so that both have to agree.

pub mod amount;
pub mod transaction;
pub mod typed_data;

use alloy_primitives::Address;

/// Reads an address: 40 hexadecimal digits behind `0x`, with a right checksum (EIP-55) where its letters are of both cases.
///
/// # Errors
/// It is not one.
pub fn address(text: &str) -> Result<Address, String> {
    let expected =
        || format!("expected an address such as 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed, got {text:.64?}");
    let digits = text.strip_prefix("0x").ok_or_else(expected)?;
    let address: Address = text.parse().map_err(|_| expected())?;
    let (upper, lower) =
        (digits.contains(|c: char| c.is_ascii_uppercase()), digits.contains(|c: char| c.is_ascii_lowercase()));
    if upper && lower && address.to_checksum(None) != text {
        return Err(format!("the checksum of address {text} is wrong: one of its characters is"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_wrong_character_is_noticed_by_its_checksum() {
        let good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert!(address(good).is_ok() && address(&good.to_lowercase()).is_ok());
        let (upper, short) = (format!("0x{}", good[2..].to_uppercase()), &good[..40]);
        assert!(address(&upper).is_ok());
        for bad in ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", &good[2..], short, "0x", "", "vitalik.eth"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
