//! PEM (RFC 7468), in and out.

use crate::failure::Failure;
use crate::input_files;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use std::path::Path;

const HINT_KEY: &str = "expected one public key in PEM, -----BEGIN PUBLIC KEY-----; from a private one: openssl pkey -in \
    private.pem -pubout";
const HINT_CERTIFICATE: &str = "expected exactly one certificate in PEM, -----BEGIN CERTIFICATE-----";

/// The one public key in a file, SubjectPublicKeyInfo DER. A private key is refused, and nothing of it shown.
pub fn read_public_key(path: &Path, flag: &str) -> Result<Vec<u8>, Failure> {
    let bytes = input_files::read(path)?;
    if bytes.windows(11).any(|w| w == b"PRIVATE KEY") {
        return Err(Failure::usage(
            format!("{flag}: {} holds a private key, a public one belongs here", path.display()),
            HINT_KEY,
        ));
    }
    one::<SubjectPublicKeyInfoDer<'_>>(&bytes, path, flag, HINT_KEY).map(|key| key.to_vec())
}

/// The one certificate in a file, DER.
pub fn read_certificate(path: &Path, flag: &str) -> Result<Vec<u8>, Failure> {
    let bytes = input_files::read(path)?;
    one::<CertificateDer<'_>>(&bytes, path, flag, HINT_CERTIFICATE).map(|certificate| certificate.to_vec())
}

fn one<T: PemObject>(bytes: &[u8], path: &Path, flag: &str, hint: &str) -> Result<T, Failure> {
    let mut found = T::pem_slice_iter(bytes);
    match (found.next(), found.next()) {
        (Some(Ok(item)), None) => Ok(item),
        (Some(Ok(_)), Some(_)) => Err(Failure::usage(format!("{flag}: {} holds more than one", path.display()), hint)),
        _ => Err(Failure::usage(format!("{flag}: {} cannot be read", path.display()), hint)),
    }
}

/// A public key (SubjectPublicKeyInfo DER) in PEM.
pub fn public_key(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PUBLIC KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_comes_back_from_its_pem() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        for len in [0usize, 47, 48, 49, 294] {
            let der: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            std::fs::write(&path, public_key(&der)).unwrap();
            assert!(public_key(&der).lines().all(|l| l.len() <= 64));
            assert_eq!(read_public_key(&path, "--key").unwrap(), der);
        }
    }

    #[test]
    fn private_keys_other_sections_and_doubled_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        let good = public_key(&[7; 40]);
        let private = "-----BEGIN PRIVATE KEY-----\nQUFBQQ==\n-----END PRIVATE KEY-----\n".to_owned();
        let certificate = good.replace("PUBLIC KEY", "CERTIFICATE");
        for bad in [private, format!("{good}{good}"), certificate, String::new(), "hello".to_owned()] {
            std::fs::write(&path, &bad).unwrap();
            let error = read_public_key(&path, "--key").unwrap_err();
            assert!(matches!(error, Failure::Usage { .. }) && !error.to_string().contains("QUFB"), "{bad}");
        }
    }
}
