//! What the service encrypts to the recipient: CMS EnvelopedData (RFC 5652, section 6) for one recipient, RSAES-OAEP with
//! SHA-256 (RFC 4056) around an AES-256-CBC key.

use super::ber::{self, CONTEXT_0, CONTEXT_0_PRIMITIVE, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE, SET};
use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use zeroize::Zeroizing;

/// 1.2.840.113549.1.7.3
const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
/// 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.1.7
const RSAES_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07];
/// 2.16.840.1.101.3.4.1.42
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
/// Versions of EnvelopedData and of its recipient, whom a key identifier names.
const VERSION: &[u8] = &[2];
/// Longest envelope of a data key, in bytes.
const MAX_ENVELOPE_BYTES: usize = 4096;

/// Why an envelope does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is not what the service makes.
    #[error(
        "expected an EnvelopedData of {MAX_ENVELOPE_BYTES} bytes at most for one recipient, RSAES-OAEP and AES-256-CBC"
    )]
    Form,
    /// It is for somebody else, or was changed.
    #[error("the data key was not encrypted to this call's key")]
    Key,
    /// What is in it is no data key.
    #[error("expected a data key of 32 bytes")]
    Length,
}

struct Envelope {
    encrypted_key: Vec<u8>,
    iv: [u8; 16],
    content: Vec<u8>,
}

/// The data key in an envelope that was made for `recipient`.
pub(super) fn open(recipient: &PrivateDecryptingKey, bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, EnvelopeError> {
    let envelope = parse(bytes).ok_or(EnvelopeError::Form)?;
    let rsa = OaepPrivateDecryptingKey::new(recipient.clone()).map_err(|_| EnvelopeError::Key)?;
    let mut key = Zeroizing::new(vec![0; rsa.min_output_size()]);
    let key = &*rsa
        .decrypt(&OAEP_SHA256_MGF1SHA256, &envelope.encrypted_key, &mut key, None)
        .map_err(|_| EnvelopeError::Key)?;
    let cipher = UnboundCipherKey::new(&AES_256, key).map_err(|_| EnvelopeError::Key)?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).map_err(|_| EnvelopeError::Key)?;
    let mut content = Zeroizing::new(envelope.content);
    let context = DecryptionContext::Iv128(envelope.iv.into());
    let data_key = cipher.decrypt(&mut content, context).map_err(|_| EnvelopeError::Key)?;
    Ok(Zeroizing::new(<[u8; 32]>::try_from(&*data_key).map_err(|_| EnvelopeError::Length)?))
}

fn parse(bytes: &[u8]) -> Option<Envelope> {
    if bytes.len() > MAX_ENVELOPE_BYTES {
        return None;
    }
    let mut info = Reader::new(ber::only(bytes, SEQUENCE)?);
    (info.take(OBJECT_ID)? == ENVELOPED_DATA).then_some(())?;
    let mut enveloped = Reader::new(ber::only(info.take(CONTEXT_0)?, SEQUENCE)?);
    info.end()?;
    (enveloped.take(INTEGER)? == VERSION).then_some(())?;
    let mut recipient = Reader::new(ber::only(enveloped.take(SET)?, SEQUENCE)?);
    (recipient.take(INTEGER)? == VERSION).then_some(())?;
    // Whom it names: the key that opens it, or none.
    ber::octets(recipient.next()?, CONTEXT_0_PRIMITIVE)?;
    // The parameters say SHA-256; with another hash it would not open.
    let mut algorithm = Reader::new(recipient.take(SEQUENCE)?);
    (algorithm.take(OBJECT_ID)? == RSAES_OAEP).then_some(())?;
    let encrypted_key = ber::octets(recipient.next()?, OCTET_STRING)?;
    recipient.end()?;
    let mut content = Reader::new(enveloped.take(SEQUENCE)?);
    (content.take(OBJECT_ID)? == DATA).then_some(())?;
    let mut algorithm = Reader::new(content.take(SEQUENCE)?);
    (algorithm.take(OBJECT_ID)? == AES_256_CBC).then_some(())?;
    let iv = <[u8; 16]>::try_from(algorithm.take(OCTET_STRING)?).ok()?;
    algorithm.end()?;
    let encrypted = ber::octets(content.next()?, CONTEXT_0_PRIMITIVE)?;
    content.end()?;
    Some(Envelope { encrypted_key, iv, content: encrypted })
}
