//! Who may depend on whom. A package that is not in the table may be depended on by nobody of the workspace.

use std::collections::{BTreeMap, BTreeSet};

/// Everything may depend on these.
pub const FOR_ALL: &[&str] = &["countersign-wire"];

/// The package of all tests: what it may depend on, others may depend on for their own tests, but for [`NEVER`].
pub const TESTS: &str = "countersign-tests";

/// Packages to which that does not apply: not even their tests reach the enclave.
pub const NEVER: &[&str] = &["cosigner-host"];

/// A package, and those that may depend on it for their product or their build.
pub const ALLOWED: &[(&str, &[&str])] = &[
    // cosigner-enclave reads certificates with its reader of DER.
    (
        "countersign-token",
        &["cosigner-core", "cosigner-enclave", "cosigner-workspace", "countersign-stack", "countersign-tests"],
    ),
    (
        "countersign-attest",
        &[
            "countersign-channel",
            "cosigner-core",
            "cosigner-enclave",
            "cosigner-dev",
            "cosigner-enclave-dev",
            "cosigner",
            "cosigner-workspace",
            "countersign-tests",
            "countersign-nitro-tests",
        ],
    ),
    // cosigner-enclave and cosigner-dev implement its capability to attest.
    (
        "countersign-channel",
        &[
            "cosigner-core",
            "cosigner-enclave",
            "cosigner-dev",
            "cosigner",
            "countersign-tests",
            "countersign-nitro-tests",
        ],
    ),
    // cosigner-dev carries the committed test primes, cosigner-enclave-dev names the scheme.
    // cosigner-workspace derives public keys and verifies signatures: `public` alone, see `sources::mpc_of_the_workspace`.
    (
        "countersign-mpc",
        &[
            "cosigner-core",
            "cosigner-enclave",
            "cosigner-enclave-dev",
            "cosigner-dev",
            "cosigner-workspace",
            "countersign-tests",
        ],
    ),
    // cosigner-dev implements the core's capabilities for development.
    ("cosigner-core", &["cosigner-enclave", "cosigner-enclave-dev", "cosigner-dev", "countersign-tests"]),
    ("cosigner-enclave", &["cosigner-enclave-dev"]),
    ("cosigner-dev", &["cosigner-enclave-dev", "countersign-tests", "countersign-nitro-tests"]),
    ("cosigner-workspace", &["countersign-tests"]),
    ("countersign-stack", &["countersign-tests", "countersign-nitro-tests"]),
];

/// What a package declares of its workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// For the product and its build.
    pub product: BTreeSet<String>,
    /// For its tests alone.
    pub tests: BTreeSet<String>,
}

/// Edges that the table does not allow, and rows of it that name a package that does not exist.
pub fn violations(declared: &BTreeMap<String, Declared>) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let may = |from: &str, to: &str| FOR_ALL.contains(&to) || allowed.get(to).is_some_and(|a| a.contains(&from));
    let mut found = Vec::new();
    for (from, dependencies) in declared {
        let product = dependencies.product.iter().filter(|to| !may(from, to));
        found.extend(product.map(|to| format!("{from} may not depend on {to}")));
        let as_tests = |to: &str| may(TESTS, to) && !NEVER.contains(&from.as_str());
        let tests = dependencies.tests.iter().filter(|to| !may(from, to) && !as_tests(to));
        found.extend(tests.map(|to| format!("the tests of {from} may not depend on {to}")));
    }
    let named = ALLOWED.iter().flat_map(|(to, from)| std::iter::once(to).chain(from.iter())).chain(FOR_ALL);
    let unknown: BTreeSet<&str> = named.copied().filter(|name| !declared.contains_key(*name)).collect();
    found.extend(unknown.iter().map(|name| format!("the table names {name}, which is not in the workspace")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All packages of the table, with the edges given.
    fn workspace(product: &[(&str, &str)], tests: &[(&str, &str)]) -> BTreeMap<String, Declared> {
        let names = ALLOWED.iter().flat_map(|(to, from)| std::iter::once(to).chain(from.iter())).chain(FOR_ALL);
        let mut declared: BTreeMap<String, Declared> =
            names.map(|name| ((*name).to_owned(), Declared::default())).collect();
        for (from, to) in product {
            declared.entry((*from).to_owned()).or_default().product.insert((*to).to_owned());
        }
        for (from, to) in tests {
            declared.entry((*from).to_owned()).or_default().tests.insert((*to).to_owned());
        }
        declared
    }

    #[test]
    fn an_allowed_edge_passes_and_any_other_is_named() {
        let good = workspace(&[("cosigner-core", "countersign-mpc"), ("x", "countersign-wire")], &[]);
        assert_eq!(violations(&good), [""; 0]);
        for (from, to) in [
            ("cosigner-host", "cosigner-core"),
            ("cosigner-enclave", "cosigner-dev"),
            ("countersign-mpc", "cosigner-core"),
            ("cosigner-workspace", "cosigner-host"),
        ] {
            assert_eq!(violations(&workspace(&[(from, to)], &[])), [format!("{from} may not depend on {to}")]);
        }
    }

    #[test]
    fn tests_may_use_what_the_tests_package_may_but_those_of_the_host_may_not() {
        assert_eq!(violations(&workspace(&[], &[("cosigner", "cosigner-dev")])), [""; 0]);
        for (from, to) in [("cosigner-host", "cosigner-dev"), ("cosigner-core", "cosigner-enclave")] {
            let found = violations(&workspace(&[], &[(from, to)]));
            assert_eq!(found, [format!("the tests of {from} may not depend on {to}")]);
        }
    }

    #[test]
    fn a_row_about_a_package_that_is_gone_is_named() {
        let mut declared = workspace(&[], &[]);
        declared.remove("countersign-channel");
        assert_eq!(violations(&declared).len(), 1);
    }
}
