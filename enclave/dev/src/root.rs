use crate::document::DocumentSigner;
use crate::{DevError, private_file};
use base64::prelude::{BASE64_STANDARD, Engine};
use countersign_attest::TrustAnchor;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// The root's certificate (PEM), for verifiers: what `--development-root` takes.
pub const CERTIFICATE_FILE: &str = "development-root.pem";
/// The root's certificate and private key (PEM).
pub const KEY_FILE: &str = "development-root.key";

/// Organisation in every certificate of ours.
const ORGANISATION: &str = "Countersign development, no security";

/// A certificate authority made at run time, in the place of the hardware maker's: P-384, as the real one.
pub struct DevelopmentRoot {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl DevelopmentRoot {
    /// Makes one, in memory only.
    pub fn generate() -> Result<Self, DevError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let certificate = root_params().self_signed(&key)?.der().clone();
        Ok(Self { certificate, key })
    }

    /// Loads the root of `folder`, or makes one there: [`KEY_FILE`] and [`CERTIFICATE_FILE`], both with mode 600.
    /// Processes that do so at once get the same one.
    pub fn load_or_create(folder: &Path) -> Result<Self, DevError> {
        let key_file = folder.join(KEY_FILE);
        if !key_file.exists() {
            private_file::create(&key_file, Self::generate()?.to_pem().as_bytes())?;
        }
        let root = Self::load(folder)?;
        private_file::replace(&folder.join(CERTIFICATE_FILE), root.certificate_pem().as_bytes())?;
        Ok(root)
    }

    /// Loads the root of `folder` from [`KEY_FILE`]. Errors if there is none, if others can read it, and if key and
    /// certificate do not belong together.
    pub fn load(folder: &Path) -> Result<Self, DevError> {
        let path = folder.join(KEY_FILE);
        Self::from_pem(&private_file::read(&path)?)
            .ok_or(DevError::Content { path, expected: "a P-384 certificate and its PKCS #8 key in PEM" })
    }

    /// A certificate and its key. None if one is missing, or if they do not belong together.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let certificate = CertificateDer::from_pem_slice(pem).ok()?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P384_SHA384).ok()?;
        let root = Self { certificate, key };
        DocumentSigner::issue(&root, "i-0-enc0", 0).ok()?.check(&root).ok()?;
        Some(root)
    }

    /// The certificate, DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        pem(&self.certificate)
    }

    /// For verifiers that accept documents under this root.
    pub fn trust_anchor(&self) -> Result<TrustAnchor, DevError> {
        Ok(TrustAnchor::development(&self.certificate)?)
    }

    pub(crate) fn issuer(&self) -> Issuer<'static, &KeyPair> {
        Issuer::new(root_params(), &self.key)
    }

    /// Certificate and private key.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(self.key.serialize_pem());
        Zeroizing::new(format!("{}{}", self.certificate_pem(), key.as_str()))
    }
}

impl fmt::Debug for DevelopmentRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevelopmentRoot(key <redacted>)")
    }
}

/// A name under [`ORGANISATION`].
pub(crate) fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, ORGANISATION);
    name.push(DnType::CommonName, common_name);
    name
}

fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("development root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<String> = text.chars().collect::<Vec<_>>().chunks(64).map(|line| line.iter().collect()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
