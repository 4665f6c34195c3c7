//! Whose handler is called next. Pure.
//!
//! There are [`MAX_CALLBACK_PLACES`] places for calls. Every API user with a handler has one of them for sure, whatever all the
//! others do; what is left goes to whoever waits, the fewest calls first, and nobody gets more than half of what is free.

use crate::limits::{MAX_CALLBACK_PLACES, MAX_CALLS_PER_USER};
use countersign_wire::callback::CallbackSubject;
use countersign_wire::ids::{ApiUserId, PairingId};
use std::collections::{BTreeMap, VecDeque};

/// Whose line it is.
pub(crate) type Caller = (PairingId, ApiUserId);

/// Calls under way, and requests that wait for a call.
#[derive(Default)]
pub(crate) struct Places {
    lines: BTreeMap<Caller, Line>,
    /// Callers with somebody waiting, the one whose turn it is first.
    turns: VecDeque<Caller>,
    running: usize,
}

#[derive(Default)]
struct Line {
    running: usize,
    waiting: VecDeque<CallbackSubject>,
}

impl Places {
    /// Puts a request at the end of its user's line. How long lines get is the caller's to limit.
    pub(crate) fn join(&mut self, caller: &Caller, subject: CallbackSubject) {
        let line = self.lines.entry(caller.clone()).or_default();
        line.waiting.push_back(subject);
        if line.waiting.len() == 1 {
            self.turns.push_back(caller.clone());
        }
    }

    /// Takes a request out of its line, wherever it stands in it.
    pub(crate) fn leave(&mut self, caller: &Caller, subject: &CallbackSubject) {
        if let Some(line) = self.lines.get_mut(caller) {
            line.waiting.retain(|waiting| waiting != subject);
            if line.waiting.is_empty() {
                self.turns.retain(|turn| turn != caller);
            }
        }
        self.tidy(caller);
    }

    /// The request that is called now, if one may be. `handlers` is the number of API users that have a handler.
    pub(crate) fn next(&mut self, handlers: usize) -> Option<(Caller, CallbackSubject)> {
        let running_of = |caller: &Caller| self.lines.get(caller).map_or(0, |line| line.running);
        let (at, running) = self.turns.iter().map(running_of).enumerate().min_by_key(|(_, running)| *running)?;
        if running >= self.allowance(handlers).max(1) || self.running >= MAX_CALLBACK_PLACES {
            return None;
        }
        let caller = self.turns.remove(at)?;
        let line = self.lines.get_mut(&caller)?;
        let subject = line.waiting.pop_front()?;
        line.running = line.running.saturating_add(1);
        self.running = self.running.saturating_add(1);
        if !line.waiting.is_empty() {
            self.turns.push_back(caller.clone());
        }
        Some((caller, subject))
    }

    /// Calls that one user may have under way, beside the one that it has for sure.
    fn allowance(&self, handlers: usize) -> usize {
        let calling = self.lines.values().filter(|line| line.running > 0).count();
        let free = MAX_CALLBACK_PLACES.saturating_sub(self.running);
        let reserved = handlers.saturating_sub(calling);
        (free.saturating_sub(reserved) / 2).min(MAX_CALLS_PER_USER)
    }

    /// A call ended.
    pub(crate) fn ended(&mut self, caller: &Caller) {
        if let Some(line) = self.lines.get_mut(caller).filter(|line| line.running > 0) {
            line.running = line.running.saturating_sub(1);
            self.running = self.running.saturating_sub(1);
        }
        self.tidy(caller);
    }

    /// All calls are lost, and everybody who waited with them.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether anybody waits for a turn.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Calls under way.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// A line of which nothing is left is forgotten.
    fn tidy(&mut self, caller: &Caller) {
        if self.lines.get(caller).is_some_and(|line| line.running == 0 && line.waiting.is_empty()) {
            self.lines.remove(caller);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use countersign_wire::ids::TransactionId;
    use countersign_wire::limits::MAX_HANDLERS;

    fn caller(n: usize) -> Caller {
        (PairingId([0; 16]), format!("user-{n:03}").parse().unwrap())
    }

    fn subject(n: usize) -> CallbackSubject {
        CallbackSubject::Transaction(TransactionId((n as u128).to_be_bytes()))
    }

    fn waiting(users: usize, each: usize) -> Places {
        let mut places = Places::default();
        (0..users).for_each(|user| (0..each).for_each(|n| places.join(&caller(user), subject(n))));
        places
    }

    fn fill(places: &mut Places, handlers: usize) -> BTreeMap<Caller, usize> {
        let mut called = BTreeMap::new();
        while let Some((caller, _)) = places.next(handlers) {
            *called.entry(caller).or_default() += 1;
        }
        called
    }

    #[test]
    fn a_lone_user_has_many_calls_at_once_and_never_more_than_its_limit() {
        let called = fill(&mut waiting(1, 500), 1);
        assert_eq!(called[&caller(0)], MAX_CALLS_PER_USER);
    }

    #[test]
    fn t31_500_stuck_requests_of_every_other_user_leave_each_user_its_place() {
        let mut places = waiting(MAX_HANDLERS - 1, 500);
        fill(&mut places, MAX_HANDLERS);
        places.join(&caller(999), subject(1));
        assert_eq!(places.next(MAX_HANDLERS), Some((caller(999), subject(1))));
    }

    #[test]
    fn who_has_the_fewest_calls_is_next_and_equals_take_turns() {
        let mut places = waiting(3, 100);
        let called = fill(&mut places, 3);
        let (least, most) = (called.values().min().unwrap(), called.values().max().unwrap());
        assert!(most - least <= 1, "{called:?}");
        places.ended(&caller(1));
        assert_eq!(places.next(3).map(|(caller, _)| caller), Some(caller(1)));
    }

    #[test]
    fn a_newcomer_beside_busy_users_gets_its_share_at_once() {
        let mut places = waiting(4, 500);
        fill(&mut places, 5);
        (0..50).for_each(|n| places.join(&caller(9), subject(n)));
        let called = fill(&mut places, 5);
        assert!(called[&caller(9)] > 8, "{called:?}");
    }

    #[test]
    fn requests_of_one_user_keep_their_order_and_may_leave_it() {
        let mut places = waiting(1, 3);
        places.leave(&caller(0), &subject(1));
        let order: Vec<_> = std::iter::from_fn(|| places.next(1)).map(|(_, subject)| subject).collect();
        assert_eq!(order, [subject(0), subject(2)]);
    }

    #[test]
    fn there_are_never_more_calls_than_places_and_nothing_is_left_of_them() {
        let mut places = waiting(MAX_HANDLERS, 20);
        let called = fill(&mut places, MAX_HANDLERS);
        assert!(places.running() <= MAX_CALLBACK_PLACES && called.len() == MAX_HANDLERS);
        for (caller, calls) in called {
            (0..calls).for_each(|_| places.ended(&caller));
            (0..20).for_each(|n| places.leave(&caller, &subject(n)));
        }
        assert_eq!((places.running(), places.lines.len(), places.turns.len()), (0, 0, 0));
    }
}
