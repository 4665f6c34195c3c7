//! Key pairs of API users and callback handlers, as PEM files.

use crate::error::StackError;
use crate::files::write_private;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_token::{SigningKey, generate_p256, generate_rsa_2048};
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// An algorithm of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA of 2048 bits.
    Rs256,
    /// P-256.
    Es256,
}

/// A key pair in two files.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// PKCS#8 PEM, mode 600.
    pub private: PathBuf,
    /// SubjectPublicKeyInfo PEM.
    pub public: PathBuf,
}

impl KeyPair {
    /// Makes one: `folder/name.key` and `folder/name.pub`.
    pub fn create(folder: &Path, name: &str, algorithm: Algorithm) -> Result<Self, StackError> {
        let failed = |e: countersign_token::KeyError| StackError::Crypto { what: "a key", detail: e.to_string() };
        let der = match algorithm {
            Algorithm::Rs256 => generate_rsa_2048(),
            Algorithm::Es256 => generate_p256(),
        }
        .map_err(failed)?;
        let public_pem = SigningKey::from_pkcs8_der(&der).map_err(failed)?.public().to_pem();
        let pair = Self { private: folder.join(format!("{name}.key")), public: folder.join(format!("{name}.pub")) };
        write_private(&pair.private, pem("PRIVATE KEY", &der).as_bytes())?;
        fs::write(&pair.public, public_pem).map_err(StackError::file(&pair.public))?;
        Ok(pair)
    }

    /// The private key's PEM.
    pub fn private_pem(&self) -> Result<Zeroizing<String>, StackError> {
        fs::read_to_string(&self.private).map(Zeroizing::new).map_err(StackError::file(&self.private))
    }

    /// The public key's PEM.
    pub fn public_pem(&self) -> Result<String, StackError> {
        fs::read_to_string(&self.public).map_err(StackError::file(&self.public))
    }
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_token::PublicKey;

    #[test]
    fn both_halves_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
            let pair = KeyPair::create(folder.path(), "x", algorithm).unwrap();
            let private = SigningKey::from_pem(&pair.private_pem().unwrap()).unwrap();
            let public = PublicKey::from_pem(&pair.public_pem().unwrap()).unwrap();
            assert_eq!(private.public().spki_der(), public.spki_der());
        }
    }
}
