//! Keys of tokens. A key decides its algorithm: RSA of 2048 to 8192 bits signs RS256, P-256 signs ES256 (RFC 7518).

use crate::der::{self, BIT_STRING, INTEGER, Reader, SEQUENCE};
use crate::pem;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use std::fmt;
use zeroize::Zeroizing;

/// Fewest bits of an RSA modulus.
pub const MIN_RSA_BITS: usize = 2048;
/// Most bits of an RSA modulus.
pub const MAX_RSA_BITS: usize = 8192;

/// `AlgorithmIdentifier` content of rsaEncoding with its NULL (RFC 3279, section 2.3.1).
const RSA_ALGORITHM: [u8; 13] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// `AlgorithmIdentifier` content of id-ecPublicKey on prime256v1 (RFC 5480, section 2.1.1).
const P256_ALGORITHM: [u8; 19] =
    [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A token's algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// Its name in a header.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        }
    }
}

/// Why bytes are not a key of this profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a DER SubjectPublicKeyInfo.
    #[error("expected a SubjectPublicKeyInfo in DER")]
    NotSpki,
    /// Not one PEM block of the expected label.
    #[error("expected one PEM block {0:?}")]
    NotPem(&'static str),
    /// Another kind of key.
    #[error("expected an RSA key or an uncompressed P-256 key")]
    Kind,
    /// Too small or too large.
    #[error("expected an RSA modulus of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, got {0}")]
    RsaBits(usize),
    /// Even modulus, or an exponent that is even, 1, or longer than 33 bits.
    #[error("expected an odd RSA modulus and an odd public exponent from 3 to 2^33")]
    RsaNumbers,
    /// The cryptographic library refused it: a point that is not on the curve.
    #[error("the key is not valid")]
    Invalid,
    /// Not a private key in unencrypted PKCS#8 DER.
    #[error("expected an unencrypted PKCS#8 private key, RSA or P-256")]
    NotPkcs8,
    /// No key could be made.
    #[error("key generation failed")]
    Generation,
}

/// A public key, and with it the only algorithm that it verifies.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    spki: Vec<u8>,
    verifying: ParsedPublicKey,
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in strict DER.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, key) = split_spki(spki).ok_or(KeyError::NotSpki)?;
        let (algorithm, verifying) = if algorithm == RSA_ALGORITHM {
            check_rsa(key)?;
            (Algorithm::Rs256, ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key))
        } else if algorithm == P256_ALGORITHM && key.len() == 65 && key.first() == Some(&4) {
            (Algorithm::Es256, ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key))
        } else {
            return Err(KeyError::Kind);
        };
        Ok(Self { algorithm, spki: spki.to_vec(), verifying: verifying.map_err(|_| KeyError::Invalid)? })
    }

    /// From a PEM block `PUBLIC KEY`.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_spki_der(&pem::decode(text, "PUBLIC KEY").ok_or(KeyError::NotPem("PUBLIC KEY"))?)
    }

    /// The algorithm that it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The SubjectPublicKeyInfo, as given. DER has one encoding, so equal bytes are equal keys.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The SubjectPublicKeyInfo as PEM.
    pub fn to_pem(&self) -> String {
        pem::encode(&self.spki, "PUBLIC KEY")
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifying.verify_sig(message, signature).is_ok()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {} bytes)", self.algorithm.as_str(), self.spki.len())
    }
}

/// `algorithm` and `subjectPublicKey`.
fn split_spki(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Reader::new(der::only(spki, SEQUENCE)?);
    let algorithm = fields.take(SEQUENCE)?;
    let bits = fields.take(BIT_STRING)?;
    fields.end()?;
    match bits {
        [0, key @ ..] => Some((algorithm, key)),
        _ => None,
    }
}

/// Checks an RSAPublicKey (RFC 8017, appendix A.1.1).
fn check_rsa(key: &[u8]) -> Result<(), KeyError> {
    let numbers = || {
        let mut fields = Reader::new(der::only(key, SEQUENCE)?);
        let modulus = der::positive(fields.take(INTEGER)?)?;
        let exponent = der::positive(fields.take(INTEGER)?)?;
        fields.end()?;
        Some((modulus, exponent))
    };
    let (modulus, exponent) = numbers().ok_or(KeyError::NotSpki)?;
    let bits = bit_length(modulus);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(KeyError::RsaBits(bits));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|b| b & 1 == 1);
    if !odd(modulus) || !odd(exponent) || !(2..=33).contains(&bit_length(exponent)) {
        return Err(KeyError::RsaNumbers);
    }
    Ok(())
}

/// Bits of a big-endian number without leading zero bytes.
fn bit_length(number: &[u8]) -> usize {
    let Some(first) = number.first() else { return 0 };
    let leading = usize::try_from(first.leading_zeros()).unwrap_or(0);
    number.len().saturating_mul(8).saturating_sub(leading)
}

/// A private key that signs tokens, ready for use: reading and checking one takes longer than a signature. Zeroized on
/// drop; `Debug` shows the public key only.
pub struct SigningKey {
    public: PublicKey,
    signing: Signing,
}

enum Signing {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    /// From an unencrypted PKCS#8 key (RFC 5208), RSA or P-256.
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, KeyError> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(pkcs8) {
            let public = PublicKey::from_spki_der(&spki_of(pair.public_key())?)?;
            return Ok(Self { public, signing: Signing::Rsa(pair) });
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| KeyError::NotPkcs8)?;
        let public = PublicKey::from_spki_der(&spki_of(pair.public_key())?)?;
        Ok(Self { public, signing: Signing::P256(pair) })
    }

    /// From a PEM block `PRIVATE KEY`.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_pkcs8_der(&pem::decode(text, "PRIVATE KEY").ok_or(KeyError::NotPem("PRIVATE KEY"))?)
    }

    /// Its public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of its algorithm, as JWS has it (RFC 7518, sections 3.3 and 3.4).
    pub(crate) fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.signing {
            Signing::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Signing::P256(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public {:?}, secret <redacted>)", self.public)
    }
}

fn spki_of(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Result<Vec<u8>, KeyError> {
    Ok(key.as_der().map_err(|_| KeyError::Invalid)?.as_ref().to_vec())
}

/// Makes an RSA key of 2048 bits, unencrypted PKCS#8 DER. Takes a good part of a second of CPU; the randomness is the
/// cryptographic library's own.
pub fn generate_rsa_2048() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generation)?;
    let der = AsDer::<Pkcs8V1Der<'static>>::as_der(&pair).map_err(|_| KeyError::Generation)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// Makes a P-256 key, unencrypted PKCS#8 DER; the randomness is the cryptographic library's own.
pub fn generate_p256() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| KeyError::Generation)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// The SubjectPublicKeyInfo DER of a PKCS#8 private key.
pub fn public_spki_der_of(pkcs8: &[u8]) -> Result<Vec<u8>, KeyError> {
    Ok(SigningKey::from_pkcs8_der(pkcs8)?.public.spki)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_decides_its_algorithm() {
        let rsa = SigningKey::from_pkcs8_der(&generate_rsa_2048().unwrap()).unwrap();
        assert_eq!(rsa.public().algorithm(), Algorithm::Rs256);
        let p256 = SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap();
        assert_eq!(p256.public().algorithm(), Algorithm::Es256);
        for key in [rsa.public(), p256.public()] {
            assert_eq!(&PublicKey::from_pem(&key.to_pem()).unwrap(), key);
            assert_eq!(&PublicKey::from_spki_der(key.spki_der()).unwrap(), key);
        }
    }

    #[test]
    fn small_even_and_foreign_keys_are_refused() {
        let spki = public_spki_der_of(&generate_rsa_2048().unwrap()).unwrap();
        // SEQUENCE, algorithm (15 bytes), BIT STRING, SEQUENCE, INTEGER: the modulus starts at 33 after its sign byte.
        let mut even = spki.clone();
        *even.get_mut(33 + 255).unwrap() &= 0xfe;
        assert_eq!(PublicKey::from_spki_der(&even), Err(KeyError::RsaNumbers));
        let mut exponent_of_one = spki.clone();
        let at = exponent_of_one.len() - 3;
        exponent_of_one.splice(at.., [0, 0, 1]);
        assert!(PublicKey::from_spki_der(&exponent_of_one).is_err());
        let mut longer = spki.clone();
        longer.push(0);
        assert_eq!(PublicKey::from_spki_der(&longer), Err(KeyError::NotSpki));
        assert_eq!(PublicKey::from_spki_der(&spki[..spki.len() - 1]), Err(KeyError::NotSpki));
        assert_eq!(PublicKey::from_spki_der(&[]), Err(KeyError::NotSpki));

        let modulus = [&[0x02, 0x81, 0x80, 0x7f][..], &[0xff; 127]].concat();
        let rsa = [&[0x30, 0x81, 0x88][..], &modulus, &[0x02, 0x03, 1, 0, 1]].concat();
        let bits = [&[0x03, 0x81, 0x8c, 0][..], &rsa].concat();
        let body = [&[0x30, 0x0d][..], &RSA_ALGORITHM, &bits].concat();
        let small = [&[0x30, 0x81, u8::try_from(body.len()).unwrap()][..], &body].concat();
        assert_eq!(PublicKey::from_spki_der(&small), Err(KeyError::RsaBits(1023)));
    }

    #[test]
    fn a_point_off_the_curve_and_another_curve_are_refused() {
        let spki = public_spki_der_of(&generate_p256().unwrap()).unwrap();
        let mut off = spki.clone();
        *off.last_mut().unwrap() ^= 1;
        assert_eq!(PublicKey::from_spki_der(&off), Err(KeyError::Invalid));
        let mut other = spki;
        other[22] = 6;
        assert_eq!(PublicKey::from_spki_der(&other), Err(KeyError::Kind));
        assert!(matches!(SigningKey::from_pkcs8_der(b"no key"), Err(KeyError::NotPkcs8)));
    }

    #[test]
    fn t48_debug_never_shows_the_secret() {
        let key = SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(public PublicKey(ES256, 91 bytes), secret <redacted>)");
    }
}
