//! What Cargo says about the workspace. Always offline and locked: `cargo fetch --locked` comes first.

use crate::edges::Declared;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Cargo could not be asked, or answered something else than expected.
#[derive(Debug, thiserror::Error)]
pub enum CargoError {
    /// The process did not run.
    #[error("cargo {args}: {source}")]
    Start {
        /// The arguments.
        args: String,
        /// Why.
        source: std::io::Error,
    },
    /// It failed.
    #[error("cargo {args}: {stderr}")]
    Failed {
        /// The arguments.
        args: String,
        /// What it wrote.
        stderr: String,
    },
    /// Its JSON lacks what is needed.
    #[error("cargo metadata: expected {0}")]
    Unexpected(&'static str),
}

/// A resolved package of a dependency tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, without the `v`.
    pub version: String,
    /// Whether it is part of this workspace.
    pub own: bool,
    /// The features that are switched on.
    pub features: BTreeSet<String>,
}

/// All packages of a tree, each once.
pub type Tree = BTreeSet<Package>;

fn run(args: &[&str]) -> Result<String, CargoError> {
    let shown = args.join(" ");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(args)
        .args(["--locked", "--offline"])
        .current_dir(crate::root())
        .output()
        .map_err(|source| CargoError::Start { args: shown.clone(), source })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(CargoError::Failed { args: shown, stderr });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The dependency tree of one package, or of the whole workspace, with the features that it alone switches on.
pub fn tree(package: Option<&str>, edges: &str, target: &str) -> Result<Tree, CargoError> {
    let mut args = vec!["tree", "--prefix", "none", "-f", "{p}|{f}", "-e", edges, "--target", target];
    match package {
        Some(name) => args.extend(["-p", name]),
        None => args.push("--workspace"),
    }
    Ok(parse_tree(&run(&args)?))
}

/// Parses lines of `name vVERSION (origin)|feature,feature (*)`. A package that is listed with different features is
/// one package with all of them.
pub fn parse_tree(text: &str) -> Tree {
    let mut packages: BTreeMap<(String, String), Package> = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim().trim_end_matches(" (*)");
        let (package, features) = line.split_once('|').unwrap_or((line, ""));
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let own = package.contains("(/") || package.contains("(file:");
        let entry = packages.entry((name.to_owned(), version.to_owned())).or_insert_with(|| Package {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            own,
            features: BTreeSet::new(),
        });
        entry.features.extend(features.split(',').filter(|f| !f.is_empty()).map(str::to_owned));
    }
    packages.into_values().collect()
}

/// Which packages of the workspace each one declares as dependencies, for any target.
pub fn declared_edges() -> Result<BTreeMap<String, Declared>, CargoError> {
    let text = run(&["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: serde_json::Value =
        serde_json::from_str(&text).map_err(|_| CargoError::Unexpected("one JSON value"))?;
    let packages = metadata["packages"].as_array().ok_or(CargoError::Unexpected("packages"))?;
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut edges = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().ok_or(CargoError::Unexpected("a package name"))?;
        let dependencies = package["dependencies"].as_array().ok_or(CargoError::Unexpected("dependencies"))?;
        let mut declared = Declared::default();
        for dependency in dependencies {
            let Some(to) = dependency["name"].as_str().filter(|to| names.contains(to)) else { continue };
            let list = if dependency["kind"] == "dev" { &mut declared.tests } else { &mut declared.product };
            list.insert(to.to_owned());
        }
        edges.insert(name.to_owned(), declared);
    }
    Ok(edges)
}

/// The names in a lock file, with their versions.
pub fn locked(lock: &str) -> Result<Vec<(String, String)>, CargoError> {
    let value: toml::Table = lock.parse().map_err(|_| CargoError::Unexpected("a TOML lock file"))?;
    let packages = value.get("package").and_then(|p| p.as_array()).ok_or(CargoError::Unexpected("[[package]]"))?;
    let text = |p: &toml::Value, key: &str| p.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    Ok(packages.iter().map(|p| (text(p, "name"), text(p, "version"))).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_with_features_and_own_packages() {
        let tree = parse_tree(
            "a v1.0.0 (/somewhere/a)|\nb v0.2.0|default,std (*)\nb v0.2.0|extra\nc v3.0.0 (proc-macro)|\n\n",
        );
        let shown: Vec<_> = tree.iter().map(|p| (p.name.as_str(), p.own, p.features.len())).collect();
        assert_eq!(shown, [("a", true, 0), ("b", false, 3), ("c", false, 0)]);
    }

    #[test]
    fn a_lock_file_is_read() {
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n";
        assert_eq!(locked(lock).unwrap(), [("a".to_owned(), "1.0.0".to_owned())]);
        assert!(locked("version = 4").is_err());
    }
}
