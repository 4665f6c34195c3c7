//! The production binary where it must not run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

const BINARY: &str = env!("CARGO_BIN_EXE_cosigner-enclave");

fn run(parent_cid: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.env_remove("parent_cid").args(arguments);
    command.envs(parent_cid.map(|cid| ("parent_cid", cid)));
    command.output().unwrap()
}

#[test]
fn t41_outside_an_enclave_it_does_not_start_whatever_it_is_told() {
    let inside = Path::new("/dev/nsm").exists();
    for arguments in [&[][..], &["--development-root", "."], &["--host-socket", "/tmp/x"], &["--debug"]] {
        // It reads no argument, wherever it is.
        let output = run(Some("three"), arguments);
        assert_eq!(output.status.code(), Some(1));
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("parent_cid: expected a number"), "{log}");
        if inside {
            eprintln!("NOT TESTED with {arguments:?}: there is /dev/nsm, so this is inside of an enclave");
            continue;
        }
        let output = run(Some("2"), arguments);
        assert_eq!(output.status.code(), Some(1));
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("there is no Nitro Security Module"), "{log}");
    }
}

#[test]
fn a_parent_that_is_no_number_is_an_error() {
    let output = run(Some("three"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("parent_cid: expected a number, got \"three\""), "{log}");
}

#[test]
fn t41_development_parts_are_not_in_it() {
    let binary = std::fs::read(BINARY).unwrap();
    let holds = |text: &str| binary.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("there is no Nitro Security Module"), "this test would find nothing");
    for part in [
        "countersign/file-key-provider/v1",
        "Countersign development, no security",
        "countersign process mode: no kernel, no enclave",
        "--host-socket",
        "--test-primes",
        "COMMITTED AUXILIARY INFORMATION",
    ] {
        assert!(!holds(part), "{part}");
    }
}
