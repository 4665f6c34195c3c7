//! A certificate authority made at run time, and the servers' certificates under it.

use crate::error::StackError;
use crate::files::write_private;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::fs;
use std::path::{Path, PathBuf};

/// Names that every server's certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The authority. Its private key stays in memory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: PathBuf,
    pem: String,
}

/// A server's certificate and key, as files.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM key, mode 600.
    pub key: PathBuf,
}

fn crypto(what: &'static str) -> impl Fn(rcgen::Error) -> StackError {
    move |e| StackError::Crypto { what, detail: e.to_string() }
}

impl Authority {
    /// Makes one and writes its certificate to `folder/ca.pem`.
    pub fn create(folder: &Path) -> Result<Self, StackError> {
        let failed = crypto("a certificate authority");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Countersign local stack");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(&failed)?;
        let pem = params.self_signed(&key).map_err(&failed)?.pem();
        let certificate = folder.join("ca.pem");
        fs::write(&certificate, &pem).map_err(StackError::file(&certificate))?;
        Ok(Self { issuer: Issuer::new(params, key), certificate, pem })
    }

    /// The authority's certificate, as a file.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The authority's certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a certificate of any form.
    pub fn sign(&self, params: CertificateParams, key: &KeyPair) -> Result<Certificate, StackError> {
        params.signed_by(key, &self.issuer).map_err(crypto("a certificate"))
    }

    /// A certificate for a server on this machine, written to `folder/tls.crt` and `folder/tls.key`.
    pub fn issue(&self, folder: &Path) -> Result<ServerCertificate, StackError> {
        let failed = crypto("a server certificate");
        let mut params = CertificateParams::new(NAMES.map(str::to_owned)).map_err(&failed)?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(&failed)?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(&failed)?;
        let files = ServerCertificate { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
        fs::write(&files.certificate, leaf.pem()).map_err(StackError::file(&files.certificate))?;
        write_private(&files.key, key.serialize_pem().as_bytes())?;
        Ok(files)
    }
}
