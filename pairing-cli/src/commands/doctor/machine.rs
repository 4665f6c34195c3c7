//! Checks of clocks, host, storage and disk. The host's word is believed by nobody: it may hide trouble, and gains nothing.

use super::check::{Area, Check};
use crate::timestamps::{millis, span};
use countersign_wire::host_link::{HOST_HEALTH_EVERY_S, HostHealth};
use countersign_wire::status::Status;

/// Clocks that are this far apart are worth a look, in milliseconds.
const CLOCK_WARNING_MS: u64 = 30_000;
/// Clocks that are this far apart make tokens and attestation documents fail, in milliseconds.
const CLOCK_FAILURE_MS: u64 = 300_000;
/// A host that said nothing for so long has trouble, in milliseconds.
const HOST_SILENT_MS: u64 = 6 * HOST_HEALTH_EVERY_S * 1_000;
/// Batches that wait for the host at once without being worth a word.
const UNSTORED_WARNING: u32 = 4;
/// Batches that wait where the host stores nothing any more.
const UNSTORED_FAILURE: u32 = 64;
/// A commit that takes longer slows every signature down, in microseconds.
const COMMIT_WARNING_US: u64 = 250_000;
/// Less free space is worth a look, in bytes.
const DISK_WARNING_BYTES: u64 = 1024 * 1024 * 1024;
/// Less free space is worth a look, in percent.
const DISK_WARNING_PERCENT: u64 = 10;
/// Less free space fails, in percent.
const DISK_FAILURE_PERCENT: u64 = 2;

/// The enclave's clock, compared with this machine's (Unix ms).
pub fn clock(enclave_ms: u64, own_ms: u64) -> Check {
    const NEXT: &str = "compare both with the true time: the enclave's comes from its security module at the boot";
    let apart = enclave_ms.abs_diff(own_ms);
    let which = if enclave_ms < own_ms { "behind" } else { "ahead of" };
    let says = format!("the enclave's clock is {} {which} this machine's", span(apart));
    if apart <= CLOCK_WARNING_MS {
        Check::passed(Area::Clock, "enclave and this machine agree")
    } else if apart <= CLOCK_FAILURE_MS {
        Check::warning(Area::Clock, says, NEXT)
    } else {
        Check::failed(Area::Clock, says, NEXT)
    }
}

/// Everything that concerns the host.
pub fn host(status: &Status) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.push(batches(status.unstored, status.host.as_ref().map(|(health, _)| health)));
    let Some((health, at_ms)) = &status.host else {
        checks.push(Check::warning(
            Area::Host,
            "the host has not said how it is",
            "it may be of an older version than the enclave: upgrade it",
        ));
        return checks;
    };
    let silent = status.now_ms.saturating_sub(*at_ms);
    if silent > HOST_SILENT_MS {
        checks.push(Check::warning(
            Area::Host,
            format!("the host said for {} nothing about itself", span(silent)),
            "look into its log: what it said then may not hold any more",
        ));
    } else {
        let proxied = if health.proxied { ", outbound connections through a proxy" } else { "" };
        checks
            .push(Check::passed(Area::Host, format!("version {}, {} blobs{proxied}", &*health.version, health.blobs)));
    }
    checks.push(host_clock(health.clock_ms, *at_ms));
    checks.push(disk(health));
    checks
}

fn host_clock(host_ms: u64, enclave_ms: u64) -> Check {
    let apart = host_ms.abs_diff(enclave_ms);
    if apart <= CLOCK_WARNING_MS {
        return Check::passed(Area::HostClock, "host and enclave agree");
    }
    let which = if host_ms < enclave_ms { "behind" } else { "ahead of" };
    Check::warning(
        Area::HostClock,
        format!("the host's clock is {} {which} the enclave's", span(apart)),
        "have the host keep time (NTP): the enclave does not read its clock, but its TLS with workspaces and its log do",
    )
}

fn batches(unstored: u32, health: Option<&HostHealth>) -> Check {
    let commit_us = health.map_or(0, |h| h.commit_us);
    let commit = millis(u32::try_from(commit_us).unwrap_or(u32::MAX));
    if unstored >= UNSTORED_FAILURE {
        return Check::failed(
            Area::Storage,
            format!("{unstored} batches of sealed state wait for the host: nothing that needs them goes on"),
            "look into the host's log: its disk may be full or broken",
        );
    }
    if unstored >= UNSTORED_WARNING {
        return Check::warning(
            Area::Storage,
            format!("{unstored} batches of sealed state wait for the host"),
            "run this again: if they do not get fewer, look into the host's log",
        );
    }
    if commit_us > COMMIT_WARNING_US {
        return Check::warning(
            Area::Storage,
            format!("the slowest batch of late took {commit} to be durable"),
            "every signature waits for it: give the host a faster disk",
        );
    }
    match health {
        Some(_) => Check::passed(Area::Storage, format!("nothing waits, batches are durable within {commit}")),
        None => Check::passed(Area::Storage, "nothing waits"),
    }
}

fn disk(health: &HostHealth) -> Check {
    let (free, total) = (health.disk_free_bytes, health.disk_total_bytes);
    if total == 0 {
        return Check::warning(Area::Disk, "the host does not say how large its disk is", "look at it there");
    }
    let percent_free = u128::from(free) * 100 / u128::from(total);
    let says = format!("{} of {} free ({percent_free} %)", size(free), size(total));
    let below = |percent: u64| u128::from(free) * 100 < u128::from(total) * u128::from(percent);
    const NEXT: &str = "make room or enlarge it: a co-signer that cannot store its state signs nothing";
    if below(DISK_FAILURE_PERCENT) {
        Check::failed(Area::Disk, says, NEXT)
    } else if below(DISK_WARNING_PERCENT) || free < DISK_WARNING_BYTES {
        Check::warning(Area::Disk, says, NEXT)
    } else {
        Check::passed(Area::Disk, says)
    }
}

/// `12.3 GiB`, `640 MiB`.
pub fn size(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    match bytes / MIB {
        mib @ ..1024 => format!("{mib} MiB"),
        mib => format!("{}.{} GiB", mib / 1024, mib % 1024 * 10 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    const GIB: u64 = 1024 * 1024 * 1024;

    fn with(free: u64, total: u64) -> HostHealth {
        HostHealth { disk_free_bytes: free, disk_total_bytes: total, ..HostHealth::default() }
    }

    #[test]
    fn the_borders_of_free_space_are_exact() {
        let verdict = |free, total| disk(&with(free, total)).verdict;
        assert_eq!(verdict(10 * GIB, 100 * GIB), Verdict::Passed);
        assert_eq!(verdict(10 * GIB - 1, 100 * GIB), Verdict::Warning);
        assert_eq!(verdict(2 * GIB, 100 * GIB), Verdict::Warning);
        assert_eq!(verdict(2 * GIB - 1, 100 * GIB), Verdict::Failed);
        assert_eq!(verdict(GIB, 4 * GIB), Verdict::Passed);
        assert_eq!(verdict(GIB - 1, 4 * GIB), Verdict::Warning);
        assert_eq!(verdict(0, 0), Verdict::Warning);
        assert_eq!(verdict(u64::MAX, u64::MAX), Verdict::Passed);
    }

    #[test]
    fn clocks_have_a_border_for_a_look_and_one_for_failure() {
        let verdict =
            |apart: u64| (clock(1_000_000 + apart, 1_000_000).verdict, clock(1_000_000, 1_000_000 + apart).verdict);
        assert_eq!(verdict(30_000), (Verdict::Passed, Verdict::Passed));
        assert_eq!(verdict(30_001), (Verdict::Warning, Verdict::Warning));
        assert_eq!(verdict(300_001), (Verdict::Failed, Verdict::Failed));
        assert_eq!(host_clock(0, 30_001).verdict, Verdict::Warning);
        assert_eq!(host_clock(30_000, 0).verdict, Verdict::Passed);
    }

    #[test]
    fn batches_that_wait_and_slow_commits_are_seen() {
        assert_eq!(batches(0, None).verdict, Verdict::Passed);
        assert_eq!((batches(3, None).verdict, batches(4, None).verdict), (Verdict::Passed, Verdict::Warning));
        assert_eq!((batches(63, None).verdict, batches(64, None).verdict), (Verdict::Warning, Verdict::Failed));
        let slow = |commit_us| batches(0, Some(&HostHealth { commit_us, ..HostHealth::default() })).verdict;
        assert_eq!(
            (slow(250_000), slow(250_001), slow(u64::MAX)),
            (Verdict::Passed, Verdict::Warning, Verdict::Warning)
        );
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            (size(640 * 1024 * 1024), size(GIB), size(GIB * 123 / 10)),
            ("640 MiB".into(), "1.0 GiB".into(), "12.2 GiB".into())
        );
    }
}
