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

impl PublicRoots {
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
