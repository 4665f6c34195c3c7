//! Name resolution by the operating system, which blocks a thread: so the number of threads is limited, also of those
//! whose caller has stopped waiting. One name, whose servers may be dead, holds few of them: others are still resolved.

use crate::lock::lock;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Lookups of one name at once.
const MAX_PER_NAME: usize = 2;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// It took too long, or too many others were waiting.
    #[error("not resolved within {0} ms")]
    Timeout(u128),
    /// The operating system says so.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The name exists, but without an address.
    #[error("the name has no address")]
    Nothing,
}

/// Finds the addresses of a name. Blocks.
type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Resolves so many names at once.
pub struct Resolver {
    places: Arc<Semaphore>,
    names: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    limit: Duration,
    lookup: Arc<Lookup>,
}

/// One lookup's part of the places, held until the operating system has answered.
struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_name: OwnedSemaphorePermit,
}

impl Resolver {
    /// At most `max` at once, each within `limit`.
    pub fn new(max: usize, limit: Duration) -> Self {
        Self::with(max, limit, |name| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }

    fn with(
        max: usize,
        limit: Duration,
        lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { places: Arc::new(Semaphore::new(max)), names: Mutex::default(), limit, lookup: Arc::new(lookup) }
    }

    /// The addresses of `name`, each once, in the resolver's order.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let resolved = async {
            let place = self.place(name).await?;
            let (name, lookup) = (name.to_owned(), self.lookup.clone());
            spawn_blocking(move || {
                let _place = place;
                lookup(&name)
            })
            .await
            .map_err(io::Error::other)?
        };
        let found =
            timeout(self.limit, resolved).await.map_err(|_| ResolveError::Timeout(self.limit.as_millis()))??;
        let mut addresses = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(ResolveError::Nothing) } else { Ok(addresses) }
    }

    /// Waits for a place of the name's first: who waits for that holds none of everybody's.
    async fn place(&self, name: &str) -> io::Result<Place> {
        let of_name = {
            let mut names = lock(&self.names);
            // Whoever waits or looks up holds a second reference.
            names.retain(|_, places| Arc::strong_count(places) > 1);
            names.entry(name.to_ascii_lowercase()).or_insert_with(|| Arc::new(Semaphore::new(MAX_PER_NAME))).clone()
        };
        let of_name = of_name.acquire_owned().await.map_err(io::Error::other)?;
        let of_all = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
        Ok(Place { _of_all: of_all, _of_name: of_name })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::mpsc;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn t31_a_name_whose_servers_are_dead_holds_up_no_other_name() {
        // As long as the sender lives, lookups of the dead name block.
        let (alive, dead) = mpsc::channel::<()>();
        let dead = Mutex::new(dead);
        let resolver = Resolver::with(4, Duration::from_secs(30), move |name| {
            if name.starts_with("dead") {
                let _ = lock(&dead).recv();
                return Ok(Vec::new());
            }
            Ok(vec![LOOPBACK, LOOPBACK])
        });
        let resolver = Arc::new(resolver);
        let waiting: Vec<_> = (0..64)
            .map(|n| {
                let resolver = resolver.clone();
                // A name is the same in capitals.
                let name = if n % 2 == 0 { "dead.example" } else { "DEAD.example" }.to_ascii_lowercase();
                tokio::spawn(async move { resolver.resolve(&name).await })
            })
            .collect();
        tokio::task::yield_now().await;
        for _ in 0..10 {
            assert_eq!(resolver.resolve("alive.example").await.unwrap(), [LOOPBACK], "each address once");
        }
        assert_eq!(resolver.places.available_permits(), 4 - MAX_PER_NAME);
        drop(alive);
        for waiting in waiting {
            assert!(matches!(waiting.await.unwrap(), Err(ResolveError::Nothing)));
        }
        assert!(resolver.resolve("alive.example").await.is_ok());
        assert!(lock(&resolver.names).len() <= 1, "names that nobody asks for are forgotten");
    }
}
