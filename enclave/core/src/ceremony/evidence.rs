//! Who said different things to different parties (threat T18). Every broadcast carries its sender's signature; when
//! broadcasts turn out to differ, the parties show each other what they received, and two different broadcasts signed
//! for one position convict their sender.

use countersign_wire::Message;
use countersign_wire::ids::{KeyId, PartyId, SessionId};
use countersign_wire::limits::MAX_PARTIES;
use countersign_wire::message::digest_of;
use countersign_wire::peer::{Broadcast, BroadcastWord, MAX_WORDS};
use countersign_wire::signed::verify_bytes;
use std::collections::{BTreeSet, VecDeque};

/// Executions whose broadcasts are remembered.
const MAX_REMEMBERED: usize = 128;

/// Broadcasts of one sender that are remembered: no scheme here has as many, and none can crowd out the others'.
const MAX_WORDS_PER_SENDER: usize = MAX_WORDS / MAX_PARTIES;

/// The broadcasts of recent executions.
#[derive(Default)]
pub(crate) struct EvidenceLog {
    executions: VecDeque<Heard>,
}

struct Heard {
    session: SessionId,
    execution: [u8; 32],
    key: Option<KeyId>,
    words: Vec<BroadcastWord>,
    /// Who was shown them.
    shown: BTreeSet<PartyId>,
    /// Who was convicted by them. Once is enough: later an operator may have cleared it.
    convicted: BTreeSet<PartyId>,
}

/// Hash of a broadcast's bytes.
pub(super) fn hash(bytes: &[u8]) -> [u8; 32] {
    digest_of("countersign/broadcast-bytes/v1", bytes)
}

fn is_signed(word: &BroadcastWord) -> bool {
    verify_bytes(Broadcast::NAME, &word.broadcast.encode(), &word.signature, &word.sender.0).is_ok()
}

/// Whether two words convict their sender. Pure.
fn convicts(a: &BroadcastWord, b: &BroadcastWord) -> bool {
    let same_place = a.sender == b.sender
        && a.broadcast.execution == b.broadcast.execution
        && a.broadcast.position == b.broadcast.position;
    same_place && a.broadcast.hash != b.broadcast.hash && is_signed(a) && is_signed(b)
}

impl EvidenceLog {
    /// Remembers a broadcast whose signature was checked.
    pub(super) fn heard(&mut self, session: SessionId, key: Option<KeyId>, word: BroadcastWord) {
        let execution = word.broadcast.execution;
        if !self.executions.iter().any(|h| h.execution == execution) {
            if self.executions.len() >= MAX_REMEMBERED {
                self.executions.pop_front();
            }
            self.executions.push_back(Heard {
                session,
                execution,
                key,
                words: Vec::new(),
                shown: BTreeSet::new(),
                convicted: BTreeSet::new(),
            });
        }
        if let Some(heard) = self.executions.iter_mut().find(|h| h.execution == execution)
            && heard.words.len() < MAX_WORDS
            && heard.words.iter().filter(|known| known.sender == word.sender).count() < MAX_WORDS_PER_SENDER
            && !heard.words.contains(&word)
        {
            heard.words.push(word);
        }
    }

    /// What was heard in an execution.
    pub(super) fn words(&self, execution: &[u8; 32]) -> Vec<BroadcastWord> {
        self.executions.iter().find(|h| h.execution == *execution).map(|h| h.words.clone()).unwrap_or_default()
    }

    /// Whether the words of an execution are still to be shown to a peer; after this they are not.
    pub(super) fn show_once(&mut self, execution: &[u8; 32], peer: PartyId) -> bool {
        self.executions.iter_mut().find(|h| h.execution == *execution).is_some_and(|heard| heard.shown.insert(peer))
    }

    /// Compares what a peer heard with what we heard. Returns who is convicted, in which session and with which key; the same
    /// one once an execution.
    pub(super) fn compare(
        &mut self,
        execution: &[u8; 32],
        theirs: &[BroadcastWord],
    ) -> Option<(PartyId, SessionId, Option<KeyId>)> {
        let heard = self.executions.iter_mut().find(|h| h.execution == *execution)?;
        let fresh = heard.words.iter().filter(|ours| !heard.convicted.contains(&ours.sender));
        let culprit = fresh.into_iter().find(|ours| theirs.iter().any(|word| convicts(ours, word)))?.sender;
        heard.convicted.insert(culprit);
        Some((culprit, heard.session, heard.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::SigningIdentity;
    use countersign_wire::signed::sign_bytes;

    fn word(secret: u8, position: u32, bytes: &[u8]) -> BroadcastWord {
        let identity = SigningIdentity::from_secret(&[secret; 32]);
        let broadcast = Broadcast { execution: [7; 32], position, hash: hash(bytes) };
        let signature = sign_bytes(Broadcast::NAME, &broadcast.encode(), &identity);
        BroadcastWord { sender: PartyId(identity.public()), broadcast, signature }
    }

    #[test]
    fn t18_two_different_broadcasts_at_one_position_convict_their_sender() {
        let mut log = EvidenceLog::default();
        log.heard(SessionId([1; 16]), None, word(1, 0, b"to you"));
        let culprit = log.compare(&[7; 32], &[word(1, 0, b"to them")]);
        assert_eq!(culprit.map(|c| c.0), Some(word(1, 0, b"").sender));
        assert_eq!(log.compare(&[7; 32], &[word(1, 0, b"to them")]), None, "the same words convict once");
    }

    #[test]
    fn t18_nobody_is_convicted_by_what_others_made_up() {
        let mut log = EvidenceLog::default();
        log.heard(SessionId([1; 16]), None, word(1, 0, b"to you"));
        let forged = BroadcastWord { sender: word(1, 0, b"").sender, ..word(2, 0, b"to them") };
        for harmless in [word(1, 0, b"to you"), word(1, 1, b"later"), word(2, 0, b"other sender"), forged] {
            assert_eq!(log.compare(&[7; 32], &[harmless]), None);
        }
    }

    #[test]
    fn the_log_is_bounded() {
        let mut log = EvidenceLog::default();
        for n in 0..1_000u32 {
            let mut entry = word(1, n, b"x");
            entry.broadcast.execution = [(n % 251) as u8; 32];
            log.heard(SessionId([1; 16]), None, entry);
        }
        assert!(log.executions.len() <= MAX_REMEMBERED);
    }
}
