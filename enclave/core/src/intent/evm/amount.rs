//! Exact decimals: an amount as people write it, and the number of its smallest units.

use super::u256::U256;
use serde_json::Value;

/// Decimals of one gas price in Gwei.
pub const GWEI_DECIMALS: usize = 9;
/// Longest text of an amount in bytes: more than any 256-bit number needs.
const MAX_AMOUNT_BYTES: usize = 100;

/// Why an amount was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// A JSON number that is not a whole one: readers round it, each in its own way.
    #[error(
        "expected a text such as \"0.5\": a JSON number that is not a whole one is not exact, so send it as a string"
    )]
    NotExact,
    /// Neither a text nor a number.
    #[error("expected a text such as \"0.5\" or a whole number")]
    Type,
    /// A text that is not a decimal.
    #[error("expected digits with at most one point between them, such as \"0.5\", with at most {decimals} behind it")]
    Form {
        /// The decimals that there may be.
        decimals: usize,
    },
}

/// The smallest units of an amount in a body: a text, or a whole JSON number.
pub fn written(value: &Value, decimals: usize) -> Result<U256, AmountError> {
    match value {
        Value::String(text) => units(text, decimals).ok_or(AmountError::Form { decimals }),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => units(&whole.to_string(), decimals).ok_or(AmountError::Form { decimals }),
            None => Err(AmountError::NotExact),
        },
        _ => Err(AmountError::Type),
    }
}

/// The smallest units of a decimal such as `0.5`: digits, and behind a point at most `decimals` of them. No sign, no
/// exponent, no zero in front of another digit.
pub fn units(text: &str, decimals: usize) -> Option<U256> {
    if text.len() > MAX_AMOUNT_BYTES {
        return None;
    }
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) || fraction.len() > decimals {
        return None;
    }
    U256::from_decimal(&format!("{whole}{fraction:0<decimals$}"))
}

/// A number of smallest units as a decimal, without zeros at its end: `0.5`.
pub fn decimal(units: U256, decimals: usize) -> String {
    let digits = units.to_string();
    let padded = format!("{digits:0>width$}", width = decimals + 1);
    // The text is ASCII and longer than its decimals.
    let (whole, fraction) = padded.split_at(padded.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn amounts_are_exact() {
        for (text, wei) in [
            ("0", "0"),
            ("1", "1000000000000000000"),
            ("0.5", "500000000000000000"),
            ("0.50", "500000000000000000"),
            ("0.000000000000000001", "1"),
            ("123.000000000000000456", "123000000000000000456"),
            ("10", "10000000000000000000"),
        ] {
            let units = units(text, 18).unwrap();
            assert_eq!(units.to_string(), wei, "{text}");
            let shortest = if text == "0.50" { "0.5" } else { text };
            assert_eq!(decimal(units, 18), shortest);
        }
        assert_eq!(decimal(U256::from(7), 0), "7");
        assert_eq!(units("31.5", GWEI_DECIMALS), Some(U256::from(31_500_000_000)));
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused() {
        let long = "1".repeat(MAX_AMOUNT_BYTES + 1);
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "+1",
            "-1",
            "1e3",
            "1,5",
            " 1",
            "1 ",
            "00.5",
            "01",
            "0x1",
            "1.2.3",
            "NaN",
            "∞",
            "0.0000000000000000001",
            &long,
        ] {
            assert_eq!(units(bad, 18), None, "{bad:?}");
        }
        let most = "1157920892373161954235709850086879078532699846656405640394575.84007913129639936";
        assert_eq!(units(most, 18), None, "more than 256 bits");
    }

    #[test]
    fn a_json_number_is_a_whole_one() {
        assert_eq!(written(&json!(2), 18), Ok(units("2", 18).unwrap()));
        assert_eq!(written(&json!("2"), 18), Ok(units("2", 18).unwrap()));
        for float in [json!(0.5), json!(1.0), json!(-1), json!(1e30)] {
            assert_eq!(written(&float, 18), Err(AmountError::NotExact), "{float}");
        }
        for other in [json!(null), json!(true), json!(["1"]), json!({})] {
            assert_eq!(written(&other, 18), Err(AmountError::Type), "{other}");
        }
        assert_eq!(written(&json!("x"), 18), Err(AmountError::Form { decimals: 18 }));
    }

    proptest! {
        #[test]
        fn a_decimal_reads_back_as_the_same_units(bytes in any::<[u8; 32]>(), decimals in 0usize..40) {
            let number = U256::from_be_bytes(bytes);
            prop_assert_eq!(units(&decimal(number, decimals), decimals), Some(number));
        }
    }
}
