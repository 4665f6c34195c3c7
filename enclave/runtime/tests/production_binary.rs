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
    let development = Path::new(BINARY).with_file_name("cosigner-enclave-dev");
    let [production, development] = [Path::new(BINARY), &development].map(|file| std::fs::read(file).unwrap());
    let holds = |binary: &[u8], part: &[u8]| binary.windows(part.len()).any(|window| window == part);
    let texts = [
        "countersign/file-key-provider/v1",
        "Countersign development, no security",
        "countersign process mode: no kernel, no enclave",
        "COMMITTED AUXILIARY INFORMATION",
    ];
    let mut parts: Vec<(String, Vec<u8>)> = texts.map(|text| (text.to_owned(), text.as_bytes().to_vec())).into();
    // The test primes, and what was made with them.
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/fixtures")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "cbor") {
            parts.push((file.display().to_string(), std::fs::read(&file).unwrap()));
        }
    }
    assert_eq!(parts.len(), texts.len() + 9);
    for (name, part) in parts {
        assert!(holds(&development, &part), "{name}: this test would find nothing");
        assert!(!holds(&production, &part), "{name}");
    }
}
