//! How many files and sockets the process may have open. Each stream dialled for the enclave needs two, so that the usual
//! limit can be less than what is configured: then streams would fail one day, when many are open.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open beside connections: the database, logs, the runtime, the sockets that listen.
const OWN_FILES: u64 = 64;

/// What is to be done about the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing.
    Enough,
    /// Raise it to what is needed.
    Raise,
    /// Raise it to the hard limit, which is less than what is needed.
    NotEnough {
        /// The hard limit.
        hard: u64,
    },
}

/// Files that are open if everything that is configured is used.
fn needed(config: &Config) -> u64 {
    let dial = &config.dial;
    let connections = [
        config.enclave.max_openings,
        // The enclave's end, and the other.
        dial.max_streams.saturating_mul(2),
        dial.max_resolutions,
        config.links.max_links,
        config.admin.max_connections,
        config.http.max_connections,
    ];
    connections.into_iter().filter_map(|n| u64::try_from(n).ok()).fold(OWN_FILES, u64::saturating_add)
}

/// `None` as a limit is no limit.
fn judge(soft: Option<u64>, hard: Option<u64>, needed: u64) -> Verdict {
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    match hard {
        _ if is_enough(soft) => Verdict::Enough,
        Some(hard) if !is_enough(Some(hard)) => Verdict::NotEnough { hard },
        _ => Verdict::Raise,
    }
}

/// Raises the limit of open files to what `config` needs, as far as the system allows it, and logs what came of it.
pub fn ensure(config: &Config) {
    let needed = needed(config);
    let limits = getrlimit(Resource::Nofile);
    let raise = |to: u64| setrlimit(Resource::Nofile, Rlimit { current: Some(to), maximum: limits.maximum });
    match judge(limits.current, limits.maximum, needed) {
        Verdict::Enough => {}
        Verdict::Raise => match raise(needed) {
            Ok(()) => tracing::info!(from = limits.current, to = needed, "raised the limit of open files"),
            Err(error) => warn(limits.current, needed, &error.to_string()),
        },
        Verdict::NotEnough { hard } => {
            let now = if raise(hard).is_ok() { Some(hard) } else { limits.current };
            warn(now, needed, "the hard limit is lower");
        }
    }
}

fn warn(limit: Option<u64>, needed: u64, why: &str) {
    tracing::warn!(
        limit,
        needed,
        why,
        "the limit of open files is lower than what is configured needs: raise it (LimitNOFILE= of the service, or \
         ulimit -n), or lower dial.max_streams"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_only_where_it_is_too_low_and_the_hard_limit_allows_it() {
        assert_eq!(judge(Some(1000), Some(4000), 1000), Verdict::Enough);
        assert_eq!(judge(None, None, 1000), Verdict::Enough);
        assert_eq!(judge(Some(999), Some(4000), 1000), Verdict::Raise);
        assert_eq!(judge(Some(999), None, 1000), Verdict::Raise);
        assert_eq!(judge(Some(500), Some(999), 1000), Verdict::NotEnough { hard: 999 });
    }

    #[test]
    fn each_stream_needs_two() {
        let mut config = Config::default();
        let before = needed(&config);
        config.dial.max_streams += 100;
        assert_eq!(needed(&config), before + 200);
    }
}
