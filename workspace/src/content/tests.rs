//! What bodies are understood, and what they are refused for.

use super::*;
use serde_json::{Value, json};

fn body() -> Value {
    json!({
        "operation": "TYPED_MESSAGE", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": "3"},
        "note": "hello", "externalTxId": "a-1", "feeLevel": "HIGH", "treatAsGrossAmount": false,
        "extraParameters": {"rawMessageData": {"messages": [{"content": hex::encode("hello"), "type": "EIP191"}]}},
    })
}

fn with(path: &str, value: Value) -> Result<Content, ContentError> {
    let mut body = body();
    let (parent, name) = path.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.into(), value);
    read(body.to_string().as_bytes())
}

/// keccak256 of the message "hello" under the envelope, as wallets compute it.
#[test]
fn an_eip_191_message_is_hashed_under_its_envelope() {
    let content = read(body().to_string().as_bytes()).unwrap();
    assert_eq!(content.vault_account, 3);
    assert_eq!(hex::encode(content.messages[0].1), "50b2c43fd39106bafbba0da34fc430e1f91e3c96ea2acee2bc34119f92b37750");
}

#[test]
fn a_raw_message_is_its_own_digest_of_32_bytes() {
    let raw = |content: &str| {
        let messages = json!({"messages": [{"content": content}], "algorithm": "MPC_ECDSA_SECP256K1"});
        let mut body = body();
        body["operation"] = "RAW".into();
        body["extraParameters"]["rawMessageData"] = messages;
        read(body.to_string().as_bytes())
    };
    assert_eq!(raw(&"ab".repeat(32)).unwrap().messages[0].1, [0xab; 32]);
    for bad in ["ab".repeat(31), "ab".repeat(33), format!("0x{}", "ab".repeat(32)), "zz".repeat(32)] {
        assert!(raw(&bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_understood_completely_is_refused() {
    for (path, value) in [
        ("/operation", json!("TRANSFER")),
        ("/assetId", json!("BTC")),
        ("/source/type", json!("EXTERNAL")),
        ("/source/id", json!("03")),
        ("/source/id", json!("-1")),
        ("/source/id", json!("2147483648")),
        ("/source/id", json!(3)),
        ("/amount", json!("1")),
        ("/destination", json!({})),
        ("/note", json!("n".repeat(MAX_NOTE_BYTES + 1))),
        ("/externalTxId", json!("")),
        ("/externalTxId", json!("x".repeat(MAX_NAME_BYTES + 1))),
        ("/feeLevel", json!({"hidden": 1})),
        ("/extraParameters/inputsSelection", json!({})),
        ("/extraParameters/rawMessageData", json!({"messages": []})),
        ("/extraParameters/rawMessageData/algorithm", json!("MPC_EDDSA_ED25519")),
        ("/extraParameters/rawMessageData/messages", json!([{"content": "00", "type": "EIP712"}])),
        ("/extraParameters/rawMessageData/messages", json!([{"content": "0", "type": "EIP191"}])),
        ("/extraParameters/rawMessageData/messages", json!([{"content": "00"}])),
        (
            "/extraParameters/rawMessageData/messages",
            json!([{"content": "00", "type": "EIP191", "bip44addressIndex": 1}]),
        ),
        (
            "/extraParameters/rawMessageData/messages",
            json!([{"content": "00", "type": "EIP191", "derivationPath": [44, 60, 4, 0, 0]}]),
        ),
    ] {
        assert!(with(path, value.clone()).is_err(), "{path} {value}");
    }
    let many: Vec<Value> = (0..=MAX_DIGESTS).map(|_| json!({"content": "00", "type": "EIP191"})).collect();
    assert!(with("/extraParameters/rawMessageData/messages", many.into()).is_err());
    let twice = body().to_string().replacen('{', "{\"note\":\"other\",", 1);
    assert!(read(twice.as_bytes()).is_err(), "a member twice");
    assert!(read(b"").is_err() && read(b"[]").is_err() && read(b"{").is_err());
}

#[test]
fn the_path_may_be_given_if_it_is_the_one() {
    let messages = json!([{"content": "00", "type": "EIP191", "derivationPath": [44, 60, 3, 0, 0], "bip44change": 0}]);
    assert!(with("/extraParameters/rawMessageData/messages", messages).is_ok());
}
