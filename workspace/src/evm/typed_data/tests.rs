//! What typed data is hashed to, and what it is refused for.

use super::types::MAX_NODES;
use super::*;
use countersign_wire::evm::{MAX_ARRAY_ITEMS, MAX_DEPTH, MAX_DIMENSIONS, MAX_MEMBERS, MAX_TYPES};
use serde_json::json;
use std::time::{Duration, Instant};

/// The example of EIP-712.
pub fn mail() -> Value {
    json!({
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"}, {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"}
            ],
            "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
            "Mail": [
                {"name": "from", "type": "Person"}, {"name": "to", "type": "Person"},
                {"name": "contents", "type": "string"}
            ],
        },
        "primaryType": "Mail",
        "domain": {
            "name": "Ether Mail", "version": "1", "chainId": 1,
            "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
        },
        "message": {
            "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
            "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
            "contents": "Hello, Bob!",
        },
    })
}

/// The digest that the EIP's own example states.
#[test]
fn the_example_of_eip_712_has_the_digest_that_it_states() {
    let expected = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2";
    assert_eq!(hex::encode(digest(&mail(), 1).unwrap()), expected);
    let mut without = mail();
    without["types"].as_object_mut().unwrap().remove("EIP712Domain");
    assert_eq!(hex::encode(digest(&without, 1).unwrap()), expected, "the domain's type follows from the domain");
}

#[test]
fn what_is_not_hashed_is_not_accepted() {
    assert!(digest(&mail(), 5).is_err(), "another chain");
    for (path, name, value) in [
        ("", "more", json!(1)),
        ("", "primaryType", json!("Person2")),
        ("", "primaryType", json!("EIP712Domain")),
        ("/domain", "chainId", json!(2)),
        ("/domain", "chainId", json!([1])),
        ("/domain", "more", json!("x")),
        ("/domain", "salt", json!("0x00")),
        ("/message", "more", json!("x")),
        ("/message/from", "more", json!("x")),
        ("/message", "from", json!("Cow")),
        ("/message/from", "wallet", json!("0x12")),
        ("/types", "Person", json!([{"name": "name", "type": "string"}])),
        ("/types", "Person", json!([{"name": "name", "type": "string", "more": 1}])),
        ("/types", "Mail", json!([{"name": "from", "type": "Nobody"}])),
    ] {
        let mut data = mail();
        data.pointer_mut(path).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value.clone());
        assert!(digest(&data, 1).is_err(), "{path}/{name} {value}");
    }
    for (path, name) in [("", "types"), ("/message", "contents"), ("/domain", "version")] {
        let mut data = mail();
        data.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(name);
        assert!(digest(&data, 1).is_err(), "{path}/{name}");
    }
}

fn document(types: Value, message: Value) -> Value {
    json!({"types": types, "primaryType": "T0", "domain": {"chainId": 1}, "message": message})
}

/// Why types are refused that have no values to go with.
fn refused(types: Value) -> TypedDataError {
    digest(&document(types, json!({})), 1).unwrap_err()
}

/// `T0` to the one before `Tn`, each with members of the next type, and `Tn`.
fn chain(length: usize, members: usize, array: &str) -> Value {
    let link = |n: usize| {
        let all = (0..members).map(|m| json!({"name": format!("m{m}"), "type": format!("T{}{array}", n + 1)}));
        (format!("T{n}"), all.collect())
    };
    let last = (format!("T{length}"), json!([{"name": "a", "type": "bool"}]));
    Value::Object((0..length).map(link).chain([last]).collect())
}

/// The message of a value whose one member is `a`.
fn one(written: &str, value: Value) -> Result<Digest, TypedDataError> {
    digest(&document(json!({"T0": [{"name": "a", "type": written}]}), json!({"a": value})), 1)
}

#[test]
fn types_that_expand_to_more_than_anybody_can_hold_are_refused_at_once() {
    let begun = Instant::now();
    let nodes = TypedDataError::Limit("members in a type, those of the types within it counted", MAX_NODES);
    assert_eq!(refused(chain(MAX_DEPTH, 2, "[]")), nodes, "2^16 nodes, no other limit in the way");
    assert_eq!(refused(chain(MAX_DEPTH, MAX_MEMBERS, "")), nodes, "2^96: the count saturates");
    let depth = TypedDataError::Limit("types within types", MAX_DEPTH);
    for (length, members) in [(40, 2), (MAX_DEPTH + 1, 1)] {
        let got = refused(chain(length, members, "[]"));
        assert!(got == nodes || got == depth, "2^{length}: {got}");
    }
    let types = TypedDataError::Limit("types, the domain's among them", MAX_TYPES);
    assert_eq!(refused(chain(1_900, 1, "")), types);
    assert_eq!(refused(chain(MAX_TYPES - 1, 1, "")), types, "with the domain's there are 65");
    assert_eq!(refused(chain(MAX_TYPES - 2, 1, "")), depth);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn deep_arrays_and_wide_types_are_refused() {
    let dimensions = TypedDataError::Limit("dimensions of an array", MAX_DIMENSIONS);
    for count in [MAX_DIMENSIONS + 1, 30_000] {
        let written = format!("uint8{}", "[]".repeat(count));
        assert_eq!(refused(json!({"T0": [{"name": "a", "type": written}]})), dimensions);
    }
    assert!(one("uint8[][2][][1]", json!([[[[1], [2, 3]], [[], []]]])).is_ok());
    let members: Vec<Value> = (0..=MAX_MEMBERS).map(|n| json!({"name": format!("m{n}"), "type": "bool"})).collect();
    assert_eq!(refused(json!({"T0": members})), TypedDataError::Limit("members of a type", MAX_MEMBERS));
    assert!(one("bool[]", json!(vec![true; MAX_ARRAY_ITEMS])).is_ok());
    assert!(one("bool[]", json!(vec![true; MAX_ARRAY_ITEMS + 1])).is_err());
    assert!(one("bool[4097]", json!(vec![true; MAX_ARRAY_ITEMS + 1])).is_err());
}

/// The library writes and hashes all types again for every structure.
#[test]
fn structures_are_limited_by_what_hashing_their_types_costs() {
    let wide: Vec<Value> = (0..MAX_MEMBERS).map(|n| json!({"name": format!("{n:x>100}"), "type": "uint256"})).collect();
    let document = |count: usize| {
        let types = json!({
            "T0": [{"name": "a", "type": "T1[]"}], "T1": [{"name": "b", "type": "T2[]"}], "T2": wide.clone(),
        });
        document(types, json!({"a": vec![json!({"b": []}); count]}))
    };
    assert!(digest(&document(100), 1).is_ok());
    let error = digest(&document(4_000), 1).unwrap_err();
    assert!(matches!(error, TypedDataError::Limit(what, _) if what.starts_with("bytes of types")), "{error}");
}

#[test]
fn names_that_are_none_and_types_without_an_end_are_refused() {
    for name in ["a:b", "$T", "T$", "a b", "1a", "", "Ä", "uint256", "bytes99", "string", "T(", &"x".repeat(129)] {
        let definition = json!([{"name": "a", "type": "bool"}]);
        assert!(matches!(refused(json!({"T0": definition, name: definition})), TypedDataError::Name(_)), "{name}");
    }
    for name in ["a:b", "a b", "1a", "", "Ä", "a,bool b", &"x".repeat(129)] {
        let types = json!({"T0": [{"name": name, "type": "bool"}]});
        assert!(matches!(refused(types), TypedDataError::Name(_)), "{name}");
    }
    assert!(digest(&document(json!({"T0": [{"name": "$a", "type": "bool"}]}), json!({"$a": true})), 1).is_ok());
    for written in [
        "uint",
        "uint7",
        "uint08",
        "uint264",
        "int0",
        "bytes0",
        "bytes33",
        "fixed128x18",
        "T$",
        "a:b",
        "T0[0]",
        "T0[01]",
        "T0[",
        "T0[]x",
        "[]",
        "",
        "EIP712Domain",
        "(bool)",
    ] {
        let types = json!({"T0": [{"name": "a", "type": written}]});
        assert!(matches!(refused(types), TypedDataError::Type(_)), "{written}");
    }
    let undefined = refused(json!({"T0": [], "Unused": [{"name": "a", "type": "Nowhere"}]}));
    assert_eq!(undefined, TypedDataError::UndefinedType("Nowhere".into()), "also where nothing refers to it");
    for types in [
        json!({"T0": [{"name": "a", "type": "T0[]"}]}),
        json!({"T0": [{"name": "a", "type": "B"}], "B": [{"name": "a", "type": "C[2]"}], "C": [{"name": "a", "type": "T0"}]}),
    ] {
        assert!(matches!(refused(types), TypedDataError::Cycle(_)));
    }
}

/// The vectors of the co-signers' own reader.
#[test]
fn values_have_the_one_form_that_co_signers_read() {
    let address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let exact = 9_007_199_254_740_991_i64;
    let max = format!("0x{}", "f".repeat(64));
    for (written, value) in [
        ("bool", json!(true)),
        ("address", json!(address)),
        ("address", json!(address.to_lowercase())),
        ("string", json!("")),
        ("bytes", json!("0x")),
        ("bytes4", json!("0xdeadBEEF")),
        ("uint8", json!(255)),
        ("uint8", json!("0x00ff")),
        ("uint64", json!(exact)),
        ("uint64", json!("18446744073709551615")),
        ("uint256", json!(max)),
        ("int8", json!(-128)),
        ("int8", json!("-128")),
        ("int8", json!("0x7f")),
        ("int64", json!(-exact)),
        ("int64", json!("-9223372036854775808")),
        ("int256", json!(format!("-{}", U256::from(1) << 255))),
    ] {
        assert!(one(written, value.clone()).is_ok(), "{written} {value}: {:?}", one(written, value.clone()));
    }
    for (written, value) in [
        ("bool", json!("true")),
        ("bool", json!(1)),
        ("address", json!(&address[2..])),
        ("address", json!(address.replace("aA", "aa"))),
        ("address", json!("0x12")),
        ("string", json!(5)),
        ("bytes", json!("")),
        ("bytes", json!("00")),
        ("bytes", json!("0x0")),
        ("bytes", json!([1, 2])),
        ("bytes4", json!("deadbeef")),
        ("bytes4", json!("0xdeadbe")),
        ("bytes4", json!("0Xdeadbeef")),
        ("uint8", json!(256)),
        ("uint8", json!("-1")),
        ("uint8", json!(1.0)),
        ("uint8", json!("01")),
        ("uint8", json!("1_0")),
        ("uint8", json!("0b1")),
        ("uint8", json!("0o7")),
        ("uint8", json!("+1")),
        ("uint8", json!("")),
        ("uint8", json!("0x")),
        ("uint8", json!("0Xff")),
        ("uint8", json!(true)),
        ("uint256", json!(format!("{max}0"))),
        ("uint64", json!(exact + 1)),
        ("uint256", json!(1e30)),
        ("int8", json!(128)),
        ("int8", json!("0x80")),
        ("int8", json!(-129)),
        ("int8", json!("-0")),
        ("int8", json!("--1")),
        ("int8", json!("-0x1")),
        ("int8", json!("-01")),
        ("int64", json!(-exact - 1)),
        ("int256", json!(format!("-{}", (U256::from(1) << 255) + U256::from(1)))),
        ("bool[2]", json!([true])),
        ("bool[2]", json!({"0": true})),
    ] {
        let error = one(written, value.clone()).unwrap_err();
        assert!(matches!(&error, TypedDataError::Value { at, .. } if at == "message.a"), "{written} {value}: {error}");
    }
    let large = one("uint64", json!(exact + 1)).unwrap_err().to_string();
    assert!(large.contains("message.a") && large.contains("as a text") && large.contains("2^53"), "{large}");
}

#[test]
fn a_domain_says_where_it_counts() {
    let of = |domain: Value| {
        let types = json!({"T0": [{"name": "a", "type": "bool"}]});
        digest(&json!({"types": types, "primaryType": "T0", "domain": domain, "message": {"a": true}}), 1)
    };
    assert!(of(json!({"chainId": "0x1"})).is_ok() && of(json!({"name": "x"})).is_ok());
    assert!(matches!(of(json!({})), Err(TypedDataError::Shape(_))));
    assert!(matches!(of(json!({"chainId": "2"})), Err(TypedDataError::Chain { expected: 1, .. })));
    for bad in [
        json!({"chainId": "01"}),
        json!({"chainId": true}),
        json!({"name": 7}),
        json!({"salt": "00"}),
        json!({"verifyingContract": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"}),
    ] {
        let error = of(bad.clone()).unwrap_err();
        assert!(matches!(&error, TypedDataError::Value { at, .. } if at.starts_with("domain.")), "{bad}: {error}");
    }
}

/// What wallets and exchanges have signed every day: a permit for many tokens, and an order with trees of criteria.
#[test]
fn a_permit_and_an_order_with_nested_arrays_are_hashed() {
    let token = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let field = |name: &str, written: &str| json!({"name": name, "type": written});
    let details = json!({"token": token, "amount": "1461501637330902918203684832716283019655932542975", "nonce": 0});
    let permit = json!({
        "types": {
            "EIP712Domain": [field("name", "string"), field("chainId", "uint256"), field("verifyingContract", "address")],
            "PermitBatch": [field("details", "PermitDetails[]"), field("spender", "address"), field("deadline", "uint256")],
            "PermitDetails": [field("token", "address"), field("amount", "uint160"), field("nonce", "uint48")],
        },
        "primaryType": "PermitBatch",
        "domain": {"name": "Permit2", "chainId": 1, "verifyingContract": token},
        "message": {"details": [details.clone(), details], "spender": token, "deadline": 1_893_456_000},
    });
    assert!(digest(&permit, 1).is_ok(), "{:?}", digest(&permit, 1));
    let item = json!({"itemType": 2, "token": token, "criteria": [[1, "2"], []], "proof": [[format!("0x{}", "ab".repeat(32))]]});
    let order = json!({
        "types": {
            "Order": [field("offerer", "address"), field("offer", "Item[]"), field("legs", "Item[1][]"), field("tip", "int128")],
            "Item": [
                field("itemType", "uint8"), field("token", "address"), field("criteria", "uint256[][2]"),
                field("proof", "bytes32[][]"),
            ],
        },
        "primaryType": "Order",
        "domain": {"name": "Market", "version": "1", "chainId": 1, "verifyingContract": token},
        "message": {"offerer": token, "offer": [item.clone(), item.clone()], "legs": [[item.clone()], [item]], "tip": "-5"},
    });
    assert!(digest(&order, 1).is_ok(), "{:?}", digest(&order, 1));
}
