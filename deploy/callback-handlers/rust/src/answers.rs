//! Idempotency: the same request id gets the same answer, and never serves for other content.
//!
//! A co-signer asks again after a time-out and after a restart. Here the answers live in memory; keep yours in a database,
//! so that a restart of the handler does not change its mind either.

use crate::policy::Decision;
use crate::question::Object;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};

/// Most answers that are remembered; the oldest are forgotten first.
pub const MAX_ANSWERS: usize = 10_000;

/// In its strict mode a co-signer dates each attempt anew.
const OF_THE_ATTEMPT: &[&str] = &["exp", "iat", "jti", "nbf"];

/// A hash over everything that was asked.
pub type Content = [u8; 32];

/// The answers given.
#[derive(Default)]
pub struct Answers {
    given: BTreeMap<String, (Content, Decision)>,
    order: VecDeque<String>,
}

impl Answers {
    /// The answer given before to this id with this content, or a new one from `decide`; and whether it was given before.
    ///
    /// The same id with other content is rejected. RETRY is no answer yet: the next time is decided anew.
    pub fn get_or_decide(&mut self, id: &str, content: Content, decide: impl FnOnce() -> Decision) -> (Decision, bool) {
        if let Some((before, decision)) = self.given.get(id) {
            if *before == content {
                return (decision.clone(), true);
            }
            return (Decision::Reject("this request id was used for other content".into()), true);
        }
        let decision = decide();
        if decision != Decision::Retry {
            self.remember(id, content, decision.clone());
        }
        (decision, false)
    }

    fn remember(&mut self, id: &str, content: Content, decision: Decision) {
        if self.given.len() >= MAX_ANSWERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.given.remove(&oldest);
        }
        self.given.insert(id.to_owned(), (content, decision));
        self.order.push_back(id.to_owned());
    }
}

/// The hash of a payload.
pub fn digest(payload: &Object) -> Content {
    let mut content = payload.clone();
    content.retain(|name, _| !OF_THE_ATTEMPT.contains(&name.as_str()));
    let mut content = Value::Object(content);
    content.sort_all_objects();
    Sha256::digest(content.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ONE: Content = [1; 32];
    const TWO: Content = [2; 32];

    #[test]
    fn the_same_question_gets_the_same_answer_and_another_one_under_its_id_is_rejected() {
        let mut answers = Answers::default();
        assert_eq!(answers.get_or_decide("a", ONE, || Decision::Approve), (Decision::Approve, false));
        assert_eq!(answers.get_or_decide("a", ONE, || Decision::Ignore), (Decision::Approve, true));
        assert!(matches!(answers.get_or_decide("a", TWO, || Decision::Approve), (Decision::Reject(_), true)));
        assert_eq!(answers.get_or_decide("a", ONE, || Decision::Ignore), (Decision::Approve, true));
    }

    #[test]
    fn a_retry_is_decided_anew() {
        let mut answers = Answers::default();
        assert_eq!(answers.get_or_decide("a", ONE, || Decision::Retry), (Decision::Retry, false));
        assert_eq!(answers.get_or_decide("a", ONE, || Decision::Approve), (Decision::Approve, false));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut answers = Answers::default();
        for i in 0..=MAX_ANSWERS {
            answers.get_or_decide(&i.to_string(), ONE, || Decision::Approve);
        }
        assert_eq!((answers.given.len(), answers.order.len()), (MAX_ANSWERS, MAX_ANSWERS));
        assert!(!answers.given.contains_key("0"));
    }

    #[test]
    fn the_content_is_everything_but_the_time_of_the_attempt() {
        let hash = |payload: Value| digest(payload.as_object().unwrap());
        let asked = hash(json!({"requestId": "1", "asset": "ETH", "iat": 1, "jti": "a"}));
        assert_eq!(asked, hash(json!({"jti": "b", "exp": 2, "nbf": 3, "asset": "ETH", "requestId": "1"})));
        assert_ne!(asked, hash(json!({"requestId": "1", "asset": "BTC", "iat": 1, "jti": "a"})));
    }
}
