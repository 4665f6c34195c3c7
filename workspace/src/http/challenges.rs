//! Challenges of pairings: the nonces of attestation documents.
//!
//! Who asks for one shows nothing but the id of an API user. So none is remembered when it is given out: it carries its
//! time and a code of a key of this process, and however many are asked for, nobody's is forgotten. What is remembered is
//! which were answered, and only holders of a genuine pairing token get that far.

use crate::identity::{IdentityError, random_32};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How long a challenge, and an attestation document that answers it, are good, in ms.
pub const CHALLENGE_MS: u64 = 5 * 60 * 1000;
/// Challenges that one API user's pairing may answer in that time.
const MAX_ANSWERED_BY_USER: usize = 64;

/// What came of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The challenge is this user's, and this was its one use.
    Good,
    /// It is unknown, used or too old.
    Refused,
    /// Too many were answered lately.
    TooMany,
}

/// Gives challenges out and takes each once. After a restart an enclave asks for another one.
pub struct Challenges {
    key: hmac::Key,
    answered: Mutex<BTreeMap<[u8; 32], (String, u64)>>,
    max: usize,
}

impl Challenges {
    /// Remembers at most `max` answered ones at one time.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(max: usize) -> Result<Self, IdentityError> {
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &random_32()?), answered: Mutex::default(), max })
    }

    /// The time, eight random bytes, and half a code over both and the user.
    fn made(&self, time_and_random: &[u8; 16], user: &str) -> [u8; 32] {
        let mut signing = hmac::Context::with_key(&self.key);
        signing.update(time_and_random);
        signing.update(user.as_bytes());
        let code = signing.sign();
        let mut challenge = [0; 32];
        for (to, from) in challenge.iter_mut().zip(time_and_random.iter().chain(code.as_ref())) {
            *to = *from;
        }
        challenge
    }

    /// A new one for this user.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn give(&self, user: &str, now_ms: u64) -> Result<[u8; 32], IdentityError> {
        let mut start = [0; 16];
        for (to, from) in start.iter_mut().zip(now_ms.to_be_bytes().into_iter().chain(random_32()?)) {
            *to = from;
        }
        Ok(self.made(&start, user))
    }

    /// Takes a challenge of this user, once.
    pub fn take(&self, challenge: &[u8; 32], user: &str, now_ms: u64) -> Taken {
        let Some(start) = challenge.first_chunk::<16>() else { return Taken::Refused };
        let given_at = start.first_chunk::<8>().map_or(0, |time| u64::from_be_bytes(*time));
        let until = given_at.saturating_add(CHALLENGE_MS);
        let genuine = verify_slices_are_equal(&self.made(start, user), challenge).is_ok();
        if !genuine || until <= now_ms {
            return Taken::Refused;
        }
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.retain(|_, (_, until)| *until > now_ms);
        if answered.contains_key(challenge) {
            return Taken::Refused;
        }
        let of_user = answered.values().filter(|(other, _)| other == user).count();
        if answered.len() >= self.max || of_user >= MAX_ANSWERED_BY_USER {
            return Taken::TooMany;
        }
        answered.insert(*challenge, (user.to_owned(), until));
        Taken::Good
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn t40_a_challenge_is_good_once_for_its_user_and_for_five_minutes() {
        let challenges = Challenges::new(8).unwrap();
        let (first, late) = (challenges.give("a", 0).unwrap(), challenges.give("a", 0).unwrap());
        assert_ne!(first, late);
        assert_eq!(challenges.take(&first, "b", 1), Taken::Refused);
        let mut other = first;
        other[15] ^= 1;
        assert_eq!(challenges.take(&other, "a", 1), Taken::Refused);
        assert_eq!(challenges.take(&first, "a", CHALLENGE_MS - 1), Taken::Good);
        assert_eq!(challenges.take(&first, "a", 1), Taken::Refused, "once");
        assert_eq!(challenges.take(&late, "a", CHALLENGE_MS), Taken::Refused);
        let foreign = Challenges::new(8).unwrap().give("a", 0).unwrap();
        assert_eq!(challenges.take(&foreign, "a", 1), Taken::Refused);
    }

    #[test]
    fn t47_a_flood_for_challenges_makes_nobody_s_forgotten_and_answered_ones_are_bounded() {
        let challenges = Challenges::new(MAX_ANSWERED_BY_USER + 1).unwrap();
        let honest = challenges.give("honest", 0).unwrap();
        for _ in 0..10_000 {
            challenges.give("honest", 1).unwrap();
        }
        let answer = |user: &str| challenges.take(&challenges.give(user, 1).unwrap(), user, 2);
        for _ in 0..MAX_ANSWERED_BY_USER {
            assert_eq!(answer("flood"), Taken::Good);
        }
        assert_eq!(answer("flood"), Taken::TooMany, "one user's are bounded");
        assert_eq!(challenges.take(&honest, "honest", 2), Taken::Good);
        assert_eq!(answer("third"), Taken::TooMany, "all together are bounded");
        let later = CHALLENGE_MS + 2;
        assert_eq!(challenges.take(&challenges.give("third", later).unwrap(), "third", later), Taken::Good);
    }
}
