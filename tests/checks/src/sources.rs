//! What may be in a source file.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A text file of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path from the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// All files with one of `extensions` under `folder`, without build output and hidden folders, sorted by path.
pub fn read(root: &Path, folder: &str, extensions: &[&str]) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
                continue;
            }
            if extensions.iter().any(|e| path.extension().is_some_and(|x| x == *e)) {
                let shown = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                sources.push(Source { path: shown, text: fs::read_to_string(&path)? });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// A Rust file without its inline test module and without comments, line by line. What else is marked as a test's counts.
fn product_lines(text: &str) -> Vec<&str> {
    let (mut marked, mut inside) = (false, false);
    let mut product = Vec::new();
    for line in text.lines() {
        let ends = inside && line == "}";
        inside |= marked && line == "mod tests {";
        marked = line == "#[cfg(test)]" || marked && line.starts_with("#[");
        product.push(if inside { "" } else { line.split("//").next().unwrap_or_default() });
        inside &= !ends;
    }
    product
}

/// Imports of groups, with the number of their first line, as if each were imported alone: `std::{fs, net::{TcpStream}}`
/// names `std::fs` and `std::net::TcpStream`.
fn grouped_imports(lines: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some((before, _)) = line.split_once("use ") else { continue };
        if !before.trim().is_empty() && !before.trim().starts_with("pub") {
            continue;
        }
        let rest = lines.iter().skip(i).copied().collect::<Vec<_>>().join(" ");
        let import = rest.split(';').next().and_then(|import| import.split_once("use "));
        let paths = import.map(|(_, tree)| tree).filter(|tree| tree.contains('{')).map(paths_of);
        found.extend(paths.into_iter().flatten().map(|path| (i, path)));
    }
    found
}

fn paths_of(tree: &str) -> Vec<String> {
    let Some((prefix, (group, _))) = tree.split_once('{').and_then(|(p, rest)| Some((p, rest.rsplit_once('}')?)))
    else {
        return vec![tree.trim().to_owned()];
    };
    let mut depth = 0usize;
    let parts = group.split(|c| {
        match c {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(paths_of).map(|path| format!("{}{path}", prefix.trim())).collect()
}

fn lines_with<'a>(source: &'a Source, text: &'a str, words: &'a [String]) -> impl Iterator<Item = String> + 'a {
    text.lines().enumerate().flat_map(move |(i, line)| {
        let hits = words.iter().filter(move |word| line.contains(word.as_str()));
        hits.map(move |word| format!("{}:{}: {word}", source.path, i.saturating_add(1)))
    })
}

/// Tests that do not run, code that is not there. The words are put together here so that this file passes its rule.
pub fn unfinished(sources: &[Source]) -> Vec<String> {
    let words = [
        ["#[igno", "re"],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["place", "holder"],
        ["not yet ", "implemented"],
    ]
    .map(|parts| parts.concat());
    sources.iter().flat_map(|s| lines_with(s, &s.text, &words).collect::<Vec<_>>()).collect()
}

/// Hidden inputs and outputs: what a sans-I/O crate's product code must not name.
pub const HIDDEN_INPUTS: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "OsRng",
    "thread_rng",
    "from_entropy",
    "getrandom::",
    "println!",
    "eprintln!",
];

/// Uses of hidden inputs in product code, comments not counted.
pub fn hidden_inputs(sources: &[Source]) -> Vec<String> {
    let words: Vec<String> = HIDDEN_INPUTS.iter().map(|w| (*w).to_owned()).collect();
    let mut found = Vec::new();
    for source in sources {
        let mut lines: Vec<String> = product_lines(&source.text).into_iter().map(str::to_owned).collect();
        for (i, path) in grouped_imports(&product_lines(&source.text)) {
            lines.get_mut(i).into_iter().for_each(|line| line.extend([" ", &path]));
        }
        found.extend(lines_with(source, &lines.join("\n"), &words));
    }
    found
}

/// Uses of `countersign_mpc` in the workspace beyond its public half: it holds no share and runs no protocol.
pub fn mpc_of_the_workspace(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (i, line) in source.text.lines().enumerate() {
            let uses =
                line.match_indices("countersign_mpc").map(|(at, name)| line.get(at.saturating_add(name.len())..));
            if uses.flatten().any(|rest| !rest.starts_with("::public")) {
                found.push(format!("{}:{}: {}", source.path, i.saturating_add(1), line.trim()));
            }
        }
    }
    found
}

/// Names of all test functions: a `fn` with an attribute above it that ends in `test`, or one inside `proptest!`.
pub fn test_names(sources: &[Source]) -> BTreeSet<String> {
    sources.iter().flat_map(|source| names_in(&source.text)).collect()
}

fn names_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            let attribute = line.trim_start_matches("#[").split(['(', ']']).next().unwrap_or_default();
            is_test |= attribute == "test" || attribute.ends_with("::test");
        } else if let Some(name) = function_name(line) {
            if is_test {
                names.push(name.to_owned());
            }
            is_test = false;
        } else if !line.is_empty() && !line.starts_with("//") {
            is_test = false;
        }
    }
    names
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "x/src/y.rs".into(), text: text.into() }
    }

    #[test]
    fn every_sign_of_unfinished_work_is_found() {
        let ignored = format!("#[{}]\nfn a() {{}}\n", "ignore");
        let undone = format!("fn a() {{ {}!() }}", "todo");
        assert_eq!(unfinished(&[source(&ignored)]).len(), 1);
        assert_eq!(unfinished(&[source(&undone)]), [format!("x/src/y.rs:1: {}!(", "todo")]);
        assert!(unfinished(&[source("fn a() -> u8 { 1 }")]).is_empty());
    }

    #[test]
    fn a_hidden_input_is_found_in_product_code_only() {
        assert_eq!(hidden_inputs(&[source("use std::fs;\n")]).len(), 1);
        assert_eq!(hidden_inputs(&[source("fn f() { Instant::now(); }\n")]).len(), 1);
        assert!(hidden_inputs(&[source("// no SystemTime here\n")]).is_empty());
        assert!(hidden_inputs(&[source("fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n")]).is_empty());
        let allowed = "fn f() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    use std::fs;\n}\n";
        assert!(hidden_inputs(&[source(allowed)]).is_empty());
    }

    #[test]
    fn a_test_module_hides_nothing_but_itself() {
        for before in ["#[cfg(test)]\nmod tests;\n", "#[cfg(test)]\nmod tests {\n    fn a() {}\n}\n"] {
            assert_eq!(hidden_inputs(&[source(&format!("{before}use std::fs;\n"))]).len(), 1, "{before}");
        }
        assert_eq!(hidden_inputs(&[source("mod tests {\n    use std::fs;\n}\n")]).len(), 1);
    }

    #[test]
    fn a_hidden_input_is_found_in_a_group_of_imports() {
        for group in [
            "use std::{fs, sync::Arc};",
            "pub(crate) use std::{\n    collections::{BTreeMap, BTreeSet},\n    env,\n};",
            "    use std::{io, net::{IpAddr, TcpStream}};",
            "use std::net::{\n    IpAddr, UdpSocket,\n};",
        ] {
            assert_eq!(hidden_inputs(&[source(group)]).len(), 1, "{group}");
        }
        assert!(hidden_inputs(&[source("use std::{collections::BTreeMap, net::{IpAddr}};")]).is_empty());
    }

    #[test]
    fn the_workspace_may_use_public_arithmetic_and_nothing_else_of_the_schemes() {
        assert!(
            mpc_of_the_workspace(&[source("use countersign_mpc::public;\nlet x = countersign_mpc::public::f();")])
                .is_empty()
        );
        for bad in
            ["use countersign_mpc::Cggmp24;", "use countersign_mpc::{public, Plan};", "use countersign_mpc as m;"]
        {
            assert_eq!(mpc_of_the_workspace(&[source(bad)]).len(), 1, "{bad}");
        }
    }

    #[test]
    fn test_names_are_those_of_functions_that_run_as_tests() {
        let text = "#[test]\nfn a() {}\n#[tokio::test(flavor = \"multi_thread\")]\n/// why\nasync fn b() {}\nfn c() {}\n\
                    #[allow(x)]\nfn d() {}\n    #[test]\n    fn e() {}\n#[test]\nstruct X;\nfn f() {}\n";
        let names: Vec<String> = test_names(&[source(text)]).into_iter().collect();
        assert_eq!(names, ["a", "b", "e"]);
    }
}
