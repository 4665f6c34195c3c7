//! The command line.

use crate::commands::{
    add_user, adopt, attestation, callback, doctor, group, init, initiator, key, list_keys, list_users, logs,
    operator_key, print_public_key, remove_user, rename, rotate_sealing_key,
};
use crate::failure::EXIT_CODES;
use crate::text_forms::parse_duration;
use std::path::PathBuf;
use std::time::Duration;

/// Claims co-signers, pairs them with workspaces, sets who approves, and shows what they do.
///
/// The host of a co-signer is not trusted: this command verifies the enclave's attestation, speaks to it end to end, and
/// signs every change with your operator key. Whatever a flag can say is asked for where it is missing and stdin is a
/// terminal; elsewhere the error names the flag.
#[derive(clap::Parser)]
#[command(name = "cosigner", version, after_help = EXIT_CODES, max_term_width = 110, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of all commands.
    #[command(flatten)]
    pub settings: Settings,
}

/// Flags of all commands.
#[derive(clap::Args)]
#[command(next_help_heading = "Common flags")]
pub struct Settings {
    /// Admin socket of the co-signer's host, or the local end of its forwarding
    #[arg(long, global = true, env = "COUNTERSIGN_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Which co-signer: the name under which it is pinned here
    #[arg(long, global = true, env = "COUNTERSIGN_COSIGNER", value_name = "NAME", default_value = "default", value_parser = cosigner_name)]
    pub cosigner: String,
    /// Where pins and the operator key are [default: ~/.config/countersign]
    #[arg(long, global = true, env = "COUNTERSIGN_CONFIG_DIR", value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// Operator key file, once for each operator who signs [default: operator.key in the configuration directory]
    #[arg(long, global = true, env = "COUNTERSIGN_OPERATOR_KEY", value_name = "FILE")]
    pub operator_key: Vec<PathBuf>,
    /// File that holds the operator key's passphrase on its only line; one for all keys, or one for each
    #[arg(long, global = true, env = "COUNTERSIGN_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Vec<PathBuf>,
    /// Measurements that the enclave must have: JSON with pcr0, pcr1, pcr2 (and pcr8)
    #[arg(long, global = true, env = "COUNTERSIGN_MEASUREMENTS", value_name = "FILE")]
    pub measurements: Option<PathBuf>,
    /// Believe enclaves under this root (PEM or DER) instead of AWS's: it proves nothing about hardware
    #[arg(long, global = true, env = "COUNTERSIGN_DEVELOPMENT_ROOT", value_name = "FILE")]
    pub development_root: Option<PathBuf>,
    /// How long to wait for an answer; adding a user makes the enclave call the workspace
    #[arg(long, global = true, value_name = "TIME", default_value = "90s", value_parser = response_timeout)]
    pub response_timeout: Duration,
    /// Print one JSON object on stdout, also on errors
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Claim a fresh enclave: name its operators, and pin what it is
    Init(init::Args),
    /// Pin a co-signer that was claimed before: where its pin file was lost, or for another operator
    Adopt(adopt::Args),
    /// Make or show an operator key
    #[command(subcommand)]
    OperatorKey(operator_key::Command),
    /// Add an API user; with a workspace's first one the co-signer is paired
    AddUser(Box<add_user::Args>),
    /// Remove an API user; with the last one the pairing, where it holds no key
    RemoveUser(remove_user::Args),
    /// How an API user's requests are approved: its callback handler
    #[command(subcommand)]
    Callback(Box<callback::Command>),
    /// API users whose own signed requests count as intent
    #[command(subcommand)]
    Initiator(initiator::Command),
    /// Signing groups that a workspace proposes
    #[command(subcommand)]
    Group(group::Command),
    /// List API users and how their requests are approved
    ListUsers(list_users::Args),
    /// List keys
    ListKeys(list_keys::Args),
    /// Show what the co-signer is and does
    GetStatus,
    /// Show the co-signer's own log, as the enclave tells it
    Logs(logs::Args),
    /// Check everything that can be checked from here, and say what to do
    Doctor(doctor::Args),
    /// Name the co-signer, for people
    Rename(rename::Args),
    /// Put the co-signer's state under a new key of the key service
    RotateSealingKey(rotate_sealing_key::Args),
    /// Print the public key with which requests to callback handlers are signed (PEM)
    PrintPublicKey(print_public_key::Args),
    /// Key certificates and suspended keys
    #[command(subcommand)]
    Key(key::Command),
    /// What the enclave proves about itself
    #[command(subcommand)]
    Attestation(attestation::Command),
}

impl Command {
    /// Its name, as the JSON object says.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Adopt(_) => "adopt",
            Self::OperatorKey(operator_key::Command::New) => "operator-key new",
            Self::OperatorKey(operator_key::Command::Show(_)) => "operator-key show",
            Self::AddUser(_) => "add-user",
            Self::RemoveUser(_) => "remove-user",
            Self::Callback(command) => command.name(),
            Self::Logs(_) => "logs",
            Self::Doctor(_) => "doctor",
            Self::Rename(_) => "rename",
            Self::RotateSealingKey(_) => "rotate-sealing-key",
            Self::Initiator(initiator::Command::Add(_)) => "initiator add",
            Self::Initiator(initiator::Command::List(_)) => "initiator list",
            Self::Initiator(initiator::Command::Remove(_)) => "initiator remove",
            Self::Group(group::Command::List(_)) => "group list",
            Self::Group(group::Command::Accept(_)) => "group accept",
            Self::ListUsers(_) => "list-users",
            Self::ListKeys(_) => "list-keys",
            Self::GetStatus => "get-status",
            Self::PrintPublicKey(_) => "print-public-key",
            Self::Key(key::Command::Verify(_)) => "key verify",
            Self::Key(key::Command::ClearQuarantine(_)) => "key clear-quarantine",
            Self::Attestation(attestation::Command::Show(_)) => "attestation show",
            Self::Attestation(attestation::Command::Verify(_)) => "attestation verify",
            Self::Attestation(attestation::Command::Accept) => "attestation accept",
        }
    }
}

fn cosigner_name(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if plain && (1..=64).contains(&text.len()) && !text.starts_with('.') {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 characters of A-Z a-z 0-9 - _ . that do not start with a dot".to_owned())
    }
}

fn response_timeout(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    let bounds = Duration::from_millis(100)..=Duration::from_secs(600);
    if bounds.contains(&duration) { Ok(duration) } else { Err("expected 100ms to 10m".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// Every command and flag, as `name` and `--flag`.
    fn words(command: &clap::Command, found: &mut Vec<String>) {
        for argument in command.get_arguments().filter_map(clap::Arg::get_long) {
            if !["help", "version"].contains(&argument) {
                found.push(format!("--{argument}"));
            }
        }
        for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
            found.push(sub.get_name().to_owned());
            words(sub, found);
        }
    }

    #[test]
    fn the_reference_names_every_command_and_flag() {
        let reference = include_str!("../../docs/cli.md");
        let mut found = Vec::new();
        words(&Arguments::command(), &mut found);
        assert!(found.len() > 50, "{found:?}");
        // Whole words: `--token-file` does not document `--token`.
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let named: BTreeSet<&str> = reference.split(|c| !is_part(c)).collect();
        let missing: Vec<&String> = found.iter().filter(|word| !named.contains(word.as_str())).collect();
        assert_eq!(missing, Vec::<&String>::new());
    }

    #[test]
    fn a_name_cannot_leave_its_directory() {
        assert!(cosigner_name("cloud-1").is_ok());
        for bad in ["", ".", "..", "../x", "a/b", ".hidden", "a\0b", &"a".repeat(65)] {
            assert!(cosigner_name(bad).is_err(), "{bad:?}");
        }
    }
}
