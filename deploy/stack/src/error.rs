//! What can go wrong with a stack. Every message says where to look.

use crate::client::ApiError;
use crate::ethereum::BadSignature;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A file or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it did not work.
        source: io::Error,
    },
    /// A program is not built.
    #[error("{} is not there: cargo build --release --workspace --bins --locked", .0.display())]
    NotBuilt(PathBuf),
    /// Something that is built apart is not built.
    #[error("{name} is not there: {by} builds it")]
    NotBuiltApart {
        /// What.
        name: String,
        /// What builds it.
        by: &'static str,
    },
    /// A key or a certificate could not be made.
    #[error("cannot make {what}: {detail}")]
    Crypto {
        /// What.
        what: &'static str,
        /// Why.
        detail: String,
    },
    /// A process ended although it should run.
    #[error("{name} ended ({status}); the end of {}:\n{tail}", log.display())]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A process is not ready in time.
    #[error("{name} is not ready after {seconds} s; the end of {}:\n{tail}", log.display())]
    NotReady {
        /// Which.
        name: String,
        /// How long it had.
        seconds: u64,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// There is no process of this name.
    #[error("no process is named {0}")]
    UnknownProcess(String),
    /// The command line refused.
    #[error("cosigner {arguments}: exit code {code}: {message}")]
    Cosigner {
        /// Its arguments.
        arguments: String,
        /// Its exit code; -1 for a signal.
        code: i32,
        /// The member `error` of its JSON object: `kind`, `message`, `hint`, `refusal_code`.
        error: serde_json::Value,
        /// What it says.
        message: String,
    },
    /// The workspace's API refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A signature is not good.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Something did not happen in time.
    #[error("waited {seconds} s for {what}; last seen: {seen}")]
    Waited {
        /// For what.
        what: String,
        /// How long.
        seconds: u64,
        /// The last state.
        seen: String,
    },
    /// An answer lacks what it should have.
    #[error("expected {expected} in {got}")]
    Unexpected {
        /// What.
        expected: String,
        /// Where.
        got: String,
    },
}

impl StackError {
    /// For `map_err` on I/O: what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For `map_err` on I/O with a path.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(path.display().to_string())
    }
}
