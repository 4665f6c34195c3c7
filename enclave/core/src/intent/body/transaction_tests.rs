#![allow(clippy::unwrap_used)]

use super::*;
use crate::intent::U256;
use crate::intent::evm::examples::{GWEI, TO, call, legacy, transfer, unsigned};
use alloy_consensus::TxEip1559;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, TxKind, U256 as Theirs};
use proptest::prelude::*;
use serde_json::json;

fn transfer_body() -> Value {
    json!({
        "operation": "TRANSFER",
        "assetId": "ETH",
        "source": {"type": "VAULT_ACCOUNT", "id": "3"},
        "destination": {"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": TO}},
        "amount": "0.5",
        "note": "rent",
        "externalTxId": "order-1",
    })
}

fn call_body(unsigned: &[u8]) -> Value {
    json!({
        "operation": "CONTRACT_CALL",
        "assetId": "ETH",
        "source": {"type": "VAULT_ACCOUNT", "id": "3"},
        "extraParameters": {"unsignedTransaction": format!("0x{}", hex::encode(unsigned))},
    })
}

fn typed_body(content: Value) -> Value {
    json!({
        "operation": "TYPED_MESSAGE",
        "assetId": "ETH",
        "source": {"type": "VAULT_ACCOUNT", "id": "3"},
        "extraParameters": {"rawMessageData": {"messages": [{"content": content, "type": "EIP712"}]}},
    })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body.as_object_mut().unwrap().insert(name.into(), value);
    body
}

fn decoded(body: &Value, unsigned: Option<&[u8]>) -> Result<Decoded, Refusal> {
    decode(body.to_string().as_bytes(), unsigned)
}

fn code(body: &Value, unsigned: Option<&[u8]>) -> Option<Code> {
    decoded(body, unsigned).err().map(|refusal| refusal.code)
}

/// What a transfer with this change of the transaction is refused for.
fn changed(change: impl FnOnce(&mut TxEip1559)) -> Option<Code> {
    let mut transaction = transfer();
    change(&mut transaction);
    code(&transfer_body(), Some(&unsigned(&transaction)))
}

#[test]
fn a_transfer_signs_the_transaction_that_the_workspace_built_for_it() {
    let bytes = unsigned(&transfer());
    let decoded = decoded(&transfer_body(), Some(&bytes)).unwrap();
    assert_eq!((decoded.operation, decoded.asset.id, decoded.vault_account), (Operation::Transfer, "ETH", 3));
    assert_eq!(decoded.digests, [keccak256(&bytes)]);
    assert_eq!(decoded.paths, [DerivationPath::vault(60, 3, 0, 0).unwrap()]);
    assert_eq!(decoded.messages[0].hashed.as_deref(), Some(&bytes[..]));
    assert_eq!(decoded.transaction().unwrap().value_wei, U256::from(500_000_000_000_000_000));
    assert_eq!((decoded.note.as_deref(), decoded.external.as_deref()), (Some("rent"), Some("order-1")));
    assert_eq!(code(&transfer_body(), Some(&unsigned(&legacy()))), None);
}

#[test]
fn t11_a_transfer_whose_transaction_says_anything_else_is_a_mismatch() {
    let mismatch = Some(Code::Mismatch);
    assert_eq!(changed(|_| ()), None);
    assert_eq!(changed(|t| t.nonce = 8), None, "the nonce alone is free");
    assert_eq!(changed(|t| t.max_fee_per_gas += 1), None, "the client named no price");
    assert_eq!(changed(|t| t.chain_id = 11_155_111), mismatch);
    assert_eq!(changed(|t| t.to = TxKind::Call(Address::from([7; 20]))), mismatch);
    assert_eq!(changed(|t| t.to = TxKind::Create), mismatch);
    assert_eq!(changed(|t| t.value += Theirs::from(1)), mismatch);
    assert_eq!(changed(|t| t.value -= Theirs::from(1)), mismatch);
    assert_eq!(changed(|t| t.value = Theirs::ZERO), mismatch);
    assert_eq!(changed(|t| t.input = vec![0].into()), mismatch);
    assert_eq!(changed(|t| t.gas_limit = 21_001), mismatch);
    assert_eq!(changed(|t| t.gas_limit = 20_999), mismatch);
    let accessed = AccessListItem { address: Address::from([7; 20]), storage_keys: vec![] };
    assert_eq!(changed(|t| t.access_list = AccessList(vec![accessed])), mismatch);
}

#[test]
fn a_transfer_comes_with_a_transaction_and_nothing_else_does() {
    assert_eq!(code(&transfer_body(), None), Some(Code::Malformed));
    for bad in [&b""[..], b"\x02", b"\xc0", &[unsigned(&transfer()), vec![0]].concat()] {
        assert_eq!(code(&transfer_body(), Some(bad)), Some(Code::Malformed), "{bad:x?}");
    }
    let bytes = unsigned(&call());
    assert_eq!(code(&call_body(&bytes), None), None);
    assert_eq!(code(&call_body(&bytes), Some(&bytes)), Some(Code::Malformed));
    let raw = json!({
        "operation": "RAW",
        "assetId": "ETH",
        "source": {"type": "VAULT_ACCOUNT", "id": "3"},
        "extraParameters": {"rawMessageData": {"messages": [{"content": "00".repeat(32)}]}},
    });
    assert_eq!(code(&raw, None), None);
    assert_eq!(code(&raw, Some(&bytes)), Some(Code::Malformed));
}

#[test]
fn a_price_that_the_client_names_is_the_transactions() {
    let market = unsigned(&transfer());
    let legacy = unsigned(&legacy());
    let market_code = |name: &str, value: Value| code(&with(transfer_body(), name, value), Some(&market));
    let legacy_code = |name: &str, value: Value| code(&with(transfer_body(), name, value), Some(&legacy));
    let mismatch = Some(Code::Mismatch);
    assert_eq!(market_code("maxFee", json!("30")), None);
    assert_eq!(market_code("maxFee", json!("30.000000001")), mismatch);
    assert_eq!(market_code("maxFee", json!("29.999999999")), mismatch);
    assert_eq!(market_code("priorityFee", json!(2)), None);
    assert_eq!(market_code("priorityFee", json!("2.1")), mismatch);
    assert_eq!(market_code("gasPrice", json!("30")), mismatch, "it has no such price");
    assert_eq!(legacy_code("gasPrice", json!("30")), None);
    assert_eq!(legacy_code("gasPrice", json!("31")), mismatch);
    assert_eq!(legacy_code("maxFee", json!("30")), mismatch);
    assert_eq!(legacy_code("priorityFee", json!("0")), mismatch);
    assert_eq!(market_code("gasLimit", json!("21000")), None);
    assert_eq!(market_code("gasLimit", json!(21000)), None);
    assert_eq!(market_code("gasLimit", json!("50000")), mismatch);
    let larger = unsigned(&TxEip1559 { gas_limit: 50_000, ..transfer() });
    assert_eq!(code(&with(transfer_body(), "gasLimit", json!("50000")), Some(&larger)), None);
    for name in ["gasLimit", "gasPrice", "maxFee", "priorityFee"] {
        for bad in [json!(1.5), json!("x"), json!(""), json!(true), json!("-1"), json!("1e2")] {
            let refused = market_code(name, bad.clone());
            assert_eq!(refused, Some(Code::Malformed), "{name} {bad}");
        }
    }
    assert_eq!(market_code("maxFee", json!("30.0000000001")), Some(Code::Malformed), "less than a wei");
    assert_eq!(market_code("gasLimit", json!("21000.0")), Some(Code::Malformed));
}

#[test]
fn an_amount_is_an_exact_decimal() {
    let bytes = unsigned(&transfer());
    let amount = |value: Value| decoded(&with(transfer_body(), "amount", value), Some(&bytes)).map(|_| ());
    assert_eq!(amount(json!("0.5")), Ok(()));
    assert_eq!(amount(json!("0.500")), Ok(()));
    for other in ["0.500000000000000001", "0.499999999999999999", "5", "0"] {
        assert_eq!(amount(json!(other)).unwrap_err().code, Code::Mismatch, "{other}");
    }
    let float = amount(json!(0.5)).unwrap_err();
    assert_eq!(float.code, Code::Malformed);
    assert!(float.detail.contains("send it as a string"), "{float}");
    for bad in [json!(null), json!("0,5"), json!(".5"), json!("-0.5"), json!("5e-1"), json!({})] {
        assert_eq!(amount(bad.clone()).unwrap_err().code, Code::Malformed, "{bad}");
    }
    let whole = unsigned(&TxEip1559 { value: Theirs::from(3_000_000_000_000_000_000u64), ..transfer() });
    assert_eq!(code(&with(transfer_body(), "amount", json!(3)), Some(&whole)), None);
}

#[test]
fn a_destination_is_an_address_with_its_checksum() {
    let bytes = unsigned(&transfer());
    let destination = |value: Value| code(&with(transfer_body(), "destination", value), Some(&bytes));
    let one_time = |address: &str| json!({"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": address}});
    assert_eq!(destination(one_time(TO)), None);
    assert_eq!(destination(one_time(&TO.to_lowercase())), None);
    assert_eq!(destination(one_time(&format!("0x{}", TO[2..].to_uppercase()))), None);
    assert_eq!(destination(one_time(&TO.replace("5aAe", "5AAe"))), Some(Code::Malformed), "checksum");
    assert_eq!(destination(one_time(&TO[2..])), Some(Code::Malformed));
    assert_eq!(destination(one_time(&format!("0x{}", "07".repeat(20)))), Some(Code::Mismatch));
    let tagged =
        |tag: Value| destination(json!({"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": TO, "tag": tag}}));
    assert_eq!((tagged(json!(null)), tagged(json!(""))), (None, None));
    assert_eq!(tagged(json!("1")), Some(Code::Malformed));
    for bad in [
        json!({"type": "VAULT_ACCOUNT", "id": "1"}),
        json!({"type": "VAULT_ACCOUNT", "oneTimeAddress": {"address": TO}}),
        json!({"type": "ONE_TIME_ADDRESS", "id": "", "oneTimeAddress": {"address": TO}}),
        json!({"type": "ONE_TIME_ADDRESS"}),
        json!(null),
        json!(TO),
    ] {
        assert_eq!(destination(bad.clone()), Some(Code::Malformed), "{bad}");
    }
}

#[test]
fn t11_what_would_change_the_meaning_of_a_transaction_is_refused() {
    let bytes = unsigned(&transfer());
    for name in ["treatAsGrossAmount", "forceSweep", "useGasless"] {
        for (body, unsigned) in [(transfer_body(), Some(&bytes[..])), (call_body(&bytes), None)] {
            assert_eq!(code(&with(body.clone(), name, json!(false)), unsigned), None, "{name}");
            assert_eq!(code(&with(body.clone(), name, json!(null)), unsigned), None, "{name}");
            for value in [json!(true), json!("true"), json!("false"), json!(0)] {
                assert_eq!(code(&with(body.clone(), name, value), unsigned), Some(Code::Malformed), "{name}");
            }
        }
    }
    for name in ["feeLevel", "customerRefId", "failOnLowFee"] {
        assert_eq!(code(&with(transfer_body(), name, json!("HIGH")), Some(&bytes)), None, "{name}");
    }
    for name in ["destinations", "networkFee", "fee", "replaceTxByHash", "extraParameters", "nonce"] {
        assert_eq!(code(&with(transfer_body(), name, json!({})), Some(&bytes)), Some(Code::Malformed), "{name}");
    }
    for name in ["gasLimit", "maxFee", "destinations", "nonce"] {
        assert_eq!(code(&with(call_body(&bytes), name, json!("1")), None), Some(Code::Malformed), "{name}");
    }
}

#[test]
fn a_contract_call_signs_exactly_the_bytes_that_the_client_gives() {
    let bytes = unsigned(&call());
    let decoded = decoded(&call_body(&bytes), None).unwrap();
    assert_eq!(decoded.digests, [keccak256(&bytes)]);
    assert_eq!(decoded.messages[0].hashed.as_deref(), Some(&bytes[..]));
    assert_eq!(decoded.paths, [DerivationPath::vault(60, 3, 0, 0).unwrap()]);
    assert_eq!(decoded.transaction().unwrap().data, call().input.to_vec());
    let created = unsigned(&TxEip1559 { to: TxKind::Create, ..call() });
    assert_eq!(self::decoded(&call_body(&created), None).unwrap().transaction().unwrap().to, None);
    for bad in [json!(hex::encode(&bytes)), json!("0x"), json!("0x0"), json!("0xzz"), json!(null), json!(["0x"])] {
        let body = with(call_body(&bytes), "extraParameters", json!({"unsignedTransaction": bad}));
        assert_eq!(code(&body, None), Some(Code::Malformed), "{body}");
    }
    let long = vec![0xc0; countersign_wire::limits::MAX_UNSIGNED_BYTES + 1];
    assert_eq!(code(&call_body(&long), None), Some(Code::Malformed));
    let more = json!({"unsignedTransaction": format!("0x{}", hex::encode(&bytes)), "contractCallData": "0x"});
    assert_eq!(code(&with(call_body(&bytes), "extraParameters", more), None), Some(Code::Malformed));
}

#[test]
fn t11_a_contract_call_that_contradicts_its_bytes_is_a_mismatch() {
    let bytes = unsigned(&TxEip1559 { input: vec![1].into(), ..transfer() });
    let to = |address: &str| json!({"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": address}});
    let said = |name: &str, value: Value| code(&with(call_body(&bytes), name, value), None);
    assert_eq!(said("destination", to(TO)), None);
    assert_eq!(said("amount", json!("0.5")), None);
    assert_eq!(said("destination", to(&format!("0x{}", "07".repeat(20)))), Some(Code::Mismatch));
    assert_eq!(said("amount", json!("0.51")), Some(Code::Mismatch));
    assert_eq!(said("amount", json!(0.5)), Some(Code::Malformed));
    assert_eq!(said("assetId", json!("ETH_TEST5")), Some(Code::Mismatch), "another chain");
    let created = unsigned(&TxEip1559 { to: TxKind::Create, ..call() });
    assert_eq!(code(&with(call_body(&created), "destination", to(TO)), None), Some(Code::Mismatch));
}

#[test]
fn a_fee_above_the_built_in_cap_is_too_high() {
    // 100,000 gas at 5,000 Gwei is half an Ether.
    let at_cap = TxEip1559 { gas_limit: 100_000, max_fee_per_gas: 5_000 * GWEI, ..transfer() };
    let above = TxEip1559 { max_fee_per_gas: 5_000 * GWEI + 1, ..at_cap.clone() };
    let limited = with(transfer_body(), "gasLimit", json!("100000"));
    assert_eq!(code(&limited, Some(&unsigned(&at_cap))), None);
    assert_eq!(code(&limited, Some(&unsigned(&above))), Some(Code::FeeTooHigh));
    assert_eq!(
        code(&with(limited, "maxFee", json!("5000.000000001")), Some(&unsigned(&above))),
        Some(Code::FeeTooHigh)
    );
    assert_eq!(code(&call_body(&unsigned(&at_cap)), None), None);
    assert_eq!(code(&call_body(&unsigned(&above)), None), Some(Code::FeeTooHigh));
    let test = |price: u128| {
        let transaction = TxEip1559 { chain_id: 17_000, max_fee_per_gas: price, ..at_cap.clone() };
        code(&with(call_body(&unsigned(&transaction)), "assetId", json!("ETH_TEST6")), None)
    };
    assert_eq!(test(100_000 * GWEI), None);
    assert_eq!(test(100_000 * GWEI + 1), Some(Code::FeeTooHigh));
}

#[test]
fn typed_data_is_of_the_assets_chain() {
    let content = |domain: Value| {
        json!({
            "types": {"A": [{"name": "a", "type": "uint256"}]},
            "primaryType": "A",
            "domain": domain,
            "message": {"a": 1},
        })
    };
    let of = |chain_id: Value| typed_body(content(json!({"name": "n", "chainId": chain_id})));
    let decoded = decoded(&of(json!(1)), None).unwrap();
    let hashed = decoded.messages[0].hashed.clone().unwrap();
    assert_eq!((hashed.len(), &hashed[..2]), (66, &[0x19, 0x01][..]));
    assert_eq!(decoded.digests, [keccak256(&hashed)]);
    assert_eq!(decoded.transaction(), None);
    assert_eq!((code(&of(json!("1")), None), code(&of(json!("0x1")), None)), (None, None));
    for other in [json!(2), json!("11155111"), json!(0)] {
        assert_eq!(code(&of(other.clone()), None), Some(Code::Mismatch), "T11 {other}");
    }
    assert_eq!(code(&typed_body(content(json!({"name": "n"}))), None), None, "no chain is named, and that is shown");
    assert_eq!(code(&typed_body(json!(content(json!({"chainId": 1})).to_string())), None), None);
    for bad in [json!(null), json!("{}"), json!({}), json!("68656c6c6f"), content(json!({}))] {
        assert_eq!(code(&typed_body(bad.clone()), None), Some(Code::Malformed), "{bad}");
    }
}

proptest! {
    #[test]
    fn t46_changed_bodies_and_transactions_are_decoded_or_refused(
        body in 0usize..3, at in any::<prop::sample::Index>(), flip in 1u8.., in_unsigned in any::<bool>(),
    ) {
        let mut bytes = unsigned(&transfer());
        let content = json!({
            "types": {"A": [{"name": "a", "type": "int8[2]"}]}, "primaryType": "A", "domain": {"chainId": 1}, "message": {"a": [1, -1]},
        });
        let mut text = [transfer_body(), call_body(&unsigned(&call())), typed_body(content)][body].to_string().into_bytes();
        let changed = if in_unsigned && body == 0 { &mut bytes } else { &mut text };
        let at = at.index(changed.len());
        changed[at] ^= flip;
        let unsigned = (body == 0).then_some(&bytes[..]);
        if let Ok(decoded) = decode(&text, unsigned) {
            let message = &decoded.messages[0];
            prop_assert_eq!(decoded.digests, vec![keccak256(message.hashed.as_deref().unwrap())]);
        }
    }
}
