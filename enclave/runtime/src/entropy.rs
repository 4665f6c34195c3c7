//! Randomness from a source that may be slow: ChaCha20, seeded and regularly seeded again. A source that fails ends the
//! process: without entropy nothing is signed (threat T44).

use crate::limits::MAX_BYTES_PER_SEED;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A source of random bytes.
pub trait ReadEntropy: Send {
    /// 32 fresh bytes.
    ///
    /// # Errors
    /// What the source said.
    fn seed(&mut self) -> Result<Zeroizing<[u8; 32]>, String>;
}

/// The source cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntropyError {
    /// It failed.
    #[error("no entropy: {0}")]
    Source(String),
    /// It gave the same bytes twice.
    #[error("no entropy: the source repeats itself")]
    Repeats,
}

/// What to do when the source fails in use.
pub type OnFailure = fn(&EntropyError) -> !;

/// Logs the error and ends the process at once.
pub fn abort(error: &EntropyError) -> ! {
    tracing::error!(%error, "the process ends");
    std::process::abort()
}

/// Randomness, seeded again after [`MAX_BYTES_PER_SEED`] bytes.
pub struct Entropy<S> {
    source: S,
    stream: ChaCha20Rng,
    /// Hash of the last seed: to notice a source that repeats itself.
    last: [u8; 32],
    left: usize,
    on_failure: OnFailure,
}

impl<S: ReadEntropy> Entropy<S> {
    /// Takes the first two seeds, which must differ.
    ///
    /// # Errors
    /// [`EntropyError`]. Later failures go to `on_failure`.
    pub fn start(mut source: S, on_failure: OnFailure) -> Result<Self, EntropyError> {
        let first = source.seed().map_err(EntropyError::Source)?;
        let mut entropy = Self {
            source,
            stream: ChaCha20Rng::from_seed(*first),
            last: Sha256::digest(*first).into(),
            left: 0,
            on_failure,
        };
        entropy.seed_again()?;
        Ok(entropy)
    }

    /// The next seed mixes what the source gives with what was left of the stream, so that one bad answer of the source
    /// does not undo the good ones before it.
    fn seed_again(&mut self) -> Result<(), EntropyError> {
        let fresh = self.source.seed().map_err(EntropyError::Source)?;
        let fingerprint: [u8; 32] = Sha256::digest(*fresh).into();
        if fingerprint == self.last {
            return Err(EntropyError::Repeats);
        }
        let mut before = Zeroizing::new([0; 32]);
        self.stream.fill_bytes(&mut *before);
        let mut hash = Sha256::new_with_prefix(b"countersign/entropy/1");
        hash.update(*before);
        hash.update(*fresh);
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
        self.stream = ChaCha20Rng::from_seed(*seed);
        self.last = fingerprint;
        self.left = MAX_BYTES_PER_SEED;
        Ok(())
    }
}

impl<S: ReadEntropy> RngCore for Entropy<S> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for part in dest.chunks_mut(MAX_BYTES_PER_SEED) {
            if part.len() > self.left
                && let Err(error) = self.seed_again()
            {
                (self.on_failure)(&error);
            }
            self.stream.fill_bytes(part);
            self.left = self.left.saturating_sub(part.len());
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl<S: ReadEntropy> CryptoRng for Entropy<S> {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    /// Gives each of these once, then fails.
    struct Seeds(Vec<u8>);

    impl ReadEntropy for Seeds {
        fn seed(&mut self) -> Result<Zeroizing<[u8; 32]>, String> {
            if self.0.is_empty() {
                return Err("empty".into());
            }
            Ok(Zeroizing::new([self.0.remove(0); 32]))
        }
    }

    fn panics(error: &EntropyError) -> ! {
        panic!("{error}")
    }

    #[test]
    fn t44_a_source_that_fails_or_repeats_itself_at_the_start_is_refused() {
        assert_eq!(Entropy::start(Seeds(vec![]), panics).err(), Some(EntropyError::Source("empty".into())));
        assert_eq!(Entropy::start(Seeds(vec![1]), panics).err(), Some(EntropyError::Source("empty".into())));
        assert_eq!(Entropy::start(Seeds(vec![1, 1]), panics).err(), Some(EntropyError::Repeats));
    }

    #[test]
    #[should_panic(expected = "no entropy: empty")]
    fn t44_a_source_that_fails_in_use_never_returns() {
        let mut entropy = Entropy::start(Seeds(vec![1, 2]), panics).unwrap();
        entropy.fill_bytes(&mut vec![0; MAX_BYTES_PER_SEED]);
        entropy.next_u32();
    }

    #[test]
    fn the_stream_is_seeded_again_and_never_repeats() {
        let mut entropy = Entropy::start(Seeds(vec![1, 2, 3, 4]), panics).unwrap();
        let mut first = vec![0; MAX_BYTES_PER_SEED];
        let mut second = first.clone();
        entropy.fill_bytes(&mut first);
        assert_eq!(entropy.source.0, [3, 4]);
        entropy.fill_bytes(&mut second);
        assert_eq!(entropy.source.0, [4]);
        assert_ne!(first, second);
    }

    #[test]
    fn what_came_before_counts_in_the_next_seed() {
        let mut one = Entropy::start(Seeds(vec![1, 2, 9]), panics).unwrap();
        let mut other = Entropy::start(Seeds(vec![3, 4, 9]), panics).unwrap();
        one.seed_again().unwrap();
        other.seed_again().unwrap();
        assert_ne!(one.next_u64(), other.next_u64());
    }
}
