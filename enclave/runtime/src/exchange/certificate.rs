//! What an exchange wants to know of a server's certificate: its key and its dates (RFC 5280, section 4.1). Just these
//! fields; chains and names are `rustls-webpki`'s business.

use countersign_token::der::{self, BIT_STRING, INTEGER, Reader, SEQUENCE};
use sha2::{Digest, Sha256};

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`, the version.
const VERSION: u8 = 0xa0;

/// Key and dates of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// SHA-256 of the SubjectPublicKeyInfo (DER).
    pub(super) pin: [u8; 32],
    /// First second of its validity, Unix time.
    pub(super) not_before_s: u64,
    /// Last second of its validity, Unix time.
    pub(super) not_after_s: u64,
}

impl Facts {
    /// When it expires, in Unix ms.
    pub(super) fn expires_at_ms(&self) -> u64 {
        self.not_after_s.saturating_mul(1000)
    }
}

/// The certificate has another form than X.509 in DER has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a certificate (X.509) in DER: its {0} cannot be read")]
pub(super) struct Unreadable(&'static str);

/// Reads a certificate.
pub(super) fn read(der: &[u8]) -> Result<Facts, Unreadable> {
    let mut certificate = Reader::new(der::only(der, SEQUENCE).ok_or(Unreadable("frame"))?);
    let mut fields = Reader::new(certificate.take(SEQUENCE).ok_or(Unreadable("frame"))?);
    certificate.take(SEQUENCE).ok_or(Unreadable("signature algorithm"))?;
    certificate.take(BIT_STRING).and_then(|_| certificate.end()).ok_or(Unreadable("signature"))?;

    if fields.is_next(VERSION) {
        fields.take(VERSION).ok_or(Unreadable("version"))?;
    }
    fields.take(INTEGER).ok_or(Unreadable("serial number"))?;
    fields.take(SEQUENCE).ok_or(Unreadable("signature algorithm"))?;
    fields.take(SEQUENCE).ok_or(Unreadable("issuer"))?;
    let mut validity = Reader::new(fields.take(SEQUENCE).ok_or(Unreadable("validity"))?);
    let not_before_s = time(&mut validity).ok_or(Unreadable("notBefore"))?;
    let not_after_s = time(&mut validity).ok_or(Unreadable("notAfter"))?;
    validity.end().ok_or(Unreadable("validity"))?;
    fields.take(SEQUENCE).ok_or(Unreadable("subject"))?;
    let key = fields.whole(SEQUENCE).ok_or(Unreadable("public key"))?;
    Ok(Facts { pin: Sha256::digest(key).into(), not_before_s, not_after_s })
}

/// A time as RFC 5280, section 4.1.2.5, has it, in seconds since 1970; what is earlier counts as 1970.
fn time(fields: &mut Reader<'_>) -> Option<u64> {
    if fields.is_next(UTC_TIME) {
        let text = fields.take(UTC_TIME)?;
        let (year, rest) = text.split_first_chunk::<2>()?;
        let year = number(year)?;
        seconds(if year >= 50 { 1900 + year } else { 2000 + year }, rest)
    } else {
        let text = fields.take(GENERALIZED_TIME)?;
        let (year, rest) = text.split_first_chunk::<4>()?;
        seconds(number(year)?, rest)
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')) // at most four digits
    })
}

/// `rest` is `MMDDHHMMSSZ`.
fn seconds(year: i64, rest: &[u8]) -> Option<u64> {
    let (digits, b"Z") = rest.split_at_checked(10)? else { return None };
    let mut pairs = digits.chunks_exact(2).map(number);
    let mut next = |range: std::ops::RangeInclusive<i64>| pairs.next()?.filter(|value| range.contains(value));
    let (month, day) = (next(1..=12)?, next(1..=31)?);
    let (hour, minute, second) = (next(0..=23)?, next(0..=59)?, next(0..=59)?);
    if day > days_of(year, month) {
        return None;
    }
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(u64::try_from(seconds).unwrap_or(0))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// In the Gregorian calendar, also before it was in use. Years begin in March here, so that a leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData, date_time_ymd};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    /// Made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 36500 -subj /CN=handler.example`.
    const BY_OPENSSL: &str = "\
-----BEGIN CERTIFICATE-----
MIIBijCCATGgAwIBAgIUD0vxtQmzPgQmBLh4/glYTRfCvhUwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPaGFuZGxlci5leGFtcGxlMCAXDTI2MTEyNzE4Mjc0M1oYDzIx
MjYxMTAzMTgyNzQzWjAaMRgwFgYDVQQDDA9oYW5kbGVyLmV4YW1wbGUwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAARMtQuxR3B276sI4xHVTTNKicG1sLeD3mm/btX8
Iga+YPtwiqIXO7DtCaj7nvvfW/hfQoC7PRvdTiIANTe/Ob6fo1MwUTAdBgNVHQ4E
FgQUsxP1PodXUfcWOZdyHzr9w6SS8/4wHwYDVR0jBBgwFoAUsxP1PodXUfcWOZdy
Hzr9w6SS8/4wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBX4QFT
ND0GNeDh1zaknD0HsPImtF3iClvEV96EzT3dZgIgD6zRiXLVQ6Vn9YOBMNJxqE8U
koAdgUk4dy782zlI+KA=
-----END CERTIFICATE-----";

    fn certificate(last_year: i32) -> (KeyPair, Vec<u8>) {
        let mut params = CertificateParams::new(vec!["handler.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2024, 2, 29);
        params.not_after = date_time_ymd(last_year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        (key, der)
    }

    #[test]
    fn key_and_dates_are_read_in_both_forms_of_time() {
        // Times from 2050 on are written in another form.
        for (last_year, not_after_s) in [(2026, 1_798_675_200), (2060, 2_871_676_800)] {
            let (key, der) = certificate(last_year);
            let facts = read(&der).unwrap();
            let pin: [u8; 32] = Sha256::digest(key.subject_public_key_info()).into();
            assert_eq!(facts, Facts { pin, not_before_s: 1_709_164_800, not_after_s });
            assert_eq!(facts.expires_at_ms(), not_after_s * 1000);
        }
    }

    #[test]
    fn a_certificate_of_the_usual_tool_has_the_pin_and_the_dates_that_the_tool_says() {
        let der = CertificateDer::from_pem_slice(BY_OPENSSL.as_bytes()).unwrap();
        let facts = read(&der).unwrap();
        let pin: String = facts.pin.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(pin, "2ebb0d100822e378bcc319a9ef3bcb4fa585c9817db47247c24df7a54467800a");
        assert_eq!((facts.not_before_s, facts.not_after_s), (1_795_804_063, 4_949_404_063));
    }

    #[test]
    fn bytes_that_are_changed_or_cut_never_panic_and_what_is_cut_is_refused() {
        let (_, der) = certificate(2026);
        for at in 0..der.len() {
            assert!(read(&der[..at]).is_err(), "cut at {at}");
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[at] ^= flip;
                let _ = read(&changed);
                changed.insert(at, flip);
                let _ = read(&changed);
            }
        }
        let mut longer = der;
        longer.push(0);
        assert_eq!(read(&longer), Err(Unreadable("frame")));
    }

    #[test]
    fn times_that_the_calendar_does_not_have_are_refused() {
        let utc = |text: &str| {
            let element = [&[UTC_TIME, u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
            time(&mut Reader::new(&element))
        };
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("500101000000Z"), Some(0), "before 1970");
        assert_eq!(utc("260101000000Z"), Some(1_767_225_600));
        assert_eq!(utc("240229235959Z"), Some(1_709_251_199));
        for bad in
            ["230229000000Z", "261301000000Z", "260100000000Z", "260101240000Z", "260101006000Z", "260101000060Z"]
        {
            assert_eq!(utc(bad), None, "{bad}");
        }
        for bad in ["2601010000Z", "260101000000", "260101000000+0000", "26010100000aZ", "", "2"] {
            assert_eq!(utc(bad), None, "{bad}");
        }
    }
}
