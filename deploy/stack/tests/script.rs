//! `deploy/quickstart`, the script: what it does before anything is built.
#![allow(clippy::unwrap_used, reason = "tests only")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Calls the script where neither a compiler nor a package manager can be found.
fn call(target: &Path, arguments: &[&str]) -> (i32, String) {
    let tools = tempfile::tempdir().unwrap();
    for tool in ["env", "bash", "dirname", "sed"] {
        let found = ["/usr/bin", "/bin"].iter().map(|d| PathBuf::from(d).join(tool)).find(|p| p.exists()).unwrap();
        std::os::unix::fs::symlink(found, tools.path().join(tool)).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../quickstart");
    let output: Output = Command::new(script)
        .args(arguments)
        .current_dir(target)
        .env_clear()
        .env("PATH", tools.path())
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code().unwrap(), said)
}

#[test]
fn help_needs_nothing() {
    let empty = tempfile::tempdir().unwrap();
    let (code, said) = call(empty.path(), &["--help"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("--keep") && said.contains("--down") && !said.contains("Building"), "{said}");
    assert!(!said.contains("set -euo") && !said.contains("#!"), "{said}");
}

#[test]
fn what_was_built_is_taken_to_end_what_it_started() {
    let target = tempfile::tempdir().unwrap();
    std::fs::create_dir(target.path().join("release")).unwrap();
    let built = target.path().join("release/quickstart");
    std::fs::write(&built, "#!/usr/bin/env bash\necho called \"$@\"\n").unwrap();
    std::fs::set_permissions(&built, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let at = target.path().canonicalize().unwrap();
    let at = at.display();
    let default = format!("--folder {at}/quickstart");
    for (arguments, passed) in [
        (&["--down"][..], "--down".to_owned()),
        (&["--folder", "a b/q", "--down"], format!("--folder {at}/a b/q --down")),
        (&["--down", "--folder=../q"], format!("--down --folder={at}/../q")),
        (&["--folder", "/q", "--down"], "--folder /q --down".to_owned()),
        (&["--down", "--folder"], "--down --folder".to_owned()),
    ] {
        let called = format!("called {default} {passed}\n");
        assert_eq!(call(&target.path().canonicalize().unwrap(), arguments), (0, called), "{arguments:?}");
    }
}

#[test]
fn where_nothing_is_built_there_is_nothing_to_end() {
    let empty = tempfile::tempdir().unwrap();
    let (code, said) = call(empty.path(), &["--down", "--folder", "q"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("release/quickstart is not there") && said.contains("CARGO_TARGET_DIR"), "{said}");
    assert!(!said.contains("Building"), "{said}");
}
