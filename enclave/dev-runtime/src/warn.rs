use std::io::{IsTerminal, Write};

/// Says in red what this program does not do. Standard error may be closed; then nobody is there to be warned.
pub fn warn(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = if stderr.is_terminal() {
        writeln!(stderr, "\x1b[1;31m{text}\x1b[0m")
    } else {
        writeln!(stderr, "WARNING: {text}")
    };
}
