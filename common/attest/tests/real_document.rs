//! A document that a real enclave got from AWS: see `testdata/ORIGIN.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_attest::{
    AttestationError, Document, Expectation, Measurements, NonceCheck, TrustAnchor, parse_unverified, verify,
};

const DOCUMENT: &[u8] = include_bytes!("../testdata/real-attestation-document.cose");
/// When it was made: 2025-01-06T16:07:05.472Z.
const MADE_MS: u64 = 1_736_179_625_472;
/// Its leaf certificate is valid from 16:07:02 to 19:07:05.
const VALID_MS: std::ops::RangeInclusive<u64> = 1_736_179_622_000..=1_736_190_425_000;
/// Where its payload and signature are: after array, protected header, empty map and head; after payload and head.
const PAYLOAD: std::ops::Range<usize> = 10..10 + 4673;
const SIGNATURE: std::ops::Range<usize> = DOCUMENT.len() - 96..DOCUMENT.len();

fn measurements() -> Measurements {
    Measurements::of(parse_unverified(DOCUMENT).unwrap().for_display()).unwrap()
}

fn verify_at(
    now_ms: u64,
    max_age_ms: u64,
    document: &[u8],
    accepted: &[Measurements],
) -> Result<Document, AttestationError> {
    let anchor = TrustAnchor::aws();
    let nonce = NonceCheck::UncheckedStaticDocument;
    verify(document, &Expectation { anchor: &anchor, now_ms, max_age_ms, nonce, measurements: accepted })
}

#[test]
fn it_is_accepted_at_its_time() {
    let document = verify_at(MADE_MS, 0, DOCUMENT, &[measurements()]).unwrap();
    assert_eq!(document.module_id, "i-0bee92034f3d60691-enc01943c5eaab3ad6a");
    assert_eq!(document.timestamp_ms, MADE_MS);
    assert!(hex::encode(document.pcrs[&0]).starts_with("8bb159f2"));
    assert_eq!(document.pcrs.len(), 16);
    assert_eq!(document.public_key.as_ref().unwrap().len(), 294);
    assert_eq!((document.user_data, document.nonce), (None, None));
    assert_eq!(1 + document.cabundle.len(), 5);
}

#[test]
fn a_tagged_document_is_the_same_document() {
    let tagged = [&[0xd2], DOCUMENT].concat();
    assert!(verify_at(MADE_MS, 0, &tagged, &[measurements()]).is_ok());
    let other_tag = [&[0xd1], DOCUMENT].concat();
    assert!(matches!(verify_at(MADE_MS, 0, &other_tag, &[measurements()]), Err(AttestationError::Malformed { .. })));
}

#[test]
fn t40_it_is_refused_at_any_other_time() {
    let at = |now_ms, max_age_ms| verify_at(now_ms, max_age_ms, DOCUMENT, &[measurements()]);
    assert!(at(MADE_MS + 300_000, 300_000).is_ok());
    assert_eq!(at(MADE_MS + 300_001, 300_000), Err(AttestationError::TooOld { max_age_ms: 300_000, age_ms: 300_001 }));
    assert!(at(MADE_MS - 60_000, 0).is_ok(), "a verifier's clock may be a minute behind");
    assert!(matches!(at(MADE_MS - 60_001, 0), Err(AttestationError::FromTheFuture { ahead_ms: 60_001, .. })));
    assert!(matches!(at(0, u64::MAX), Err(AttestationError::FromTheFuture { .. })));
    // Whatever age is allowed, the certificate ends.
    assert!(at(*VALID_MS.end(), u64::MAX).is_ok());
    assert!(matches!(at(VALID_MS.end() + 1000, u64::MAX), Err(AttestationError::CertificateTime { .. })));
    assert!(matches!(at(u64::MAX, u64::MAX), Err(AttestationError::CertificateTime { .. })));
}

#[test]
fn it_is_refused_when_any_byte_of_payload_or_signature_is_flipped() {
    assert_eq!(&DOCUMENT[PAYLOAD.start..PAYLOAD.start + 11], b"\xa9\x69module_id");
    assert_eq!(SIGNATURE.start, PAYLOAD.end + 2);
    for position in PAYLOAD.chain(SIGNATURE) {
        let mut flipped = DOCUMENT.to_vec();
        flipped[position] ^= 1 << (position % 8);
        // What the flipped document reports is what is accepted: only the signature stands in the way.
        let accepted = parse_unverified(&flipped).and_then(|d| Measurements::of(d.for_display()));
        let accepted = accepted.unwrap_or_else(|_| measurements());
        assert!(verify_at(MADE_MS, u64::MAX / 2, &flipped, &[accepted]).is_err(), "byte {position}");
    }
}

#[test]
fn a_flipped_measurement_is_a_wrong_signature_even_where_it_is_accepted() {
    let mut flipped = DOCUMENT.to_vec();
    let pcr0 = measurements().pcr0;
    let position = flipped.windows(48).position(|w| w == pcr0).unwrap();
    flipped[position] ^= 1;
    let accepted = Measurements::of(parse_unverified(&flipped).unwrap().for_display()).unwrap();
    assert_ne!(accepted, measurements());
    assert!(matches!(verify_at(MADE_MS, 0, &flipped, &[accepted]), Err(AttestationError::Signature { .. })));
}

#[test]
fn another_root_is_refused_and_both_are_named() {
    let root = cosigner_dev::DevelopmentRoot::generate().unwrap();
    let anchor = root.trust_anchor().unwrap();
    let expectation = Expectation {
        anchor: &anchor,
        now_ms: MADE_MS,
        max_age_ms: 0,
        nonce: NonceCheck::UncheckedStaticDocument,
        measurements: &[measurements()],
    };
    let Err(AttestationError::Chain { expected_root, got_root, .. }) = verify(DOCUMENT, &expectation) else {
        panic!("accepted under a root that did not sign it");
    };
    assert_eq!(expected_root, hex::encode(anchor.fingerprint()));
    assert_eq!(got_root, hex::encode(countersign_attest::AWS_ROOT_G1_SHA256));
}

#[test]
fn t39_another_measurement_is_refused_and_named() {
    let real = measurements();
    for (pcr, wrong) in [
        (0, Measurements { pcr0: [1; 48], ..real }),
        (1, Measurements { pcr1: [1; 48], ..real }),
        (2, Measurements { pcr2: [1; 48], ..real }),
        (8, Measurements { pcr8: Some([1; 48]), ..real }),
    ] {
        let refused = verify_at(MADE_MS, 0, DOCUMENT, &[wrong]);
        let Err(AttestationError::PcrMismatch { pcr: named, expected, got }) = refused else {
            panic!("PCR{pcr}: {refused:?}");
        };
        assert_eq!(named, pcr);
        assert_eq!(expected, hex::encode([1; 48]));
        assert_ne!(got, expected);
        assert!(verify_at(MADE_MS, 0, DOCUMENT, &[wrong, real]).is_ok(), "any of the accepted sets");
    }
    assert_eq!(verify_at(MADE_MS, 0, DOCUMENT, &[]), Err(AttestationError::NoMeasurements));
}

#[test]
fn t40_a_document_without_a_nonce_answers_no_challenge() {
    let anchor = TrustAnchor::aws();
    let expectation = Expectation {
        anchor: &anchor,
        now_ms: MADE_MS,
        max_age_ms: 0,
        nonce: NonceCheck::Equals(&[7; 32]),
        measurements: &[measurements()],
    };
    assert_eq!(verify(DOCUMENT, &expectation), Err(AttestationError::NonceMissing { expected: hex::encode([7; 32]) }));
}

#[test]
fn an_unsigned_document_of_an_emulated_module_is_refused_by_the_aws_root() {
    // Algorithm -1 and 64 zero bytes, as QEMU's security module has them.
    let mut unsigned = DOCUMENT[..SIGNATURE.start - 2].to_vec();
    unsigned.splice(1..6, [0x43, 0xa1, 0x01, 0x20]);
    unsigned.extend_from_slice(&[0x58, 64]);
    unsigned.extend_from_slice(&[0; 64]);
    assert_eq!(parse_unverified(&unsigned).unwrap().algorithm(), -1);
    assert_eq!(verify_at(MADE_MS, 0, &unsigned, &[measurements()]), Err(AttestationError::Algorithm { got: -1 }));
}

#[test]
fn a_signature_of_another_length_or_of_zeros_is_refused() {
    let mut zeros = DOCUMENT.to_vec();
    zeros[SIGNATURE].fill(0);
    assert!(matches!(verify_at(MADE_MS, 0, &zeros, &[measurements()]), Err(AttestationError::Signature { .. })));
    let mut short = DOCUMENT[..DOCUMENT.len() - 1].to_vec();
    short[SIGNATURE.start - 1] = 95;
    assert!(matches!(verify_at(MADE_MS, 0, &short, &[measurements()]), Err(AttestationError::Signature { .. })));
}
