//! What a kept stack tells others: a file for a shell to read.

use crate::screen::{Colour, Screen};
use crate::steps::Shown;
use anyhow::{Context, Result};
use countersign_stack::{Stack, programs};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes `folder/env`.
pub fn write(folder: &Path, stack: &Stack, shown: &Shown) -> Result<PathBuf> {
    let workspace = stack.workspace()?;
    let operator = &stack.customer()?.operator;
    let key_of = |user: &countersign_stack::workspace::ApiUser| -> Result<String> {
        Ok(user.key.as_ref().context("an API user without a key")?.private.display().to_string())
    };
    let path = |p: &Path| p.display().to_string();
    let variables = [
        ("COUNTERSIGN_URL", workspace.url.clone()),
        ("COUNTERSIGN_CA_FILE", path(stack.authority.certificate())),
        ("COUNTERSIGN_API_KEY", shown.user.id.clone()),
        ("COUNTERSIGN_API_SECRET_FILE", key_of(&shown.user)?),
        ("COUNTERSIGN_ADMIN_API_KEY", workspace.owner.id.clone()),
        ("COUNTERSIGN_ADMIN_SECRET_FILE", key_of(&workspace.owner)?),
        // What the `cosigner` command reads, for the customer's co-signer.
        ("COUNTERSIGN_SOCKET", path(&operator.socket)),
        ("COUNTERSIGN_COSIGNER", operator.name.clone()),
        ("COUNTERSIGN_CONFIG_DIR", path(&operator.config_dir)),
        ("COUNTERSIGN_PASSPHRASE_FILE", path(&operator.passphrase_file)),
        ("COUNTERSIGN_DEVELOPMENT_ROOT", path(&operator.development_root)),
    ];
    let mut text = String::new();
    for (name, value) in variables {
        text.push_str(&format!("export {name}={}\n", quoted(&value)));
    }
    let file = folder.join("env");
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// As a shell reads it; plain where it can be, for whatever else reads such files.
fn quoted(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/:._-".contains(&b);
    if value.bytes().all(plain) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

/// A path as a shell reads it.
fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A program that was built with this one, where it is.
fn program(name: &str) -> String {
    programs::find(name).map_or_else(|_| name.to_owned(), |path| shown(&path))
}

/// What ends the stack of a folder, from whatever working directory, and whatever the variables of a shell say.
pub fn down(folder: &Path) -> String {
    let own = std::env::current_exe().map_or_else(|_| "deploy/quickstart".to_owned(), |path| shown(&path));
    format!("{own} --folder {} --down", shown(folder))
}

/// Says what to do with it.
pub fn explain(screen: &Screen, folder: &Path, file: &Path) {
    let (cosigner, api) = (program(programs::COSIGNER), program("countersign-api"));
    screen.line("");
    screen.line(&screen.paint(Colour::Bold, "Everything is left running. To look around:"));
    screen.line(&format!("  . {}", shown(file)));
    screen.line(&format!("  {cosigner} get-status"));
    screen.line(&format!("  {cosigner} list-keys"));
    screen.line(&format!("  {api} GET /v1/transactions"));
    screen.line(&format!("  {}      # ends it and removes its files", down(folder)));
}

#[cfg(test)]
mod tests {
    use super::{down, quoted};
    use std::path::Path;

    #[test]
    fn values_are_plain_where_they_can_be_and_never_run() {
        assert_eq!(quoted("https://127.0.0.1:8443"), "https://127.0.0.1:8443");
        assert_eq!(quoted("/a b/$(x)"), "'/a b/$(x)'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn what_ends_a_stack_names_its_folder_and_the_program_that_made_it() {
        let own = quoted(&std::env::current_exe().unwrap().display().to_string());
        assert_eq!(down(Path::new("/a b/q")), format!("{own} --folder '/a b/q' --down"));
    }
}
