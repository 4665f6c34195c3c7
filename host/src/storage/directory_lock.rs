//! The lock on the store's directory: it goes with the process, however that ends.

use super::StorageError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Held while the store is open.
#[derive(Debug)]
pub struct DirectoryLock(#[allow(dead_code, reason = "holds the lock until it is dropped")] File);

impl DirectoryLock {
    /// Makes the directory if it is not there, durably, and locks it.
    pub fn take(directory: &Path) -> Result<Self, StorageError> {
        let at = |source| StorageError::Directory { path: directory.to_owned(), source };
        if !directory.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at)?;
            if let Some(parent) = directory.parent().filter(|p| !p.as_os_str().is_empty()) {
                sync_directory(parent).map_err(at)?;
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(directory.join("lock"))
            .map_err(at)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StorageError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(source)) => Err(at(source)),
        }
    }
}

/// Makes the entries of a directory durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_user_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let first = DirectoryLock::take(&path).unwrap();
        assert!(matches!(DirectoryLock::take(&path), Err(StorageError::InUse { .. })));
        drop(first);
        DirectoryLock::take(&path).unwrap();
    }
}
