//! Questions, asked only where a person sits at a terminal. Elsewhere the error names the flag.

use crate::failure::Failure;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// Longest answer in bytes.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;

/// Whether somebody can be asked.
pub fn possible() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks for `what` unless `given`; `flag` would have given it.
pub fn text(given: Option<String>, flag: &str, what: &str) -> Result<String, Failure> {
    if let Some(value) = given {
        return Ok(value);
    }
    if !possible() {
        return Err(Failure::missing(flag, what));
    }
    let answer = ask(&format!("{what} ({flag}): "))?;
    if answer.is_empty() { Err(Failure::missing(flag, what)) } else { Ok(answer) }
}

/// Asks for a secret without showing it.
pub fn secret(flag: &str, what: &str) -> Result<Zeroizing<String>, Failure> {
    if !possible() {
        return Err(Failure::missing(flag, what));
    }
    let answer = rpassword::prompt_password(format!("{what}: ")).map_err(|e| Failure::local(Path::new("terminal"), e));
    answer.map(Zeroizing::new)
}

/// Asks whether to go on. `yes` (the flag `--yes`) answers it; nobody to ask is an error.
pub fn confirm(yes: bool, what: &'static str, flags: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !possible() {
        return Err(Failure::missing(flags, &format!("confirmation to {what}")));
    }
    let answer = ask(&format!("{what}? type yes to go on: "))?;
    if answer == "yes" { Ok(()) } else { Err(Failure::Declined(what)) }
}

fn ask(question: &str) -> Result<String, Failure> {
    let terminal = |e: std::io::Error| Failure::local(Path::new("terminal"), e);
    let mut stderr = std::io::stderr();
    write!(stderr, "{question}").and_then(|()| stderr.flush()).map_err(terminal)?;
    let mut line = String::new();
    let mut limited = std::io::Read::take(std::io::stdin().lock(), MAX_ANSWER_BYTES);
    limited.read_line(&mut line).map_err(terminal)?;
    Ok(line.trim().to_owned())
}
