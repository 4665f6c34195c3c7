//! Passphrases of operator keys: from a file, or from a person. Never from a flag, which other processes could read.

use crate::failure::Failure;
use crate::{input_files, prompt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Shortest passphrase for a new key, in characters.
pub const MIN_CHARS: usize = 12;
/// Longest passphrase in bytes.
pub const MAX_BYTES: usize = 1024;
const FLAG: &str = "--passphrase-file";

/// A passphrase.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    #[cfg(test)]
    pub fn for_test(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

/// Which file holds the passphrase of the key at `index` of `keys`: one file serves all keys, or each has its own.
pub fn file_for(files: &[PathBuf], index: usize, keys: usize) -> Result<Option<&Path>, Failure> {
    match files {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        many if many.len() == keys => Ok(many.get(index).map(PathBuf::as_path)),
        many => Err(Failure::usage(
            format!("expected {FLAG} once, or {keys} times for {keys} operator keys, got {}", many.len()),
            "give them in the order of --operator-key",
        )),
    }
}

/// The passphrase of an existing key.
pub fn existing(file: Option<&Path>, key: &Path) -> Result<Passphrase, Failure> {
    match file {
        Some(file) => from_file(file),
        None => prompt::secret(FLAG, &format!("passphrase of {}", key.display())).map(Passphrase),
    }
}

/// The passphrase for a new key: asked twice, and not a short one.
pub fn new(file: Option<&Path>, key: &Path) -> Result<Passphrase, Failure> {
    let passphrase = match file {
        Some(file) => from_file(file)?,
        None => {
            let first = prompt::secret(FLAG, &format!("new passphrase for {}", key.display()))?;
            let second = prompt::secret(FLAG, "once more")?;
            if *first != *second {
                return Err(Failure::usage("the two passphrases differ", "run the command again"));
            }
            Passphrase(first)
        }
    };
    if passphrase.0.chars().count() < MIN_CHARS {
        return Err(Failure::usage(
            format!("the passphrase is too short: expected at least {MIN_CHARS} characters"),
            "whoever gets the key file can try passphrases: use several random words",
        ));
    }
    Ok(passphrase)
}

/// The only line of `file`; its end is not part of the passphrase. Of two lines nobody would know which one counts.
fn from_file(file: &Path) -> Result<Passphrase, Failure> {
    let text = input_files::read_text(file)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains('\n') || line.len() > MAX_BYTES {
        return Err(Failure::local(
            file,
            format!("expected the passphrase alone, on one line of 1 to {MAX_BYTES} bytes"),
        ));
    }
    Ok(Passphrase(Zeroizing::new(line.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_serves_all_keys_or_each_has_its_own() {
        let files: Vec<PathBuf> = ["a", "b", "c"].iter().map(PathBuf::from).collect();
        assert_eq!(file_for(&[], 0, 2), Ok(None));
        assert_eq!(file_for(&files[..1], 1, 2), Ok(Some(Path::new("a"))));
        assert_eq!(file_for(&files[..2], 1, 2), Ok(Some(Path::new("b"))));
        assert!(file_for(&files, 0, 2).is_err());
    }

    #[test]
    fn a_passphrase_file_is_one_line_and_not_short_for_a_new_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        let key = Path::new("k");
        for (content, good) in
            [("long enough it is\n", true), ("long enough it is", true), ("a\nb\n", false), ("\n", false)]
        {
            std::fs::write(&file, content).unwrap();
            assert_eq!(existing(Some(&file), key).is_ok(), good, "{content:?}");
        }
        std::fs::write(&file, "eleven char").unwrap();
        assert!(matches!(new(Some(&file), key), Err(Failure::Usage { .. })));
        std::fs::write(&file, "twelve chars").unwrap();
        assert_eq!(new(Some(&file), key).unwrap().as_bytes(), b"twelve chars");
    }
}
