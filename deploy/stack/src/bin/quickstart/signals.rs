//! What ends a run early: Ctrl-C, SIGTERM, a terminal that is closed.

use anyhow::Result;
use std::fs;
use std::future::pending;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, listened to.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it was ignored at the start: `nohup` asks for that.
    hang_up: Option<Signal>,
}

impl Signals {
    /// Listens from now on: none of them ends this program by itself any more.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn listen() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: if ignores_hang_up(&status) { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// Waits for one, and says what it means.
    pub async fn next(&mut self) -> anyhow::Error {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => anyhow::anyhow!("interrupted"),
            _ = self.terminate.recv() => anyhow::anyhow!("terminated"),
            _ = hang_up => anyhow::anyhow!("the terminal was closed"),
        }
    }
}

/// Whether `/proc/self/status` names SIGHUP, the first signal, as ignored.
fn ignores_hang_up(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal as Number, getpid, kill_process};

    #[test]
    fn nohup_is_seen() {
        assert!(ignores_hang_up("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hang_up("SigIgn:\t0000000000001000\n") && !ignores_hang_up(""));
    }

    #[tokio::test]
    async fn a_closed_terminal_ends_a_run_in_order_as_the_others_do() {
        let mut signals = Signals::listen().unwrap();
        for (number, meaning) in
            [(Number::INT, "interrupted"), (Number::TERM, "terminated"), (Number::HUP, "the terminal was closed")]
        {
            if number == Number::HUP && signals.hang_up.is_none() {
                continue;
            }
            kill_process(getpid(), number).unwrap();
            assert_eq!(signals.next().await.to_string(), meaning);
        }
    }
}
