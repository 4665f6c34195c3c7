//! Everything that can go wrong, with an exit code for scripts and a sentence that says what to do.

use crate::hints;
use crate::text_forms::printable;
use countersign_wire::refusal::{Code, Refusal};
use std::path::{Path, PathBuf};

/// The exit codes, as `--help` and the documentation list them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a local fault: a file cannot be read or written; or a check failed (`doctor`, `callback test`)
  2  usage: a flag is missing or wrong
  3  refused by the co-signer
  4  cannot connect to the admin socket
  5  not trusted: attestation, pinned identity, certificate or hash do not fit
  6  not found: no such pairing, group, key or user
  7  operator key: missing, wrong passphrase, or not an operator of this co-signer
  8  no answer in time; a command may or may not have been carried out
  9  declined at a prompt";

/// Why a command failed. No variant carries a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A file of this machine.
    #[error("{path}: {reason}", path = path.display())]
    Local {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Flags that are missing, wrong or contradict each other.
    #[error("{message}")]
    Usage {
        /// What was expected and what came.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The co-signer said no.
    #[error("the co-signer refused: {}: {}", .0.code, printable(&.0.detail))]
    Refused(Refusal),
    /// Nobody listens at the socket.
    #[error("cannot connect to {socket}: {reason}", socket = socket.display())]
    Connect {
        /// Where.
        socket: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Something does not prove what it has to.
    #[error("{message}")]
    Untrusted {
        /// What was expected and what came.
        message: String,
        /// What to do.
        hint: String,
    },
    /// What a flag names is not there.
    #[error("{message}")]
    NotFound {
        /// What.
        message: String,
        /// What to do.
        hint: String,
    },
    /// An operator key that cannot be used.
    #[error("{message}")]
    OperatorKey {
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The other side is silent or speaks something else.
    #[error("{message}")]
    NoAnswer {
        /// What was waited for.
        message: String,
        /// What to do.
        hint: String,
    },
    /// What was checked is not as it should be; the result says what.
    #[error("{message}")]
    CheckFailed {
        /// What.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A person said no.
    #[error("declined: {0}; nothing was changed")]
    Declined(&'static str),
}

impl Failure {
    /// Usage, with what to do.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// A value is missing and nobody can be asked for it.
    pub fn missing(flag: &str, what: &str) -> Self {
        Self::usage(format!("{what} is missing"), format!("give {flag} (stdin is no terminal, so nothing is asked)"))
    }

    /// Not trusted, with what to do.
    pub fn untrusted(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Untrusted { message: message.into(), hint: hint.into() }
    }

    /// Not found, with what to do.
    pub fn not_found(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::NotFound { message: message.into(), hint: hint.into() }
    }

    /// An operator key that cannot be used, with what to do.
    pub fn operator_key(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::OperatorKey { message: message.into(), hint: hint.into() }
    }

    /// Silence or nonsense, with what to do.
    pub fn no_answer(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::NoAnswer { message: message.into(), hint: hint.into() }
    }

    /// A check that failed, with what to do.
    pub fn check_failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::CheckFailed { message: message.into(), hint: hint.into() }
    }

    /// A file of this machine.
    pub fn local(path: &Path, reason: impl ToString) -> Self {
        Self::Local { path: path.to_owned(), reason: reason.to_string() }
    }

    /// The program's exit code: see [`EXIT_CODES`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Local { .. } | Self::CheckFailed { .. } => 1,
            Self::Usage { .. } => 2,
            Self::Refused(refusal) if refusal.code == Code::NotFound => 6,
            Self::Refused(_) => 3,
            Self::Connect { .. } => 4,
            Self::Untrusted { .. } => 5,
            Self::NotFound { .. } => 6,
            Self::OperatorKey { .. } => 7,
            Self::NoAnswer { .. } => 8,
            Self::Declined(_) => 9,
        }
    }

    /// The kind as `--json` names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Local { .. } => "local",
            Self::Usage { .. } => "usage",
            Self::Refused(_) => "refused",
            Self::Connect { .. } => "cannot_connect",
            Self::Untrusted { .. } => "untrusted",
            Self::NotFound { .. } => "not_found",
            Self::OperatorKey { .. } => "operator_key",
            Self::NoAnswer { .. } => "no_answer",
            Self::CheckFailed { .. } => "check_failed",
            Self::Declined(_) => "declined",
        }
    }

    /// What to do about it; empty where the message says it all.
    pub fn hint(&self) -> &str {
        match self {
            Self::Local { .. } | Self::Declined(_) => "",
            Self::Refused(refusal) => hints::for_code(refusal.code),
            Self::Connect { .. } => hints::CONNECT,
            Self::Usage { hint, .. }
            | Self::Untrusted { hint, .. }
            | Self::NotFound { hint, .. }
            | Self::OperatorKey { hint, .. }
            | Self::NoAnswer { hint, .. }
            | Self::CheckFailed { hint, .. } => hint,
        }
    }

    /// The co-signer's refusal code, where it refused.
    pub fn refusal_code(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => Some(refusal.code.as_str()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented() {
        let refused = |code| Failure::Refused(Refusal::new(code, "x"));
        let all = [
            Failure::local(Path::new("f"), "x"),
            Failure::usage("x", "y"),
            refused(Code::NotClaimed),
            Failure::Connect { socket: PathBuf::new(), reason: String::new() },
            Failure::untrusted("x", "y"),
            Failure::not_found("x", "y"),
            refused(Code::NotFound),
            Failure::operator_key("x", "y"),
            Failure::no_answer("x", "y"),
            Failure::Declined("x"),
            Failure::check_failed("x", "y"),
        ];
        let codes: Vec<u8> = all.iter().map(Failure::exit_code).collect();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 1]);
        for code in codes {
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")), "{code}");
        }
    }

    #[test]
    fn a_refusal_cannot_write_to_the_terminal_behind_the_message() {
        let shown = Failure::Refused(Refusal::new(Code::Internal, "a\u{1b}[2Jb\u{202e}c")).to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
    }
}
