//! The production image in the emulator: it is what it measures, and it believes and is believed as in production.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cosigner_dev::{DevelopmentRoot, DocumentContent, DocumentSigner};
use countersign_attest::{
    AttestationError, Expectation, Measurements, NonceCheck, TrustAnchor, parse_unverified, verify,
};
use countersign_channel::ChannelError;
use countersign_nitro_tests::{knock, measured, unpacked};
use countersign_stack::emulator::Image;
use countersign_stack::{Options, Stack, StackError};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// The customer's co-signer alone, in the emulator.
async fn start(folder: &Path, image: &Image) -> Stack {
    let images = BTreeMap::from([(0, image.clone())]);
    Stack::start(folder, &Options { clouds: 0, workspaces: 0, images, ..Options::default() }).await.unwrap()
}

#[tokio::test]
async fn e2e_t38_t39_t40_t41_the_production_image_is_what_it_measures_and_nobody_believes_the_emulator() {
    let folder = tempfile::tempdir().unwrap();
    let image = Image::built("production").unwrap();
    let started = Instant::now();
    let stack = start(folder.path(), &image).await;
    let (took, memory) = (started.elapsed().as_secs_f64(), image.memory_mib);
    println!("production image: {took:.1} s from start to connected, with {memory} MiB of memory");
    let member = stack.customer().unwrap();

    // What the security module says, over vsock and the host's admin socket.
    let answer = knock(&member.operator.socket).await.unwrap();
    let parsed = parse_unverified(&answer.document).unwrap();
    let document = parsed.for_display();
    let expected = measured(&image).unwrap();
    assert_eq!(Measurements::of(document).unwrap(), expected);
    assert_eq!(document.nonce.as_deref(), Some(&answer.nonce[..]));

    // It is unsigned: whoever trusts the AWS root refuses it, and so does whoever trusts a development root.
    assert_eq!(parsed.algorithm(), -1);
    let refused = |verdict: &Result<(), ChannelError>| {
        matches!(verdict, Err(ChannelError::Document(AttestationError::Algorithm { got: -1 })))
    };
    assert!(refused(&answer.verdict), "{:?}", answer.verdict);
    let shown = member.operator.run(["attestation", "show"]).await;
    let Err(StackError::Cosigner { message, .. }) = shown else { panic!("{shown:?}") };
    assert!(message.contains("attestation refused"), "{message}");

    // Signed again outside of the image, it passes every check, and each check fails by itself.
    let root = DevelopmentRoot::generate().unwrap();
    let content = DocumentContent {
        module_id: document.module_id.clone(),
        timestamp_ms: document.timestamp_ms,
        pcrs: document.pcrs.clone(),
        public_key: document.public_key.clone(),
        user_data: document.user_data.clone(),
        nonce: document.nonce.clone(),
    };
    let signer = DocumentSigner::issue(&root, &document.module_id, document.timestamp_ms).unwrap();
    let signed = signer.document(&content).unwrap();
    let anchor = root.trust_anchor().unwrap();
    let check = |anchor: &TrustAnchor, now_ms: u64, nonce: &[u8], measurements: &[Measurements]| {
        let nonce = NonceCheck::Equals(nonce);
        verify(&signed, &Expectation { anchor, now_ms, max_age_ms: 300_000, nonce, measurements }).map(drop)
    };
    let now = document.timestamp_ms;
    assert_eq!(check(&anchor, now, &answer.nonce, &[expected]), Ok(()));
    assert!(matches!(check(&TrustAnchor::aws(), now, &answer.nonce, &[expected]), Err(AttestationError::Chain { .. })));
    assert!(matches!(check(&anchor, now + 300_001, &answer.nonce, &[expected]), Err(AttestationError::TooOld { .. })));
    assert!(matches!(check(&anchor, now, &[7; 32], &[expected]), Err(AttestationError::NonceMismatch { .. })));
    let other = measured(&Image::built("development").unwrap()).unwrap();
    assert!(matches!(
        check(&anchor, now, &answer.nonce, &[other]),
        Err(AttestationError::PcrMismatch { pcr: 0 | 2, .. })
    ));
    let zeros = Measurements { pcr0: [0; 48], ..expected };
    assert!(matches!(check(&anchor, now, &answer.nonce, &[zeros]), Err(AttestationError::ZerosExpected { .. })));

    // It asked its parent for nothing, and holds no test primes; the development image, of the same recipe, does.
    assert_eq!(stack.parts_asked_for(), 0);
    let [own, development] = [&image, &Image::built("development").unwrap()].map(|image| unpacked(image).unwrap());
    let holds = |image: &[u8], part: &[u8]| image.windows(part.len()).any(|window| window == part);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../enclave/dev/fixtures");
    for name in ["primes-0", "primes-5", "aux-3-0"] {
        let part = std::fs::read(fixtures.join(name).with_extension("cbor")).unwrap();
        assert!(holds(&development, &part) && !holds(&own, &part), "{name}");
    }

    // The two images have kernel and first process in common, and nothing else.
    assert_eq!(expected.pcr1, other.pcr1);
    assert!(expected.pcr0 != other.pcr0 && expected.pcr2 != other.pcr2);
    stack.stop().await.unwrap();
}
