//! Unsigned 256-bit integers, as far as amounts and typed data need them: exact, and checked.

use std::fmt;

/// An unsigned 256-bit integer.
///
/// Its limbs go from the most to the least significant, so that their order is the numbers' order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct U256([u64; 4]);

/// The largest power of ten below 2^64.
const DECIMAL_BASE: u64 = 10_000_000_000_000_000_000;
/// Its zeros.
const DECIMAL_BASE_DIGITS: usize = 19;

impl U256 {
    /// Zero.
    pub const ZERO: Self = Self([0; 4]);

    /// The number of at most 32 big-endian bytes.
    pub fn from_be_slice(bytes: &[u8]) -> Option<Self> {
        let mut padded = [0u8; 32];
        let start = padded.len().checked_sub(bytes.len())?;
        padded.get_mut(start..)?.copy_from_slice(bytes);
        Some(Self::from_be_bytes(padded))
    }

    /// The number of 32 big-endian bytes.
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        let mut limbs = [0u64; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = chunk.iter().fold(0, |limb, byte| limb << 8 | u64::from(*byte));
        }
        Self(limbs)
    }

    /// 32 big-endian bytes.
    pub fn to_be_bytes(self) -> [u8; 32] {
        let mut bytes = [0u8; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        bytes
    }

    /// The number that decimal digits write; none where there are none, others than digits, or too many.
    pub fn from_decimal(digits: &str) -> Option<Self> {
        if digits.is_empty() {
            return None;
        }
        digits.bytes().try_fold(Self::ZERO, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit & 0x0f))?;
            number.checked_mul(10)?.checked_add(Self::from(digit))
        })
    }

    /// The sum, where it fits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let mut carry = false;
        let mut sum = self.0;
        for (limb, other) in sum.iter_mut().zip(other.0).rev() {
            let (partial, over) = limb.overflowing_add(other);
            let (total, over_again) = partial.overflowing_add(u64::from(carry));
            *limb = total;
            carry = over || over_again;
        }
        (!carry).then_some(Self(sum))
    }

    /// The product, where it fits.
    pub fn checked_mul(self, factor: u64) -> Option<Self> {
        let mut carry = 0u64;
        let mut product = self.0;
        for limb in product.iter_mut().rev() {
            // At most (2^64 - 1)^2 + 2^64 - 1, which is below 2^128.
            let wide = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = wide as u64;
            carry = (wide >> 64) as u64;
        }
        (carry == 0).then_some(Self(product))
    }

    /// How many bits the number needs; zero needs none.
    pub fn bit_length(self) -> u32 {
        let zeros = self.0.iter().try_fold(0, |zeros, limb| match limb {
            0 => Ok(zeros + u64::BITS),
            limb => Err(zeros + limb.leading_zeros()),
        });
        256 - zeros.unwrap_or_else(|zeros| zeros)
    }

    /// One less; none for zero.
    pub fn minus_one(self) -> Option<Self> {
        (self != Self::ZERO).then(|| self.negated().inverted())
    }

    /// `2^256 - self`: how two's complement writes the negative of a number.
    pub fn negated(self) -> Self {
        self.inverted().plus_one_wrapping()
    }

    fn inverted(self) -> Self {
        Self(self.0.map(|limb| !limb))
    }

    fn plus_one_wrapping(self) -> Self {
        self.checked_add(Self::from(1)).unwrap_or(Self::ZERO)
    }
}

impl From<u64> for U256 {
    fn from(number: u64) -> Self {
        Self([0, 0, 0, number])
    }
}

impl fmt::Display for U256 {
    /// In decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.0;
        let mut groups = Vec::new();
        while limbs != [0; 4] {
            let mut remainder = 0u64;
            for limb in &mut limbs {
                let wide = u128::from(remainder) << 64 | u128::from(*limb);
                // The remainder is below the base: the quotient fits.
                *limb = (wide / u128::from(DECIMAL_BASE)) as u64;
                remainder = (wide % u128::from(DECIMAL_BASE)) as u64;
            }
            groups.push(remainder);
        }
        write!(f, "{}", groups.pop().unwrap_or(0))?;
        groups.iter().rev().try_for_each(|group| write!(f, "{group:0DECIMAL_BASE_DIGITS$}"))
    }
}

impl fmt::Debug for U256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::U256 as Theirs;
    use proptest::prelude::*;

    fn theirs(ours: U256) -> Theirs {
        Theirs::from_be_bytes(ours.to_be_bytes())
    }

    /// Numbers of every size, and not only of the largest.
    fn number() -> impl Strategy<Value = U256> {
        proptest::collection::vec(any::<u8>(), 0..=32).prop_map(|bytes| U256::from_be_slice(&bytes).unwrap())
    }

    proptest! {
        #[test]
        fn arithmetic_is_that_of_another_implementation(a in number(), b in number(), factor in any::<u64>()) {
            prop_assert_eq!(a.checked_add(b).map(theirs), theirs(a).checked_add(theirs(b)));
            prop_assert_eq!(a.checked_mul(factor).map(theirs), theirs(a).checked_mul(Theirs::from(factor)));
            prop_assert_eq!(a.cmp(&b), theirs(a).cmp(&theirs(b)));
            prop_assert_eq!(a.bit_length() as usize, theirs(a).bit_len());
            prop_assert_eq!(theirs(a.negated()), theirs(a).wrapping_neg());
            prop_assert_eq!(a.minus_one().map(theirs), theirs(a).checked_sub(Theirs::from(1)));
        }

        #[test]
        fn decimals_are_those_of_another_implementation(a in number()) {
            prop_assert_eq!(a.to_string(), theirs(a).to_string());
            prop_assert_eq!(U256::from_decimal(&a.to_string()), Some(a));
        }
    }

    #[test]
    fn the_largest_number_is_the_last_that_fits() {
        let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        let over = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert_eq!(U256::from_decimal(max), Some(U256::from_be_bytes([0xff; 32])));
        assert_eq!(U256::from_decimal(over), None);
        assert_eq!(U256::from_be_slice(&[0; 33]), None);
        for bad in ["", "+1", "-1", " 1", "1_0", "0x1", "١"] {
            assert_eq!(U256::from_decimal(bad), None, "{bad:?}");
        }
    }
}
