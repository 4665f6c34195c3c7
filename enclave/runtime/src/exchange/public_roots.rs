//! The public certificate authorities.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Whom TLS trusts where the core says [`cosigner_core::Trust::PublicRoots`].
#[derive(Debug, Clone)]
pub struct PublicRoots(pub(super) RootCertStore);

impl Default for PublicRoots {
    /// Those of the Mozilla programme, compiled in, hence measured.
    fn default() -> Self {
        Self(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }
}

/// Organisations of the authorities that certify the servers of AWS: Amazon's own, and the one that it took over.
const AMAZON: [&[u8]; 2] = [b"Amazon", b"Starfield Technologies, Inc."];

impl PublicRoots {
    /// Only those that certify the servers of AWS: no other authority can pass for the key service.
    pub fn amazon() -> Self {
        let is_amazon =
            |subject: &[u8]| AMAZON.iter().any(|name| subject.windows(name.len()).any(|part| part == *name));
        Self(webpki_roots::TLS_SERVER_ROOTS.iter().filter(|root| is_amazon(&root.subject)).cloned().collect())
    }

    /// Only this one, for development: `pem` holds its certificate.
    ///
    /// # Errors
    /// It holds no certificate of an authority; says why.
    pub fn only(pem: &[u8]) -> Result<Self, String> {
        Self(RootCertStore::empty()).and(pem)
    }

    /// One more, for development: `pem` holds its certificate.
    ///
    /// # Errors
    /// It holds no certificate of an authority; says why.
    pub fn and(mut self, pem: &[u8]) -> Result<Self, String> {
        let certificate =
            CertificateDer::from_pem_slice(pem).map_err(|e| format!("expected a certificate in PEM: {e}"))?;
        self.0.add(certificate).map_err(|e| format!("expected the certificate of an authority: {e}"))?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_authorities_can_pass_for_the_key_service() {
        let amazon = PublicRoots::amazon();
        let names: Vec<String> =
            amazon.0.roots.iter().map(|root| String::from_utf8_lossy(&root.subject).into_owned()).collect();
        for name in ["Amazon Root CA 1", "Amazon Root CA 2", "Amazon Root CA 3", "Amazon Root CA 4"] {
            assert!(names.iter().any(|subject| subject.contains(name)), "{name}: {names:?}");
        }
        assert!((5..=7).contains(&names.len()), "{names:?}");
        assert!(names.iter().all(|subject| subject.contains("Amazon") || subject.contains("Starfield")), "{names:?}");
    }
}
