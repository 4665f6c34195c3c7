//! The gate in front of everything that the outside world can see (threat T08): after a batch, no visible effect leaves
//! before the host acknowledged that batch as durable. Order is kept.

use crate::effect::Effect;
use crate::limits::{
    MAX_BACKLOG_OF_LINKS, MAX_BACKLOG_SHARE, MAX_HELD_EFFECTS, MAX_HELD_OF_LINKS, MAX_HELD_SHARE,
    MAX_UNACKNOWLEDGED_BATCHES,
};
use countersign_wire::host_link::BlobWrite;
use countersign_wire::ids::PairingId;
use std::collections::VecDeque;

/// Why the gate stays shut for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// The host does not acknowledge.
    #[error("the host has not acknowledged {0} batches")]
    Backlog(usize),
    /// The host acknowledged something that was never sent.
    #[error("expected an acknowledgement of batches up to {last}, got {got}")]
    Acknowledgement {
        /// The last batch sent.
        last: u64,
        /// What came.
        got: u64,
    },
}

/// A batch that may have to be sent again.
#[derive(Clone)]
struct Batch {
    sequence: u64,
    fresh: bool,
    writes: Vec<BlobWrite>,
    /// The pairing whose link brought what this stores.
    link: Option<PairingId>,
}

impl From<Batch> for Effect {
    fn from(Batch { sequence, fresh, writes, .. }: Batch) -> Self {
        Self::Persist { sequence, fresh, writes }
    }
}

/// Effects on their way out.
#[derive(Default)]
pub struct Outbox {
    ready: Vec<Effect>,
    held: VecDeque<(u64, Effect)>,
    unacknowledged: VecDeque<Batch>,
    last: u64,
    durable: u64,
}

fn is_visible(effect: &Effect) -> bool {
    match effect {
        Effect::LinkSend { .. }
        | Effect::LinkOpen { .. }
        | Effect::Admin { .. }
        | Effect::AdminClose { .. }
        | Effect::Exchange { .. }
        | Effect::Report { .. } => true,
        Effect::LoadBlobs
        | Effect::Persist { .. }
        | Effect::LinkClose { .. }
        | Effect::GenerateSealingKey { .. }
        | Effect::UnwrapSealingKey { .. }
        | Effect::StartJob { .. }
        | Effect::JobMessage { .. }
        | Effect::FinishJob { .. }
        | Effect::DropJob { .. }
        | Effect::WakeAt { .. } => false,
    }
}

impl Outbox {
    /// Sends a batch to be stored, `fresh` only where nothing is. `link` is the pairing whose link brought it. Every visible
    /// effect pushed from now on waits for it.
    pub fn persist(&mut self, fresh: bool, writes: Vec<BlobWrite>, link: Option<PairingId>) -> Result<(), OutboxError> {
        if self.unacknowledged.len() >= MAX_UNACKNOWLEDGED_BATCHES {
            return Err(OutboxError::Backlog(self.unacknowledged.len()));
        }
        self.last = self.last.saturating_add(1);
        let batch = Batch { sequence: self.last, fresh, writes, link };
        self.unacknowledged.push_back(batch.clone());
        self.ready.push(batch.into());
        Ok(())
    }

    /// Sends an effect, now or when everything persisted before it is durable.
    pub fn push(&mut self, effect: Effect) -> Result<(), OutboxError> {
        if self.durable < self.last && is_visible(&effect) {
            if self.held.len() >= MAX_HELD_EFFECTS {
                return Err(OutboxError::Backlog(self.unacknowledged.len()));
            }
            self.held.push_back((self.last, effect));
        } else {
            self.ready.push(effect);
        }
        Ok(())
    }

    /// The host says that batches up to `sequence` are durable.
    pub fn persisted(&mut self, sequence: u64) -> Result<(), OutboxError> {
        if sequence > self.last {
            return Err(OutboxError::Acknowledgement { last: self.last, got: sequence });
        }
        self.durable = self.durable.max(sequence);
        while self.unacknowledged.front().is_some_and(|batch| batch.sequence <= self.durable) {
            self.unacknowledged.pop_front();
        }
        while let Some((needs, effect)) = self.held.pop_front() {
            if needs > self.durable {
                self.held.push_front((needs, effect));
                break;
            }
            self.ready.push(effect);
        }
        Ok(())
    }

    /// The host is connected again: batches that it may have lost are sent again, in order, and under their numbers: by
    /// those the host knows what it applied before. An older one applied once more over a newer one would be, if the power
    /// fails then, a state that no boot opens.
    pub fn resend(&mut self) {
        self.ready.extend(self.unacknowledged.iter().cloned().map(Effect::from));
    }

    /// What may be executed now, in order.
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.ready)
    }

    /// Whether a pairing's link has to wait: the host is behind, and with more than this pairing's share.
    pub fn is_over_share(&self, link: &PairingId) -> bool {
        let batches = || self.unacknowledged.iter().filter(|batch| batch.link.as_ref() == Some(link)).count();
        let is_own = |effect: &Effect| matches!(effect, Effect::LinkSend { pairing, .. } if pairing == link);
        let held = || self.held.iter().filter(|(_, effect)| is_own(effect)).count();
        (self.unacknowledged.len() >= MAX_BACKLOG_OF_LINKS && batches() >= MAX_BACKLOG_SHARE)
            || (self.held.len() >= MAX_HELD_OF_LINKS && held() >= MAX_HELD_SHARE)
    }

    /// Batches that are not durable yet.
    pub fn backlog(&self) -> usize {
        self.unacknowledged.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(connection: u64) -> Effect {
        Effect::AdminClose { connection }
    }

    fn shown(effects: &[Effect]) -> Vec<String> {
        let name = |e: &Effect| match e {
            Effect::Persist { sequence, .. } => format!("persist {sequence}"),
            Effect::AdminClose { connection } => format!("visible {connection}"),
            _ => "internal".to_owned(),
        };
        effects.iter().map(name).collect()
    }

    #[test]
    fn t08_nothing_visible_leaves_before_what_it_depends_on_is_durable() {
        let mut outbox = Outbox::default();
        outbox.push(visible(1)).unwrap();
        outbox.persist(false, vec![], None).unwrap();
        outbox.push(visible(2)).unwrap();
        outbox.persist(false, vec![], None).unwrap();
        outbox.push(visible(3)).unwrap();
        outbox.push(Effect::DropJob { job: 1 }).unwrap();
        assert_eq!(shown(&outbox.take()), ["visible 1", "persist 1", "persist 2", "internal"]);
        outbox.persisted(1).unwrap();
        assert_eq!(shown(&outbox.take()), ["visible 2"]);
        outbox.push(visible(4)).unwrap();
        outbox.persisted(2).unwrap();
        assert_eq!(shown(&outbox.take()), ["visible 3", "visible 4"]);
    }

    #[test]
    fn t47_where_the_host_is_behind_only_who_has_more_than_its_share_waits() {
        let (loud, calm) = (PairingId([1; 16]), PairingId([2; 16]));
        let mut outbox = Outbox::default();
        for _ in 0..MAX_BACKLOG_OF_LINKS {
            assert!(!outbox.is_over_share(&loud));
            outbox.persist(false, vec![], Some(loud)).unwrap();
        }
        assert!(outbox.is_over_share(&loud));
        for _ in 0..MAX_BACKLOG_SHARE {
            assert!(!outbox.is_over_share(&calm));
            outbox.persist(false, vec![], Some(calm)).unwrap();
        }
        assert!(outbox.is_over_share(&calm));
        outbox.persisted(MAX_BACKLOG_SHARE as u64 + 1).unwrap();
        assert!(!outbox.is_over_share(&loud) && !outbox.is_over_share(&calm));
    }

    #[test]
    fn t47_who_has_more_answers_held_than_its_share_waits() {
        let (loud, calm) = (PairingId([1; 16]), PairingId([2; 16]));
        let mut outbox = Outbox::default();
        outbox.persist(false, vec![], None).unwrap();
        let say = |outbox: &mut Outbox, pairing| outbox.push(Effect::LinkSend { pairing, frame: vec![] }).unwrap();
        for _ in 0..MAX_HELD_OF_LINKS {
            assert!(!outbox.is_over_share(&loud));
            say(&mut outbox, loud);
        }
        assert!(outbox.is_over_share(&loud));
        for _ in 0..MAX_HELD_SHARE {
            assert!(!outbox.is_over_share(&calm));
            say(&mut outbox, calm);
        }
        assert!(outbox.is_over_share(&calm));
        outbox.persisted(1).unwrap();
        assert!(!outbox.is_over_share(&loud) && !outbox.is_over_share(&calm));
    }

    #[test]
    fn an_acknowledgement_of_the_future_is_refused() {
        let mut outbox = Outbox::default();
        outbox.persist(false, vec![], None).unwrap();
        assert_eq!(outbox.persisted(2), Err(OutboxError::Acknowledgement { last: 1, got: 2 }));
    }

    #[test]
    fn unacknowledged_batches_are_sent_again_in_order_and_bounded() {
        let mut outbox = Outbox::default();
        for _ in 0..MAX_UNACKNOWLEDGED_BATCHES {
            outbox.persist(false, vec![], None).unwrap();
        }
        assert!(matches!(outbox.persist(false, vec![], None), Err(OutboxError::Backlog(_))));
        outbox.persisted(MAX_UNACKNOWLEDGED_BATCHES as u64 - 2).unwrap();
        outbox.take();
        for _ in 0..2 {
            outbox.resend();
            assert_eq!(shown(&outbox.take()), ["persist 2047", "persist 2048"], "under the numbers of the first time");
        }
    }
}
