//! The file that tells others the addresses really in use.

use serde::Serialize;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The addresses really in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// Version of this program.
    pub version: &'static str,
    /// Process id.
    pub pid: u32,
    /// Where the enclave connects: `unix:PATH` or `vsock:PORT`.
    pub enclave: String,
    /// Path of the admin socket.
    pub admin: PathBuf,
    /// `IP:PORT` of `/metrics` and `/healthz`.
    pub http: String,
    /// Directory of the store.
    pub storage: PathBuf,
}

/// The written file; removed when this is dropped.
#[derive(Debug)]
pub struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Writes the file in one step: a reader sees all of it or nothing.
    pub fn write(path: &Path, addresses: &Addresses) -> io::Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(addresses)?)?;
        file.write_all(b"\n")?;
        fs::rename(&temporary, path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
