//! COSE_Sign1 (RFC 9052, section 4.2), tagged or not, with the algorithm as its only header.

use crate::AttestationError;
use crate::cbor::{Reader, write_bytes, write_text};
use crate::document::MAX_DOCUMENT_BYTES;

/// ES384: ECDSA with SHA-384 (RFC 9053, section 2.1).
pub(crate) const ES384: i64 = -35;
/// CBOR tag of a COSE_Sign1.
const TAG_SIGN1: u64 = 18;
/// Label of the algorithm header.
const LABEL_ALGORITHM: i64 = 1;
/// No protected header of ours is longer.
const MAX_PROTECTED_BYTES: usize = 16;
/// Longest ECDSA signature of the COSE algorithms (ES512).
const MAX_SIGNATURE_BYTES: usize = 132;

/// The parts of a COSE_Sign1, not verified.
#[derive(Debug)]
pub(crate) struct Sign1<'a> {
    protected: &'a [u8],
    /// What is signed.
    pub(crate) payload: &'a [u8],
    /// `r ‖ s`.
    pub(crate) signature: &'a [u8],
    /// From the protected header.
    pub(crate) algorithm: i64,
}

impl<'a> Sign1<'a> {
    /// Takes apart exactly one structure.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, AttestationError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(AttestationError::TooLarge { max: MAX_DOCUMENT_BYTES, got: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        reader.skip_tag("COSE_Sign1", TAG_SIGN1)?;
        reader.array("COSE_Sign1", 4, 4)?;
        let protected = reader.bytes("protected header", 1, MAX_PROTECTED_BYTES)?;
        reader.map("unprotected header", 0, 0)?;
        let payload = reader.bytes("payload", 1, MAX_DOCUMENT_BYTES)?;
        let signature = reader.bytes("signature", 1, MAX_SIGNATURE_BYTES)?;
        reader.end("COSE_Sign1")?;

        let mut header = Reader::new(protected);
        header.map("protected header", 1, 1)?;
        let label = header.integer("protected header")?;
        if label != LABEL_ALGORITHM {
            return Err(AttestationError::Malformed {
                field: "protected header",
                expected: format!("label {LABEL_ALGORITHM} (alg)"),
                got: format!("label {label}"),
            });
        }
        let algorithm = header.integer("algorithm")?;
        header.end("protected header")?;
        Ok(Self { protected, payload, signature, algorithm })
    }

    /// `Sig_structure` (RFC 9052, section 4.4): the bytes that the signature covers.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len().saturating_add(64));
        out.push(0x84);
        write_text(&mut out, "Signature1");
        write_bytes(&mut out, self.protected);
        write_bytes(&mut out, b"");
        write_bytes(&mut out, self.payload);
        out
    }
}
