//! Amounts: decimal texts, compared as decimals. A binary float would round 0.1 and 12345678.000000000000000001.

/// Most digits on either side of the point.
const MAX_DIGITS: usize = 100;

/// A decimal number that is not negative. The order of the members makes the order of numbers: without leading and
/// trailing zeros, the longer whole part is the greater one, and digits compare as texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    whole_digits: usize,
    whole: String,
    fraction: String,
}

impl Amount {
    /// An amount such as `12.5`; `None` for signs, exponents, `NaN` and everything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |s: &str| (1..=MAX_DIGITS).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        Some(Self { whole_digits: whole.len(), whole: whole.into(), fraction: fraction.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_compare_as_decimals() {
        let rising =
            ["0", "0.000000000000000001", "0.1", "0.11", "0.9", "1", "1.5", "9.99", "10", "100", "100.000000000001"];
        let amounts: Vec<Amount> = rising.iter().map(|text| Amount::parse(text).unwrap()).collect();
        assert!(amounts.is_sorted_by(|a, b| a < b));
        assert_eq!(Amount::parse("007.50"), Amount::parse("7.5"));
        assert_eq!(Amount::parse("0.0"), Amount::parse("000"));
    }

    #[test]
    fn everything_else_is_no_amount() {
        let long = "1".repeat(101);
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0x10", "NaN", "1,5", "1 ", "1.2.3", "١", &long] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }
}
