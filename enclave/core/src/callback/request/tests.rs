#![allow(clippy::unwrap_used)]

use super::*;
use crate::intent::decode;
use countersign_wire::Text;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const HASH: &str = "77b4e74099ce90c08503c0e0bb6e672dbe1c5e3e127ce333bf22eb581cd3f6ce";

pub(super) fn decoded(operation: &str, asset: &str, messages: Value) -> Decoded {
    let body = json!({
        "operation": operation,
        "assetId": asset,
        "source": {"type": "VAULT_ACCOUNT", "id": "3"},
        "note": "pay the miller",
        "externalTxId": "order-1",
        "extraParameters": {"rawMessageData": {"messages": messages}},
    });
    decode(body.to_string().as_bytes(), None).unwrap()
}

pub(super) fn raw() -> Decoded {
    decoded("RAW", "ETH", json!([{"content": HASH}]))
}

fn intent() -> IntentId {
    IntentId {
        initiator: "client".parse().unwrap(),
        nonce: Text::new("n").unwrap(),
        external: Some(Text::new("order-1").unwrap()),
    }
}

pub(super) struct Case {
    pub(super) decoded: Decoded,
    intent: Option<IntentId>,
    signer: ApiUserId,
    players: Vec<PartyId>,
    pairing: u8,
    secret: [u8; 32],
    transaction: u8,
    key: u8,
    epoch: u32,
}

impl Case {
    pub(super) fn new(decoded: Decoded) -> Self {
        let players = vec![PartyId([1; 32]), PartyId([2; 32])];
        let signer = "signer".parse().unwrap();
        Self {
            decoded,
            intent: Some(intent()),
            signer,
            players,
            pairing: 1,
            secret: [0; 32],
            transaction: 2,
            key: 3,
            epoch: 0,
        }
    }

    pub(super) fn ask(&self) -> Question {
        tx_sign_request(&self.transaction_shown())
    }

    pub(super) fn transaction_shown(&self) -> TransactionShown<'_> {
        TransactionShown {
            pairing: PairingId([self.pairing; 16]),
            secret: &self.secret,
            transaction: TransactionId([self.transaction; 16]),
            intent: self.intent.as_ref(),
            decoded: &self.decoded,
            key: KeyId([self.key; 16]),
            epoch: self.epoch,
            algorithm: Algorithm::EcdsaSecp256k1,
            signer: &self.signer,
            players: &self.players,
        }
    }

    pub(super) fn shown(&self) -> Value {
        serde_json::from_slice(&self.ask().payload).unwrap()
    }
}

#[test]
fn a_raw_request_has_every_member_that_handlers_know() {
    let case = Case::new(raw());
    let expected = json!({
        "txId": "02020202-0202-0202-0202-020202020202",
        "operation": "RAW",
        "sourceType": "VAULT",
        "sourceId": "3",
        "destType": "",
        "destId": "",
        "asset": "ETH",
        "amount": 0,
        "amountStr": "0",
        "requestedAmount": 0,
        "requestedAmountStr": "0",
        "fee": "0",
        "destAddressType": "",
        "destAddress": "",
        "destinations": [],
        "rawTx": [{"keyDerivationPath": "[ 44, 60, 3, 0, 0 ]", "rawTx": "", "payload": HASH}],
        "players": ["01".repeat(32), "02".repeat(32)],
        "note": "pay the miller",
        "externalTxId": "order-1",
        "signerId": "signer",
        "extraParameters": {
            "rawMessageData": {"messages": [{"content": HASH}], "algorithm": "MPC_ECDSA_SECP256K1"},
            "countersign": {
                "intent": {"initiator": "client", "nonce": "n"},
                "unverified": [
                    "amount",
                    "amountStr",
                    "destAddress",
                    "destAddressType",
                    "destId",
                    "destType",
                    "destinations",
                    "fee",
                    "requestedAmount",
                    "requestedAmountStr",
                ],
            },
        },
        "requestId": case.ask().request_id,
    });
    assert_eq!(case.shown(), expected);
}

#[test]
fn what_nobody_proved_to_have_asked_for_says_so() {
    let mut case = Case::new(raw());
    case.intent = None;
    let shown = case.shown();
    assert_eq!(shown["extraParameters"]["countersign"]["intent"], Value::Null);
    assert!(shown["extraParameters"]["countersign"].as_object().unwrap().contains_key("intent"));
    assert_eq!((shown.get("note"), shown.get("externalTxId")), (None, None));
}

#[test]
fn a_typed_message_shows_what_was_hashed_here() {
    let message = json!([{"content": "68656c6c6f", "type": "EIP191"}, {"content": "", "type": "EIP191"}]);
    let case = Case::new(decoded("TYPED_MESSAGE", "ETH_TEST5", message.clone()));
    let shown = case.shown();
    assert_eq!(shown["operation"], "TYPED_MESSAGE");
    assert_eq!(shown["rawTx"].as_array().unwrap().len(), 2);
    assert_eq!(shown["rawTx"][0]["rawTx"], hex::encode("\u{19}Ethereum Signed Message:\n5hello"));
    assert_eq!(shown["rawTx"][0]["payload"], hex::encode(case.decoded.digests[0]));
    assert_eq!(shown["rawTx"][0]["keyDerivationPath"], "[ 44, 1, 3, 0, 0 ]");
    assert_eq!(shown["extraParameters"]["rawMessageData"]["messages"], message);
}

#[test]
fn a_request_carries_no_time_and_no_audience() {
    let shown = Case::new(raw()).shown();
    for claim in ["aud", "exp", "nbf", "iat", "jti", "iss", "sub"] {
        assert!(shown.get(claim).is_none(), "{claim}");
    }
}

#[test]
fn note_and_external_id_are_shown_only_where_the_client_proved_its_intent() {
    let shown = Case { intent: None, ..Case::new(raw()) }.shown();
    assert!(shown.get("note").is_none() && shown.get("externalTxId").is_none());
}

#[test]
fn the_request_id_is_a_uuid_and_the_same_for_the_same_content() {
    let id = Case::new(raw()).ask().request_id;
    assert_eq!(id, Case::new(raw()).ask().request_id);
    assert_eq!(id.parse::<TransactionId>().unwrap().to_string(), id);
    assert_eq!(id.as_bytes()[14], b'8', "{id}");
    assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
}

#[test]
fn t24_the_request_id_covers_everything_that_is_approved() {
    let other = |change: fn(&mut Case)| {
        let mut case = Case::new(raw());
        change(&mut case);
        case.ask().request_id
    };
    let ids = [
        other(|_| {}),
        other(|c| c.pairing = 9),
        other(|c| c.transaction = 9),
        other(|c| c.key = 9),
        other(|c| c.epoch = 1),
        other(|c| c.intent = None),
        other(|c| c.intent.as_mut().unwrap().nonce = Text::new("m").unwrap()),
        other(|c| c.intent.as_mut().unwrap().initiator = "other".parse().unwrap()),
        other(|c| c.signer = "other".parse().unwrap()),
        other(|c| c.players.reverse()),
        other(|c| c.decoded.digests[0][31] ^= 1),
        other(|c| c.decoded.paths[0] = DerivationPath::vault(60, 3, 0, 1).unwrap()),
        other(|c| c.decoded.note = None),
        other(|c| c.decoded.vault_account = 4),
        other(|c| c.decoded = decoded("RAW", "ETH_TEST5", json!([{"content": HASH}]))),
        other(|c| c.decoded = decoded("RAW", "ETH", json!([{"content": HASH}, {"content": HASH}]))),
        other(|c| c.decoded.operation = Operation::TypedMessage),
    ];
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[test]
fn t24_the_order_of_the_digests_is_covered() {
    let pair = |a: &str, b: &str| Case::new(decoded("RAW", "ETH", json!([{"content": a}, {"content": b}])));
    let zeros = "00".repeat(32);
    assert_ne!(pair(HASH, &zeros).ask().request_id, pair(&zeros, HASH).ask().request_id);
}
