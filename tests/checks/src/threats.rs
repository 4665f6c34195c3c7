//! The table of `docs/threat-model.md`: every statement is tested by tests that exist, or says what is missing.

use std::collections::{BTreeMap, BTreeSet};

/// Number of the last statement.
pub const LAST: u8 = 62;

/// Fewest characters that can say what is missing.
pub const SHORTEST_REASON: usize = 12;

/// Where a statement stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// By these tests.
    Tested(Vec<String>),
    /// This is missing.
    NotBuilt(String),
}

/// A row of the table, or why it is not one.
pub type Row = Result<(u8, State), String>;

/// The rows of the table: lines of the form `| T01 | statement | state | tests or what is missing |`.
pub fn rows(markdown: &str) -> Vec<Row> {
    markdown.lines().filter(|l| l.starts_with("| T")).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [id, statement, state, rest] = cells.as_slice() else {
        return Err(format!("expected four cells: {line}"));
    };
    let number = id.strip_prefix('T').filter(|n| n.len() == 2).and_then(|n| n.parse().ok());
    let number = number.ok_or_else(|| format!("expected an id such as T07, got {id}"))?;
    if statement.is_empty() {
        return Err(format!("{id}: no statement"));
    }
    match *state {
        "tested" => {
            let names: Vec<String> = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            if names.is_empty() { Err(format!("{id}: tested by nothing")) } else { Ok((number, State::Tested(names))) }
        }
        "not built" if rest.len() < SHORTEST_REASON => Err(format!("{id}: not built, but not what is missing")),
        "not built" => Ok((number, State::NotBuilt((*rest).to_owned()))),
        other => Err(format!("{id}: expected `tested` or `not built`, got {other:?}")),
    }
}

/// What is wrong with the table, given the names of all tests and the statements that have been tested before.
pub fn violations(rows: &[Row], tests: &BTreeSet<String>, tested_before: &BTreeSet<u8>) -> Vec<String> {
    let mut found: Vec<String> = rows.iter().filter_map(|r| r.as_ref().err().cloned()).collect();
    let mut states: BTreeMap<u8, &State> = BTreeMap::new();
    for (number, state) in rows.iter().filter_map(|r| r.as_ref().ok()) {
        if states.insert(*number, state).is_some() {
            found.push(format!("T{number:02}: twice"));
        }
        if !(1..=LAST).contains(number) {
            found.push(format!("T{number:02}: there is no such statement"));
        }
        if let State::Tested(names) = state {
            found.extend(wrong_names(*number, names, tests));
            found.extend(left_out(*number, names, tests));
            if !tested_before.contains(number) {
                found.push(format!("T{number:02}: tested, so add it to tests/checks/tested-threats.txt"));
            }
        }
    }
    found.extend((1..=LAST).filter(|n| !states.contains_key(n)).map(|n| format!("T{n:02}: no row")));
    let back = tested_before.iter().filter(|n| matches!(states.get(n), Some(State::NotBuilt(_))));
    found.extend(back.map(|n| format!("T{n:02}: was tested and may not go back")));
    found
}

/// Names of tests that do not exist, and that none carries the statement's number. Tests of other statements may help.
fn wrong_names(number: u8, names: &[String], tests: &BTreeSet<String>) -> Vec<String> {
    let tag = format!("t{number:02}_");
    let missing = names.iter().filter(|name| !tests.contains(*name));
    let mut wrong: Vec<String> = missing.map(|name| format!("T{number:02}: no test is named {name}")).collect();
    if !names.iter().any(|name| name.contains(&tag)) {
        wrong.push(format!("T{number:02}: no named test carries {tag}"));
    }
    wrong
}

/// Tests that carry the statement's number in their name, and are not named.
fn left_out(number: u8, names: &[String], tests: &BTreeSet<String>) -> Vec<String> {
    let carries = |test: &&String| numbers_of(test).contains(&number) && !names.contains(test);
    tests.iter().filter(carries).map(|test| format!("T{number:02}: {test} is not listed")).collect()
}

/// The statements that a test is about by its name: `e2e_t08_t26_a_host` is about 8 and 26.
fn numbers_of(test: &str) -> Vec<u8> {
    let parts = test.strip_prefix("e2e_").unwrap_or(test).split('_');
    parts.map_while(|part| part.strip_prefix('t').filter(|n| n.len() == 2)?.parse().ok()).collect()
}

/// The committed list: one `T07` a line.
pub fn tested_before(list: &str) -> BTreeSet<u8> {
    list.lines().filter_map(|l| l.trim().strip_prefix('T')?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(first: &str) -> Vec<Row> {
        let rest = (2..=LAST)
            .map(|n| format!("| T{n:02} | s | not built | a witness that lives elsewhere |\n"))
            .collect::<String>();
        rows(&format!("{first}\n{rest}"))
    }

    fn check(first: &str, tests: &[&str], before: &str) -> Vec<String> {
        let tests = tests.iter().map(|t| (*t).to_owned()).collect();
        violations(&table(first), &tests, &tested_before(before))
    }

    #[test]
    fn a_sound_table_passes() {
        assert!(check("| T01 | s | not built | a witness that lives elsewhere |", &[], "").is_empty());
        assert!(check("| T01 | s | tested | `t01_a`, `t01_b` |", &["t01_a", "t01_b"], "T01\n").is_empty());
        assert!(check("| T01 | s | tested | `t01_a` |", &["t01_a", "after_t01_b", "t02_b"], "T01\n").is_empty());
    }

    #[test]
    fn every_way_to_be_wrong_is_found() {
        for (first, tests, before) in [
            ("| T01 | s | tested | `t01_a` |", &[][..], "T01"),
            ("| T01 | s | tested | `t02_a` |", &["t02_a"], "T01"),
            ("| T01 | s | tested | |", &["t01_a"], "T01"),
            ("| T01 | s | tested | `t01_a` |", &["t01_a", "t01_b"], "T01"),
            ("| T01 | s | tested | `t01_a` |", &["t01_a", "e2e_t08_t01_b"], "T01"),
            ("| T01 | s | tested | `t01_a` |", &["t01_a"], ""),
            ("| T01 | s | not built | a witness that lives elsewhere |", &["t01_a"], "T01"),
            ("| T02 | s | not built | a witness that lives elsewhere |", &[], ""),
            ("| T63 | s | not built | a witness that lives elsewhere |", &[], ""),
            ("", &[], ""),
        ] {
            assert!(!check(first, tests, before).is_empty(), "{first}");
        }
        for malformed in [
            "| T01 | s | soon | x |",
            "| T01 | s | not built | - |",
            "| T01 | s |",
            "| T01 | | not built | a witness that lives elsewhere |",
        ] {
            assert!(table(malformed).first().is_some_and(Result::is_err), "{malformed}");
        }
    }
}
