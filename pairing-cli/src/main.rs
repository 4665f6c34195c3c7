//! `cosigner`: the operator's command.
//!
//! It talks to an enclave through the admin socket of the enclave's host. The host is not trusted: the enclave's
//! attestation is verified, what is said travels inside an end-to-end channel, and whatever changes something is signed
//! with operators' keys that never leave this program. What the co-signer must be is pinned when it is claimed and
//! compared before every command.

mod admin_channel;
mod arguments;
mod attested;
mod certificate;
mod choice;
mod commands;
mod console;
mod durable;
mod ethereum;
mod expectation;
mod failure;
mod hints;
mod input_files;
mod measurements;
mod operator_key;
mod passphrase;
mod pem;
mod pin;
mod prompt;
mod public_key;
mod session;
mod table;
mod text_forms;
mod timestamps;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(std::env::args_os().collect())
}
