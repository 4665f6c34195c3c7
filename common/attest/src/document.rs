use crate::AttestationError;
use crate::cbor::Reader;
use crate::cose::Sign1;
use std::collections::BTreeMap;

/// Longest document, COSE and all. A real one has about 5 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024;
/// Longest certificate in a document (the security module's own limit).
pub const MAX_CERTIFICATE_BYTES: usize = 1024;
/// Most CA certificates in a document. A real one has four.
pub const MAX_CABUNDLE: usize = 8;
/// Longest public key in a document (the security module's own limit).
pub const MAX_PUBLIC_KEY_BYTES: usize = 1024;
/// Longest user data in a document (the security module's own limit).
pub const MAX_USER_DATA_BYTES: usize = 512;
/// Longest nonce in a document (the security module's own limit).
pub const MAX_NONCE_BYTES: usize = 512;
/// Longest name of a security module.
const MAX_MODULE_ID_BYTES: usize = 128;
/// PCR indices are 0 to 31.
const MAX_PCRS: u64 = 32;
/// Fields of a document.
const FIELDS: u64 = 9;

const _: () = assert!(MAX_CERTIFICATE_BYTES * (1 + MAX_CABUNDLE) < MAX_DOCUMENT_BYTES);

/// Value of a platform configuration register: SHA-384.
pub type Pcr = [u8; 48];

/// What the security module says about an enclave. Only [`crate::verify`] hands one out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// Name of the security module, `i-…-enc…`.
    pub module_id: String,
    /// When the document was made, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The locked registers by index.
    pub pcrs: BTreeMap<u8, Pcr>,
    /// Leaf certificate, DER: its key signed the document.
    pub certificate: Vec<u8>,
    /// CA certificates, DER, root first.
    pub cabundle: Vec<Vec<u8>>,
    /// The public key that the enclave asked to be attested.
    pub public_key: Option<Vec<u8>>,
    /// The data that the enclave asked to be attested.
    pub user_data: Option<Vec<u8>>,
    /// The challenge that the enclave was given.
    pub nonce: Option<Vec<u8>>,
}

/// A document that nobody verified. For showing to people, never for a decision.
#[derive(Debug, Clone)]
pub struct UnverifiedDocument {
    document: Document,
    algorithm: i64,
}

impl UnverifiedDocument {
    /// Its content.
    pub fn for_display(&self) -> &Document {
        &self.document
    }

    /// Its COSE algorithm; -35 is ES384, the only one that [`crate::verify`] takes.
    pub fn algorithm(&self) -> i64 {
        self.algorithm
    }
}

/// Parses without verifying anything. For display only.
pub fn parse_unverified(bytes: &[u8]) -> Result<UnverifiedDocument, AttestationError> {
    let sign1 = Sign1::parse(bytes)?;
    Ok(UnverifiedDocument { document: Document::parse(sign1.payload)?, algorithm: sign1.algorithm })
}

impl Document {
    /// Parses the payload of a document. Unknown, missing and doubled fields are refused.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, AttestationError> {
        let mut reader = Reader::new(payload);
        let mut fields = Fields::default();
        for _ in 0..reader.map("document", 1, FIELDS)? {
            fields.read(&mut reader)?;
        }
        reader.end("document")?;
        fields.complete()
    }
}

#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    digest: Option<&'a str>,
    timestamp: Option<u64>,
    pcrs: Option<BTreeMap<u8, Pcr>>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<Vec<u8>>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), AttestationError> {
        match reader.text("field name", 32)? {
            "module_id" => once("module_id", &mut self.module_id, reader.text("module_id", MAX_MODULE_ID_BYTES)?),
            "digest" => once("digest", &mut self.digest, reader.text("digest", 16)?),
            "timestamp" => once("timestamp", &mut self.timestamp, reader.unsigned("timestamp", u64::MAX)?),
            "pcrs" => once("pcrs", &mut self.pcrs, read_pcrs(reader)?),
            "certificate" => {
                once("certificate", &mut self.certificate, reader.bytes("certificate", 1, MAX_CERTIFICATE_BYTES)?)
            }
            "cabundle" => once("cabundle", &mut self.cabundle, read_cabundle(reader)?),
            "public_key" => {
                let value = reader.bytes_or_null("public_key", 1, MAX_PUBLIC_KEY_BYTES)?;
                once("public_key", &mut self.public_key, value)
            }
            "user_data" => {
                let value = reader.bytes_or_null("user_data", 0, MAX_USER_DATA_BYTES)?;
                once("user_data", &mut self.user_data, value)
            }
            "nonce" => once("nonce", &mut self.nonce, reader.bytes_or_null("nonce", 0, MAX_NONCE_BYTES)?),
            other => Err(malformed("field name", "a field of an attestation document", format!("{other:?}"))),
        }
    }

    fn complete(self) -> Result<Document, AttestationError> {
        let digest = present("digest", self.digest)?;
        if digest != "SHA384" {
            return Err(malformed("digest", "SHA384", format!("{digest:?}")));
        }
        Ok(Document {
            module_id: present("module_id", self.module_id)?.to_owned(),
            timestamp_ms: present("timestamp", self.timestamp)?,
            pcrs: present("pcrs", self.pcrs)?,
            certificate: present("certificate", self.certificate)?.to_vec(),
            cabundle: present("cabundle", self.cabundle)?,
            public_key: self.public_key.flatten().map(<[u8]>::to_vec),
            user_data: self.user_data.flatten().map(<[u8]>::to_vec),
            nonce: self.nonce.flatten().map(<[u8]>::to_vec),
        })
    }
}

fn read_pcrs(reader: &mut Reader<'_>) -> Result<BTreeMap<u8, Pcr>, AttestationError> {
    let mut pcrs = BTreeMap::new();
    for _ in 0..reader.map("pcrs", 1, MAX_PCRS)? {
        let index = reader.unsigned("PCR index", MAX_PCRS - 1)?;
        let index = u8::try_from(index).map_err(|_| malformed("PCR index", "at most 31", index.to_string()))?;
        let value = reader.bytes("PCR value", 48, 48)?;
        let value = Pcr::try_from(value).map_err(|_| malformed("PCR value", "48 bytes", value.len().to_string()))?;
        if pcrs.insert(index, value).is_some() {
            return Err(malformed("pcrs", "each PCR once", format!("PCR{index} twice")));
        }
    }
    Ok(pcrs)
}

fn read_cabundle(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, AttestationError> {
    let max = u64::try_from(MAX_CABUNDLE).unwrap_or(u64::MAX);
    let mut bundle = Vec::new();
    for _ in 0..reader.array("cabundle", 1, max)? {
        bundle.push(reader.bytes("cabundle", 1, MAX_CERTIFICATE_BYTES)?.to_vec());
    }
    Ok(bundle)
}

fn once<T>(field: &'static str, slot: &mut Option<T>, value: T) -> Result<(), AttestationError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed(field, "it once", "it twice")),
    }
}

fn present<T>(field: &'static str, value: Option<T>) -> Result<T, AttestationError> {
    value.ok_or_else(|| malformed(field, "a value", "nothing"))
}

fn malformed(field: &'static str, expected: impl Into<String>, got: impl Into<String>) -> AttestationError {
    AttestationError::Malformed { field, expected: expected.into(), got: got.into() }
}
