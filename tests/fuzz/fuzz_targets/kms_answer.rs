//! Answers of the key service with an envelope of any bytes, and any bytes as an answer: refused, and never a panic.
#![no_main]

use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cosigner_core::kms::Call;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static RECIPIENT: LazyLock<PrivateDecryptingKey> =
    LazyLock::new(|| PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("a key"));

fuzz_target!(|bytes: &[u8]| {
    let (&status, rest) = bytes.split_first().unwrap_or((&0, bytes));
    let status = if status % 2 == 0 { 200 } else { 400 };
    assert!(Call::GenerateDataKey.answer(status, rest, &RECIPIENT).is_err());
    let answer = serde_json::json!({
        "KeyId": "k", "CiphertextBlob": STANDARD.encode([1]), "CiphertextForRecipient": STANDARD.encode(rest),
    });
    assert!(Call::GenerateDataKey.answer(200, answer.to_string().as_bytes(), &RECIPIENT).is_err());
});
