//! Decimal amounts, read exactly: no exponent, no sign, no rounding.

use alloy_primitives::U256;

/// Decimals of Ether.
pub const ETHER_DECIMALS: usize = 18;
/// Decimals of a Gwei.
pub const GWEI_DECIMALS: usize = 9;
/// Most characters of an amount.
const MAX_DIGITS: usize = 64;

/// A text that is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a decimal number such as 0.01 with at most {decimals} digits behind the point, got {got:?}")]
pub struct AmountError {
    /// Most digits behind the point.
    pub decimals: usize,
    /// What came, cut to 80 characters.
    pub got: String,
}

/// Reads an amount in units of which one has `decimals` decimals.
///
/// # Errors
/// It is not written in the one way, or too large.
pub fn units(text: &str, decimals: usize) -> Result<U256, AmountError> {
    let error = || AmountError { decimals, got: text.chars().take(80).collect() };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let pointless = text.ends_with('.') || whole.is_empty() || (whole.len() > 1 && whole.starts_with('0'));
    if pointless || text.len() > MAX_DIGITS || fraction.len() > decimals || !digits(whole) || !digits(fraction) {
        return Err(error());
    }
    U256::from_str_radix(&format!("{whole}{fraction:0<decimals$}"), 10).map_err(|_| error())
}

/// Wei in an amount of Ether.
///
/// # Errors
/// It is not an amount.
pub fn wei(text: &str) -> Result<U256, AmountError> {
    units(text, ETHER_DECIMALS)
}

/// Wei in an amount of Gwei.
///
/// # Errors
/// It is not an amount, or one that no fee can be.
pub fn wei_of_gwei(text: &str) -> Result<u128, AmountError> {
    let wei = units(text, GWEI_DECIMALS)?;
    wei.try_into().map_err(|_| AmountError { decimals: GWEI_DECIMALS, got: text.chars().take(80).collect() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        assert_eq!(wei("1").unwrap(), U256::from(10u64.pow(18)));
        assert_eq!(wei("0.000000000000000001").unwrap(), U256::from(1));
        assert_eq!(wei("0.1").unwrap(), U256::from(10u64.pow(17)));
        assert_eq!((wei("0").unwrap(), wei_of_gwei("1.5").unwrap()), (U256::ZERO, 1_500_000_000));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_no_amount() {
        let long = "9".repeat(65);
        for bad in
            ["", ".", "1.", ".5", "01", "-1", "+1", "1e3", "1,5", " 1", "0x1", "1.0000000000000000001", "½", &long]
        {
            assert!(wei(bad).is_err(), "{bad:?}");
        }
        assert!(wei_of_gwei("0.0000000001").is_err());
        assert!(wei_of_gwei(&"9".repeat(40)).is_err(), "no fee is so high");
    }
}
