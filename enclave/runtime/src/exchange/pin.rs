//! Trust in pinned keys: whoever proves to hold one of them is the server, whoever signed its certificate and whatever
//! name is in it. The certificate's dates count.

use super::certificate::{self, Facts};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Takes certificates of the pinned keys only.
#[derive(Debug)]
pub(super) struct PinnedKeys {
    pins: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedKeys {
    /// `pins` are SHA-256 of SubjectPublicKeyInfos (DER).
    pub(super) fn new(pins: Vec<[u8; 32]>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { pins, algorithms }
    }
}

/// A certificate of a key that is not pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) struct OtherKey([u8; 32]);

impl fmt::Display for OtherKey {
    /// The pin of its key, in hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a certificate is taken. The key comes first: dates that somebody else wrote say nothing.
fn judge(facts: &Facts, pins: &[[u8; 32]], now: UnixTime) -> Result<(), CertificateError> {
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    if !pins.contains(&facts.pin) {
        Err(CertificateError::Other(OtherError(Arc::new(OtherKey(facts.pin)))))
    } else if now.as_secs() < facts.not_before_s {
        Err(CertificateError::NotValidYetContext { time: now, not_before: at(facts.not_before_s) })
    } else if now.as_secs() > facts.not_after_s {
        Err(CertificateError::ExpiredContext { time: now, not_after: at(facts.not_after_s) })
    } else {
        Ok(())
    }
}

impl ServerCertVerifier for PinnedKeys {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let facts = certificate::read(end_entity).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        judge(&facts, &self.pins, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts { pin: [0xab; 32], not_before_s: 1000, not_after_s: 2000 };

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn one_of_the_pins_is_enough_and_none_is_not() {
        assert!(judge(&FACTS, &[[0xab; 32]], at(1500)).is_ok());
        assert!(judge(&FACTS, &[[1; 32], [0xab; 32]], at(1500)).is_ok());
        for pins in [&[][..], &[[1; 32]], &[[1; 32], [2; 32]]] {
            let Err(CertificateError::Other(error)) = judge(&FACTS, pins, at(1500)) else { panic!("{pins:?}") };
            assert_eq!(error.0.downcast_ref::<OtherKey>().map(ToString::to_string), Some("ab".repeat(32)));
        }
    }

    #[test]
    fn the_dates_count_to_the_second_and_only_for_a_pinned_key() {
        let judged = |seconds| judge(&FACTS, &[[0xab; 32]], at(seconds));
        assert!(judged(1000).is_ok() && judged(2000).is_ok());
        assert!(matches!(judged(999), Err(CertificateError::NotValidYetContext { .. })));
        assert!(matches!(judged(2001), Err(CertificateError::ExpiredContext { .. })));
        assert!(matches!(judge(&FACTS, &[[1; 32]], at(5000)), Err(CertificateError::Other(_))));
    }
}
