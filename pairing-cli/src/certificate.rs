//! Certificates of handlers: which key one is of, and how long one still is good.

use crate::console::Tone;
use crate::failure::Failure;
use crate::pem;
use crate::timestamps::date;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A day in milliseconds.
const DAY_MS: u64 = 86_400_000;
/// From here on people should see to a new certificate, in days before the end.
pub const SOON_DAYS: u64 = 30;
/// From here on nothing else is more urgent, in days before the end.
pub const URGENT_DAYS: u64 = 7;

/// What is pinned of the one certificate in a PEM file: SHA-256 of its SubjectPublicKeyInfo (DER), so that a renewal with
/// the same key changes nothing. Parsed by the same library that later verifies it in the enclave.
pub fn pin_of_file(path: &Path, flag: &str) -> Result<[u8; 32], Failure> {
    let der = pem::read_certificate(path, flag)?;
    pin_of(&der).map_err(|reason| {
        Failure::usage(
            format!("{flag}: {} is no certificate that TLS could use: {reason}", path.display()),
            "give the server's own X.509 version 3 certificate (PEM): openssl s_client -connect HOST:PORT </dev/null | \
             openssl x509",
        )
    })
}

fn pin_of(certificate: &[u8]) -> Result<[u8; 32], String> {
    let der = CertificateDer::from(certificate);
    let parsed = webpki::EndEntityCert::try_from(&der).map_err(|e| e.to_string())?;
    Ok(Sha256::digest(parsed.subject_public_key_info().as_ref()).into())
}

/// How near a certificate's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// Further away than [`SOON_DAYS`].
    Far,
    /// Within [`SOON_DAYS`].
    Soon,
    /// Within [`URGENT_DAYS`].
    Urgent,
    /// It is over.
    Expired,
}

impl Expiry {
    /// Of a certificate that ends at `expires_at_ms`, seen at `now_ms` (Unix ms).
    pub fn of(expires_at_ms: u64, now_ms: u64) -> Self {
        match expires_at_ms.checked_sub(now_ms) {
            None | Some(0) => Self::Expired,
            Some(left) if left < URGENT_DAYS * DAY_MS => Self::Urgent,
            Some(left) if left < SOON_DAYS * DAY_MS => Self::Soon,
            Some(_) => Self::Far,
        }
    }

    /// How it is shown.
    pub fn tone(self) -> Tone {
        match self {
            Self::Far => Tone::Plain,
            Self::Soon => Tone::Yellow,
            Self::Urgent | Self::Expired => Tone::Red,
        }
    }
}

/// `94 days`, `1 day`, `EXPIRED`.
pub fn days_left(expires_at_ms: u64, now_ms: u64) -> String {
    match (Expiry::of(expires_at_ms, now_ms), expires_at_ms.saturating_sub(now_ms) / DAY_MS) {
        (Expiry::Expired, _) => "EXPIRED".to_owned(),
        (_, 0) => "less than a day".to_owned(),
        (_, 1) => "1 day".to_owned(),
        (_, days) => format!("{days} days"),
    }
}

/// `until 2027-03-01 (94 days)`.
pub fn until(expires_at_ms: u64, now_ms: u64) -> String {
    format!("until {} ({})", date(expires_at_ms), days_left(expires_at_ms, now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_of_yellow_and_red_are_exact() {
        let now = 1_000 * DAY_MS;
        let of = |left: u64| Expiry::of(now + left, now);
        assert_eq!((of(30 * DAY_MS), of(30 * DAY_MS - 1)), (Expiry::Far, Expiry::Soon));
        assert_eq!((of(7 * DAY_MS), of(7 * DAY_MS - 1)), (Expiry::Soon, Expiry::Urgent));
        assert_eq!((of(1), of(0), Expiry::of(now - 1, now)), (Expiry::Urgent, Expiry::Expired, Expiry::Expired));
        assert_eq!(days_left(now + DAY_MS - 1, now), "less than a day");
        assert_eq!((days_left(now + DAY_MS, now), days_left(now, now)), ("1 day".to_owned(), "EXPIRED".to_owned()));
    }

    /// `openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum` says the same.
    const PIN: &str = "8ac8a83306a274aec2d4d9a5236b56748e42784baa8fcf04021d77867a2d2e2c";

    #[test]
    fn a_pin_is_of_the_key_and_not_of_the_certificate() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/handler-certificate.pem");
        assert_eq!(hex::encode(pin_of_file(&path, "--x").unwrap()), PIN);
        let key = path.with_file_name("handler-key.pem");
        assert!(matches!(pin_of_file(&key, "--x"), Err(Failure::Usage { .. })));
    }

    #[test]
    fn what_is_no_certificate_has_no_pin() {
        for bad in [&b""[..], b"0\0", b"hello"] {
            assert!(pin_of(bad).is_err());
        }
    }
}
