//! Files that only their owner may read.

use crate::DevError;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 16 * 1024;
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Creates `path` with mode 600, whole or not at all. `false` if it exists: then it is as it was.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<bool, DevError> {
    let beside = write_beside(path, content)?;
    // A link, not a rename: it never replaces what another process created meanwhile.
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside).map_err(DevError::file(&beside))?;
    match linked {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(DevError::file(path)(e)),
    }
}

/// Creates or replaces `path` with mode 600, whole or not at all.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), DevError> {
    let beside = write_beside(path, content)?;
    std::fs::rename(&beside, path).map_err(DevError::file(path))?;
    sync_folder(path)
}

/// Reads `path`; errors if others could, too.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, DevError> {
    let file = File::open(path).map_err(DevError::file(path))?;
    let mode = file.metadata().map_err(DevError::file(path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DevError::Permissions { path: path.to_owned(), mode });
    }
    let mut content = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES).read_to_end(&mut content).map_err(DevError::file(path))?;
    Ok(content)
}

fn write_beside(path: &Path, content: &[u8]) -> Result<PathBuf, DevError> {
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_added_extension(format!("{}.{number}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(DevError::file(&beside))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(DevError::file(&beside))?;
    Ok(beside)
}

fn sync_folder(path: &Path) -> Result<(), DevError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(DevError::file(folder))
}
