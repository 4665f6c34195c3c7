//! Looks for secrets in bytes, in every form in which a program may have written them down.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes by which a form is looked up; no form is shorter.
const KEY_BYTES: usize = 8;
/// Fewest bytes of a secret: fewer could be somewhere by chance.
const SHORTEST: usize = 16;

/// A secret, and the only places where it may be.
pub struct Canary {
    pub name: String,
    pub home: Vec<PathBuf>,
    secret: Vec<u8>,
}

impl Canary {
    /// `home` are the files that may hold it, and each has to.
    pub fn new(name: impl Into<String>, secret: impl Into<Vec<u8>>, home: &[PathBuf]) -> Self {
        let (name, secret) = (name.into(), secret.into());
        assert!(secret.len() >= SHORTEST, "{name}: only {} bytes", secret.len());
        Self { name, home: home.to_vec(), secret }
    }

    /// As it is, as hexadecimal digits, and within base64 of either alphabet at each of three alignments.
    fn forms(&self) -> Vec<Vec<u8>> {
        let mut forms = vec![
            self.secret.clone(),
            hex::encode(&self.secret).into_bytes(),
            hex::encode_upper(&self.secret).into_bytes(),
        ];
        let reversed: Vec<u8> = self.secret.iter().rev().copied().collect();
        forms.extend([hex::encode(&reversed).into_bytes(), reversed]);
        for before in 0..3 {
            let bytes = [&vec![0; before][..], &self.secret].concat();
            for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
                // The first digits hold what came before, the last what comes behind.
                forms.push(text.as_bytes()[(before * 4).div_ceil(3)..text.len() - 2].to_vec());
            }
        }
        forms
    }
}

/// Finds all canaries in one pass.
pub struct Scanner {
    names: Vec<String>,
    forms: BTreeMap<[u8; KEY_BYTES], Vec<(usize, Vec<u8>)>>,
    first: [bool; 256],
}

impl Scanner {
    pub fn new(canaries: &[Canary]) -> Self {
        let mut scanner = Self { names: Vec::new(), forms: BTreeMap::new(), first: [false; 256] };
        for (index, canary) in canaries.iter().enumerate() {
            scanner.names.push(canary.name.clone());
            for form in canary.forms() {
                let key: [u8; KEY_BYTES] = form[..KEY_BYTES].try_into().unwrap();
                scanner.first[usize::from(key[0])] = true;
                scanner.forms.entry(key).or_default().push((index, form));
            }
        }
        scanner
    }

    /// The indices of the canaries that `bytes` contain, also where they are broken into lines.
    pub fn find(&self, bytes: &[u8]) -> Vec<usize> {
        let mut found = self.find_plain(bytes);
        let mut joined = Vec::with_capacity(bytes.len());
        let mut rest = bytes.iter().copied().peekable();
        while let Some(byte) = rest.next() {
            if byte == b'\\' && rest.peek().is_some_and(|next| b"rn".contains(next)) {
                rest.next();
            } else if !byte.is_ascii_whitespace() {
                joined.push(byte);
            }
        }
        found.extend(self.find_plain(&joined));
        found.sort_unstable();
        found.dedup();
        found
    }

    fn find_plain(&self, bytes: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        for (at, window) in bytes.windows(KEY_BYTES).enumerate() {
            if !self.first[usize::from(window[0])] {
                continue;
            }
            let key: [u8; KEY_BYTES] = window.try_into().unwrap();
            for (index, form) in self.forms.get(&key).into_iter().flatten() {
                if !found.contains(index) && bytes[at..].starts_with(form) {
                    found.push(*index);
                }
            }
        }
        found
    }

    /// The names of the canaries that `bytes` contain.
    pub fn names_in(&self, bytes: &[u8]) -> Vec<&str> {
        self.find(bytes).into_iter().map(|index| self.names[index].as_str()).collect()
    }
}

/// Every regular file under a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all.extend(files(&entry.path()));
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
    all
}

#[test]
fn t48_a_secret_is_found_in_every_form_and_at_every_place() {
    let secret: Vec<u8> = (0..32u8).map(|i| i.wrapping_mul(37) ^ 0xC3).collect();
    let scanner = Scanner::new(&[Canary::new("it", secret.clone(), &[])]);
    for before in 0..7 {
        let padded = [&vec![0x5A; before][..], &secret, &[0xA5; 5]].concat();
        for text in [
            padded.clone(),
            hex::encode(&padded).into_bytes(),
            hex::encode_upper(&padded).into_bytes(),
            STANDARD_NO_PAD.encode(&padded).into_bytes(),
            URL_SAFE_NO_PAD.encode(&padded).into_bytes(),
            padded.iter().rev().copied().collect(),
        ] {
            assert_eq!(scanner.names_in(&text), ["it"], "{before}: {text:?}");
        }
        let text = STANDARD_NO_PAD.encode(&padded);
        for end in ["\n", "\r\n", "\\n"] {
            let lines: Vec<String> = text.as_bytes().chunks(20).map(|c| String::from_utf8_lossy(c).into()).collect();
            assert_eq!(scanner.names_in(lines.join(end).as_bytes()), ["it"], "{before}: in lines");
        }
        assert!(scanner.find(&padded[..before + 31]).is_empty(), "a part is not the whole");
    }
}
