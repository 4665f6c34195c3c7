//! The rules, applied to this repository. `cargo fetch --locked` must have run before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_checks::sources::{Source, hidden_inputs, mpc_of_the_workspace, read, test_names, unfinished};
use countersign_checks::{cargo, edges, examples, hold, root, threats, trees};

/// Packages whose binaries are shipped, or that others start from.
const PRODUCTS: &[&str] = &[
    "cosigner-enclave",
    "cosigner-enclave-dev",
    "cosigner-host",
    "cosigner-workspace",
    "cosigner",
    "callback-handler",
];
const LINUX: &str = "x86_64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";

fn rust_sources() -> Vec<Source> {
    let sources = read(&root(), "", &["rs"]).unwrap();
    assert!(sources.len() > 20, "expected the repository's sources, got {}", sources.len());
    sources
}

#[test]
fn only_the_allowed_edges_exist() {
    let declared = cargo::declared_edges().unwrap();
    hold("dependencies between the workspace's packages", &edges::violations(&declared));
}

#[test]
fn the_trusted_core_reaches_no_runtime_no_socket_no_http_and_no_tls() {
    for package in ["cosigner-core", "countersign-wire", "countersign-channel", "countersign-mpc", "countersign-attest"]
    {
        for target in [LINUX, MUSL] {
            let tree = cargo::tree(Some(package), "normal", target).unwrap();
            assert!(tree.len() > 5, "an empty tree proves nothing");
            hold(package, &trees::reaches(&tree, trees::NOT_IN_THE_CORE));
        }
    }
}

#[test]
fn the_trusted_core_names_no_clock_no_file_no_socket_and_no_randomness_of_its_own() {
    for folder in [
        "enclave/core/src",
        "common/wire/src",
        "common/channel/src",
        "common/attest/src",
        "common/token/src",
        "common/mpc/src",
    ] {
        hold(folder, &hidden_inputs(&read(&root(), folder, &["rs"]).unwrap()));
    }
}

#[test]
fn the_workspace_runs_no_protocol_and_holds_no_share() {
    hold("workspace", &mpc_of_the_workspace(&read(&root(), "workspace/src", &["rs"]).unwrap()));
}

#[test]
fn the_host_reaches_nothing_of_the_enclave() {
    let tree = cargo::tree(Some("cosigner-host"), "normal,build,dev", "all").unwrap();
    assert!(tree.iter().any(|p| p.name == "countersign-wire"), "an empty tree proves nothing");
    hold("cosigner-host", &trees::reaches(&tree, trees::ENCLAVE));
}

#[test]
fn t41_the_production_binary_reaches_no_development_part() {
    let tree = cargo::tree(Some("cosigner-enclave"), "normal,build", "all").unwrap();
    assert!(tree.iter().any(|p| p.name == "cosigner-core"), "an empty tree proves nothing");
    hold("cosigner-enclave", &trees::reaches(&tree, trees::NOT_IN_PRODUCTION));
}

#[test]
fn the_enclave_keeps_to_its_package_budget() {
    let tree = cargo::tree(Some("cosigner-enclave"), trees::ENCLAVE_EDGES, trees::ENCLAVE_TARGET).unwrap();
    println!("third-party packages of cosigner-enclave: {} of {}", trees::third_party(&tree), trees::ENCLAVE_BUDGET);
    assert!(trees::third_party(&tree) > 50, "an empty tree proves nothing");
    hold("cosigner-enclave", &trees::over_budget(&tree, trees::ENCLAVE_BUDGET));
}

#[test]
fn the_enclave_has_one_c_provider_and_no_crate_with_an_unfixed_advisory() {
    for package in ["cosigner-enclave", "cosigner-enclave-dev"] {
        let tree = cargo::tree(Some(package), "normal,build", "all").unwrap();
        hold(package, &trees::unfit_for_the_enclave(&tree));
    }
}

#[test]
fn t21_banned_crates_and_features_are_not_in_the_lock_file_and_not_in_the_feature_graph() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    hold("Cargo.lock", &trees::banned_crates(&cargo::locked(&lock).unwrap()));
    hold("the workspace", &trees::banned_features(&cargo::tree(None, "normal,build", "all").unwrap()));
    for package in PRODUCTS {
        let tree = cargo::tree(Some(package), "normal,build", "all").unwrap();
        hold(package, &trees::banned_features(&tree));
    }
}

#[test]
fn t21_cargo_deny_is_told_of_the_same_bans() {
    let deny: toml::Table = std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let text = |entry: &toml::Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let crates: Vec<String> = deny["bans"]["deny"].as_array().unwrap().iter().map(|e| text(e, "crate")).collect();
    for name in trees::BANNED_CRATES {
        assert!(crates.iter().any(|c| c == name), "deny.toml does not ban {name}");
    }
    let features = deny["bans"]["features"].as_array().unwrap();
    for (name, feature, _) in trees::BANNED_FEATURES.iter().filter(|(name, ..)| *name != "givre") {
        let entry = features.iter().find(|e| text(e, "crate") == *name);
        let denied =
            entry.and_then(|e| e["deny"].as_array()).is_some_and(|d| d.iter().any(|f| f.as_str() == Some(feature)));
        assert!(denied, "deny.toml does not ban {name}/{feature}");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    hold("unfinished work", &unfinished(&rust_sources()));
}

#[test]
fn every_threat_statement_is_tested_or_says_what_is_missing() {
    let table = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let list = std::fs::read_to_string(root().join("tests/checks/tested-threats.txt")).unwrap();
    let tests = test_names(&rust_sources());
    let rows = threats::rows(&table);
    hold("docs/threat-model.md", &threats::violations(&rows, &tests, &threats::tested_before(&list)));
}

#[test]
fn examples_in_documents_are_those_that_tests_made() {
    let read_file = |file: &str| std::fs::read_to_string(root().join(file)).ok();
    let mut shown = 0;
    for document in read(&root(), "docs", &["md"]).unwrap() {
        if std::env::var_os("COUNTERSIGN_WRITE_GOLDEN").is_some() {
            let renewed = examples::renewed(&document.text, &read_file);
            std::fs::write(root().join(&document.path), renewed).unwrap();
        }
        let text = std::fs::read_to_string(root().join(&document.path)).unwrap();
        shown += examples::files(&text).len();
        hold(&document.path, &examples::violations(&document.path, &text, &read_file));
    }
    assert!(shown > 5, "expected examples, got {shown}");
}
