//! Where the built programs are: beside the program that runs, or above it where that is a test.

use crate::error::StackError;
use std::path::PathBuf;

/// The broker.
pub const HOST: &str = "cosigner-host";
/// The enclave as a plain process.
pub const ENCLAVE: &str = "cosigner-enclave-dev";
/// The workspace.
pub const WORKSPACE: &str = "cosigner-workspace";
/// The operator's command line.
pub const COSIGNER: &str = "cosigner";
/// The sample callback handler.
pub const HANDLER: &str = "callback-handler";

/// A folder of things that are built apart, in the target folder; `by` builds it.
pub fn folder(name: &str, by: &'static str) -> Result<PathBuf, StackError> {
    let own = std::env::current_exe().map_err(StackError::io("finding the own executable"))?;
    let found = own.ancestors().skip(1).take(4).map(|above| above.join(name)).find(|path| path.is_dir());
    found.ok_or(StackError::NotBuiltApart { name: name.to_owned(), by })
}

/// Path of a built program. `COUNTERSIGN_PROGRAMS` names another folder.
pub fn find(name: &str) -> Result<PathBuf, StackError> {
    if let Some(folder) = std::env::var_os("COUNTERSIGN_PROGRAMS") {
        let path = PathBuf::from(folder).join(name);
        return if path.is_file() { Ok(path) } else { Err(StackError::NotBuilt(path)) };
    }
    let own = std::env::current_exe().map_err(StackError::io("finding the own executable"))?;
    // target/release/quickstart, target/release/deps/some_test-0123456789abcdef
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.clone().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| StackError::NotBuilt(folders.last().map(|f| f.join(name)).unwrap_or_default()))
}
