//! The bench of a test with real processes: where it works, how much it does, what it says meanwhile.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A temporary folder, kept where the test fails, and the progress of the test.
pub struct Bench {
    name: &'static str,
    folder: Option<tempfile::TempDir>,
    started: Instant,
}

impl Bench {
    /// An empty one.
    pub fn new(name: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("countersign-{name}-")).tempdir();
        let bench = Self { name, folder: Some(folder.unwrap()), started: Instant::now() };
        let _ = std::fs::remove_file(bench.progress_file());
        bench.say(&format!("works in {}; progress: {}", bench.stack().display(), bench.progress_file().display()));
        bench
    }

    /// Where the stack is.
    pub fn stack(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("stack")
    }

    /// Readable while the test runs: the test runner holds back what is printed.
    fn progress_file(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/progress").join(self.name)
    }

    /// Says how far it is.
    pub fn say(&self, text: &str) {
        let line = format!("{:>7.1} s  {text}", self.started.elapsed().as_secs_f64());
        println!("{line}");
        let file = self.progress_file();
        let _ = file.parent().map(std::fs::create_dir_all);
        if let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(file) {
            let _ = writeln!(file, "{line}");
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            println!("kept for a look: {}", folder.keep().display());
        }
    }
}

/// A number from the environment.
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{variable}: {value}")))
}

/// How many rounds: `COUNTERSIGN_ROUNDS`, or `deep` in the deep run, or `normal`.
pub fn rounds(normal: u64, deep: u64) -> u64 {
    let usual = if std::env::var_os("COUNTERSIGN_DEEP").is_some() { deep } else { normal };
    number("COUNTERSIGN_ROUNDS").unwrap_or(usual)
}
