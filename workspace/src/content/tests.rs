//! What bodies are understood, and what they are refused for.

use super::*;
use countersign_wire::limits::MAX_DIGESTS;
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
    assert_eq!(
        hex::encode(content.messages(None)[0].1),
        "50b2c43fd39106bafbba0da34fc430e1f91e3c96ea2acee2bc34119f92b37750"
    );
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
    assert_eq!(raw(&"ab".repeat(32)).unwrap().messages(None)[0].1, [0xab; 32]);
    for bad in ["ab".repeat(31), "ab".repeat(33), format!("0x{}", "ab".repeat(32)), "zz".repeat(32)] {
        assert!(raw(&bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_understood_completely_is_refused() {
    for (path, value) in [
        ("/operation", json!("TRANSFER")),
        ("/operation", json!("CONTRACT_CALL")),
        ("/operation", json!("MINT")),
        ("/gasLimit", json!("21000")),
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

#[test]
fn typed_data_is_hashed_as_an_object_and_as_the_text_of_one() {
    let mail = crate::evm::typed_data::tests::mail();
    let expected = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2";
    let path = "/extraParameters/rawMessageData/messages";
    for content in [mail.clone(), mail.to_string().into()] {
        let content = with(path, json!([{"content": content, "type": "EIP712"}])).unwrap();
        assert_eq!(content.messages(None)[0].0, expected, "shown is the hash that is signed");
        assert_eq!(hex::encode(content.messages(None)[0].1), expected);
    }
    for bad in [json!("6869"), json!(7), json!({}), mail.to_string().replacen('{', "{\"types\":{},", 1).into()] {
        assert!(with(path, json!([{"content": bad, "type": "EIP712"}])).is_err(), "{bad}");
    }
}

fn transfer() -> Value {
    json!({
        "operation": "TRANSFER", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": "3"},
        "destination": {
            "type": "ONE_TIME_ADDRESS",
            "oneTimeAddress": {"address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "tag": ""},
        },
        "amount": "0.01", "maxFee": "30", "priorityFee": 1, "gasLimit": "25000", "treatAsGrossAmount": false,
    })
}

#[test]
fn a_transfer_says_to_whom_how_much_and_at_which_fee() {
    let content = read(transfer().to_string().as_bytes()).unwrap();
    let What::Transfer(wanted) = &content.what else { panic!("{content:?}") };
    assert_eq!(wanted.to.to_checksum(None), "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed");
    assert_eq!(wanted.value, alloy_primitives::U256::from(10_000_000_000_000_000u64));
    assert_eq!(
        (wanted.gas_limit, wanted.max_fee, wanted.priority_fee),
        (25_000, Some(30_000_000_000), Some(1_000_000_000))
    );
    assert!(content.messages(None).is_empty(), "nothing is signed before the transaction is built");
}

#[test]
fn a_transfer_that_is_not_understood_completely_is_refused() {
    for (path, value) in [
        ("/amount", json!(0.01)),
        ("/amount", json!("1e-2")),
        ("/amount", json!("-1")),
        ("/amount", Value::Null),
        ("/destination", Value::Null),
        ("/destination/type", json!("VAULT_ACCOUNT")),
        ("/destination/id", json!("1")),
        ("/destination/oneTimeAddress/address", json!("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD")),
        ("/destination/oneTimeAddress/tag", json!("memo")),
        ("/maxFee", json!("0.0000000001")),
        ("/gasLimit", json!("20999")),
        ("/gasLimit", json!("021000")),
        ("/treatAsGrossAmount", json!(true)),
        ("/forceSweep", json!(true)),
        ("/useGasless", json!("true")),
        ("/extraParameters", json!({})),
        ("/destinations", json!([])),
        ("/gasPrice", json!("1")),
    ] {
        let mut body = transfer();
        let (parent, name) = path.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.into(), value.clone());
        assert!(read(body.to_string().as_bytes()).is_err(), "{path} {value}");
    }
}

#[test]
fn a_contract_call_is_signed_as_it_was_given_and_contradicted_by_nothing() {
    use crate::evm::transaction::{Transfer, Unsigned, tests};
    let unsigned = Unsigned::transfer(&tests::transfer());
    let call = |bytes: &[u8]| {
        json!({
            "operation": "CONTRACT_CALL", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": "3"},
            "amount": "0.01", "destination": transfer()["destination"],
            "extraParameters": {"unsignedTransaction": format!("0x{}", hex::encode(bytes))},
        })
    };
    let given = call(&unsigned.bytes());
    let content = read(given.to_string().as_bytes()).unwrap();
    assert_eq!(content.messages(None)[0].1, unsigned.digest());
    let elsewhere = Unsigned::transfer(&Transfer { chain_id: 17_000, ..tests::transfer() });
    let error = read(call(&elsewhere.bytes()).to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("17000"), "{error}");
    for (path, value) in [
        ("/amount", json!("0.02")),
        ("/destination/oneTimeAddress/address", json!("0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb")),
        ("/extraParameters/unsignedTransaction", json!(hex::encode(unsigned.bytes()))),
        ("/extraParameters/unsignedTransaction", json!("0x")),
        ("/extraParameters/unsignedTransaction", json!("0xzz")),
        ("/extraParameters/more", json!("x")),
        ("/maxFee", json!("1")),
        ("/useGasless", json!(true)),
    ] {
        let mut body = given.clone();
        let (parent, name) = path.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.into(), value.clone());
        assert!(read(body.to_string().as_bytes()).is_err(), "{path} {value}");
    }
}
