use crate::AttestationError;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 of the AWS Nitro Enclaves root certificate G1 (DER), as AWS publishes it.
pub const AWS_ROOT_G1_SHA256: [u8; 32] = [
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31, 0x7e, 0xd7, 0xcd,
    0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
];

/// The root certificate that a document's chain must lead to.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    certificate: CertificateDer<'static>,
    development: bool,
}

impl TrustAnchor {
    /// The root of AWS Nitro Enclaves, generation 1. [`crate::verify`] compares it with [`AWS_ROOT_G1_SHA256`].
    pub fn aws() -> Self {
        let der: &'static [u8] = include_bytes!("../roots/aws-nitro-root-g1.der");
        Self { certificate: CertificateDer::from(der), development: false }
    }

    /// A root made for development (DER). Whoever uses it must say so to people: see [`Self::is_development`].
    pub fn development(der: &[u8]) -> Result<Self, AttestationError> {
        let anchor = Self { certificate: CertificateDer::from(der.to_vec()), development: true };
        webpki::anchor_from_trusted_cert(&anchor.certificate)
            .map_err(|e| AttestationError::DevelopmentRoot { got: e.to_string() })?;
        Ok(anchor)
    }

    /// As [`Self::development`], from the first certificate of a PEM file.
    pub fn development_pem(pem: &[u8]) -> Result<Self, AttestationError> {
        let der = CertificateDer::from_pem_slice(pem)
            .map_err(|e| AttestationError::DevelopmentRoot { got: e.to_string() })?;
        Self::development(&der)
    }

    /// Whether documents under this root prove nothing about hardware.
    pub fn is_development(&self) -> bool {
        self.development
    }

    /// SHA-256 of the certificate (DER).
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    /// The certificate (DER), after checking that the AWS root is the published one.
    pub(crate) fn certificate(&self) -> Result<&CertificateDer<'static>, AttestationError> {
        if !self.development && self.fingerprint() != AWS_ROOT_G1_SHA256 {
            return Err(AttestationError::AwsRoot {
                expected: hex::encode(AWS_ROOT_G1_SHA256),
                got: hex::encode(self.fingerprint()),
            });
        }
        Ok(&self.certificate)
    }
}

impl fmt::Debug for TrustAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.development { "development" } else { "AWS" };
        write!(f, "TrustAnchor({kind}, SHA-256 {})", hex::encode(self.fingerprint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_root_is_the_one_that_aws_publishes() {
        let aws = TrustAnchor::aws();
        assert_eq!(aws.fingerprint(), AWS_ROOT_G1_SHA256);
        assert!(!aws.is_development() && aws.certificate().is_ok());
        let published = CertificateDer::from_pem_slice(include_bytes!("../testdata/aws-nitro-root-g1.pem")).unwrap();
        assert_eq!(aws.certificate, published);
    }

    #[test]
    fn another_certificate_cannot_pass_for_the_aws_root() {
        let mut der = TrustAnchor::aws().certificate.to_vec();
        der[100] ^= 1;
        let forged = TrustAnchor { certificate: CertificateDer::from(der), development: false };
        assert!(matches!(forged.certificate(), Err(AttestationError::AwsRoot { .. })));
    }

    #[test]
    fn what_is_no_certificate_is_no_development_root() {
        for bad in [&b""[..], b"hello", &[0x30, 0x82, 0xff, 0xff]] {
            assert!(matches!(TrustAnchor::development(bad), Err(AttestationError::DevelopmentRoot { .. })));
            assert!(matches!(TrustAnchor::development_pem(bad), Err(AttestationError::DevelopmentRoot { .. })));
        }
    }
}
