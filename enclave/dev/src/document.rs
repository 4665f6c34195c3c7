use crate::DevError;
use crate::root::{DevelopmentRoot, name};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use ciborium::Value;
use countersign_attest::{Expectation, Measurements, NonceCheck, Pcr, verify};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, date_time_ymd,
};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a certificate is valid: as long as those of real security modules.
const LIFETIME_MS: u64 = 3 * 3600 * 1000;
/// How long before its making a certificate starts to be valid.
const START_BEFORE_MS: u64 = 60_000;
/// Latest time for which certificates can be made: the year 9999 less a certificate's lifetime.
const MAX_TIME_MS: u64 = 253_370_764_800_000;

/// What a document says, beside its certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentContent {
    /// Name of the security module.
    pub module_id: String,
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The registers.
    pub pcrs: BTreeMap<u8, Pcr>,
    /// Attested public key.
    pub public_key: Option<Vec<u8>>,
    /// Attested data.
    pub user_data: Option<Vec<u8>>,
    /// The verifier's challenge.
    pub nonce: Option<Vec<u8>>,
}

/// A key with a certificate chain to a development root, as a security module has one: root, intermediate, leaf.
pub struct DocumentSigner {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
    cabundle: Vec<Vec<u8>>,
    valid_ms: (u64, u64),
}

impl DocumentSigner {
    /// Makes a key and has it certified by `root`, valid from shortly before `now_ms` for three hours.
    pub fn issue(root: &DevelopmentRoot, module_id: &str, now_ms: u64) -> Result<Self, DevError> {
        if now_ms > MAX_TIME_MS {
            return Err(DevError::Time { ms: now_ms });
        }
        let valid_ms = (now_ms.saturating_sub(START_BEFORE_MS), now_ms.saturating_add(LIFETIME_MS));

        let middle_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let mut middle = params("development machine", valid_ms);
        middle.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        middle.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let middle_certificate = middle.signed_by(&middle_key, &root.issuer())?;

        let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let mut leaf = params(module_id, valid_ms);
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = leaf.signed_by(&leaf_key, &Issuer::new(middle, &middle_key))?;

        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, leaf_key.serialized_der())
            .map_err(|_| DevError::Crypto { what: "loading a P-384 key" })?;
        Ok(Self {
            key,
            certificate: certificate.der().to_vec(),
            cabundle: vec![root.certificate_der().to_vec(), middle_certificate.der().to_vec()],
            valid_ms,
        })
    }

    /// Whether the certificate is valid at `at_ms` and for `margin_ms` more.
    pub fn is_valid(&self, at_ms: u64, margin_ms: u64) -> bool {
        at_ms >= self.valid_ms.0 && at_ms.saturating_add(margin_ms) <= self.valid_ms.1
    }

    /// A whole document: COSE_Sign1 with ES384.
    pub fn document(&self, content: &DocumentContent) -> Result<Vec<u8>, DevError> {
        self.sign(&cbor(&self.payload(content))?)
    }

    /// COSE_Sign1 with ES384 around any payload (RFC 9052, section 4.4).
    pub fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, DevError> {
        let protected = cbor(&Value::Map(vec![(Value::from(1), Value::from(-35))]))?;
        let signed = Value::Array(vec![
            Value::from("Signature1"),
            Value::Bytes(protected.clone()),
            Value::Bytes(Vec::new()),
            Value::Bytes(payload.to_vec()),
        ]);
        let signature = self
            .key
            .sign(&SystemRandom::new(), &cbor(&signed)?)
            .map_err(|_| DevError::Crypto { what: "signing a document" })?;
        cbor(&Value::Array(vec![
            Value::Bytes(protected),
            Value::Map(Vec::new()),
            Value::Bytes(payload.to_vec()),
            Value::Bytes(signature.as_ref().to_vec()),
        ]))
    }

    /// The payload of a document, with this signer's certificates.
    pub fn payload(&self, content: &DocumentContent) -> Value {
        let pcrs = content.pcrs.iter().map(|(pcr, value)| (Value::from(*pcr), Value::Bytes(value.to_vec()))).collect();
        let optional = |bytes: &Option<Vec<u8>>| bytes.clone().map_or(Value::Null, Value::Bytes);
        let field = |name: &str, value: Value| (Value::from(name), value);
        Value::Map(vec![
            field("module_id", Value::from(content.module_id.as_str())),
            field("digest", Value::from("SHA384")),
            field("timestamp", Value::from(content.timestamp_ms)),
            field("pcrs", Value::Map(pcrs)),
            field("certificate", Value::Bytes(self.certificate.clone())),
            field("cabundle", Value::Array(self.cabundle.iter().cloned().map(Value::Bytes).collect())),
            field("public_key", optional(&content.public_key)),
            field("user_data", optional(&content.user_data)),
            field("nonce", optional(&content.nonce)),
        ])
    }

    /// A document of this signer verifies under `root`: the root's key belongs to its certificate.
    pub(crate) fn check(&self, root: &DevelopmentRoot) -> Result<(), DevError> {
        let pcr = [1; 48];
        let content = DocumentContent {
            module_id: "i-0-enc0".into(),
            timestamp_ms: self.valid_ms.0,
            pcrs: BTreeMap::from([(0, pcr), (1, pcr), (2, pcr)]),
            public_key: None,
            user_data: None,
            nonce: None,
        };
        let expectation = Expectation {
            anchor: &root.trust_anchor()?,
            now_ms: self.valid_ms.0,
            max_age_ms: 0,
            nonce: NonceCheck::UncheckedStaticDocument,
            measurements: &[Measurements { pcr0: pcr, pcr1: pcr, pcr2: pcr, pcr8: None }],
        };
        verify(&self.document(&content)?, &expectation)?;
        Ok(())
    }
}

impl fmt::Debug for DocumentSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentSigner(key <redacted>)")
    }
}

fn params(common_name: &str, (from_ms, to_ms): (u64, u64)) -> CertificateParams {
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name);
    params.not_before = epoch + Duration::from_millis(from_ms);
    params.not_after = epoch + Duration::from_millis(to_ms);
    params
}

fn cbor(value: &Value) -> Result<Vec<u8>, DevError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|_| DevError::Crypto { what: "encoding a document" })?;
    Ok(bytes)
}
