//! The folder of a stack's Unix sockets: inside of the stack's folder, or a temporary one where paths would be too long. A
//! temporary one outlives a stack that is kept or killed, so it is written down, and removed with the stack's folder.

use crate::error::StackError;
use crate::files::{MAX_SOCKET_PATH_BYTES, create_folder, write_private};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest name of a socket, with its slash: `/cloud-99-enclave`.
const LONGEST_NAME_BYTES: usize = 17;
/// File in a stack's folder that names its temporary folder.
const RECORD: &str = "sockets-folder";
/// File in a temporary folder that names the stack that it belongs to.
const OWNER: &str = "owner";
/// How the name of a temporary folder starts.
const PREFIX: &str = "countersign-";

/// Makes the folder for a stack. With the second value a temporary one is removed.
pub fn create(stack: &Path) -> Result<(PathBuf, Option<tempfile::TempDir>), StackError> {
    let inside = stack.join("run");
    if inside.as_os_str().len().saturating_add(LONGEST_NAME_BYTES) <= MAX_SOCKET_PATH_BYTES {
        create_folder(&inside)?;
        return Ok((inside, None));
    }
    let made = tempfile::Builder::new().prefix(PREFIX).tempdir();
    let made = made.map_err(StackError::io("making a folder for Unix sockets"))?;
    write_private(&made.path().join(OWNER), stack.as_os_str().as_encoded_bytes())?;
    write_private(&stack.join(RECORD), made.path().as_os_str().as_encoded_bytes())?;
    Ok((made.path().to_owned(), Some(made)))
}

/// Removes the temporary folder that an earlier run of this stack left, if it is still its own. Says which.
pub fn remove_left(stack: &Path) -> Result<Option<PathBuf>, StackError> {
    let (Ok(recorded), Ok(stack)) = (fs::read_to_string(stack.join(RECORD)), stack.canonicalize()) else {
        return Ok(None);
    };
    let folder = PathBuf::from(recorded);
    let named = folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    let owner = fs::read(folder.join(OWNER)).unwrap_or_default();
    if !named || owner != stack.as_os_str().as_encoded_bytes() {
        return Ok(None);
    }
    fs::remove_dir_all(&folder).map_err(StackError::file(&folder))?;
    Ok(Some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(parent: &Path, bytes: usize) -> PathBuf {
        let missing = bytes - parent.as_os_str().len() - 1;
        let folder = parent.join("x".repeat(missing));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn every_socket_fits_wherever_the_stack_is() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().canonicalize().unwrap();
        let longest = MAX_SOCKET_PATH_BYTES - LONGEST_NAME_BYTES - "/run".len();
        for (bytes, inside) in [(longest - 1, true), (longest, true), (longest + 1, false), (longest + 20, false)] {
            let folder = stack(&root, bytes);
            let (sockets, guard) = create(&folder).unwrap();
            assert_eq!((sockets.starts_with(&folder), guard.is_none()), (inside, inside), "{bytes}");
            assert!(sockets.join("cloud-99-enclave").as_os_str().len() <= MAX_SOCKET_PATH_BYTES, "{bytes}");
        }
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().canonicalize().unwrap();
        let (one, two) = (stack(&root, 120), stack(&root, 121));
        let left = create(&one).unwrap().1.unwrap().keep();
        // Another stack's record that names this one's folder, and one that names something else altogether.
        fs::write(two.join(RECORD), left.as_os_str().as_encoded_bytes()).unwrap();
        assert_eq!(remove_left(&two).unwrap(), None);
        fs::write(two.join(RECORD), one.as_os_str().as_encoded_bytes()).unwrap();
        assert_eq!(remove_left(&two).unwrap(), None);
        assert!(left.exists() && one.exists());
        assert_eq!(remove_left(&one).unwrap(), Some(left.clone()));
        assert!(!left.exists());
        assert_eq!(remove_left(&one).unwrap(), None);
    }
}
