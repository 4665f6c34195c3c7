//! Files that flags name, read under a limit. `-` is stdin.

use crate::failure::Failure;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// Certificates, keys, measurements, tokens.
pub const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// The whole content of `path`, at most [`MAX_INPUT_BYTES`]. It may be a secret.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(|e| Failure::local(path, e))?)
    };
    // Room for all of it at once: growing would leave copies of a secret behind.
    let capacity = usize::try_from(MAX_INPUT_BYTES).unwrap_or_default().saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let read = source.take(MAX_INPUT_BYTES.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|e| Failure::local(path, e))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_INPUT_BYTES {
        return Err(Failure::local(path, format!("expected at most {MAX_INPUT_BYTES} bytes")));
    }
    Ok(bytes)
}

/// As [`read`], as text.
pub fn read_text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = read(path)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::local(path, "expected text in UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        std::fs::write(&path, vec![b'x'; 64 * 1024]).unwrap();
        assert_eq!(read(&path).unwrap().len(), 64 * 1024);
        std::fs::write(&path, vec![b'x'; 64 * 1024 + 1]).unwrap();
        assert!(matches!(read(&path), Err(Failure::Local { .. })));
    }
}
