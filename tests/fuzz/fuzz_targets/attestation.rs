//! Attestation documents of any bytes: refused, and never a panic. The corpus begins with a real one.
#![no_main]

use countersign_attest::{Expectation, Measurements, NonceCheck, TrustAnchor, parse_unverified, verify};
use libfuzzer_sys::fuzz_target;

/// When the real document was made, in milliseconds since 1970.
const MADE_MS: u64 = 1_736_179_625_472;
const REAL: &[u8] = include_bytes!("../../../common/attest/testdata/real-attestation-document.cose");

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = parse_unverified(bytes) else { return };
    let Ok(own) = Measurements::of(parsed.for_display()) else { return };
    let anchor = TrustAnchor::aws();
    let nonce = NonceCheck::UncheckedStaticDocument;
    let expectation =
        Expectation { anchor: &anchor, now_ms: MADE_MS, max_age_ms: 0, nonce, measurements: &[own] };
    if let Ok(accepted) = verify(bytes, &expectation) {
        let real = parse_unverified(REAL).expect("the real document is one");
        assert_eq!(&accepted, real.for_display(), "a document that AWS did not sign was accepted");
    }
});
