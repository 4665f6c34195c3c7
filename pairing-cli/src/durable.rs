//! Files that survive a power cut, or are not there at all: written beside, synced, renamed, directory synced.

use crate::failure::Failure;
use rand_core::{OsRng, RngCore};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What to do about a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Replace it.
    Replace,
    /// Fail, whoever made it and whenever.
    Refuse,
}

/// Writes `bytes` to `path`, readable by the owner alone. Directories above are made with mode 0700.
pub fn write(path: &Path, bytes: &[u8], existing: Existing) -> Result<(), Failure> {
    write_io(path, bytes, existing).map_err(|e| Failure::local(path, e))
}

fn write_io(path: &Path, bytes: &[u8], existing: Existing) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let temporary = Temporary(directory.join(format!(".countersign-{:016x}.tmp", OsRng.next_u64())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary.0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match existing {
        Existing::Replace => fs::rename(&temporary.0, path)?,
        // Unlike rename, a link never takes the place of a file.
        Existing::Refuse => fs::hard_link(&temporary.0, path)?,
    }
    drop(temporary);
    File::open(directory)?.sync_all()
}

/// Removes the file on drop; after a rename there is none.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_private_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        write(&path, b"one", Existing::Refuse).unwrap();
        write(&path, b"two", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_there_is_not_replaced_unless_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"one", Existing::Refuse).unwrap();
        assert!(matches!(write(&path, b"two", Existing::Refuse), Err(Failure::Local { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
