//! The commands, one a file, and what all of them have.

pub mod add_user;
pub mod adopt;
pub mod attestation;
pub mod callback;
pub mod doctor;
pub mod get_status;
pub mod group;
mod handler_flags;
mod handler_rules;
pub mod init;
pub mod initiator;
pub mod key;
mod key_owner;
pub mod list_keys;
pub mod list_users;
pub mod logs;
pub mod operator_key;
mod ownership;
pub mod print_public_key;
pub mod remove_user;
pub mod rename;
pub mod rotate_sealing_key;
mod views;
mod weakening;

use crate::arguments::{Arguments, Command, Settings};
use crate::console::{Console, Report};
use crate::failure::Failure;
use crate::operator_key::OperatorKey;
use crate::pin::{Pin, PinDirectory, PinState};
use crate::{input_files, passphrase};
use clap::Parser;
use countersign_attest::TrustAnchor;
use countersign_wire::limits::MAX_OPERATORS;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Flags and streams of this run.
pub struct App {
    /// Flags of all commands.
    pub settings: Settings,
    /// Where output goes.
    pub console: Console,
}

/// Runs the command that `arguments` name.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let json = arguments.iter().any(|a| a == "--json");
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) if error.use_stderr() && json => {
            let text = error.render().to_string();
            let message = text.lines().take_while(|l| !l.starts_with("Usage:")).collect::<Vec<_>>().join(" ");
            let message = message.trim().strip_prefix("error: ").unwrap_or(message.trim()).to_owned();
            let failure = Failure::usage(message, "see `cosigner --help`");
            return ExitCode::from(Console::new(true).finish("", Err(failure)));
        }
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let name = parsed.command.name();
    let app = App { console: Console::new(parsed.settings.json), settings: parsed.settings };
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime.block_on(app.run(parsed.command)),
        Err(error) => Err(Failure::local(Path::new("runtime"), error)),
    };
    ExitCode::from(app.console.finish(name, outcome))
}

impl App {
    async fn run(&self, command: Command) -> Result<Report, Failure> {
        match command {
            Command::Init(args) => init::run(self, args).await,
            Command::Adopt(args) => adopt::run(self, args).await,
            Command::OperatorKey(operator_key::Command::New) => operator_key::new(self),
            Command::OperatorKey(operator_key::Command::Show(args)) => operator_key::show(self, &args),
            Command::AddUser(args) => add_user::run(self, *args).await,
            Command::RemoveUser(args) => remove_user::run(self, &args).await,
            Command::Callback(command) => callback::run(self, *command).await,
            Command::Initiator(initiator::Command::Add(args)) => initiator::add(self, args).await,
            Command::Initiator(initiator::Command::List(args)) => initiator::list(self, &args).await,
            Command::Initiator(initiator::Command::Remove(args)) => initiator::remove(self, args).await,
            Command::Group(group::Command::List(args)) => group::list(self, &args).await,
            Command::Group(group::Command::Accept(args)) => group::accept(self, args).await,
            Command::ListUsers(args) => list_users::run(self, &args).await,
            Command::ListKeys(args) => list_keys::run(self, &args).await,
            Command::Rename(args) => rename::run(self, args).await,
            Command::RotateSealingKey(args) => rotate_sealing_key::run(self, args).await,
            Command::Logs(args) => logs::run(self, &args).await,
            Command::Doctor(args) => doctor::run(self, &args).await,
            Command::GetStatus => get_status::run(self).await,
            Command::PrintPublicKey(args) => print_public_key::run(self, &args).await,
            Command::Key(key::Command::Verify(args)) => key::verify::run(self, &args),
            Command::Key(key::Command::ClearQuarantine(args)) => key::clear_quarantine(self, &args).await,
            Command::Attestation(attestation::Command::Show(args)) => attestation::show(self, &args).await,
            Command::Attestation(attestation::Command::Verify(args)) => attestation::verify(self, &args).await,
            Command::Attestation(attestation::Command::Accept) => attestation::accept(self).await,
        }
    }

    /// The socket, which only commands that talk to a co-signer need.
    pub fn socket(&self) -> Result<&Path, Failure> {
        self.settings.socket.as_deref().ok_or_else(|| {
            Failure::usage(
                "the co-signer's admin socket is missing",
                "give --socket PATH or set COUNTERSIGN_SOCKET; from a workstation forward it first: ssh -N -L \
                 /tmp/cosigner.sock:<admin socket> <parent machine>",
            )
        })
    }

    /// Where pins and the operator key are.
    pub fn config_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(given) = &self.settings.config_dir {
            return Ok(given.clone());
        }
        match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
            Some(home) => Ok(Path::new(&home).join(".config").join("countersign")),
            None => Err(Failure::usage("there is no home directory", "give --config-dir DIR")),
        }
    }

    /// Where pins are.
    pub fn pins(&self) -> Result<PinDirectory, Failure> {
        Ok(PinDirectory::in_config(&self.config_dir()?))
    }

    /// Every pin of this workstation, by name. A file that is none is left out, with a warning.
    pub fn all_pins(&self) -> Result<Vec<(String, Pin)>, Failure> {
        self.pins()?.all(|failure| self.console.warn("pin_unreadable", format!("left out: {failure}")))
    }

    /// The pin of the co-signer, where its claim was confirmed.
    pub fn claimed_pin(&self) -> Result<Option<Pin>, Failure> {
        match self.pins()?.load(&self.settings.cosigner)? {
            Some(pin) if pin.state == PinState::Claiming => {
                self.console
                    .warn("claim_interrupted", "the claim was interrupted: run `cosigner init` again as before");
                Ok(None)
            }
            pin => Ok(pin),
        }
    }

    /// Whose documents are believed. A development root is announced on every use.
    pub fn trust_anchor(&self) -> Result<TrustAnchor, Failure> {
        let Some(file) = &self.settings.development_root else {
            return Ok(TrustAnchor::aws());
        };
        let bytes = input_files::read(file)?;
        let anchor = if bytes.starts_with(b"-----") {
            TrustAnchor::development_pem(&bytes)
        } else {
            TrustAnchor::development(&bytes)
        };
        let anchor = anchor.map_err(|e| {
            Failure::usage(format!("{}: {e}", file.display()), "--development-root expects one certificate, PEM or DER")
        })?;
        self.console.warn(
            "development_root",
            format!("DEVELOPMENT ROOT {}: nothing proves that this is an enclave; never for real keys", file.display()),
        );
        Ok(anchor)
    }

    /// The files of the operator keys.
    pub fn key_files(&self) -> Result<Vec<PathBuf>, Failure> {
        if self.settings.operator_key.is_empty() {
            return Ok(vec![self.config_dir()?.join("operator.key")]);
        }
        if self.settings.operator_key.len() > MAX_OPERATORS {
            return Err(Failure::usage(
                format!("at most {MAX_OPERATORS} operators can sign"),
                "give fewer --operator-key",
            ));
        }
        Ok(self.settings.operator_key.clone())
    }

    /// Where the passphrase of the key at `index` of `count` is.
    pub fn passphrase_file(&self, index: usize, count: usize) -> Result<Option<&Path>, Failure> {
        passphrase::file_for(&self.settings.passphrase_file, index, count)
    }

    /// The unlocked operator keys, each once.
    pub fn operator_keys(&self) -> Result<Vec<OperatorKey>, Failure> {
        let files = self.key_files()?;
        let mut keys = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, file) in files.iter().enumerate() {
            // Before the passphrase is asked for: is there a key at all?
            crate::operator_key::public_of(file)?;
            let passphrase = passphrase::existing(self.passphrase_file(index, files.len())?, file)?;
            let key = OperatorKey::load(file, &passphrase)?;
            if !seen.insert(key.id()) {
                return Err(Failure::usage(format!("operator {} is given twice", key.id()), "an operator signs once"));
            }
            keys.push(key);
        }
        Ok(keys)
    }
}

/// Wraps a value under the limit of the message that carries it.
pub fn fit<T>(value: Result<T, countersign_wire::OutOfBounds>, flag: &str) -> Result<T, Failure> {
    value.map_err(|e| Failure::usage(format!("{flag}: {e}"), "give a shorter value"))
}
