//! What people see, exactly: compared with files under `testdata`. What the documents show of it comes from a real system,
//! except where there is none (`tests/tests/admin_life`).
//!
//! `COUNTERSIGN_WRITE_GOLDEN=1` writes the files anew; read the difference before you commit it.

use crate::workstation::Run;
use std::path::{Path, PathBuf};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(format!("{name}.txt"))
}

/// That a run showed exactly what the file holds. `replaced` are what differs from run to run, and what stands for it.
#[track_caller]
pub fn compare(name: &str, run: &Run, replaced: &[(&str, &str)]) {
    let stderr = run.stderr.lines().filter(|line| !line.contains("DEVELOPMENT ROOT"));
    let mut shown = run.stdout.clone();
    for line in stderr {
        shown.push_str(line);
        shown.push('\n');
    }
    for (from, to) in replaced {
        shown = shown.replace(from, to);
    }
    if std::env::var_os("COUNTERSIGN_WRITE_GOLDEN").is_some() {
        std::fs::write(file(name), &shown).unwrap();
    }
    let expected = std::fs::read_to_string(file(name)).unwrap_or_default();
    assert_eq!(shown, expected, "{name} is not as in testdata");
}
