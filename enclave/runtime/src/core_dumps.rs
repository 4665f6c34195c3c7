//! A process that is aborted leaves no image of its memory behind (threat T48).

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};

/// The kernel refused it.
#[derive(Debug, thiserror::Error)]
#[error("core dumps cannot be switched off: {0}")]
pub struct CoreDumpError(#[from] Errno);

/// For good: a process without privileges cannot raise a hard limit. It holds for dumps into files; one that the kernel
/// pipes into a program is that program's, and only who owns the kernel sets one up.
pub fn forbid() -> Result<(), CoreDumpError> {
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}
