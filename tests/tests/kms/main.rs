//! T42: the key that seals a co-signer's state comes from a key service, for the measured image and this instance alone.
//! Real enclave and host processes; the service speaks AWS's protocol and enforces the repository's key policy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../broker/mod.rs"]
mod broker;
mod envelope;
mod metadata;
mod policy;
mod rotation;
mod scene;
mod simulated_kms;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker::{Dials, Said};
use cosigner_dev::{DevelopmentRoot, SoftwareNsm};
use countersign_attest::Measurements;
use countersign_wire::host_link::FromHost;
use scene::{CLOUD, CUSTOMER, Scene, administrator, host};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const FOREIGN_KEY: &str = "arn:aws:kms:eu-central-1:444455556666:key/ffffffff-12ab-34cd-56ef-1234567890ab";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_t42_the_sealing_key_comes_from_the_key_service_for_the_measured_image_and_instance_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::start(folder.path()).await;
    let pcrs = scene.measurements(CUSTOMER).await;
    scene.kms.create_key(KEY, scene.policy(&pcrs, &["*"]));

    // Before the claim: a name that is no key's, and a key that is not there.
    let refused = scene.claim(CUSTOMER, "file:0011223344556677").await.unwrap_err();
    assert!(refused.contains("expected a KMS key as arn:aws:kms"), "{refused}");
    let refused = scene.claim(CUSTOMER, FOREIGN_KEY).await.unwrap_err();
    assert!(refused.contains("NotFoundException"), "{refused}");

    // Whoever answers in the service's place, under another authority, is told nothing.
    let impostor = scene.impostor(folder.path());
    scene.broker(CUSTOMER).dial(Dials::To(impostor.port));
    let refused = scene.claim(CUSTOMER, KEY).await.unwrap_err();
    assert!(refused.contains("TLS failed"), "{refused}");
    assert!(impostor.calls.lock().unwrap().is_empty());
    scene.broker(CUSTOMER).dial(Dials::To(scene.kms.port));

    // The claim, and the next start.
    let instance = scene.claim(CUSTOMER, KEY).await.unwrap();
    scene.restarts_and_serves(CUSTOMER).await;
    let ended = |operation: &str| (operation.to_owned(), Ok(()));
    let calls = std::mem::take(&mut *scene.kms.calls.lock().unwrap());
    let first = [ended("GenerateDataKey"), ended("Decrypt"), ended("Decrypt")];
    assert_eq!(calls[calls.len() - 3..], first, "made and tried for the claim, and unwrapped at the next start");

    // The policy narrowed to this instance; then to another one, to another image, and the service at fault.
    scene.set_policy(KEY, scene.policy(&pcrs, &[&instance]));
    scene.restarts_and_serves(CUSTOMER).await;
    scene.set_policy(KEY, scene.policy(&pcrs, &[&"00".repeat(32)]));
    scene.restarts_and_ends(CUSTOMER, "AccessDeniedException").await;
    let other = ["11".repeat(48), pcrs[1].clone(), pcrs[2].clone()];
    scene.set_policy(KEY, scene.policy(&other, &[&instance]));
    scene.restarts_and_ends(CUSTOMER, "AccessDeniedException").await;
    scene.set_policy(KEY, scene.policy(&pcrs, &[&instance]));
    *scene.kms.leaks.lock().unwrap() = true;
    scene.restarts_and_ends(CUSTOMER, "a data key in the clear").await;
    *scene.kms.leaks.lock().unwrap() = false;
    scene.restarts_and_serves(CUSTOMER).await;

    calls_of_the_host(&scene, &instance, &pcrs);
    foreign_blobs(&mut scene).await;
    scene.restarts_and_serves(CUSTOMER).await;
    rotation::rotations(&mut scene, &instance, &pcrs).await;
    scene.stop().await;
}

/// What the host can ask with its own credentials, which sign whatever it likes.
fn calls_of_the_host(scene: &Scene, instance: &str, pcrs: &[String; 3]) {
    let wrapped = scene.wrapped_key(CUSTOMER);
    let root = DevelopmentRoot::load(&scene.stack.around.development_root).unwrap();
    let register = |text: &String| hex::decode(text).unwrap().try_into().unwrap();
    let document_for = |public_key: &[u8], pcrs: &[String; 3], root: DevelopmentRoot| {
        let measured =
            Measurements { pcr0: register(&pcrs[0]), pcr1: register(&pcrs[1]), pcr2: register(&pcrs[2]), pcr8: None };
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap();
        SoftwareNsm::new(Arc::new(root), "i-0-enc0", measured, clock).attest(&[], &[], public_key).unwrap()
    };
    let document = |pcrs: &[String; 3], root: DevelopmentRoot| {
        let recipient = aws_lc_rs::rsa::PrivateDecryptingKey::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
            aws_lc_rs::encoding::AsDer::as_der(&recipient.public_key()).unwrap();
        document_for(public.as_ref(), pcrs, root)
    };
    let attested = |document: &[u8]| json!({ "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": STANDARD.encode(document) });
    let body = |recipient: Option<Value>, instance: &str| {
        let mut body = json!({
            "KeyId": KEY, "CiphertextBlob": STANDARD.encode(&wrapped), "KeySpec": "AES_256",
            "EncryptionContext": { "countersign:instance": instance },
        });
        if let Some(recipient) = recipient {
            body["Recipient"] = recipient;
        }
        body.to_string()
    };
    let ask =
        |operation: &str, body: &str| scene.kms.call(&format!("TrentService.{operation}"), &host(), body.as_bytes());
    let refused = |operation: &str, body: &str| ask(operation, body).unwrap_err().0;

    // With everything right this would be answered, to whoever holds the attested key.
    let good = attested(&document(pcrs, root));
    for operation in ["Decrypt", "GenerateDataKey"] {
        assert!(ask(operation, &body(Some(good.clone()), instance)).unwrap().get("Plaintext").is_none());
    }
    for operation in ["Decrypt", "GenerateDataKey"] {
        assert_eq!(refused(operation, &body(None, instance)), "AccessDeniedException", "without attestation");
        for register in 0..3 {
            let mut other_image = pcrs.clone();
            other_image[register] = "22".repeat(48);
            let root = DevelopmentRoot::load(&scene.stack.around.development_root).unwrap();
            let from_other_image = attested(&document(&other_image, root));
            let refusal = refused(operation, &body(Some(from_other_image), instance));
            assert_eq!(refusal, "AccessDeniedException", "PCR{register} of another image");
        }
        let foreign = attested(&document(pcrs, DevelopmentRoot::generate().unwrap()));
        assert_eq!(refused(operation, &body(Some(foreign), instance)), "ValidationException", "another root");
        let other = "33".repeat(32);
        assert_eq!(refused(operation, &body(Some(good.clone()), &other)), "AccessDeniedException", "another instance");
        // What the host can really get: documents whose key is that of a channel, which decrypts nothing.
        for public_key in [&[4; 32][..], &[]] {
            let root = DevelopmentRoot::load(&scene.stack.around.development_root).unwrap();
            let of_channel = attested(&document_for(public_key, pcrs, root));
            let refusal = refused(operation, &body(Some(of_channel), instance));
            assert_eq!(refusal, "ValidationException", "a document for a channel");
        }
        let mut more: Value = serde_json::from_str(&body(Some(good.clone()), instance)).unwrap();
        more["EncryptionContext"]["another"] = json!("member");
        assert_eq!(refused(operation, &more.to_string()), "AccessDeniedException", "a larger context");
        let without: Value = serde_json::from_str(&body(Some(good.clone()), instance)).unwrap();
        let mut without = without;
        without.as_object_mut().unwrap().remove("EncryptionContext");
        assert_eq!(refused(operation, &without.to_string()), "AccessDeniedException", "no instance");
    }
    let others = [
        "Encrypt",
        "ReEncryptFrom",
        "ReEncryptTo",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateDataKeyPair",
        "CreateGrant",
        "PutKeyPolicy",
        "ScheduleKeyDeletion",
    ];
    for operation in others {
        assert_eq!(refused(operation, &body(Some(good.clone()), instance)), "AccessDeniedException", "{operation}");
    }
    // Not even the administrator wraps, unwraps or gives away; but whoever may edit the policy may change that.
    let as_administrator = |operation: &str| {
        let call = format!("TrentService.{operation}");
        scene.kms.call(&call, &administrator(), body(Some(good.clone()), instance).as_bytes()).unwrap_err().0
    };
    for operation in ["Encrypt", "Decrypt", "GenerateDataKey", "CreateGrant", "ReEncryptFrom"] {
        assert_eq!(as_administrator(operation), "AccessDeniedException", "{operation}");
    }
    assert_eq!(as_administrator("PutKeyPolicy"), "UnsupportedOperationException", "allowed, and not simulated");
}

/// Another co-signer, of the host's own, under a key of the host's own: its root, and any blob of its state, in the place
/// of the customer's.
async fn foreign_blobs(scene: &mut Scene) {
    let pcrs = scene.measurements(CLOUD).await;
    scene.kms.create_key(FOREIGN_KEY, scene.policy(&pcrs, &["*"]));
    scene.claim(CLOUD, FOREIGN_KEY).await.unwrap();
    let stolen = scene.blobs(CLOUD);
    assert!(stolen.len() >= 3, "root, head and settings at least: {stolen:?}");
    for (replaced, foreign) in stolen {
        scene.broker(CUSTOMER).set(Box::new(move |said| match said {
            Said::Down(FromHost::Blob { name, .. }) if name.as_str() == replaced => {
                vec![Said::Down(FromHost::Blob { name, value: foreign.clone() })]
            }
            said => vec![said],
        }));
        scene.restarts_and_ends(CUSTOMER, "not of this instance").await;
        scene.broker(CUSTOMER).set(broker::honest());
    }
}
