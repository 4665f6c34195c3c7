//! Open connections: how many, from where, and which give way.
//!
//! Whoever connects is a stranger until a request of theirs was authenticated. Where a limit is reached, the stranger that
//! came first gives way: a flood of silent connections makes room for those that ask for something. A co-signer's link is
//! counted by itself once its access token was checked, so that no number of requests takes its place.

use crate::metrics::Metrics;
use futures_util::task::AtomicWaker;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of the API.
    pub connections: usize,
    /// Of the API, from one address.
    pub per_address: usize,
    /// Co-signers' links.
    pub links: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stranger,
    Known,
    Link,
}

struct Open {
    peer: SocketAddr,
    kind: Kind,
    end: Arc<End>,
}

/// Whether a connection has to end, and who is to notice.
#[derive(Default)]
struct End {
    over: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Open>,
}

/// Every open connection.
pub struct Connections {
    bounds: Bounds,
    metrics: Arc<Metrics>,
    table: Mutex<Table>,
}

/// What counts as one address: of IPv6 the network that one customer is given.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// There are as many links as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {0} links of co-signers, the limit; raise limits.max_links, or try again later")]
pub struct TooManyLinks(pub usize);

impl Connections {
    /// None is open yet.
    pub fn new(bounds: Bounds, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { bounds, metrics, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it holds this lock; the data is whole either way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in; `None` where only authenticated ones could give way to it.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let mut table = self.table();
        let from = source(peer.ip());
        let here = |open: &Open| source(open.peer.ip()) == from;
        let admitted = table.make_room(self.bounds.per_address, &self.metrics, here)
            && table.make_room(self.bounds.connections, &self.metrics, |_| true);
        if !admitted {
            self.metrics.connection_refused();
            return None;
        }
        let number = table.next;
        table.next = number.wrapping_add(1);
        let end = Arc::new(End::default());
        table.open.insert(number, Open { peer, kind: Kind::Stranger, end: Arc::clone(&end) });
        Some(Place { connections: Arc::clone(self), number, end })
    }

    /// A request on the connection from `peer` was authenticated.
    pub fn know(&self, peer: SocketAddr) {
        if let Some(open) = self.table().of(peer)
            && open.kind == Kind::Stranger
        {
            open.kind = Kind::Known;
        }
    }

    /// The connection from `peer` becomes a co-signer's link.
    ///
    /// # Errors
    /// There are too many.
    pub fn link(&self, peer: SocketAddr) -> Result<(), TooManyLinks> {
        let mut table = self.table();
        let links = table.open.values().filter(|open| open.kind == Kind::Link).count();
        if links >= self.bounds.links {
            return Err(TooManyLinks(links));
        }
        if let Some(open) = table.of(peer) {
            open.kind = Kind::Link;
        }
        Ok(())
    }
}

impl Table {
    fn of(&mut self, peer: SocketAddr) -> Option<&mut Open> {
        self.open.values_mut().find(|open| open.peer == peer)
    }

    /// Whether one more of these fits under `max`; the first stranger of them gives way if need be.
    fn make_room(&mut self, max: usize, metrics: &Metrics, these: impl Fn(&Open) -> bool) -> bool {
        let counted = |open: &&Open| open.kind != Kind::Link && these(open);
        if self.open.values().filter(counted).count() < max {
            return true;
        }
        let first = self.open.iter().find(|(_, open)| open.kind == Kind::Stranger && these(open)).map(|(n, _)| *n);
        let Some(open) = first.and_then(|number| self.open.remove(&number)) else { return false };
        open.end.over.store(true, Ordering::Release);
        open.end.waker.wake();
        metrics.connection_ended();
        true
    }
}

/// The place of one open connection; free again when it is dropped.
pub struct Place {
    connections: Arc<Connections>,
    number: u64,
    end: Arc<End>,
}

impl Place {
    /// Whether the connection has to give way. The task is woken when it has to.
    pub fn is_over(&self, cx: &Context<'_>) -> bool {
        self.end.waker.register(cx.waker());
        self.end.over.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.number);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn connections(bounds: Bounds) -> Arc<Connections> {
        Connections::new(bounds, Arc::default())
    }

    fn peer(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    fn over(place: &Place) -> bool {
        place.is_over(&Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn t47_the_first_stranger_gives_way_and_nobody_else_does() {
        let all = connections(Bounds { connections: 3, per_address: 3, links: 1 });
        let known = all.admit(peer(1, 1)).unwrap();
        all.know(peer(1, 1));
        let (first, second) = (all.admit(peer(2, 1)).unwrap(), all.admit(peer(3, 1)).unwrap());
        let third = all.admit(peer(4, 1)).unwrap();
        assert!(over(&first) && !over(&second) && !over(&third) && !over(&known));
        all.know(peer(3, 1));
        all.know(peer(4, 1));
        assert!(all.admit(peer(5, 1)).is_none(), "nobody is left to give way");
        drop(first);
        assert!(all.admit(peer(5, 1)).is_none(), "its place was taken long before it was dropped");
        drop(second);
        assert!(all.admit(peer(5, 1)).is_some());
    }

    #[test]
    fn t47_one_address_takes_its_share_only() {
        let all = connections(Bounds { connections: 10, per_address: 2, links: 1 });
        let other = all.admit(peer(2, 1)).unwrap();
        let flood: Vec<Place> = (0..100).map(|port| all.admit(peer(1, port)).unwrap()).collect();
        assert_eq!(flood.iter().filter(|place| !over(place)).count(), 2);
        assert!(!over(&other));
        let network = |last: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, last], 1));
        let six: Vec<Place> = (0..5).map(|last| all.admit(network(last)).unwrap()).collect();
        assert_eq!(six.iter().filter(|place| !over(place)).count(), 2);
        let mapped = all.admit("[::ffff:192.0.2.2]:9".parse().unwrap()).unwrap();
        assert!(!over(&mapped) && !over(&other));
        drop(all.admit(peer(2, 3)).unwrap());
        assert!(over(&other), "the same address, written in two ways");
    }

    #[test]
    fn t47_links_have_places_of_their_own() {
        let all = connections(Bounds { connections: 1, per_address: 1, links: 1 });
        let link = all.admit(peer(1, 1)).unwrap();
        all.link(peer(1, 1)).unwrap();
        let request = all.admit(peer(1, 2)).unwrap();
        let next = all.admit(peer(1, 3)).unwrap();
        assert!(!over(&link) && over(&request) && !over(&next));
        assert_eq!(all.link(peer(1, 3)), Err(TooManyLinks(1)));
        drop(link);
        assert_eq!(all.link(peer(1, 3)), Ok(()));
    }
}
