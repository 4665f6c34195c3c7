//! The first process of an enclave image: makes `/dev`, `/proc` and `/sys`, starts the one program of the image, and
//! switches the machine off when that ends.
//!
//! What the parent adds to the kernel's command line comes here as environment variables and is not measured. One is
//! passed on, [`PARENT_CID`], which says who carries the bytes. There is no shell, and nothing else to start.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use std::convert::Infallible;
use std::process::{Command, ExitCode};

/// The program of the image.
const PROGRAM: &str = "/cosigner-enclave";
/// Environment variable with the parent's context id on vsock.
const PARENT_CID: &str = "parent_cid";

#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("expected to be the first process of an enclave, got process id {0}")]
    NotFirst(u32),
    #[error("{0} cannot be mounted: {1}")]
    Mount(&'static str, Errno),
    #[error("{PROGRAM} cannot be started: {0}")]
    Start(std::io::Error),
    #[error("the machine cannot be switched off: {0}")]
    Off(Errno),
}

fn main() -> ExitCode {
    let Err(error) = run();
    // The console is all that there is to tell. The kernel panics when its first process ends, and so the machine ends.
    eprintln!("init: {error}");
    ExitCode::FAILURE
}

fn run() -> Result<Infallible, InitError> {
    // Elsewhere this would switch off somebody's machine.
    if std::process::id() != 1 {
        return Err(InitError::NotFirst(std::process::id()));
    }
    file_systems()?;
    let mut program = Command::new(PROGRAM);
    program.env_clear().envs(std::env::var_os(PARENT_CID).map(|cid| (PARENT_CID, cid)));
    match program.status() {
        Ok(ended) => eprintln!("init: {PROGRAM} ended, {ended}; the enclave ends"),
        Err(error) => eprintln!("init: {}", InitError::Start(error)),
    }
    reboot(RebootMode::RB_AUTOBOOT).map_err(InitError::Off)
}

fn file_systems() -> Result<(), InitError> {
    let closed = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    for (kind, path, flags) in [
        ("devtmpfs", "/dev", closed),
        ("proc", "/proc", closed | MsFlags::MS_NODEV),
        ("sysfs", "/sys", closed | MsFlags::MS_NODEV | MsFlags::MS_RDONLY),
    ] {
        mount(Some(kind), path, Some(kind), flags, None::<&str>).map_err(|errno| InitError::Mount(path, errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_nothing_where_it_is_not_the_first_process() {
        let Err(error) = run();
        assert!(matches!(error, InitError::NotFirst(id) if id == std::process::id()));
    }
}
