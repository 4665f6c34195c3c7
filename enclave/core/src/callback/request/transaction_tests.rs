#![allow(clippy::unwrap_used)]

use super::golden::permit;
use super::tests::{Case, decoded, raw};
use crate::intent::examples::{GWEI, TO, call, transfer, unsigned};
use crate::intent::{Decoded, decode};
use alloy_consensus::TxEip1559;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, TxKind, U256};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Half an Ether to [`TO`], as the client asks for it.
pub(super) fn transferred(transaction: &TxEip1559) -> Decoded {
    let body = json!({
        "operation": "TRANSFER",
        "assetId": "ETH",
        "source": {"type": "VAULT_ACCOUNT", "id": "3"},
        "destination": {"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": TO.to_lowercase()}},
        "amount": "0.50",
        "note": "pay the miller",
        "externalTxId": "order-1",
    });
    decode(body.to_string().as_bytes(), Some(&unsigned(transaction))).unwrap()
}

fn call_body(unsigned: &[u8]) -> Vec<u8> {
    let body = json!({
        "operation": "CONTRACT_CALL",
        "assetId": "ETH",
        "source": {"type": "VAULT_ACCOUNT", "id": "3"},
        "extraParameters": {"unsignedTransaction": format!("0x{}", hex::encode(unsigned))},
    });
    body.to_string().into_bytes()
}

pub(super) fn called(transaction: &TxEip1559) -> Decoded {
    decode(&call_body(&unsigned(transaction)), None).unwrap()
}

#[test]
fn a_transfer_shows_what_its_transaction_moves_and_where() {
    let shown = Case::new(transferred(&transfer())).shown();
    let members = ["destType", "destAddressType", "destAddress", "amountStr", "requestedAmountStr", "fee"];
    let texts = members.map(|name| shown[name].as_str().unwrap().to_owned());
    assert_eq!(texts, ["ONE_TIME_ADDRESS", "ONE_TIME", TO, "0.5", "0.5", "0.00063"]);
    assert_eq!((&shown["amount"], &shown["requestedAmount"]), (&json!(0.5), &json!(0.5)));
    let destinations = json!([{
        "amountNative": 0.5,
        "amountNativeStr": "0.5",
        "amountUSD": 0,
        "dstAddressType": "ONE_TIME",
        "dstAddress": TO,
        "dstId": "",
        "dstWalletId": "",
        "dstName": "",
        "dstSubType": "",
        "dstType": "ONE_TIME_ADDRESS",
        "displayDstAddress": TO,
        "action": "ALLOW",
        "actionInfo": {
            "capturedRuleNum": 0,
            "rulesSnapshotId": 0,
            "byGlobalPolicy": false,
            "byRule": false,
            "capturedRule": "{}",
        },
    }]);
    assert_eq!(shown["destinations"], destinations);
    assert_eq!(shown["rawTx"][0]["rawTx"], hex::encode(unsigned(&transfer())));
    let extra = json!({
        "countersign": {
            "intent": {"initiator": "client", "nonce": "n"},
            "evm": {
                "type": 2,
                "chainId": 1,
                "nonce": "7",
                "to": TO,
                "value": "500000000000000000",
                "gasLimit": "21000",
                "maxFeePerGas": "30000000000",
                "maxPriorityFeePerGas": "2000000000",
                "maxFee": "630000000000000",
                "accessList": [],
            },
            "chosenByWorkspace": [
                "countersign.evm.maxFee",
                "countersign.evm.maxFeePerGas",
                "countersign.evm.maxPriorityFeePerGas",
                "countersign.evm.nonce",
                "countersign.evm.type",
                "fee",
            ],
            "unverified": [
                "destId",
                "destinations[].action",
                "destinations[].actionInfo",
                "destinations[].amountUSD",
                "destinations[].dstId",
                "destinations[].dstName",
                "destinations[].dstSubType",
                "destinations[].dstWalletId",
            ],
        },
    });
    assert_eq!(shown["extraParameters"], extra);
}

#[test]
fn a_contract_call_shows_its_calldata_and_what_it_accesses() {
    let accessed = AccessListItem { address: Address::from([7; 20]), storage_keys: vec![[8; 32].into()] };
    let shown = Case::new(called(&TxEip1559 { access_list: AccessList(vec![accessed]), ..call() })).shown();
    assert_eq!(shown["operation"], "CONTRACT_CALL");
    assert_eq!(shown["extraParameters"]["contractCallData"], format!("0x{}", hex::encode(&call().input)));
    let list = json!([{
        "address": "0x0707070707070707070707070707070707070707",
        "storageKeys": [format!("0x{}", "08".repeat(32))],
    }]);
    assert_eq!(shown["extraParameters"]["countersign"]["evm"]["accessList"], list);
    assert_eq!(shown["extraParameters"].get("rawMessageData"), None);
    assert_eq!((&shown["amountStr"], &shown["amount"], &shown["destAddress"]), (&json!("0"), &json!(0), &json!(TO)));
    assert_eq!(shown["destinations"][0]["amountNativeStr"], "0");
}

#[test]
fn the_creation_of_a_contract_has_no_destination() {
    let created = TxEip1559 { to: TxKind::Create, ..call() };
    let shown = Case::new(called(&created)).shown();
    for member in ["destType", "destAddressType", "destAddress"] {
        assert_eq!(shown[member], "", "{member}");
    }
    assert_eq!(shown["destinations"], json!([]));
    assert_eq!(shown["extraParameters"]["countersign"]["evm"]["to"], json!(null));
    assert_eq!(shown["extraParameters"]["countersign"]["unverified"], json!(["destId"]));
    let endowed = Case::new(called(&TxEip1559 { value: U256::from(1), ..created })).shown();
    assert_eq!(endowed["destinations"][0]["amountNativeStr"], "0.000000000000000001");
    assert_eq!(endowed["destinations"][0]["amountNative"], json!(1e-18));
    assert_eq!(endowed["destinations"][0]["dstAddress"], "");
}

#[test]
fn a_list_of_unverified_members_is_sorted_and_names_members() {
    let cases = [Case::new(raw()), Case::new(transferred(&transfer())), Case::new(called(&call()))];
    for shown in cases.map(|case| case.shown()) {
        let names = shown["extraParameters"]["countersign"]["unverified"].as_array().unwrap();
        let names: Vec<_> = names.iter().map(|name| name.as_str().unwrap()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for name in names {
            let pointer = format!("/{}", name.replace("[].", "/0/"));
            assert!(shown.pointer(&pointer).is_some(), "{name}");
        }
    }
}

#[test]
fn what_is_shown_of_a_transaction_hashes_to_what_is_signed() {
    let typed = json!([{"type": "EIP712", "content": permit()}]);
    let cases = [
        Case::new(transferred(&transfer())),
        Case::new(called(&call())),
        Case::new(decoded("TYPED_MESSAGE", "ETH", typed)),
    ];
    for shown in cases.map(|case| case.shown()) {
        let bytes = hex::decode(shown["rawTx"][0]["rawTx"].as_str().unwrap()).unwrap();
        let payload = alloy_primitives::keccak256(bytes);
        assert_eq!(shown["rawTx"][0]["payload"], hex::encode(payload));
    }
}

#[test]
fn typed_data_is_shown_as_an_object_also_where_it_came_in_a_text() {
    let messages = |last: Value| {
        json!([
            {"type": "EIP712", "content": permit()},
            {"type": "EIP191", "content": "68656c6c6f"},
            {"type": "EIP712", "content": last},
        ])
    };
    let shown = Case::new(decoded("TYPED_MESSAGE", "ETH", messages(permit().to_string().into()))).shown();
    assert_eq!(shown["extraParameters"]["rawMessageData"]["messages"], messages(permit()));
    let typed = shown["extraParameters"]["countersign"]["typedData"].as_array().unwrap();
    assert_eq!(typed.iter().map(|t| t["message"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 2]);
    for typed in typed {
        assert_eq!((&typed["primaryType"], &typed["chainId"]), (&json!("Permit"), &json!("1")));
        let hashed = shown["rawTx"][0]["rawTx"].as_str().unwrap();
        let (separator, hash) = (typed["domainSeparator"].as_str().unwrap(), typed["structHash"].as_str().unwrap());
        assert_eq!(hashed, format!("1901{separator}{hash}"));
    }
}

#[test]
fn t24_the_request_id_covers_every_field_of_a_transaction() {
    let id = |change: fn(&mut TxEip1559)| {
        let mut transaction = call();
        change(&mut transaction);
        Case::new(called(&transaction)).ask().request_id
    };
    let ids = [
        id(|_| ()),
        id(|t| t.nonce = 8),
        id(|t| t.gas_limit += 1),
        id(|t| t.max_fee_per_gas = 31 * GWEI),
        id(|t| t.max_priority_fee_per_gas = 3 * GWEI),
        id(|t| t.to = TxKind::Create),
        id(|t| t.to = TxKind::Call(Address::from([7; 20]))),
        id(|t| t.value = U256::from(1)),
        id(|t| t.input = vec![1].into()),
        id(|t| t.access_list = AccessList(vec![AccessListItem { address: Address::ZERO, storage_keys: vec![] }])),
        Case::new(transferred(&transfer())).ask().request_id,
        Case::new(called(&transfer())).ask().request_id,
    ];
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[test]
fn t24_every_changed_byte_of_a_transaction_is_refused_or_changes_digest_and_request_id() {
    let bytes = unsigned(&call());
    let case = Case::new(called(&call()));
    let (id, digest) = (case.ask().request_id, case.decoded.digests[0]);
    let mut decodable = 0;
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            if let Ok(decoded) = decode(&call_body(&changed), None) {
                decodable += 1;
                assert_ne!(decoded.digests[0], digest, "byte {at}");
                assert_ne!(Case::new(decoded).ask().request_id, id, "byte {at}");
            }
        }
    }
    assert!(decodable > bytes.len(), "most changes of calldata and address give another transaction: {decodable}");
}
