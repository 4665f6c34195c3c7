//! Binding a Unix socket at a path where a dead process may have left one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// Most bytes that the temporary name is longer than the final one: `.` and a process id.
pub const TEMPORARY_SUFFIX_BYTES: usize = 12;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketFileError {
    /// A process listens there.
    #[error("{0}: another process listens on this socket")]
    InUse(PathBuf),
    /// Something else lies there; it is left alone.
    #[error("{0}: expected nothing or a socket, found another kind of file")]
    NotASocket(PathBuf),
    /// There is nowhere to put it.
    #[error("{0}: the socket's directory does not exist: make it for this program's user, with mode 0700")]
    NoDirectory(PathBuf),
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A bound socket; its file is removed when this is dropped, unless another one has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    /// The listener.
    pub listener: UnixListener,
}

impl SocketFile {
    /// Listens at `path` with `mode`. A socket left by a dead process is replaced, a live one is not. The socket is
    /// made under a temporary name and moved, so that at no moment it can be reached with other permissions.
    pub async fn bind(path: &Path, mode: u32) -> Result<Self, SocketFileError> {
        let at = |source| SocketFileError::Io { path: path.to_owned(), source };
        refuse_if_taken(path).await?;
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty() && !d.exists()) {
            return Err(SocketFileError::NoDirectory(directory.to_owned()));
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        match fs::remove_file(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(e)),
            _ => {}
        }
        let listener = UnixListener::bind(&temporary).map_err(at)?;
        let placed = fs::set_permissions(&temporary, Permissions::from_mode(mode))
            .and_then(|()| fs::symlink_metadata(&temporary))
            .and_then(|made| fs::rename(&temporary, path).map(|()| made));
        match placed {
            Ok(made) => Ok(Self { path: path.to_owned(), identity: (made.dev(), made.ino()), listener }),
            Err(e) => {
                let _ = fs::remove_file(&temporary);
                Err(at(e))
            }
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

async fn refuse_if_taken(path: &Path) -> Result<(), SocketFileError> {
    let found = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(SocketFileError::Io { path: path.to_owned(), source }),
        Ok(found) => found,
    };
    if !found.file_type().is_socket() {
        return Err(SocketFileError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full backlog, or no permission to connect: somebody may well be alive there.
        Ok(_) | Err(_) => Err(SocketFileError::InUse(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_live_one_and_a_file_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let live = SocketFile::bind(&path, 0o600).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(SocketFile::bind(&path, 0o600).await, Err(SocketFileError::InUse(_))));
        drop(live);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(SocketFile::bind(&path, 0o600).await, Err(SocketFileError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("countersign");
        let refused = SocketFile::bind(&missing.join("s"), 0o600).await;
        let Err(SocketFileError::NoDirectory(named)) = refused else { panic!("{refused:?}") };
        assert!(named == missing && !missing.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let older = SocketFile::bind(&path, 0o600).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _newer = SocketFile::bind(&path, 0o600).await.unwrap();
        drop(older);
        assert!(path.exists());
    }
}
