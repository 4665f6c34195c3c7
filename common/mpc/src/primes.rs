//! Safe primes: p = 2q + 1 with q prime as well.
//!
//! The crate's own generator draws a fresh random number for every candidate and divides it by 135 small primes. Here, a
//! random start is followed by a sieve over a window of a million candidates that strikes out, for q and p at once,
//! every multiple of a small prime; what is left is tried by exponentiation, q first. Searching upwards from a random
//! start instead of drawing anew costs next to no entropy (Brandt and Damgård, "On Generation of Probable Primes by
//! Incremental Search", CRYPTO '92).
//!
//! # Certainty
//! q passes a Baillie-PSW test, of which no counterexample is known, and 40 rounds of Miller-Rabin: a composite passes
//! those with probability at most 4^-40 = 2^-80, whatever it is, and for numbers of this size drawn at random, as
//! these are, with less than 2^-200 (Damgård, Landrock and Pomerance, "Average Case Error Estimates for the Strong
//! Probable Prime Test", 1993). Nobody chooses the candidates for us. Given that q is prime, p is prime for certain, by
//! Pocklington: p - 1 = 2q with q > √p, 2^(p-1) ≡ 1 (mod p), and gcd(2^2 - 1, p) = 1 since 3 is sieved out.

mod sieve;

use crate::cggmp24::material;
use crate::secret::Primes;
use cggmp24::backend::Integer as SchemeInteger;
use rand_core::CryptoRngCore;
use rug::integer::{IsPrime, Order};
use rug::{Assign, Integer};
use sieve::{Sieve, Window};
use std::fmt;
use zeroize::Zeroizing;

/// Bits of the primes that the scheme uses.
pub const PRIME_BITS: u32 = material::PRIME_BITS;
/// Fewest bits that [`generate_safe_prime`] makes.
pub const MIN_PRIME_BITS: u32 = 64;
/// How many primes one party uses for one group.
pub const PRIMES_WANTED: u8 = 4;

/// GMP's argument for Baillie-PSW and 40 rounds of Miller-Rabin.
const REPETITIONS: u32 = 24 + 40;

/// A safe prime, big-endian, without leading zeros.
pub struct SafePrime(Zeroizing<Vec<u8>>);

impl SafePrime {
    /// The prime's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SafePrime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SafePrime(<redacted>)")
    }
}

/// Makes one safe prime of exactly `bits` bits (at least [`MIN_PRIME_BITS`]) whose two upper bits are set.
///
/// `keep_going` is asked before every exponentiation, about every millisecond: it may wait, to let go of the processor, or
/// return `false`; then the result is `None`.
pub fn generate_safe_prime(bits: u32, rng: &mut dyn CryptoRngCore, keep_going: &dyn Fn() -> bool) -> Option<SafePrime> {
    search(&Sieve::new(sieve::BOUND), bits.max(MIN_PRIME_BITS), rng, keep_going)
}

/// Makes the four primes that one party uses for the auxiliary information of one group.
///
/// `progress` is told how many were found, and of how many. `keep_going` is as in [`generate_safe_prime`].
pub fn generate(
    rng: &mut dyn CryptoRngCore,
    progress: &mut dyn FnMut(u8, u8),
    keep_going: &dyn Fn() -> bool,
) -> Option<Primes> {
    let sieve = Sieve::new(sieve::BOUND);
    loop {
        let mut found = Vec::new();
        progress(0, PRIMES_WANTED);
        for count in 1..=PRIMES_WANTED {
            let prime = search(&sieve, PRIME_BITS, rng, keep_going)?;
            found.push(SchemeInteger::from_bytes_msf(prime.expose()));
            progress(count, PRIMES_WANTED);
        }
        // It refuses primes that are not four, distinct and of the right size: that is, never.
        if let Some(primes) = <[SchemeInteger; 4]>::try_from(found).ok().and_then(|p| material::encode_primes(p).ok()) {
            return Some(primes);
        }
    }
}

fn search(sieve: &Sieve, bits: u32, rng: &mut dyn CryptoRngCore, keep_going: &dyn Fn() -> bool) -> Option<SafePrime> {
    loop {
        if !keep_going() {
            return None;
        }
        let start = Wiped(random_start(bits, rng));
        let window = Window::new(sieve, &start.0);
        for offset in window.candidates() {
            if !keep_going() {
                return None;
            }
            let q = Wiped(Integer::from(&start.0 + offset));
            if q.0.significant_bits() + 1 != bits {
                break;
            }
            let p = Wiped(Integer::from(&q.0 << 1) + 1);
            if fermat(&q.0) && fermat(&p.0) && is_prime(&q.0, REPETITIONS) && is_prime(&p.0, 24) {
                return Some(SafePrime(Zeroizing::new(p.0.to_digits(Order::Msf))));
            }
        }
    }
}

/// A random q ≡ 5 (mod 6) of `bits - 1` bits, the two upper ones set: neither q nor 2q + 1 is divisible by 2 or 3.
fn random_start(bits: u32, rng: &mut dyn CryptoRngCore) -> Integer {
    let bits = bits - 1;
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(bits.div_ceil(8)).unwrap_or(0)]);
    rng.fill_bytes(&mut bytes);
    let mut q = Integer::from_digits(&bytes, Order::Msf);
    q.keep_bits_mut(bits);
    q.set_bit(bits - 1, true).set_bit(bits - 2, true);
    let residue = q.mod_u(6);
    q += 5 - residue;
    q
}

/// Fermat's test to base 2, which GMP computes without multiplications.
fn fermat(n: &Integer) -> bool {
    let exponent = Wiped(Integer::from(n - 1));
    let two = Integer::from(2);
    two.pow_mod_ref(&exponent.0, n).is_some_and(|power| Integer::from(power) == 1)
}

fn is_prime(n: &Integer, repetitions: u32) -> bool {
    n.is_probably_prime(repetitions) != IsPrime::No
}

/// A number that is overwritten when it is dropped. GMP's own scratch memory is not.
struct Wiped(Integer);

impl Drop for Wiped {
    fn drop(&mut self) {
        if let Ok(bits) = u32::try_from(self.0.capacity()) {
            // As long as the memory that is overwritten, so that nothing is moved.
            self.0.assign((Integer::from(1) << bits) - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::cell::Cell;

    #[test]
    fn safe_primes_are_safe_and_of_exactly_the_size_asked_for() {
        let sieve = Sieve::new(1 << 12);
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        for bits in [64, 65, 127, 256, 511] {
            let prime = search(&sieve, bits, &mut rng, &|| true).unwrap();
            let p = Integer::from_digits(prime.expose(), Order::Msf);
            assert_eq!(p.significant_bits(), bits);
            assert!(p.get_bit(bits - 2), "the second bit is set");
            assert_eq!(p.mod_u(4), 3);
            assert!(is_prime(&p, 50) && is_prime(&Integer::from(&p >> 1), 50));
        }
    }

    #[test]
    fn the_start_is_odd_and_two_modulo_three_whatever_the_randomness() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        for _ in 0..100 {
            let start = random_start(80, &mut rng);
            assert_eq!(start.mod_u(6), 5);
            // Adding to reach 5 may carry past the top only for the largest starts; those are left to the search.
            assert!(start.significant_bits() >= 79);
        }
    }

    #[test]
    fn a_worker_can_stop_early() {
        let asked = Cell::new(0);
        let keep_going = || {
            asked.set(asked.get() + 1);
            asked.get() < 5
        };
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        assert!(search(&Sieve::new(1 << 12), PRIME_BITS, &mut rng, &keep_going).is_none());
        assert_eq!(asked.get(), 5);
    }

    #[test]
    fn fermat_refuses_composites() {
        assert!(fermat(&Integer::from(1_000_000_007)));
        assert!(!fermat(&Integer::from(1_000_000_007_i64 * 998_244_353)));
    }
}
