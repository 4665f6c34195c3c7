#![allow(clippy::unwrap_used)]

use super::*;
use crate::intent::keccak::keccak256;
use alloy_dyn_abi::eip712::TypedData as Theirs;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::json;

/// The example of the standard.
fn mail() -> Value {
    json!({
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
            "Mail": [
                {"name": "from", "type": "Person"},
                {"name": "to", "type": "Person"},
                {"name": "contents", "type": "string"},
            ],
        },
        "primaryType": "Mail",
        "domain": {
            "name": "Ether Mail",
            "version": "1",
            "chainId": 1,
            "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
        },
        "message": {
            "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
            "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
            "contents": "Hello, Bob!",
        },
    })
}

const MAIL_DIGEST: &str = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2";

fn digest(content: &Value) -> String {
    hex::encode(keccak256(&TypedData::read(content).unwrap().enveloped()))
}

fn refused(content: &Value) -> TypedDataError {
    TypedData::read(content).unwrap_err()
}

fn with(pointer: &str, value: Value) -> Value {
    let mut content = mail();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    content.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.into(), value);
    content
}

fn without(pointer: &str) -> Value {
    let mut content = mail();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    content.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    content
}

#[test]
fn the_example_of_the_standard_has_its_digest() {
    let typed = TypedData::read(&mail()).unwrap();
    assert_eq!(hex::encode(typed.domain_separator), "f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f");
    assert_eq!(hex::encode(typed.struct_hash), "c52c0ee5d84264471806290a3f2c4cecfc5490626bf912d01f240d7a274b371e");
    assert_eq!(digest(&mail()), MAIL_DIGEST);
    assert_eq!((typed.primary_type.as_str(), typed.chain_id), ("Mail", Some(U256::from(1))));
    assert_eq!(typed.enveloped().len(), 66);
}

#[test]
fn arrays_of_structs_and_in_structs_have_the_known_digest() {
    let content = json!({
        "types": {
            "EIP712Domain": mail()["types"]["EIP712Domain"],
            "Person": [{"name": "name", "type": "string"}, {"name": "wallets", "type": "address[]"}],
            "Mail": [
                {"name": "from", "type": "Person"},
                {"name": "to", "type": "Person[]"},
                {"name": "contents", "type": "string"},
            ],
        },
        "primaryType": "Mail",
        "domain": mail()["domain"],
        "message": {
            "from": {
                "name": "Cow",
                "wallets": ["0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826", "0xDeaDbeefdEAdbeefdEadbEEFdeadbeEFdEaDbeeF"],
            },
            "to": [{
                "name": "Bob",
                "wallets": [
                    "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB",
                    "0xB0BdaBea57B0BDABeA57b0bdABEA57b0BDabEa57",
                    "0xB0B0b0b0b0b0B000000000000000000000000000",
                ],
            }],
            "contents": "Hello, Bob!",
        },
    });
    assert_eq!(digest(&content), "a85c2e2b118698e88db68a8105b794a8cc7cec074e89ef991cb4f5f533819cc2");
}

#[test]
fn a_text_that_holds_the_object_is_read_as_it() {
    assert_eq!(TypedData::document(json!(mail().to_string())), Ok(mail()));
    let none = |text: String| assert!(matches!(TypedData::document(json!(text)), Err(TypedDataError::Shape(_))));
    // T37.
    none(mail().to_string().replacen("\"name\":\"Cow\"", "\"name\":\"Eve\",\"name\":\"Cow\"", 1));
    none(format!("{} x", mail()));
    // A text within a text is none.
    none(json!(mail().to_string()).to_string());
}

#[test]
fn t11_a_list_of_values_is_no_object_with_these_members() {
    let mut members = mail();
    members["types"]["Person"][0] = json!(["name", "string"]);
    assert!(matches!(refused(&members), TypedDataError::Shape(_)), "a member");
    let document = mail();
    let whole = json!([document["types"], document["primaryType"], document["domain"], document["message"]]);
    assert!(matches!(refused(&whole), TypedDataError::Shape(_)), "the document");
    assert!(matches!(TypedData::document(whole), Err(TypedDataError::Shape(_))));
}

#[test]
fn a_domain_that_is_not_defined_has_the_members_that_it_has_in_the_standards_order() {
    assert_eq!(digest(&without("/types/EIP712Domain")), MAIL_DIGEST);
    let mut content = without("/types/EIP712Domain");
    content["domain"] = json!({"salt": format!("0x{}", "11".repeat(32)), "name": "n"});
    let mut defined = content.clone();
    defined["types"]["EIP712Domain"] = json!([{"name": "name", "type": "string"}, {"name": "salt", "type": "bytes32"}]);
    assert_eq!(digest(&content), digest(&defined));
    assert_eq!(TypedData::read(&content).unwrap().chain_id, None);
    content["domain"] = json!({"name": "n", "other": 1});
    assert_eq!(refused(&content), TypedDataError::DomainMember("other".into()));
    content["domain"] = json!({});
    assert_eq!(refused(&content), TypedDataError::EmptyDomain);
}

#[test]
fn a_domain_is_defined_in_the_standards_order() {
    let mut content = mail();
    content["types"]["EIP712Domain"].as_array_mut().unwrap().reverse();
    // Some libraries would hash it as it is written, others in the standard's order.
    assert_eq!(refused(&content), TypedDataError::DomainOrder("chainId".into()));
    for member in ["name", "version", "chainId", "verifyingContract"] {
        let missing = without(&format!("/domain/{member}"));
        assert_eq!(refused(&missing), TypedDataError::Missing { at: format!("domain.{member}") });
    }
    let more = with("/domain/salt", json!(format!("0x{}", "00".repeat(32))));
    assert_eq!(refused(&more), TypedDataError::Undefined { at: "domain.salt".into() });
}

#[test]
fn t11_members_that_types_do_not_have_and_missing_ones_are_refused() {
    let undefined = |pointer: &str, at: &str| {
        assert_eq!(refused(&with(pointer, json!("x"))), TypedDataError::Undefined { at: at.into() });
    };
    undefined("/message/cc", "message.cc");
    undefined("/message/from/age", "message.from.age");
    let missing = |pointer: &str, at: &str| {
        assert_eq!(refused(&without(pointer)), TypedDataError::Missing { at: at.into() });
    };
    missing("/message/contents", "message.contents");
    missing("/message/to/wallet", "message.to.wallet");
    for (pointer, at) in [("/message/from", "message.from"), ("/message/from/name", "message.from.name")] {
        let refused = refused(&with(pointer, json!(null)));
        assert!(matches!(refused, TypedDataError::Value { at: found, .. } if found == at), "null is no value");
    }
}

#[test]
fn a_document_has_its_four_members_and_a_primary_type_of_its_own() {
    for name in ["types", "primaryType", "domain", "message"] {
        assert!(matches!(refused(&without(&format!("/{name}"))), TypedDataError::Shape(_)), "{name}");
        assert!(matches!(refused(&with(&format!("/{name}"), json!(1))), TypedDataError::Shape(_)), "{name}");
    }
    assert!(matches!(refused(&with("/other", json!(1))), TypedDataError::Shape(_)));
    assert_eq!(refused(&with("/primaryType", json!("Letter"))), TypedDataError::UndefinedType("Letter".into()));
    assert_eq!(refused(&with("/primaryType", json!("EIP712Domain"))), TypedDataError::DomainAsMessage);
    assert!(matches!(refused(&json!(null)), TypedDataError::Shape(_)));
    assert!(matches!(refused(&json!("")), TypedDataError::Shape(_)));
}

#[test]
fn a_type_that_nothing_refers_to_changes_nothing_and_must_be_sound() {
    let unused = |members: Value| with("/types/Unused", members);
    assert_eq!(digest(&unused(json!([{"name": "a", "type": "Person[]"}]))), MAIL_DIGEST);
    assert!(TypedData::read(&unused(json!([{"name": "a", "type": "Nobody"}]))).is_err());
    assert!(TypedData::read(&unused(json!([{"name": "a", "type": "Unused"}]))).is_err());
    assert!(TypedData::read(&unused(json!([{"name": "a", "type": "bool", "more": 1}]))).is_err());
}

/// Random types without cycles, and a value of the first one.
struct Generator(ChaCha8Rng);

impl Generator {
    fn below(&mut self, limit: u32) -> u32 {
        self.0.next_u32() % limit
    }

    fn hex(&mut self, bytes: u32) -> String {
        let mut random = vec![0u8; usize::try_from(bytes).unwrap()];
        self.0.fill_bytes(&mut random);
        format!("0x{}", hex::encode(random))
    }

    fn document(&mut self) -> Value {
        let count = 1 + self.below(5);
        let mut types = Map::new();
        for number in 0..count {
            let members = 1 + self.below(5);
            let members: Vec<_> =
                (0..members).map(|m| json!({"name": format!("m{m}"), "type": self.field(number + 1, count)})).collect();
            types.insert(format!("T{number}"), json!(members));
        }
        let message = self.object(&types, "T0");
        let domain = self.domain();
        if self.below(2) == 0 {
            let members = DOMAIN_MEMBERS.iter().filter(|(name, _)| domain.get(name).is_some());
            let members: Vec<_> = members.map(|(name, r#type)| json!({"name": name, "type": r#type})).collect();
            types.insert(DOMAIN.into(), json!(members));
        }
        json!({"types": types, "primaryType": "T0", "domain": domain, "message": message})
    }

    fn domain(&mut self) -> Value {
        let all = json!({
            "name": "a name",
            "version": self.below(9).to_string(),
            "chainId": self.below(1000),
            "verifyingContract": self.hex(20),
            "salt": self.hex(32),
        });
        let mut domain = all.as_object().unwrap().clone();
        for (name, _) in DOMAIN_MEMBERS {
            if domain.len() > 1 && self.below(2) == 0 {
                domain.remove(name);
            }
        }
        Value::Object(domain)
    }

    fn field(&mut self, first: u32, count: u32) -> String {
        let bits = 8 * (1 + self.below(32));
        let base = match self.below(8) {
            0 => "bool".to_owned(),
            1 => "address".to_owned(),
            2 => "string".to_owned(),
            3 => "bytes".to_owned(),
            4 => format!("bytes{}", bits / 8),
            5 => format!("uint{bits}"),
            6 => format!("int{bits}"),
            _ if first < count => format!("T{}", first + self.below(count - first)),
            _ => "uint256".to_owned(),
        };
        let dimensions = self.below(4).saturating_sub(1);
        let dimensions = (0..dimensions).map(|_| match self.below(4) {
            0 => "[]".to_owned(),
            length => format!("[{length}]"),
        });
        base + &dimensions.collect::<String>()
    }

    fn object(&mut self, types: &Map<String, Value>, name: &str) -> Value {
        let members = types[name].as_array().unwrap().iter();
        let members = members.map(|m| (m["name"].as_str().unwrap(), m["type"].as_str().unwrap()));
        Value::Object(members.map(|(name, r#type)| (name.to_owned(), self.value(types, r#type))).collect())
    }

    fn value(&mut self, types: &Map<String, Value>, r#type: &str) -> Value {
        if let Some((item, length)) = r#type.strip_suffix(']').and_then(|t| t.rsplit_once('[')) {
            let length = length.parse().unwrap_or_else(|_| self.below(4));
            return (0..length).map(|_| self.value(types, item)).collect();
        }
        let digits = r#type.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse::<u32>();
        match (r#type.trim_end_matches(|c: char| c.is_ascii_digit()), digits) {
            ("bool", _) => json!(self.below(2) == 0),
            ("address", _) => json!(self.hex(20)),
            ("string", _) => json!("täxt".repeat(usize::try_from(self.below(20)).unwrap())),
            ("bytes", Ok(length)) => json!(self.hex(length)),
            ("bytes", Err(_)) => {
                let length = self.below(70);
                json!(self.hex(length))
            }
            ("uint", Ok(bits)) => self.uint(bits),
            ("int", Ok(bits)) => self.int(bits),
            _ => self.object(types, r#type),
        }
    }

    fn magnitude(&mut self, bits: u32) -> U256 {
        let digits = self.hex(bits / 8);
        U256::from_be_slice(&hex::decode(&digits[2..]).unwrap()).unwrap()
    }

    fn uint(&mut self, bits: u32) -> Value {
        match self.below(3) {
            0 => json!(self.below(256)),
            1 => json!(self.hex(bits / 8)),
            _ => json!(self.magnitude(bits).to_string()),
        }
    }

    fn int(&mut self, bits: u32) -> Value {
        let small = i64::from(self.below(128));
        let magnitude = self.magnitude(bits);
        match self.below(3) {
            0 => json!(small),
            1 => json!(-1 - small),
            _ if magnitude.bit_length() < bits && magnitude != U256::ZERO => json!(format!("-{magnitude}")),
            _ => json!("7"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_typed_data_has_the_digest_that_another_implementation_computes(seed in any::<u64>()) {
        let document = Generator(ChaCha8Rng::seed_from_u64(seed)).document();
        let theirs: Theirs = serde_json::from_value(document.clone()).unwrap();
        let theirs = theirs.eip712_signing_hash().unwrap();
        prop_assert_eq!(digest(&document), hex::encode(theirs), "{}", document);
    }

    #[test]
    fn a_changed_byte_of_a_message_is_refused_or_hashes_to_something_else(
        seed in any::<u64>(), at in any::<prop::sample::Index>(), bit in 0u32..7,
    ) {
        let document = Generator(ChaCha8Rng::seed_from_u64(seed)).document();
        let text = document["message"].to_string();
        let mut bytes = text.clone().into_bytes();
        bytes[at.index(text.len())] ^= 1 << bit;
        let Ok(message) = serde_json::from_slice::<Value>(&bytes) else { return Ok(()) };
        // The case of a hexadecimal digit says nothing.
        prop_assume!(message.to_string().to_lowercase() != text.to_lowercase());
        let mut changed = document.clone();
        changed["message"] = message;
        if let Ok(typed) = TypedData::read(&changed) {
            prop_assert_ne!(typed.struct_hash, TypedData::read(&document).unwrap().struct_hash);
        }
    }
}
