//! Documents that are signed all right, with content that a real module would not sign, or not for us.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ciborium::Value;
use cosigner_dev::{DevelopmentRoot, DocumentContent, DocumentSigner};
use countersign_attest::{
    AttestationError, Document, Expectation, MAX_DOCUMENT_BYTES, Measurements, NonceCheck, TrustAnchor, verify,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const NOW_MS: u64 = 1_800_000_000_000;
const NONCE: [u8; 32] = [9; 32];
const IMAGE: Measurements = Measurements { pcr0: [1; 48], pcr1: [2; 48], pcr2: [3; 48], pcr8: None };

static ROOT: LazyLock<DevelopmentRoot> = LazyLock::new(|| DevelopmentRoot::generate().unwrap());
static SIGNER: LazyLock<DocumentSigner> = LazyLock::new(|| DocumentSigner::issue(&ROOT, "i-1-enc1", NOW_MS).unwrap());

fn content() -> DocumentContent {
    DocumentContent {
        module_id: "i-1-enc1".into(),
        timestamp_ms: NOW_MS,
        pcrs: BTreeMap::from([(0, IMAGE.pcr0), (1, IMAGE.pcr1), (2, IMAGE.pcr2), (8, [8; 48])]),
        public_key: Some(vec![4; 32]),
        user_data: Some(vec![5; 32]),
        nonce: Some(NONCE.to_vec()),
    }
}

fn verify_under(
    anchor: &TrustAnchor,
    document: &[u8],
    accepted: &[Measurements],
) -> Result<Document, AttestationError> {
    let nonce = NonceCheck::Equals(&NONCE);
    verify(document, &Expectation { anchor, now_ms: NOW_MS, max_age_ms: 60_000, nonce, measurements: accepted })
}

fn check(document: &[u8]) -> Result<Document, AttestationError> {
    verify_under(&ROOT.trust_anchor().unwrap(), document, &[IMAGE])
}

fn check_content(content: &DocumentContent) -> Result<Document, AttestationError> {
    check(&SIGNER.document(content).unwrap())
}

/// Signs a payload whose fields were changed.
fn check_fields(change: impl FnOnce(&mut Vec<(Value, Value)>)) -> Result<Document, AttestationError> {
    let Value::Map(mut fields) = SIGNER.payload(&content()) else { panic!("a map") };
    change(&mut fields);
    check_payload(&Value::Map(fields))
}

fn check_payload(payload: &Value) -> Result<Document, AttestationError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(payload, &mut bytes).unwrap();
    check(&SIGNER.sign(&bytes).unwrap())
}

fn set(fields: &mut [(Value, Value)], name: &str, value: Value) {
    let field = fields.iter_mut().find(|(key, _)| key.as_text() == Some(name)).unwrap();
    field.1 = value;
}

#[test]
fn a_good_document_is_accepted_with_what_it_binds() {
    let document = check_content(&content()).unwrap();
    assert_eq!(document.public_key, Some(vec![4; 32]));
    assert_eq!(document.user_data, Some(vec![5; 32]));
    assert_eq!(document.nonce, Some(NONCE.to_vec()));
    assert_eq!(Measurements::of(&document), Ok(Measurements { pcr8: Some([8; 48]), ..IMAGE }));
}

#[test]
fn a_document_under_a_development_root_is_refused_by_the_aws_root() {
    let document = SIGNER.document(&content()).unwrap();
    assert!(matches!(verify_under(&TrustAnchor::aws(), &document, &[IMAGE]), Err(AttestationError::Chain { .. })));
}

#[test]
fn a_document_under_another_root_of_the_same_name_is_refused() {
    let other = DevelopmentRoot::generate().unwrap();
    let document = DocumentSigner::issue(&other, "i-1-enc1", NOW_MS).unwrap().document(&content()).unwrap();
    assert!(matches!(check(&document), Err(AttestationError::Chain { .. })));
}

#[test]
fn a_document_signed_with_a_key_that_its_certificate_does_not_name_is_refused() {
    let other = DocumentSigner::issue(&ROOT, "i-1-enc1", NOW_MS).unwrap();
    let mut payload = Vec::new();
    ciborium::into_writer(&SIGNER.payload(&content()), &mut payload).unwrap();
    let document = other.sign(&payload).unwrap();
    assert!(matches!(check(&document), Err(AttestationError::Signature { .. })));
}

#[test]
fn a_certificate_authority_cannot_sign_a_document_itself() {
    // The intermediate's certificate in the place of the leaf.
    let refused = check_fields(|fields| {
        let middle =
            fields.iter().find(|(key, _)| key.as_text() == Some("cabundle")).unwrap().1.as_array().unwrap()[1].clone();
        set(fields, "certificate", middle);
    });
    assert!(matches!(refused, Err(AttestationError::Chain { .. })), "{refused:?}");
}

#[test]
fn a_chain_with_a_missing_link_is_refused() {
    let refused = check_fields(|fields| {
        let Value::Array(bundle) = &mut fields.iter_mut().find(|(k, _)| k.as_text() == Some("cabundle")).unwrap().1
        else {
            panic!("an array")
        };
        bundle.remove(1);
    });
    assert!(matches!(refused, Err(AttestationError::Chain { .. })));
}

#[test]
fn t38_all_zero_measurements_are_refused_even_if_zeros_are_expected() {
    let zero = [0; 48];
    let debug = DocumentContent { pcrs: BTreeMap::from([(0, zero), (1, zero), (2, zero)]), ..content() };
    assert_eq!(check_content(&debug), Err(AttestationError::DebugMode { pcr: 0 }));
    for (pcr, one) in [(0, (zero, [2; 48], [3; 48])), (1, ([1; 48], zero, [3; 48])), (2, ([1; 48], [2; 48], zero))] {
        let (pcr0, pcr1, pcr2) = one;
        let partly = DocumentContent { pcrs: BTreeMap::from([(0, pcr0), (1, pcr1), (2, pcr2)]), ..content() };
        assert_eq!(check_content(&partly), Err(AttestationError::DebugMode { pcr }));
        let document = SIGNER.document(&partly).unwrap();
        let expected = Measurements { pcr0, pcr1, pcr2, pcr8: None };
        let anchor = ROOT.trust_anchor().unwrap();
        assert_eq!(verify_under(&anchor, &document, &[IMAGE, expected]), Err(AttestationError::ZerosExpected { pcr }));
    }
    let good = SIGNER.document(&content()).unwrap();
    let anchor = ROOT.trust_anchor().unwrap();
    let unsigned = Measurements { pcr8: Some(zero), ..IMAGE };
    assert_eq!(verify_under(&anchor, &good, &[unsigned]), Err(AttestationError::ZerosExpected { pcr: 8 }));
}

#[test]
fn t39_the_signing_certificate_is_checked_where_it_is_given() {
    let document = SIGNER.document(&content()).unwrap();
    let anchor = ROOT.trust_anchor().unwrap();
    let with = |pcr8| verify_under(&anchor, &document, &[Measurements { pcr8, ..IMAGE }]);
    assert!(with(Some([8; 48])).is_ok());
    assert!(matches!(with(Some([7; 48])), Err(AttestationError::PcrMismatch { pcr: 8, .. })));
}

#[test]
fn t39_a_measurement_that_is_not_reported_is_refused() {
    for pcr in [0, 1, 2] {
        let mut less = content();
        less.pcrs.remove(&pcr);
        assert!(matches!(check_content(&less), Err(AttestationError::PcrMissing { pcr: p, .. }) if p == pcr));
    }
}

#[test]
fn t39_the_error_names_the_best_of_several_images() {
    let document = SIGNER.document(&content()).unwrap();
    let near = Measurements { pcr2: [6; 48], ..IMAGE };
    let far = Measurements { pcr0: [6; 48], ..IMAGE };
    let refused = verify_under(&ROOT.trust_anchor().unwrap(), &document, &[far, near, far]);
    assert!(matches!(refused, Err(AttestationError::PcrMismatch { pcr: 2, .. })), "{refused:?}");
}

#[test]
fn t40_another_nonce_none_or_an_empty_one_is_stale() {
    for nonce in [Some(vec![8; 32]), Some(NONCE[..31].to_vec()), Some([&NONCE[..], &[0]].concat()), Some(Vec::new())] {
        let refused = check_content(&DocumentContent { nonce: nonce.clone(), ..content() });
        assert!(matches!(refused, Err(AttestationError::NonceMismatch { .. })), "{nonce:?}: {refused:?}");
    }
    let refused = check_content(&DocumentContent { nonce: None, ..content() });
    assert!(matches!(refused, Err(AttestationError::NonceMissing { .. })));
}

#[test]
fn t40_an_old_document_is_stale() {
    let at = |timestamp_ms| check_content(&DocumentContent { timestamp_ms, ..content() });
    assert!(at(NOW_MS - 60_000).is_ok());
    assert!(matches!(at(NOW_MS - 60_001), Err(AttestationError::TooOld { .. })));
    assert!(at(NOW_MS + 60_000).is_ok());
    assert!(matches!(at(NOW_MS + 60_001), Err(AttestationError::FromTheFuture { .. })));
    assert!(matches!(at(u64::MAX), Err(AttestationError::FromTheFuture { .. })));
}

#[test]
fn a_short_nonce_is_the_verifiers_mistake() {
    let anchor = ROOT.trust_anchor().unwrap();
    let document = SIGNER.document(&content()).unwrap();
    for nonce in [&[][..], &[9; 15]] {
        let expectation = Expectation {
            anchor: &anchor,
            now_ms: NOW_MS,
            max_age_ms: 60_000,
            nonce: NonceCheck::Equals(nonce),
            measurements: &[IMAGE],
        };
        assert!(matches!(verify(&document, &expectation), Err(AttestationError::NonceTooShort { .. })));
    }
}

#[test]
fn t46_fields_that_are_missing_doubled_unknown_or_of_another_type_are_refused() {
    let malformed = |result: Result<Document, AttestationError>, what: &str| {
        assert!(matches!(result, Err(AttestationError::Malformed { .. })), "{what}: {result:?}");
    };
    for name in ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"] {
        malformed(check_fields(|f| f.retain(|(k, _)| k.as_text() != Some(name))), name);
    }
    for name in ["public_key", "user_data"] {
        let without = check_fields(|f| f.retain(|(k, _)| k.as_text() != Some(name)));
        assert!(without.is_ok(), "{name} may be left out");
    }
    let without = check_fields(|f| f.retain(|(k, _)| k.as_text() != Some("nonce")));
    assert!(matches!(without, Err(AttestationError::NonceMissing { .. })));
    malformed(check_fields(|f| *f.last_mut().unwrap() = f[0].clone()), "module_id twice, no nonce");
    malformed(check_fields(|f| f.push((Value::from("more"), Value::Null))), "a tenth field");
    malformed(check_fields(|f| f[6].0 = Value::from("publickey")), "an unknown field");
    malformed(check_fields(|f| f[6].0 = Value::from(1)), "an integer as field name");
    malformed(check_fields(|f| set(f, "digest", Value::from("SHA512"))), "another digest");
    malformed(check_fields(|f| set(f, "timestamp", Value::from(-1))), "a negative time");
    malformed(check_fields(|f| set(f, "timestamp", Value::from(1.5))), "a time in floating point");
    malformed(check_fields(|f| set(f, "module_id", Value::from(""))), "an empty module id");
    malformed(check_fields(|f| set(f, "module_id", Value::from("x".repeat(129)))), "a long module id");
    malformed(check_fields(|f| set(f, "public_key", Value::from("text"))), "a text as public key");
    malformed(check_payload(&Value::Array(vec![])), "no map");
}

#[test]
fn bytes_after_the_payloads_map_are_refused() {
    let mut payload = Vec::new();
    ciborium::into_writer(&SIGNER.payload(&content()), &mut payload).unwrap();
    assert!(check(&SIGNER.sign(&payload).unwrap()).is_ok());
    payload.push(0xf6);
    let refused = check(&SIGNER.sign(&payload).unwrap());
    assert!(matches!(refused, Err(AttestationError::Malformed { field: "document", .. })));
}

#[test]
fn t46_registers_of_another_form_are_refused() {
    let pcrs = |entries: Vec<(Value, Value)>| check_fields(|f| set(f, "pcrs", Value::Map(entries)));
    let value = |byte: u8, len: usize| Value::Bytes(vec![byte; len]);
    for (what, entries) in [
        ("none", vec![]),
        ("a short value", vec![(Value::from(0), value(1, 32))]),
        ("index 32", vec![(Value::from(32), value(1, 48))]),
        ("a negative index", vec![(Value::from(-1), value(1, 48))]),
        ("PCR0 twice", vec![(Value::from(0), value(1, 48)), (Value::from(0), value(1, 48))]),
    ] {
        assert!(matches!(pcrs(entries), Err(AttestationError::Malformed { .. })), "{what}");
    }
}

#[test]
fn t45_long_fields_are_refused() {
    let long = |name: &str, len: usize| check_fields(|f| set(f, name, Value::Bytes(vec![4; len])));
    for (name, max) in [("public_key", 1024), ("user_data", 512), ("nonce", 512), ("certificate", 1024)] {
        let refused = long(name, max + 1);
        assert!(matches!(refused, Err(AttestationError::Malformed { field, .. }) if field == name), "{refused:?}");
    }
    assert!(long("user_data", 512).is_ok() && long("public_key", 1024).is_ok());
    let bundle = |count: usize| check_fields(|f| set(f, "cabundle", Value::Array(vec![Value::Bytes(vec![1]); count])));
    assert!(matches!(bundle(0), Err(AttestationError::Malformed { field: "cabundle", .. })));
    assert!(matches!(bundle(9), Err(AttestationError::Malformed { field: "cabundle", .. })));
    let huge = vec![0x84; MAX_DOCUMENT_BYTES + 1];
    assert_eq!(check(&huge), Err(AttestationError::TooLarge { max: MAX_DOCUMENT_BYTES, got: MAX_DOCUMENT_BYTES + 1 }));
}

#[test]
fn headers_beside_the_algorithm_are_refused() {
    let document = SIGNER.document(&content()).unwrap();
    let Value::Array(parts) = ciborium::from_reader(&document[..]).unwrap() else { panic!("an array") };
    let with = |index: usize, part: Value| {
        let mut parts = parts.clone();
        parts[index] = part;
        let mut bytes = Vec::new();
        ciborium::into_writer(&Value::Array(parts), &mut bytes).unwrap();
        check(&bytes)
    };
    assert!(with(1, Value::Map(vec![])).is_ok());
    assert!(with(1, Value::Map(vec![(Value::from(4), Value::Bytes(vec![1]))])).is_err(), "an unprotected key id");
    for (what, header) in [
        ("no algorithm", vec![0xa0]),
        ("two headers", vec![0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x01]),
        ("another label", vec![0xa1, 0x04, 0x38, 0x22]),
        ("something after it", vec![0xa1, 0x01, 0x38, 0x22, 0x00]),
        ("empty", vec![]),
    ] {
        assert!(matches!(with(0, Value::Bytes(header)), Err(AttestationError::Malformed { .. })), "{what}");
    }
    for (name, algorithm) in [("ES256", vec![0xa1, 0x01, 0x26]), ("none", vec![0xa1, 0x01, 0x00])] {
        assert!(matches!(with(0, Value::Bytes(algorithm)), Err(AttestationError::Algorithm { .. })), "{name}");
    }
    let after = [&document[..], &[0]].concat();
    assert!(matches!(check(&after), Err(AttestationError::Malformed { .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_never_accepted_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(check(&bytes).is_err());
        // As a payload that is signed all right.
        prop_assert!(check(&SIGNER.sign(&bytes).unwrap()).is_err());
    }

    #[test]
    fn altered_documents_are_never_accepted_and_never_a_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..8),
    ) {
        let good = SIGNER.document(&content()).unwrap();
        let mut bytes = good.clone();
        for (index, value, kind) in edits {
            let position = index.index(bytes.len());
            match kind {
                0 => bytes[position] = value,
                1 => bytes.insert(position, value),
                _ => drop(bytes.remove(position)),
            }
        }
        // An edit may write a CBOR head in a longer form, which changes nothing that is signed.
        if let Ok(document) = check(&bytes) {
            prop_assert_eq!(document, check(&good).unwrap());
        }
    }

    #[test]
    fn altered_payloads_that_are_signed_all_right_are_never_a_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut payload = Vec::new();
        ciborium::into_writer(&SIGNER.payload(&content()), &mut payload).unwrap();
        for (index, value) in edits {
            let position = index.index(payload.len());
            payload[position] = value;
        }
        let _ = check(&SIGNER.sign(&payload).unwrap());
    }
}
