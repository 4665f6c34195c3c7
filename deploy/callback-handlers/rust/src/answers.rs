//! Idempotency: the same request id gets the same answer, and never serves for other content.
//!
//! A co-signer asks again after a time-out and after a restart. Here the answers live in memory; keep them in your
//! database, so that a restart of the handler does not change its mind either.

use crate::policy::Decision;
use std::collections::{BTreeMap, VecDeque};

/// Most answers that are remembered; the oldest are forgotten first.
pub const MAX_ANSWERS: usize = 10_000;

/// The answers given.
#[derive(Default)]
pub struct Answers {
    given: BTreeMap<String, (Vec<u8>, Decision)>,
    order: VecDeque<String>,
}

impl Answers {
    /// The answer given before to this id with this content, or a new one from `decide`. The same id with other content
    /// is rejected.
    pub fn get_or_decide(&mut self, id: &str, content: &[u8], decide: impl FnOnce() -> Decision) -> (Decision, bool) {
        if let Some((before, decision)) = self.given.get(id) {
            if before == content {
                return (decision.clone(), true);
            }
            return (Decision::Reject("this request id was used for other content".into()), true);
        }
        let decision = decide();
        if self.given.len() >= MAX_ANSWERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.given.remove(&oldest);
        }
        self.given.insert(id.to_owned(), (content.to_vec(), decision.clone()));
        self.order.push_back(id.to_owned());
        (decision, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_gets_the_same_answer_and_another_one_under_its_id_is_rejected() {
        let mut answers = Answers::default();
        assert_eq!(answers.get_or_decide("a", b"1", || Decision::Approve), (Decision::Approve, false));
        assert_eq!(answers.get_or_decide("a", b"1", || Decision::Ignore), (Decision::Approve, true));
        assert!(matches!(answers.get_or_decide("a", b"2", || Decision::Approve), (Decision::Reject(_), true)));
        assert_eq!(answers.get_or_decide("a", b"1", || Decision::Ignore), (Decision::Approve, true));
    }

    #[test]
    fn memory_is_bounded() {
        let mut answers = Answers::default();
        for i in 0..=MAX_ANSWERS {
            answers.get_or_decide(&i.to_string(), b"", || Decision::Approve);
        }
        assert_eq!((answers.given.len(), answers.order.len()), (MAX_ANSWERS, MAX_ANSWERS));
        assert!(!answers.given.contains_key("0"));
    }
}
