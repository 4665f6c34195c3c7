//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// Runs a co-signer's enclave as a plain process, for development. It protects nothing from the owner of the machine.
#[derive(Debug, Parser)]
#[command(name = "cosigner-enclave-dev", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub run: Option<Run>,
    /// How much to log: error, warn, info, debug or trace.
    #[arg(long, default_value = "info", global = true)]
    pub log_level: LevelFilter,
}

/// How to run.
#[derive(Debug, Args)]
pub struct Run {
    /// Unix socket of the host (`cosigner-host`).
    #[arg(long, value_name = "PATH")]
    pub host_socket: PathBuf,
    /// Folder of the development root, made by `make-root`.
    #[arg(long, value_name = "DIR")]
    pub development_root: PathBuf,
    /// File with the key that wraps the state's root key; made when it is not there.
    #[arg(long, value_name = "FILE", required_unless_present = "kms_root", conflicts_with = "kms_root")]
    pub key_file: Option<PathBuf>,
    /// Have the AWS key service wrap it, and believe this authority (PEM) instead of Amazon's: for tests of the calls.
    #[arg(long, value_name = "FILE")]
    pub kms_root: Option<PathBuf>,
    /// Take the committed safe primes of this number instead of making own ones. They are public.
    #[arg(long, value_name = "INDEX")]
    pub test_primes: Option<usize>,
    /// Take the committed auxiliary information in groups of three instead of making it together. It is public.
    #[arg(long)]
    pub test_aux_info: bool,
    /// Take this authority (PEM) for a public one, beside those that are: for callback handlers of tests.
    #[arg(long, value_name = "FILE")]
    pub public_root: Option<PathBuf>,
}

/// What to do instead of running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes a development root in a folder, unless there is one, and prints its certificate's path.
    MakeRoot {
        /// The folder.
        dir: PathBuf,
    },
    /// Prints the id of an enclave's wrapping key, as `cosigner init --sealing-key` wants it. The enclave makes the key.
    KeyId {
        /// The key's file.
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
    },
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn running_needs_all_three_and_commands_need_none_of_them() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        let run = parse("x --host-socket s --development-root d --key-file k --test-primes 2").unwrap().run.unwrap();
        assert_eq!(run.test_primes, Some(2));
        assert!(parse("x --host-socket s --development-root d").is_err());
        assert!(parse("x --host-socket s --development-root d --key-file k --kms-root r").is_err());
        assert!(parse("x --host-socket s --development-root d --kms-root r").is_ok());
        assert!(parse("x --host-socket s make-root d").is_err());
        assert!(matches!(parse("x make-root d").unwrap().command, Some(Command::MakeRoot { .. })));
        assert!(matches!(parse("x key-id --key-file k").unwrap().command, Some(Command::KeyId { .. })));
    }
}
