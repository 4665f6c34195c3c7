//! Documents of the software security module, as the verifier sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cosigner_dev::{DevError, DevelopmentRoot, SoftwareNsm, measure_executable};
use countersign_attest::{
    AttestationError, Document, Expectation, Measurements, NonceCheck, TrustAnchor, parse_unverified, verify,
};
use countersign_channel::Attestor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const NOW_MS: u64 = 1_800_000_000_000;
const NONCE: [u8; 32] = [9; 32];

fn check(
    document: &[u8],
    anchor: &TrustAnchor,
    now_ms: u64,
    image: Measurements,
) -> Result<Document, AttestationError> {
    let nonce = NonceCheck::Equals(&NONCE);
    verify(document, &Expectation { anchor, now_ms, max_age_ms: 60_000, nonce, measurements: &[image] })
}

#[test]
fn a_document_verifies_under_its_root_and_carries_what_it_was_asked_for() {
    let root = Arc::new(DevelopmentRoot::generate().unwrap());
    let image = measure_executable().unwrap();
    let mut nsm = SoftwareNsm::new(root.clone(), "i-dev-enc1", image, || NOW_MS);
    let bytes = nsm.document(&NONCE, &[5; 32], &[4; 32]).unwrap();
    let document = check(&bytes, &root.trust_anchor().unwrap(), NOW_MS, image).unwrap();
    assert_eq!(document.module_id, "i-dev-enc1");
    assert_eq!(document.timestamp_ms, NOW_MS);
    assert_eq!(document.user_data, Some(vec![5; 32]));
    assert_eq!(document.public_key, Some(vec![4; 32]));
    assert_eq!(Measurements::of(&document), Ok(image));
}

#[test]
fn t41_a_document_of_the_software_module_is_refused_by_the_aws_root() {
    let root = Arc::new(DevelopmentRoot::generate().unwrap());
    let image = measure_executable().unwrap();
    let bytes = SoftwareNsm::new(root, "i-dev-enc1", image, || NOW_MS).document(&NONCE, &[], &[]).unwrap();
    assert!(matches!(check(&bytes, &TrustAnchor::aws(), NOW_MS, image), Err(AttestationError::Chain { .. })));
}

#[test]
fn it_looks_like_a_real_one() {
    let root = Arc::new(DevelopmentRoot::generate().unwrap());
    let image = Measurements { pcr8: Some([8; 48]), ..measure_executable().unwrap() };
    let bytes = SoftwareNsm::new(root, "i-dev-enc1", image, || NOW_MS).document(&NONCE, &[], &[]).unwrap();
    let ours = parse_unverified(&bytes).unwrap();
    let real = include_bytes!("../../../common/attest/testdata/real-attestation-document.cose");
    let real = parse_unverified(real).unwrap();
    assert_eq!(ours.algorithm(), real.algorithm());
    let registers = |d: &Document| d.pcrs.keys().copied().collect::<Vec<u8>>();
    assert_eq!(registers(ours.for_display()), registers(real.for_display()));
    assert_eq!(ours.for_display().pcrs[&8], [8; 48]);
    assert_eq!((ours.for_display().user_data.clone(), ours.for_display().public_key.clone()), (None, None));
}

#[test]
fn certificates_are_renewed_before_they_end_and_when_the_clock_is_set_back() {
    let root = Arc::new(DevelopmentRoot::generate().unwrap());
    let image = measure_executable().unwrap();
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let read = clock.clone();
    let mut nsm = SoftwareNsm::new(root.clone(), "i-dev-enc1", image, move || read.load(Ordering::Relaxed));
    let anchor = root.trust_anchor().unwrap();
    let mut at = |now_ms: u64| {
        clock.store(now_ms, Ordering::Relaxed);
        let bytes = nsm.document(&NONCE, &[], &[]).unwrap();
        check(&bytes, &anchor, now_ms + 50_000, image).unwrap().certificate
    };
    let first = at(NOW_MS);
    assert_eq!(at(NOW_MS + 3_600_000), first, "one certificate serves for hours");
    let second = at(NOW_MS + 2 * 3_600_000 + 1);
    assert_ne!(second, first);
    assert_ne!(at(NOW_MS), second, "not valid yet");
    for extreme in [0, 1, 253_370_764_800_000] {
        at(extreme);
    }
}

#[test]
fn what_the_real_module_refuses_is_refused() {
    let root = Arc::new(DevelopmentRoot::generate().unwrap());
    let image = measure_executable().unwrap();
    let mut nsm = SoftwareNsm::new(root.clone(), "i-dev-enc1", image, || NOW_MS);
    assert!(matches!(nsm.attest(&[0; 513], &[], &[]), Err(DevError::TooLong { field: "nonce", max: 512, got: 513 })));
    assert!(matches!(nsm.attest(&[], &[0; 513], &[]), Err(DevError::TooLong { field: "user_data", .. })));
    assert!(matches!(nsm.attest(&[], &[], &[0; 1025]), Err(DevError::TooLong { field: "public_key", .. })));
    assert!(nsm.attest(&[1; 512], &[1; 512], &[1; 1024]).is_ok());
    let mut late = SoftwareNsm::new(root, "i-dev-enc1", image, || u64::MAX);
    assert!(matches!(late.attest(&[], &[], &[]), Err(DevError::Time { .. })));
    assert!(late.document(&[], &[], &[]).unwrap_err().to_string().contains("before the year 9999"));
}
