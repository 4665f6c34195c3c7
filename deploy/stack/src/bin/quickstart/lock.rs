//! One quickstart at a time works in a folder: two would end each other's processes and remove each other's files.

use anyhow::{Context, Result};
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Another quickstart works in the folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "another quickstart works in {0}: wait until it ends, or end it with Ctrl-C where it runs; or name another --folder"
)]
pub struct InUse(PathBuf);

/// The folder, as long as this is there. What is started meanwhile does not inherit it: a stack that is kept can be taken
/// down.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes an absolute folder. The lock is beside it, since the folder itself is removed, and stays there.
///
/// # Errors
/// [`InUse`]; or the file cannot be made.
pub fn take(folder: &Path) -> Result<Lock> {
    let mut name = folder.file_name().context("expected a --folder with a name")?.to_owned();
    name.push(".lock");
    let parent = folder.parent().context("expected a --folder inside of another one")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // However the way to it is written, it is one lock.
    let path = parent.canonicalize().with_context(|| parent.display().to_string())?.join(name);
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(InUse(folder.to_owned()).into()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    #[test]
    fn a_folder_is_one_quickstart_s_until_it_ends_and_no_child_holds_it_longer() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, way) = (parent.path().join("a/q"), parent.path().join("b"));
        let lock = take(&folder).unwrap();
        symlink(parent.path().join("a"), &way).unwrap();
        for same in [folder.clone(), way.join("q")] {
            let error = take(&same).unwrap_err();
            assert!(error.downcast_ref::<InUse>().is_some(), "{error:#}");
        }
        take(&parent.path().join("a/other")).unwrap();
        let mut kept = Command::new("/bin/sleep").arg("600").spawn().unwrap();
        drop(lock);
        let again = take(&folder);
        kept.kill().unwrap();
        kept.wait().unwrap();
        again.unwrap();
    }
}
