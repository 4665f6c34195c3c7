//! The bench of a long test: where it works, how much it does, what it says meanwhile.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a test says while it runs, in a file too: the test runner holds back what is printed.
pub struct Progress {
    file: PathBuf,
    started: Instant,
}

impl Progress {
    /// An empty one, in `target/progress/NAME`.
    pub fn new(name: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/progress").join(name);
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(&file, "");
        Self { file, started: Instant::now() }
    }

    /// Says how far it is.
    pub fn say(&self, text: &str) {
        let line = format!("{:>7.1} s  {text}", self.started.elapsed().as_secs_f64());
        println!("{line}");
        if let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(&self.file) {
            let _ = writeln!(file, "{line}");
        }
    }
}

/// A temporary folder, kept where the test fails, and the progress of the test.
pub struct Bench {
    folder: Option<tempfile::TempDir>,
    progress: Progress,
}

impl Bench {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("countersign-{name}-")).tempdir();
        let bench = Self { folder: Some(folder.unwrap()), progress: Progress::new(name) };
        bench.say(&format!("works in {}; progress: {}", bench.stack().display(), bench.progress.file.display()));
        bench
    }

    /// Where the stack is.
    pub fn stack(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("stack")
    }

    /// Says how far it is.
    pub fn say(&self, text: &str) {
        self.progress.say(text);
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
