//! Certificate authorities and the certificates that they give; and those that sign their own.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::version::TLS12;
use rustls::{ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    last_pin: Mutex<Option<[u8; 32]>>,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("authority of the tests")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate, last_pin: Mutex::new(None) }
    }

    pub fn der(&self) -> Vec<u8> {
        self.certificate.to_vec()
    }

    /// A certificate for `name` (or address), valid in the years 2025 and 2026, as a server uses it.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2026, 12, 31);
        let key = KeyPair::generate().unwrap();
        *self.last_pin.lock().unwrap() = Some(pin(&key));
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        config(certificate, &key, rustls::DEFAULT_VERSIONS)
    }

    /// The same, and the server prefers HTTP/2.
    pub fn http2_server(&self, name: &str) -> Arc<ServerConfig> {
        speaks_http2(&self.server(name))
    }

    /// SHA-256 of the key of the last certificate that it gave.
    pub fn last_pin(&self) -> Option<[u8; 32]> {
        *self.last_pin.lock().unwrap()
    }
}

pub fn speaks_http2(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A key with a certificate that it signed itself, as `openssl req -x509 -subj /CN=…` makes it: no name but the common
/// one, and an authority.
pub struct SelfSigned {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl SelfSigned {
    pub fn new() -> Self {
        Self::of(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn of(key: KeyPair) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "somebody");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2026, 12, 31);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { key, certificate }
    }

    pub fn pin(&self) -> [u8; 32] {
        pin(&self.key)
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        config(self.certificate.clone(), &self.key, rustls::DEFAULT_VERSIONS)
    }

    pub fn tls12_server(&self) -> Arc<ServerConfig> {
        config(self.certificate.clone(), &self.key, &[&TLS12])
    }

    /// A server that shows this certificate and has another key.
    pub fn server_with_the_key_of(&self, other: &Self) -> Arc<ServerConfig> {
        // Nothing but this test's own resolver would take such a pair.
        let provider = aws_lc_rs::default_provider();
        let key = PrivatePkcs8KeyDer::from(other.key.serialize_der()).into();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let pair = rustls::sign::CertifiedKey::new(vec![self.certificate.clone()], key);
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

fn pin(key: &KeyPair) -> [u8; 32] {
    Sha256::digest(key.subject_public_key_info()).into()
}

fn config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
