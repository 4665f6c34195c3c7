#![allow(clippy::unwrap_used)]

use super::*;
use countersign_wire::limits::MAX_DIGESTS;
use serde_json::json;

const HASH: &str = "77b4e74099ce90c08503c0e0bb6e672dbe1c5e3e127ce333bf22eb581cd3f6ce";

fn raw_body() -> Value {
    json!({
        "operation": "RAW",
        "assetId": "ETH",
        "source": {"type": "VAULT_ACCOUNT", "id": "0"},
        "extraParameters": {"rawMessageData": {"messages": [{"content": HASH}]}},
    })
}

fn typed_body() -> Value {
    json!({
        "operation": "TYPED_MESSAGE",
        "assetId": "ETH_TEST5",
        "source": {"type": "VAULT_ACCOUNT", "id": "7"},
        "note": "a note",
        "externalTxId": "order-1",
        "extraParameters": {"rawMessageData": {"messages": [{"content": "68656C6c6f", "type": "EIP191"}]}},
    })
}

fn decoded(body: &Value) -> Result<Decoded, Refusal> {
    decode(body.to_string().as_bytes(), None)
}

fn with(mut body: Value, pointer: &str, name: &str, value: Value) -> Value {
    body.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(name.into(), value);
    body
}

const MESSAGE: &str = "/extraParameters/rawMessageData/messages/0";

#[track_caller]
fn refused(body: &Value) {
    assert_eq!(decoded(body).map_err(|r| r.code), Err(Code::Malformed), "{body}");
}

#[test]
fn a_raw_request_signs_the_given_hash_at_the_vault_accounts_path() {
    let decoded = decoded(&raw_body()).unwrap();
    assert_eq!(decoded.operation, Operation::Raw);
    assert_eq!((decoded.asset.id, decoded.vault_account), ("ETH", 0));
    assert_eq!(decoded.digests.iter().map(hex::encode).collect::<Vec<_>>(), [HASH]);
    assert_eq!(decoded.paths, [DerivationPath::vault(60, 0, 0, 0).unwrap()]);
    assert_eq!(decoded.messages[0].hashed, None);
    assert_eq!((decoded.note, decoded.external), (None, None));
}

#[test]
fn a_typed_message_is_hashed_here() {
    let decoded = decoded(&typed_body()).unwrap();
    assert_eq!(decoded.operation, Operation::TypedMessage);
    assert_eq!(decoded.paths, [DerivationPath::vault(1, 7, 0, 0).unwrap()]);
    let hashed = decoded.messages[0].hashed.clone().unwrap();
    assert_eq!(hashed, b"\x19Ethereum Signed Message:\n5hello");
    assert_eq!(decoded.digests, [keccak256(&hashed)]);
    assert_eq!(decoded.messages[0].written, Written::Eip191("68656C6c6f".into()), "shown as the client wrote it");
    assert_eq!(decoded.note.as_deref(), Some("a note"));
    assert_eq!(decoded.external.as_deref(), Some("order-1"));
}

#[test]
fn address_index_and_change_select_the_path_in_both_spellings() {
    for spelling in ["bip44AddressIndex", "bip44addressIndex"] {
        let body = with(with(raw_body(), MESSAGE, spelling, json!(5)), MESSAGE, "bip44change", json!(1));
        assert_eq!(decoded(&body).unwrap().paths, [DerivationPath::vault(60, 0, 1, 5).unwrap()]);
    }
    refused(&with(with(raw_body(), MESSAGE, "bip44AddressIndex", json!(5)), MESSAGE, "bip44addressIndex", json!(6)));
    refused(&with(raw_body(), MESSAGE, "bip44change", json!(2)));
    refused(&with(raw_body(), MESSAGE, "bip44AddressIndex", json!(2_147_483_648_u32)));
    refused(&with(raw_body(), MESSAGE, "bip44AddressIndex", json!(-1)));
    refused(&with(raw_body(), MESSAGE, "bip44AddressIndex", json!(1.5)));
}

#[test]
fn t11_a_derivation_path_other_than_the_derived_one_is_refused() {
    let given = |path: Value| with(raw_body(), MESSAGE, "derivationPath", path);
    assert!(decoded(&given(json!([44, 60, 0, 0, 0]))).is_ok());
    for other in [json!([44, 60, 1, 0, 0]), json!([44, 60, 0, 0]), json!([44, 0, 0, 0, 0]), json!([]), json!("m/44")] {
        refused(&given(other));
    }
}

#[test]
fn t11_a_member_that_is_not_understood_is_refused_everywhere() {
    for pointer in ["", "/source", "/extraParameters", "/extraParameters/rawMessageData", MESSAGE] {
        refused(&with(raw_body(), pointer, "unknown", json!(null)));
    }
    for name in ["destination", "amount", "destinations", "expiresAfterSeconds", "gasPrice", "replaceTxByHash"] {
        refused(&with(raw_body(), "", name, json!("1")));
    }
    refused(&with(raw_body(), MESSAGE, "preHash", json!({"content": "00"})));
    refused(&with(raw_body(), "/extraParameters", "contractCallData", json!("00")));
}

#[test]
fn members_without_a_meaning_for_the_signature_are_plain_values() {
    let names = ["customerRefId", "feeLevel", "failOnLowFee", "treatAsGrossAmount", "forceSweep", "useGasless"];
    for name in names {
        for value in [json!("MEDIUM"), json!(false), json!(null)] {
            assert_eq!(decoded(&with(raw_body(), "", name, value)), decoded(&raw_body()), "{name}");
        }
        refused(&with(raw_body(), "", name, json!({"a": 1})));
        refused(&with(raw_body(), "", name, json!([1])));
    }
}

#[test]
fn t37_duplicate_members_are_refused_at_every_depth() {
    let plain = raw_body().to_string();
    for (once, twice) in [
        ("\"operation\":\"RAW\"", "\"operation\":\"RAW\",\"operation\":\"RAW\""),
        ("\"id\":\"0\"", "\"id\":\"1\",\"id\":\"0\""),
        ("\"content\":", "\"content\":\"00\",\"content\":"),
    ] {
        let body = plain.replacen(once, twice, 1);
        assert_ne!(body, plain);
        assert_eq!(decode(body.as_bytes(), None).map_err(|r| r.code), Err(Code::Malformed), "{body}");
    }
}

#[test]
fn a_raw_message_is_exactly_32_bytes_of_hexadecimal() {
    assert!(decoded(&with(raw_body(), MESSAGE, "content", json!(HASH.to_uppercase()))).is_ok());
    for content in [
        json!(""),
        json!(&HASH[2..]),
        json!(format!("0x{HASH}")),
        json!(format!("{HASH}00")),
        json!(format!("{}zz", &HASH[2..])),
        json!(5),
        json!(null),
    ] {
        refused(&with(raw_body(), MESSAGE, "content", content));
    }
    refused(&with(raw_body(), MESSAGE, "type", json!("EIP191")));
}

#[test]
fn a_typed_message_has_a_known_type_and_hexadecimal_content() {
    for kind in [json!("EIP1271"), json!("eip191"), json!(null), json!(191)] {
        refused(&with(typed_body(), MESSAGE, "type", kind));
    }
    for content in [json!("0x68"), json!("6"), json!("hello"), json!({"types": {}})] {
        refused(&with(typed_body(), MESSAGE, "content", content));
    }
}

#[test]
fn operation_asset_source_and_algorithm_are_known_ones() {
    for operation in [json!("MINT"), json!("raw"), json!(null), json!(0)] {
        refused(&with(raw_body(), "", "operation", operation));
    }
    for asset in [json!("BTC"), json!("eth"), json!(""), json!(null)] {
        refused(&with(raw_body(), "", "assetId", asset));
    }
    for id in [json!("00"), json!("+1"), json!(""), json!("-1"), json!("4294967296"), json!("2147483648"), json!(0)] {
        refused(&with(raw_body(), "/source", "id", id));
    }
    refused(&with(raw_body(), "/source", "type", json!("EXTERNAL_WALLET")));
    let algorithm = |name: &str| with(raw_body(), "/extraParameters/rawMessageData", "algorithm", json!(name));
    assert!(decoded(&algorithm("MPC_ECDSA_SECP256K1")).is_ok());
    refused(&algorithm("MPC_EDDSA_ED25519"));
}

#[test]
fn everything_has_a_limit() {
    let messages = |count: usize| {
        let list = vec![json!({"content": HASH}); count];
        with(raw_body(), "/extraParameters/rawMessageData", "messages", json!(list))
    };
    assert_eq!(decoded(&messages(MAX_DIGESTS)).unwrap().digests.len(), MAX_DIGESTS);
    refused(&messages(MAX_DIGESTS + 1));
    refused(&messages(0));
    refused(&with(raw_body(), "", "note", json!("n".repeat(MAX_NOTE_BYTES + 1))));
    refused(&with(raw_body(), "", "externalTxId", json!("e".repeat(MAX_NAME_BYTES + 1))));
    refused(&with(raw_body(), "", "externalTxId", json!("")));
    let padded = format!("{}{}", raw_body(), " ".repeat(MAX_REQUEST_BODY_BYTES));
    assert_eq!(decode(padded.as_bytes(), None).map_err(|r| r.code), Err(Code::Malformed));
    for bad in [&b""[..], b"[]", b"null", b"\xff", b"{}"] {
        assert_eq!(decode(bad, None).map_err(|r| r.code), Err(Code::Malformed));
    }
}
