//! Name resolution by the operating system, which blocks a thread: so the number of threads is limited, also of those
//! whose caller has stopped waiting.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

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

/// Resolves so many names at once.
pub struct Resolver {
    places: Arc<Semaphore>,
    limit: Duration,
}

impl Resolver {
    /// At most `max` at once, each within `limit`.
    pub fn new(max: usize, limit: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(max)), limit }
    }

    /// The addresses of `name`, each once, in the resolver's order.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let resolved = async {
            let place = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_owned();
            spawn_blocking(move || {
                let _place = place;
                (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
            })
            .await
            .map_err(io::Error::other)?
        };
        let found =
            timeout(self.limit, resolved).await.map_err(|_| ResolveError::Timeout(self.limit.as_millis()))??;
        let mut addresses = Vec::new();
        for address in found {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        if addresses.is_empty() { Err(ResolveError::Nothing) } else { Ok(addresses) }
    }
}
