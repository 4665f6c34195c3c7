//! Strikes out candidates that have a small factor.

use rug::Integer;
use rug::integer::IntegerExt64;

/// Small primes below this are sieved by. More of them cost time in every window, fewer leave more exponentiations: at
/// 1536 bits, bounds of 2^20, 2^22, 2^24 and 2^25 come to 1.50, 1.21, 1.09 and 1.06 s a prime.
pub(super) const BOUND: u32 = 1 << 24;

/// Candidates of one window. One in 143,000 is a hit at 1536 bits, so that one window nearly always suffices.
const CANDIDATES: u32 = 1 << 20;

/// q of one candidate to q of the next: they stay 5 modulo 6.
const STRIDE: u32 = 6;

/// The small primes from 5 on.
pub(super) struct Sieve {
    primes: Vec<u32>,
    groups: Vec<Group>,
}

/// Consecutive small primes whose product fits a machine word: one division by it stands for a long division by each.
struct Group {
    product: u64,
    end: usize,
}

impl Sieve {
    /// All primes from 5 to below `bound`.
    pub(super) fn new(bound: u32) -> Self {
        let primes: Vec<u32> = primes_below(bound).filter(|prime| *prime >= 5).collect();
        let mut groups: Vec<Group> = Vec::new();
        for (end, prime) in (1..).zip(&primes) {
            let joined = groups.last().and_then(|group| group.product.checked_mul(u64::from(*prime)));
            match (groups.last_mut(), joined) {
                (Some(group), Some(product)) => *group = Group { product, end },
                _ => groups.push(Group { product: u64::from(*prime), end }),
            }
        }
        Self { primes, groups }
    }
}

/// Eratosthenes over the odd numbers.
fn primes_below(bound: u32) -> impl Iterator<Item = u32> {
    let size = usize::try_from(bound / 2).unwrap_or(0);
    let mut composite = vec![false; size];
    let mut root = 3;
    while root * root < bound {
        if composite.get(index(root / 2)) == Some(&false) {
            for multiple in (root * root..bound).step_by(index(2 * root)) {
                if let Some(flag) = composite.get_mut(index(multiple / 2)) {
                    *flag = true;
                }
            }
        }
        root += 2;
    }
    let odd = (1..bound / 2).filter(move |half| composite.get(index(*half)) == Some(&false)).map(|half| 2 * half + 1);
    (bound > 2).then_some(2).into_iter().chain(odd)
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The candidates q = start + 6k of one window where neither q nor 2q + 1 has a small factor.
pub(super) struct Window {
    struck: Vec<u64>,
}

impl Window {
    /// Sieves the window from `start`, which is 5 modulo 6.
    pub(super) fn new(sieve: &Sieve, start: &Integer) -> Self {
        let mut window = Self { struck: vec![0; index(CANDIDATES / 64)] };
        let mut begin = 0;
        for group in &sieve.groups {
            let residue = start.mod_u64(group.product);
            for prime in sieve.primes.get(begin..group.end).unwrap_or_default() {
                let start = u32::try_from(residue % u64::from(*prime)).unwrap_or(0);
                window.strike(*prime, start, 0);
                // 2q + 1 ≡ 0 where q ≡ -1/2 ≡ (prime - 1)/2.
                window.strike(*prime, start, (prime - 1) / 2);
            }
            begin = group.end;
        }
        window
    }

    /// Strikes every k with start + 6k ≡ target modulo the prime.
    fn strike(&mut self, prime: u32, start: u32, target: u32) {
        let wanted = u64::from((target + prime - start) % prime);
        let first = wanted * u64::from(inverse_of_six(prime)) % u64::from(prime);
        let mut k = u32::try_from(first).unwrap_or(CANDIDATES);
        while k < CANDIDATES {
            if let Some(word) = self.struck.get_mut(index(k / 64)) {
                *word |= 1 << (k % 64);
            }
            k += prime;
        }
    }

    /// What to add to the start for each candidate that is left.
    pub(super) fn candidates(&self) -> impl Iterator<Item = u32> + '_ {
        (0..CANDIDATES)
            .filter(|k| self.struck.get(index(k / 64)).is_some_and(|word| word >> (k % 64) & 1 == 0))
            .map(|k| k * STRIDE)
    }
}

/// 6x ≡ 1 for a prime from 5 on.
fn inverse_of_six(prime: u32) -> u32 {
    match prime % 6 {
        1 => prime - (prime - 1) / 6,
        _ => prime.div_ceil(6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_primes_are_all_there() {
        let primes: Vec<u32> = primes_below(30).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert_eq!(primes_below(1 << 16).count(), 6542);
    }

    #[test]
    fn the_inverse_of_six_is_one() {
        assert!(primes_below(10_000).filter(|p| *p >= 5).all(|p| u64::from(inverse_of_six(p)) * 6 % u64::from(p) == 1));
    }

    #[test]
    fn exactly_the_candidates_without_small_factors_are_left() {
        let bound = 200;
        let start = Integer::from(6_000_000_000_005_u64);
        let window = Window::new(&Sieve::new(bound), &start);
        let left: Vec<u32> = window.candidates().take_while(|offset| *offset < 60_000).collect();
        let small: Vec<u32> = primes_below(bound).collect();
        let expected: Vec<u32> = (0..10_000)
            .map(|k| k * STRIDE)
            .filter(|offset| {
                let q = Integer::from(&start + offset);
                let p: Integer = Integer::from(&q * 2) + 1;
                small.iter().all(|r| q.mod_u(*r) != 0 && p.mod_u(*r) != 0)
            })
            .collect();
        assert_eq!(left, expected);
    }
}
