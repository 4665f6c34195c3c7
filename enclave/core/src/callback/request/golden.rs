//! The whole payload of each operation, as files that documents show.
#![allow(clippy::unwrap_used)]

use super::payload::Payload;
use super::tests::{Case, decoded};
use super::transaction_tests::{called, transferred};
use super::*;
use crate::intent::examples::{call, transfer};
use serde_json::{Value, json};

/// A permission for a spender (EIP-2612).
pub(super) fn permit() -> Value {
    json!({
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Permit": [
                {"name": "owner", "type": "address"},
                {"name": "spender", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
            ],
        },
        "primaryType": "Permit",
        "domain": {
            "name": "USD Coin",
            "version": "2",
            "chainId": 1,
            "verifyingContract": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
        },
        "message": {
            "owner": "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
            "spender": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "value": "1000000",
            "nonce": 0,
            "deadline": "1900000000",
        },
    })
}

#[track_caller]
fn golden(known: &str, decoded: Decoded) {
    let case = Case::new(decoded);
    let question = case.ask();
    let mut payload: Payload<'_> = payload(&case.transaction_shown());
    payload.request_id = Some(question.request_id);
    assert_eq!(serde_json::to_vec(&payload).unwrap(), question.payload, "the file shows what is sent");
    let shown = serde_json::to_string_pretty(&payload).unwrap() + "\n";
    // This crate reads and writes no file, its tests included: take a difference over by hand, once looked at.
    assert_eq!(shown, known, "testdata/callback has another one");
}

#[test]
fn a_raw_request_is_the_documented_one() {
    golden(
        include_str!("../../../testdata/callback/raw.json"),
        decoded("RAW", "ETH", json!([{"content": "5a".repeat(32)}])),
    );
}

#[test]
fn an_eip_191_message_is_the_documented_one() {
    let message = json!([{"content": hex::encode("hello world"), "type": "EIP191"}]);
    golden(
        include_str!("../../../testdata/callback/typed_message_eip191.json"),
        decoded("TYPED_MESSAGE", "ETH", message),
    );
}

#[test]
fn typed_data_is_the_documented_one() {
    let message = json!([{"content": permit(), "type": "EIP712"}]);
    golden(
        include_str!("../../../testdata/callback/typed_message_eip712.json"),
        decoded("TYPED_MESSAGE", "ETH", message),
    );
}

#[test]
fn a_transfer_is_the_documented_one() {
    golden(include_str!("../../../testdata/callback/transfer.json"), transferred(&transfer()));
}

#[test]
fn a_contract_call_is_the_documented_one() {
    golden(include_str!("../../../testdata/callback/contract_call.json"), called(&call()));
}
