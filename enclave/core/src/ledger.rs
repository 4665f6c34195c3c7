//! The ledger of one pairing: what was asked, what was decided, what was signed. Pure.
//!
//! One transaction id names one request for ever; one intent names one ordered list of digests for ever, under one
//! transaction (threats T09, T10, T55).

use crate::limits::{CLOCK_SKEW_MS, LEDGER_FORGET_MS, LEDGER_KEEP_MS, MAX_FORGOTTEN_AT_ONCE, MAX_REQUESTS_PER_PAIRING};
use crate::state::RequestRecord;
use countersign_wire::ids::{ApiUserId, TransactionId};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::IntentId;
use std::collections::{BTreeMap, BTreeSet};

/// What the ledger says of a request that comes in.
#[derive(Debug)]
pub enum Known<'a> {
    /// Nothing: it may be decided.
    New,
    /// It was decided: the stored record answers.
    Decided(&'a RequestRecord),
}

/// The ledger.
#[derive(Default)]
pub struct Ledger {
    records: BTreeMap<TransactionId, RequestRecord>,
    by_nonce: BTreeMap<(ApiUserId, String), TransactionId>,
    by_external: BTreeMap<(ApiUserId, String), TransactionId>,
    /// When each was decided, the oldest first.
    by_age: BTreeSet<(u64, TransactionId)>,
    last_position: u64,
}

impl Ledger {
    /// Looks up a request. `intent` is what its token proves, `digests_hash` what its body decodes to.
    pub fn check(
        &self,
        transaction: &TransactionId,
        request_hash: &[u8; 32],
        intent: Option<&IntentId>,
        digests_hash: &[u8; 32],
    ) -> Result<Known<'_>, Refusal> {
        if let Some(record) = self.records.get(transaction) {
            if record.request_hash != *request_hash || record.digests_hash != *digests_hash {
                return Err(Refusal::new(
                    Code::Conflict,
                    format!("transaction {transaction} was decided here with other content; use a new id"),
                ));
            }
            return Ok(Known::Decided(record));
        }
        if let Some(intent) = intent {
            self.check_intent(transaction, intent)?;
        }
        Ok(Known::New)
    }

    fn check_intent(&self, transaction: &TransactionId, intent: &IntentId) -> Result<(), Refusal> {
        let nonce = (intent.initiator.clone(), intent.nonce.to_string());
        let external = intent.external.as_ref().map(|e| (intent.initiator.clone(), e.to_string()));
        let owner = self.by_nonce.get(&nonce).or_else(|| external.as_ref().and_then(|e| self.by_external.get(e)));
        match owner {
            Some(other) if other != transaction => Err(Refusal::new(
                Code::IntentReplayed,
                format!("the client's request already stands for transaction {other}; one request signs once"),
            )),
            _ => Ok(()),
        }
    }

    /// The record of a transaction.
    pub fn get(&self, transaction: &TransactionId) -> Option<&RequestRecord> {
        self.records.get(transaction)
    }

    /// The record of a transaction, to add a signature to.
    pub fn get_mut(&mut self, transaction: &TransactionId) -> Option<&mut RequestRecord> {
        self.records.get_mut(transaction)
    }

    /// The position of the next record: it always grows, also when older records are gone.
    pub fn next_position(&self, now_ms: u64) -> u64 {
        self.last_position.saturating_add(1).max(now_ms)
    }

    /// Takes a record in. The caller checked it with [`Ledger::check`] and seals it.
    pub fn insert(&mut self, record: RequestRecord) {
        if let Some(intent) = &record.intent {
            self.by_nonce.insert((intent.initiator.clone(), intent.nonce.to_string()), record.transaction);
            if let Some(external) = &intent.external {
                self.by_external.insert((intent.initiator.clone(), external.to_string()), record.transaction);
            }
        }
        self.last_position = self.last_position.max(record.position);
        let age = (record.decided_at_ms, record.transaction);
        if let Some(earlier) = self.records.insert(record.transaction, record) {
            self.by_age.remove(&(earlier.decided_at_ms, earlier.transaction));
        }
        self.by_age.insert(age);
    }

    /// Whether there will be room for one more record beside `waiting` others that are not decided yet.
    pub fn check_room(&self, now_ms: u64, waiting: usize) -> Result<(), Refusal> {
        let needed = self.records.len().saturating_add(waiting).saturating_add(1);
        let over = needed.saturating_sub(MAX_REQUESTS_PER_PAIRING);
        if self.older_than(now_ms, LEDGER_KEEP_MS).take(over).count() < over {
            return Err(Refusal::new(Code::Busy, "the ledger is full of recent requests; try again later"));
        }
        Ok(())
    }

    fn older_than(&self, now_ms: u64, age_ms: u64) -> impl Iterator<Item = (u64, TransactionId)> + '_ {
        let keep_from = now_ms.saturating_sub(age_ms);
        self.by_age.iter().take_while(move |(decided_at, _)| *decided_at < keep_from).copied()
    }

    /// Forgets old records, a bounded number at a time, before one is taken in: those that are much older than any intent that
    /// is accepted, and where the ledger is full those that are older than that at all. Returns whose blobs to delete, and the
    /// floor below which intents are refused from now on, if it moved: none that was forgotten is accepted again (threat T55).
    pub fn prune(&mut self, now_ms: u64) -> Result<(Vec<TransactionId>, Option<u64>), Refusal> {
        self.check_room(now_ms, 0)?;
        let is_full = self.records.len() >= MAX_REQUESTS_PER_PAIRING;
        let age_ms = if is_full { LEDGER_KEEP_MS } else { LEDGER_FORGET_MS };
        let old: Vec<(u64, TransactionId)> = self.older_than(now_ms, age_ms).take(MAX_FORGOTTEN_AT_ONCE).collect();
        // Many at once where that can wait: each time the floor is sealed too.
        if !is_full && old.len() < MAX_FORGOTTEN_AT_ONCE {
            return Ok((Vec::new(), None));
        }
        // A client's clock may have been ahead when its request was decided.
        let floor = old.last().map(|(decided_at, _)| decided_at.saturating_add(CLOCK_SKEW_MS).saturating_add(1));
        let old: Vec<TransactionId> = old.into_iter().map(|(_, transaction)| transaction).collect();
        for transaction in &old {
            self.forget(transaction);
        }
        Ok((old, floor))
    }

    fn forget(&mut self, transaction: &TransactionId) {
        let Some(record) = self.records.remove(transaction) else { return };
        self.by_age.remove(&(record.decided_at_ms, *transaction));
        let Some(intent) = record.intent else { return };
        self.by_nonce.remove(&(intent.initiator.clone(), intent.nonce.to_string()));
        if let Some(external) = intent.external {
            self.by_external.remove(&(intent.initiator, external.to_string()));
        }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Decision;
    use countersign_wire::{List, Text};

    fn intent(nonce: &str, external: Option<&str>) -> IntentId {
        IntentId {
            initiator: "alice".parse().unwrap(),
            nonce: Text::new(nonce).unwrap(),
            external: external.map(|e| Text::new(e).unwrap()),
        }
    }

    fn record(transaction: u8, intent: Option<IntentId>) -> RequestRecord {
        RequestRecord {
            transaction: TransactionId([transaction; 16]),
            request_hash: [transaction; 32],
            intent,
            digests_hash: [9; 32],
            decision: Decision::Refused(Refusal::new(Code::Rejected, "no")),
            position: u64::from(transaction),
            decided_at_ms: 0,
            signatures: List::default(),
        }
    }

    fn with(transaction: u8, intent: Option<IntentId>) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.insert(record(transaction, intent));
        ledger
    }

    #[test]
    fn t09_the_same_request_again_finds_the_stored_decision() {
        let ledger = with(1, None);
        let found = ledger.check(&TransactionId([1; 16]), &[1; 32], None, &[9; 32]);
        assert!(matches!(found, Ok(Known::Decided(r)) if r.position == 1));
    }

    #[test]
    fn t10_the_same_id_with_other_content_is_a_conflict() {
        let ledger = with(1, None);
        let other = ledger.check(&TransactionId([1; 16]), &[2; 32], None, &[9; 32]);
        assert!(matches!(other, Err(r) if r.code == Code::Conflict));
        let digests = ledger.check(&TransactionId([1; 16]), &[1; 32], None, &[8; 32]);
        assert!(matches!(digests, Err(r) if r.code == Code::Conflict));
    }

    #[test]
    fn t55_one_intent_under_two_transactions_is_refused_by_nonce_and_by_external_id() {
        let ledger = with(1, Some(intent("n", Some("x"))));
        for again in [intent("n", None), intent("n", Some("y")), intent("m", Some("x"))] {
            let found = ledger.check(&TransactionId([2; 16]), &[2; 32], Some(&again), &[9; 32]);
            assert!(matches!(found, Err(r) if r.code == Code::IntentReplayed), "{again:?}");
        }
        let other_initiator = IntentId { initiator: "bob".parse().unwrap(), ..intent("n", Some("x")) };
        assert!(ledger.check(&TransactionId([2; 16]), &[2; 32], Some(&other_initiator), &[9; 32]).is_ok());
    }

    #[test]
    fn positions_grow_even_when_older_records_are_gone() {
        let ledger = with(7, None);
        assert_eq!(ledger.next_position(3), 8);
        assert_eq!(ledger.next_position(100), 100);
    }

    fn filled(records: usize, decided_at_ms: impl Fn(usize) -> u64) -> Ledger {
        let mut ledger = Ledger::default();
        for n in 0..records {
            let id = |n: usize| -> [u8; 16] { u128::try_from(n).unwrap().to_be_bytes() };
            let intent = Some(intent(&format!("n{n}"), Some(&format!("x{n}"))));
            let record = RequestRecord {
                transaction: TransactionId(id(n)),
                decided_at_ms: decided_at_ms(n),
                ..record(1, intent)
            };
            ledger.insert(record);
        }
        ledger
    }

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn t55_old_records_are_forgotten_a_few_at_a_time_and_their_intents_stay_refused() {
        let mut ledger = filled(100, |n| if n < 70 { NOW - LEDGER_FORGET_MS - 1_000 + n as u64 } else { NOW });
        let (first, floor) = ledger.prune(NOW).unwrap();
        assert_eq!((first.len(), ledger.len()), (MAX_FORGOTTEN_AT_ONCE, 68));
        let newest = NOW - LEDGER_FORGET_MS - 1_000 + 31;
        assert!(floor.unwrap() > newest + CLOCK_SKEW_MS, "also one whose client's clock was ahead");
        assert!(floor.unwrap() < NOW - crate::limits::INTENT_MAX_AGE_MS, "and none that is fresh");
        assert_eq!(ledger.prune(NOW).unwrap().0.len(), MAX_FORGOTTEN_AT_ONCE);
        assert_eq!(ledger.prune(NOW), Ok((Vec::new(), None)), "few old ones can wait");
        assert_eq!(
            (ledger.len(), ledger.by_age.len(), ledger.by_nonce.len(), ledger.by_external.len()),
            (36, 36, 36, 36)
        );
    }

    #[test]
    fn a_full_ledger_forgets_what_no_intent_can_refer_to_and_else_has_no_room() {
        let recent = filled(MAX_REQUESTS_PER_PAIRING, |_| NOW - LEDGER_KEEP_MS);
        assert_eq!(recent.check_room(NOW, 0).unwrap_err().code, Code::Busy);
        let mut old = filled(MAX_REQUESTS_PER_PAIRING, |n| if n < 3 { NOW - LEDGER_KEEP_MS - 1 } else { NOW });
        assert!(old.check_room(NOW, 2).is_ok());
        assert_eq!(old.check_room(NOW, 3).unwrap_err().code, Code::Busy, "three are being asked for already");
        assert_eq!(old.prune(NOW).unwrap().0.len(), 3);
        assert!(old.check_room(NOW, 2).is_ok() && old.check_room(NOW, 3).is_err());
    }
}
