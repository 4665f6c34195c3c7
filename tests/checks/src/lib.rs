//! The rules of this repository, as pure functions from plain data to violations. `tests/` applies them to the
//! repository; each rule's own tests show that it can fail.
//!
//! This package depends on no other of the workspace, so that the rules can be asked while the rest does not compile:
//! `cargo nextest run --release -p countersign-checks`.

pub mod cargo;
pub mod edges;
pub mod examples;
pub mod sources;
pub mod threats;
pub mod trees;

use std::path::PathBuf;

/// The repository's root folder.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}

/// Panics with all violations, one a line, if there are any. For tests.
#[allow(clippy::panic)]
pub fn hold(rule: &str, violations: &[String]) {
    if !violations.is_empty() {
        panic!("{rule}: {} violation(s)\n  {}\n", violations.len(), violations.join("\n  "));
    }
}
