//! Certificate path and document signature, by rustls-webpki with aws-lc-rs. Every certificate of the hierarchy has a
//! P-384 key and is signed with ECDSA and SHA-384; nothing else is accepted.

use crate::AttestationError;
use crate::anchor::TrustAnchor;
use crate::cose::Sign1;
use crate::document::Document;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use std::time::Duration;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};

/// ECDSA on P-384 with SHA-384 whose signature is `r ‖ s`, as in COSE (RFC 9053, section 2.1), not DER as in X.509.
#[derive(Debug)]
struct Es384;

impl SignatureVerificationAlgorithm for Es384 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_key)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P384
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA384
    }
}

/// The certificates of security modules carry no extended key usage; TLS purposes mean nothing here.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// The document's certificate chains to `anchor` at `at_ms`, in milliseconds since 1970.
pub(crate) fn verify_path(document: &Document, anchor: &TrustAnchor, at_ms: u64) -> Result<(), AttestationError> {
    let refused = |error: webpki::Error| match error {
        webpki::Error::CertExpired { not_after, .. } => AttestationError::CertificateTime {
            at_ms,
            reason: format!("one that expired at {} s since 1970", not_after.as_secs()),
        },
        webpki::Error::CertNotValidYet { not_before, .. } => AttestationError::CertificateTime {
            at_ms,
            reason: format!("one that starts at {} s since 1970", not_before.as_secs()),
        },
        other => AttestationError::Chain {
            expected_root: hex::encode(anchor.fingerprint()),
            got_root: document.cabundle.first().map(|c| sha256_hex(c)).unwrap_or_default(),
            reason: other.to_string(),
        },
    };
    let roots = [webpki::anchor_from_trusted_cert(anchor.certificate()?).map_err(refused)?];
    let intermediates: Vec<CertificateDer<'_>> = document.cabundle.iter().map(|c| c.as_slice().into()).collect();
    let leaf = CertificateDer::from(document.certificate.as_slice());
    let time = UnixTime::since_unix_epoch(Duration::from_millis(at_ms));
    EndEntityCert::try_from(&leaf)
        .map_err(refused)?
        .verify_for_usage(&[webpki::aws_lc_rs::ECDSA_P384_SHA384], &roots, &intermediates, time, AnyUsage, None, None)
        .map_err(refused)?;
    Ok(())
}

/// The key of the document's certificate signed the payload.
pub(crate) fn verify_signature(document: &Document, sign1: &Sign1<'_>) -> Result<(), AttestationError> {
    let refused = |error: webpki::Error| AttestationError::Signature { reason: error.to_string() };
    let leaf = CertificateDer::from(document.certificate.as_slice());
    EndEntityCert::try_from(&leaf)
        .map_err(refused)?
        .verify_signature(&Es384, &sign1.signed_bytes(), sign1.signature)
        .map_err(refused)
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}
