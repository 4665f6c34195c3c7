//! The limit of open files.

use crate::process::{Host, Place, binary};
use tokio::process::Command;

/// A host that starts with these limits.
async fn start(place: &Place, soft: u32, hard: u32) -> Host {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"")]).arg(binary());
    place.start_with(command, &[("dial", "max_streams = 200")]).await
}

fn soft_limit(host: &Host) -> u32 {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", host.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_limit_that_is_too_low_is_raised_to_what_is_needed() {
    let place = Place::new();
    let host = start(&place, 256, 2048).await;
    let limit = soft_limit(&host);
    assert!((400..2048).contains(&limit), "{limit}");
    assert!(place.log().contains("raised the limit of open files"), "{}", place.log());
}

#[tokio::test]
async fn a_limit_that_cannot_be_raised_is_warned_of_with_what_to_do() {
    let place = Place::new();
    let host = start(&place, 256, 300).await;
    assert_eq!(soft_limit(&host), 300);
    let log = place.log();
    assert!(log.contains("WARN") && log.contains("LimitNOFILE"), "{log}");
}

#[tokio::test]
async fn a_limit_that_is_enough_stays() {
    let place = Place::new();
    let host = start(&place, 1500, 2048).await;
    assert_eq!(soft_limit(&host), 1500);
    assert!(!place.log().contains("limit of open files"), "{}", place.log());
}
