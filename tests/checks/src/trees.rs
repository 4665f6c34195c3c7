//! What may be in a resolved dependency tree: the trusted core's purity, the enclave's budget, what is banned.

use crate::cargo::Tree;

/// Runtimes, sockets, HTTP and TLS libraries: none may be in the trusted core's tree.
pub const NOT_IN_THE_CORE: &[&str] = &[
    "async-io",
    "async-net",
    "async-std",
    "axum",
    "curl",
    "h2",
    "h3",
    "hyper",
    "hyper-util",
    "mio",
    "native-tls",
    "openssl",
    "openssl-sys",
    "polling",
    "quinn",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tokio-rustls",
    "tokio-util",
    "tokio-vsock",
    "tungstenite",
    "ureq",
    "vsock",
];

/// The enclave's packages: `host` reaches none of them.
pub const ENCLAVE: &[&str] = &[
    "cosigner-core",
    "cosigner-enclave",
    "cosigner-dev",
    "cosigner-enclave-dev",
    "countersign-mpc",
    "countersign-channel",
    "countersign-attest",
    "countersign-token",
    "cggmp24",
    "key-share",
    "paillier-zk",
];

/// Development parts, and what they alone need: the production binary reaches none of them.
pub const NOT_IN_PRODUCTION: &[&str] = &["cosigner-dev", "cosigner-enclave-dev", "rcgen", "clap"];

/// What no part of an enclave may contain, and why.
pub const NOT_IN_THE_ENCLAVE: &[(&str, &str)] = &[
    ("ring", "aws-lc-rs is the one C provider"),
    ("openssl-sys", "aws-lc-rs is the one C provider"),
    ("rsa", "RUSTSEC-2023-0071 has no fix"),
    ("x509-parser", "rustls-webpki checks chains"),
    ("cggmp21", "RUSTSEC-2025-0127 has no fix there"),
];

/// Crates that no lock file of this project may contain, whether used or not.
pub const BANNED_CRATES: &[&str] = &["cggmp21", "cggmp21-keygen"];

/// Features that nothing may switch on, and why.
pub const BANNED_FEATURES: &[(&str, &str, &str)] = &[
    ("cggmp24", "insecure-assume-preimage-known", "a presignature over a raw hash allows forgery"),
    ("cggmp24", "spof", "a whole key in one place"),
    ("key-share", "spof", "a whole key in one place"),
    ("givre", "spof", "a whole key in one place"),
    ("jsonwebtoken", "rust_crypto", "brings rsa, RUSTSEC-2023-0071"),
];

/// Most third-party packages of the production binary, proc macros not counted.
pub const ENCLAVE_BUDGET: usize = 150;
/// The target by which the budget is counted.
pub const ENCLAVE_TARGET: &str = "x86_64-unknown-linux-gnu";
/// The edges by which the budget is counted.
pub const ENCLAVE_EDGES: &str = "normal,no-proc-macro";

/// Packages of `tree` that are in `forbidden`.
pub fn reaches(tree: &Tree, forbidden: &[&str]) -> Vec<String> {
    let hits = tree.iter().filter(|p| forbidden.contains(&p.name.as_str()));
    hits.map(|p| format!("reaches {} {}", p.name, p.version)).collect()
}

/// Packages of `tree` that no enclave may contain.
pub fn unfit_for_the_enclave(tree: &Tree) -> Vec<String> {
    let hits = tree.iter().filter_map(|p| {
        let (_, why) = NOT_IN_THE_ENCLAVE.iter().find(|(name, _)| *name == p.name)?;
        Some(format!("contains {} {}: {why}", p.name, p.version))
    });
    hits.collect()
}

/// Third-party packages of a tree.
pub fn third_party(tree: &Tree) -> usize {
    tree.iter().filter(|p| !p.own).count()
}

/// Whether a tree keeps to a budget.
pub fn over_budget(tree: &Tree, budget: usize) -> Vec<String> {
    let count = third_party(tree);
    if count > budget { vec![format!("expected at most {budget} third-party packages, got {count}")] } else { vec![] }
}

/// Banned features that are switched on in a tree.
pub fn banned_features(tree: &Tree) -> Vec<String> {
    let hits = tree.iter().flat_map(|p| {
        let on = BANNED_FEATURES.iter().filter(|(name, feature, _)| *name == p.name && p.features.contains(*feature));
        on.map(|(name, feature, why)| format!("{name} {} has the feature {feature}: {why}", p.version))
    });
    hits.collect()
}

/// Banned crates in a lock file's list.
pub fn banned_crates(locked: &[(String, String)]) -> Vec<String> {
    let hits = locked.iter().filter(|(name, _)| BANNED_CRATES.contains(&name.as_str()));
    hits.map(|(name, version)| format!("Cargo.lock contains {name} {version}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::parse_tree;

    #[test]
    fn a_socket_in_the_core_is_found() {
        let tree = parse_tree("cosigner-core v0.1.0 (/r/core)|\ntokio v1.0.0|net\nrustls-pki-types v1.0.0|\n");
        assert_eq!(reaches(&tree, NOT_IN_THE_CORE), ["reaches tokio 1.0.0"]);
    }

    #[test]
    fn an_unfit_package_in_the_enclave_is_found() {
        assert_eq!(unfit_for_the_enclave(&parse_tree("rsa v0.9.0|\nring v0.17.0|\nborsh v1.0.0|\n")).len(), 2);
    }

    #[test]
    fn the_budget_counts_third_party_packages_only() {
        let tree = parse_tree("own v0.1.0 (/r/own)|\na v1.0.0|\na v2.0.0|\nb v1.0.0|std (*)\nb v1.0.0|\n");
        assert_eq!(third_party(&tree), 3);
        assert!(over_budget(&tree, 3).is_empty());
        assert_eq!(over_budget(&tree, 2), ["expected at most 2 third-party packages, got 3"]);
    }

    #[test]
    fn t21_each_banned_feature_and_crate_is_found() {
        for (name, feature, _) in BANNED_FEATURES {
            let tree = parse_tree(&format!("{name} v1.0.0|std,{feature}\n"));
            assert_eq!(banned_features(&tree).len(), 1, "{name}/{feature}");
            assert!(banned_features(&parse_tree(&format!("{name} v1.0.0|std\n"))).is_empty());
        }
        for name in BANNED_CRATES {
            assert_eq!(banned_crates(&[((*name).to_owned(), "1.0.0".to_owned())]).len(), 1);
        }
        assert!(banned_crates(&[("cggmp24".to_owned(), "0.7.0".to_owned())]).is_empty());
    }
}
