//! CMS EnvelopedData for one recipient (RFC 5652, section 6), in BER with indefinite lengths and strings in pieces.

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};

const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const RSAES_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

fn definite(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=0x7f => vec![tag, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, content.to_vec()].concat()
}

fn indefinite(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    [vec![tag, 0x80], parts.concat(), vec![0, 0]].concat()
}

fn oid(id: &[u8]) -> Vec<u8> {
    definite(0x06, id)
}

/// `plaintext`, encrypted to the RSA key `recipient` (SubjectPublicKeyInfo, DER), if it is one.
pub fn seal(recipient: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
    let (mut key, mut iv) = ([0; 32], [0; 16]);
    aws_lc_rs::rand::fill(&mut key).unwrap();
    aws_lc_rs::rand::fill(&mut iv).unwrap();
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &key).unwrap()).unwrap();
    let mut content = plaintext.to_vec();
    cipher.less_safe_encrypt(&mut content, EncryptionContext::Iv128(FixedLength::from(iv))).unwrap();
    let rsa = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(recipient).ok()?).unwrap();
    let mut encrypted = vec![0; rsa.ciphertext_size()];
    let encrypted = rsa.encrypt(&OAEP_SHA256_MGF1SHA256, &key, &mut encrypted, None).unwrap().to_vec();

    let sha = definite(0x30, &oid(SHA_256));
    let mgf = definite(0x30, &[oid(MGF1), sha.clone()].concat());
    let parameters = definite(0x30, &[definite(0xa0, &sha), definite(0xa1, &mgf)].concat());
    let oaep = definite(0x30, &[oid(RSAES_OAEP), parameters].concat());
    let info = [vec![0x02, 1, 2], definite(0x80, &[7; 20]), oaep, definite(0x04, &encrypted)].concat();
    let recipients = definite(0x31, &definite(0x30, &info));
    let cbc = definite(0x30, &[oid(AES_256_CBC), definite(0x04, &iv)].concat());
    let (one, two) = content.split_at(content.len() / 2);
    let pieces = indefinite(0xa0, &[definite(0x04, one), definite(0x04, two)]);
    let encrypted = indefinite(0x30, &[oid(DATA), cbc, pieces]);
    let enveloped = indefinite(0x30, &[vec![0x02, 1, 2], recipients, encrypted]);
    Some(indefinite(0x30, &[oid(ENVELOPED_DATA), indefinite(0xa0, &[enveloped])]))
}
