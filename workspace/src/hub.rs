//! The relay's hub: which co-signers' links are up, and bounded queues towards them. What does not fit is dropped: every
//! message may be lost, and ceremonies are tried again.

use crate::metrics::Metrics;
use countersign_wire::Message;
use countersign_wire::group::Group;
use countersign_wire::ids::PartyId;
use countersign_wire::relay::RelayDown;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

/// Most frames that wait for one link, whatever their size.
const MAX_QUEUE_FRAMES: usize = 8192;

/// A frame on its way to a link.
type Frame = Vec<u8>;

struct Link {
    number: u64,
    /// `None` where it was cut and has not ended yet.
    way: Option<Way>,
    queued_bytes: Arc<AtomicUsize>,
}

/// The way to a link's end. Whoever has the end learns at once when it is dropped.
struct Way {
    frames: mpsc::Sender<Frame>,
    _stands: watch::Sender<()>,
}

/// The receiving end of a link.
pub struct LinkEnd {
    /// Counts links; the newest of a co-signer wins.
    pub number: u64,
    frames: mpsc::Receiver<Frame>,
    queued_bytes: Arc<AtomicUsize>,
    stands: watch::Receiver<()>,
}

impl LinkEnd {
    /// The next frame, or `None` where the link was replaced or cut.
    pub async fn next(&mut self) -> Option<Frame> {
        let frame = self.frames.recv().await?;
        self.queued_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }

    /// Waits until the link is replaced or cut, whatever still waits to be sent over it.
    pub fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stands = self.stands.clone();
        async move { while stands.changed().await.is_ok() {} }
    }
}

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotQueued {
    /// The co-signer's link is down.
    Down,
    /// The queue is full.
    Full,
    /// The two co-signers are in no common group.
    NoCommonGroup,
}

impl NotQueued {
    /// As metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "link_down",
            Self::Full => "queue_full",
            Self::NoCommonGroup => "no_common_group",
        }
    }
}

/// The hub.
pub struct Hub {
    links: Mutex<(u64, BTreeMap<PartyId, Link>)>,
    peers: Mutex<BTreeMap<PartyId, BTreeSet<PartyId>>>,
    max_queue_bytes: usize,
    metrics: Arc<Metrics>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks; the data is whole either way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// A hub without links.
    pub fn new(max_queue_bytes: usize, metrics: Arc<Metrics>) -> Self {
        Self { links: Mutex::default(), peers: Mutex::default(), max_queue_bytes, metrics }
    }

    /// The parties of this group may reach each other.
    pub fn allow(&self, group: &Group) {
        let mut peers = lock(&self.peers);
        for party in group.parties.iter() {
            let others = group.parties.iter().map(|p| p.id).filter(|id| *id != party.id);
            peers.entry(party.id).or_default().extend(others);
        }
    }

    /// A co-signer's link came up; an older one of it ends.
    pub fn connect(&self, party: PartyId) -> LinkEnd {
        let (frames, receiver) = mpsc::channel(MAX_QUEUE_FRAMES);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let mut links = lock(&self.links);
        links.0 = links.0.saturating_add(1);
        let number = links.0;
        let (sender, stands) = watch::channel(());
        let way = Some(Way { frames, _stands: sender });
        let link = Link { number, way, queued_bytes: Arc::clone(&queued_bytes) };
        links.1.insert(party, link);
        self.metrics.links(links.1.len());
        LinkEnd { number, frames: receiver, queued_bytes, stands }
    }

    /// A co-signer's link went down. Says whether it was the newest.
    pub fn disconnect(&self, party: &PartyId, number: u64) -> bool {
        let mut links = lock(&self.links);
        let newest = links.1.get(party).is_some_and(|link| link.number == number);
        if newest {
            links.1.remove(party);
            self.metrics.links(links.1.len());
        }
        newest
    }

    /// Ends a co-signer's link: whoever carries it learns that it is over, and says so to [`Self::disconnect`].
    pub fn cut(&self, party: &PartyId) {
        if let Some(link) = lock(&self.links).1.get_mut(party) {
            link.way = None;
        }
    }

    /// Whether a co-signer's link is up.
    pub fn is_connected(&self, party: &PartyId) -> bool {
        lock(&self.links).1.get(party).is_some_and(|link| link.way.is_some())
    }

    /// Queues a frame for a co-signer.
    ///
    /// # Errors
    /// It was dropped.
    pub fn send(&self, to: &PartyId, frame: &RelayDown) -> Result<(), NotQueued> {
        let result = self.queue(to, frame.encode());
        match result {
            Ok(()) => self.metrics.frame("down"),
            Err(reason) => self.metrics.dropped(reason.as_str()),
        }
        result
    }

    /// Queues a packet of one co-signer for another.
    ///
    /// # Errors
    /// They are in no common group, or it was dropped.
    pub fn relay(
        &self,
        from: PartyId,
        to: &PartyId,
        packet: countersign_wire::Bytes<{ countersign_wire::limits::MAX_PACKET_BYTES }>,
    ) -> Result<(), NotQueued> {
        if !lock(&self.peers).get(&from).is_some_and(|peers| peers.contains(to)) {
            self.metrics.dropped(NotQueued::NoCommonGroup.as_str());
            return Err(NotQueued::NoCommonGroup);
        }
        self.send(to, &RelayDown::Peer { from, packet })
    }

    fn queue(&self, to: &PartyId, bytes: Frame) -> Result<(), NotQueued> {
        let links = lock(&self.links);
        let link = links.1.get(to).ok_or(NotQueued::Down)?;
        let way = link.way.as_ref().ok_or(NotQueued::Down)?;
        let len = bytes.len();
        let before = link.queued_bytes.fetch_add(len, Ordering::Relaxed);
        let fits = before.saturating_add(len) <= self.max_queue_bytes;
        if fits && way.frames.try_send(bytes).is_ok() {
            return Ok(());
        }
        link.queued_bytes.fetch_sub(len, Ordering::Relaxed);
        Err(NotQueued::Full)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use countersign_wire::group::{Party, Role};
    use countersign_wire::ids::{GroupId, WorkspaceId};
    use countersign_wire::{Bytes, List};

    const A: PartyId = PartyId([1; 32]);
    const B: PartyId = PartyId([2; 32]);
    const C: PartyId = PartyId([3; 32]);

    fn hub() -> Hub {
        let hub = Hub::new(2 * 1024, Arc::default());
        let parties = vec![Party { id: A, role: Role::Customer }, Party { id: B, role: Role::Cloud }];
        let parties = List::new(parties).unwrap();
        hub.allow(&Group { workspace: WorkspaceId([0; 16]), id: GroupId([0; 16]), parties, threshold: 2 });
        hub
    }

    fn packet(bytes: usize) -> Bytes<{ countersign_wire::limits::MAX_PACKET_BYTES }> {
        Bytes::new(vec![7; bytes]).unwrap()
    }

    #[tokio::test]
    async fn t52_packets_reach_only_parties_of_a_common_group() {
        let hub = hub();
        let (_a, mut b, _c) = (hub.connect(A), hub.connect(B), hub.connect(C));
        assert_eq!(hub.relay(A, &B, packet(3)), Ok(()));
        let frame = RelayDown::decode(&b.next().await.unwrap()).unwrap();
        assert_eq!(frame, RelayDown::Peer { from: A, packet: packet(3) });
        assert_eq!(hub.relay(A, &C, packet(3)), Err(NotQueued::NoCommonGroup));
        assert_eq!(hub.relay(C, &A, packet(3)), Err(NotQueued::NoCommonGroup));
        assert_eq!(hub.relay(A, &A, packet(3)), Err(NotQueued::NoCommonGroup));
    }

    #[tokio::test]
    async fn a_link_that_is_cut_or_replaced_is_over_at_once_whatever_waits_in_it() {
        let hub = hub();
        let b = hub.connect(B);
        while hub.relay(A, &B, packet(500)).is_ok() {}
        let mut over = std::pin::pin!(b.over());
        assert!(futures_util::poll!(over.as_mut()).is_pending());
        hub.cut(&B);
        over.await;
        let b = hub.connect(B);
        let over = b.over();
        let _newer = hub.connect(B);
        over.await;
    }

    #[tokio::test]
    async fn t47_a_link_that_does_not_read_holds_a_bounded_number_of_bytes() {
        let hub = hub();
        let mut b = hub.connect(B);
        let mut queued = 0;
        while hub.relay(A, &B, packet(500)).is_ok() {
            queued += 1;
        }
        assert_eq!(queued, 3);
        b.next().await.unwrap();
        assert_eq!(hub.relay(A, &B, packet(500)), Ok(()));
    }

    #[tokio::test]
    async fn the_newest_link_wins() {
        let hub = hub();
        let mut old = hub.connect(B);
        let mut new = hub.connect(B);
        assert_eq!(old.next().await, None);
        assert!(!hub.disconnect(&B, old.number), "an old link's end says nothing about the new one");
        assert!(hub.is_connected(&B));
        hub.relay(A, &B, packet(1)).unwrap();
        assert!(new.next().await.is_some());
        assert!(hub.disconnect(&B, new.number));
        assert_eq!(hub.relay(A, &B, packet(1)), Err(NotQueued::Down));
    }

    #[tokio::test]
    async fn a_link_that_is_cut_ends_and_its_end_counts() {
        let hub = hub();
        let mut link = hub.connect(B);
        hub.cut(&B);
        assert_eq!(link.next().await, None);
        assert!(!hub.is_connected(&B));
        assert_eq!(hub.relay(A, &B, packet(1)), Err(NotQueued::Down));
        assert!(hub.disconnect(&B, link.number), "the coordinator has to learn of it");
        let mut again = hub.connect(B);
        hub.relay(A, &B, packet(1)).unwrap();
        assert!(again.next().await.is_some());
    }
}
