//! Connections that are kept for the next exchange with the same place.

use super::connection::Connection;
use super::counted::OpenStreams;
use crate::limits::{MAX_IDLE_CONNECTIONS, MAX_IDLE_PER_PLACE, MAX_IDLE_TIME, MAX_OPEN_CONNECTIONS};
use cosigner_core::{ExchangeSpec, Trust};
use countersign_wire::dial::Address;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Everything that decided whether a connection could be opened and its server trusted. Exchanges that differ in any of
/// it never share a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    host: String,
    port: u16,
    trust: Trust,
    networks: Vec<(Address, u8)>,
}

impl Place {
    pub(super) fn of(spec: &ExchangeSpec) -> Self {
        Self {
            host: spec.host.to_ascii_lowercase(),
            port: spec.port,
            trust: spec.trust.clone(),
            networks: spec.addresses.networks.iter().map(|network| (network.address, network.prefix)).collect(),
        }
    }
}

/// The connections. Those of HTTP/2 are here while exchanges use them, those of HTTP/1.1 only while none does.
#[derive(Default)]
pub(super) struct Pool {
    places: Mutex<BTreeMap<Place, Vec<Kept>>>,
    /// All connections, also those that are not here.
    pub(super) open: OpenStreams,
}

struct Kept {
    connection: Connection,
    used_at: Instant,
}

impl Kept {
    fn is_idle(&self) -> bool {
        self.connection.others() == 0
    }

    fn is_usable(&self, now: Instant, now_ms: u64) -> bool {
        let fresh = !self.is_idle() || now.saturating_duration_since(self.used_at) < MAX_IDLE_TIME;
        fresh && self.connection.is_usable(now, now_ms)
    }
}

impl Pool {
    fn places(&self) -> MutexGuard<'_, BTreeMap<Place, Vec<Kept>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for one exchange, if there is one that is as good as a new one: the one that was used last, so that
    /// the others can go.
    pub(super) fn take(&self, place: &Place, now: Instant, now_ms: u64) -> Option<Connection> {
        let mut places = self.places();
        let kept = places.get_mut(place)?;
        let useless = kept.extract_if(.., |kept| !kept.is_usable(now, now_ms)).collect();
        let shared = kept.iter().find_map(|kept| kept.connection.share());
        let own = kept.iter().rposition(|kept| !kept.connection.is_http2()).filter(|_| shared.is_none());
        let taken = shared.or_else(|| own.map(|at| kept.remove(at).connection));
        if kept.is_empty() {
            places.remove(place);
        }
        drop(places);
        close(useless);
        taken
    }

    /// Lets others share a connection that was just opened, if it is of HTTP/2.
    pub(super) fn offer(&self, place: &Place, connection: &Connection, now: Instant) {
        if let Some(connection) = connection.share() {
            self.places().entry(place.clone()).or_default().push(Kept { connection, used_at: now });
        }
    }

    /// Keeps a connection whose exchange came to its end.
    pub(super) fn give_back(&self, place: &Place, connection: Connection, now: Instant, now_ms: u64) {
        if !connection.is_usable(now, now_ms) {
            return;
        }
        let mut places = self.places();
        let kept = places.entry(place.clone()).or_default();
        let mut surplus = Vec::new();
        match kept.iter_mut().find(|kept| kept.connection.is_same(&connection)) {
            Some(kept) => kept.used_at = now,
            None => {
                kept.push(Kept { connection, used_at: now });
                if kept.iter().filter(|kept| kept.is_idle()).count() > MAX_IDLE_PER_PLACE {
                    surplus.extend(remove_longest_idle(kept));
                }
                let idle = places.values().flatten().filter(|kept| kept.is_idle()).count();
                if idle > MAX_IDLE_CONNECTIONS {
                    surplus.extend(remove_longest_idle_of_all(&mut places));
                }
            }
        }
        drop(places);
        close(surplus);
    }

    /// Gives up the connections on which something went wrong: at once, unless others still use them.
    pub(super) fn drop_spoilt(&self, place: &Place) {
        let mut places = self.places();
        let Some(kept) = places.get_mut(place) else { return };
        kept.retain(|kept| !kept.connection.is_spoilt());
        if kept.is_empty() {
            places.remove(place);
        }
    }

    /// Closes idle connections until one more can be opened.
    pub(super) fn make_room(&self) {
        let mut places = self.places();
        let mut too_many = self.open.count().saturating_add(1).saturating_sub(MAX_OPEN_CONNECTIONS);
        // At once: the room is needed now.
        while too_many > 0 && remove_longest_idle_of_all(&mut places).is_some() {
            too_many = too_many.saturating_sub(1);
        }
    }

    /// Closes those that nothing is sent over any more.
    pub(super) fn sweep(&self, now: Instant, now_ms: u64) {
        let mut useless = Vec::new();
        let mut places = self.places();
        places.retain(|_, kept| {
            useless.extend(kept.extract_if(.., |kept| !kept.is_usable(now, now_ms)));
            !kept.is_empty()
        });
        drop(places);
        close(useless);
    }

    /// How many are kept for others to use.
    pub(super) fn idle(&self) -> usize {
        self.places().values().flatten().filter(|kept| kept.is_idle()).count()
    }
}

fn close(connections: Vec<Kept>) {
    for kept in connections {
        // One that is still in use ends with the last exchange on it.
        if kept.is_idle() {
            kept.connection.say_goodbye();
        }
    }
}

fn remove_longest_idle(kept: &mut Vec<Kept>) -> Option<Kept> {
    let idle = kept.iter().enumerate().filter(|(_, kept)| kept.is_idle());
    let at = idle.min_by_key(|(_, kept)| kept.used_at).map(|(at, _)| at)?;
    Some(kept.remove(at))
}

fn remove_longest_idle_of_all(places: &mut BTreeMap<Place, Vec<Kept>>) -> Option<Kept> {
    let longest = |kept: &Vec<Kept>| kept.iter().filter(|kept| kept.is_idle()).map(|kept| kept.used_at).min();
    let (_, place) = places.iter().filter_map(|(place, kept)| Some((longest(kept)?, place))).min()?;
    let place = place.clone();
    let kept = places.get_mut(&place)?;
    let removed = remove_longest_idle(kept);
    if kept.is_empty() {
        places.remove(&place);
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosigner_core::{AddressRule, Body, Purpose};
    use countersign_wire::command::Network;

    #[test]
    fn whatever_decides_trust_makes_another_place() {
        let network = |prefix| Network { address: Address::V4([10, 0, 0, 0]), prefix };
        let spec = ExchangeSpec {
            purpose: Purpose::Callback,
            host: "handler.test".into(),
            port: 443,
            path: "/".into(),
            content_type: "application/json",
            headers: Vec::new(),
            body: Body::Plain(Vec::new()),
            addresses: AddressRule { networks: vec![network(8)] },
            trust: Trust::Pinned(vec![[1; 32]]),
            max_answer_bytes: 1,
            deadline_ms: 1,
            keep_alive: true,
        };
        let place = Place::of(&spec);
        assert_eq!(place, Place::of(&ExchangeSpec { host: "Handler.TEST".into(), path: "/b".into(), ..spec.clone() }));
        for other in [
            ExchangeSpec { host: "handler2.test".into(), ..spec.clone() },
            ExchangeSpec { port: 444, ..spec.clone() },
            ExchangeSpec { trust: Trust::PublicRoots, ..spec.clone() },
            ExchangeSpec { trust: Trust::Root(vec![1; 32]), ..spec.clone() },
            ExchangeSpec { trust: Trust::Pinned(vec![[1; 32], [2; 32]]), ..spec.clone() },
            ExchangeSpec { addresses: AddressRule { networks: vec![] }, ..spec.clone() },
            ExchangeSpec { addresses: AddressRule { networks: vec![network(9)] }, ..spec.clone() },
        ] {
            assert_ne!(place, Place::of(&other));
        }
    }
}
