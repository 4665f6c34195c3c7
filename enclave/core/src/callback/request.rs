//! What a handler is shown of a transaction. Everything in it was decoded here from the client's own bytes.

use super::question::Question;
use crate::intent::{Decoded, ShownMessage};
use borsh::BorshSerialize;
use countersign_wire::ids::{ApiUserId, KeyId, PairingId, PartyId, TransactionId};
use countersign_wire::key::{Algorithm, DerivationPath, Operation};
use countersign_wire::message::digest_of;
use countersign_wire::transaction::{Digest, IntentId};
use serde::Serialize;

/// A transaction in front of a handler.
pub struct TransactionShown<'a> {
    /// The pairing.
    pub pairing: PairingId,
    /// The workspace's id for it.
    pub transaction: TransactionId,
    /// The client's proven intent, if there is one.
    pub intent: Option<&'a IntentId>,
    /// The decoded request.
    pub decoded: &'a Decoded,
    /// The key that is to sign.
    pub key: KeyId,
    /// The epoch of its share set.
    pub epoch: u32,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The API user whose handler it is.
    pub signer: &'a ApiUserId,
    /// The parties of the group.
    pub players: &'a [PartyId],
}

/// Payload of `tx_sign_request`. Handlers know these names; numbers are there for old ones.
///
/// A bare hash and a message move no amount and have no destination: those members are zero and empty. Note and external
/// id are the client's only where it proved its intent, and absent otherwise.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    tx_id: String,
    operation: &'static str,
    source_type: &'static str,
    source_id: String,
    dest_type: &'static str,
    dest_id: &'static str,
    asset: &'static str,
    amount: u64,
    amount_str: &'static str,
    requested_amount: u64,
    requested_amount_str: &'static str,
    fee: &'static str,
    dest_address_type: &'static str,
    dest_address: &'static str,
    destinations: [(); 0],
    raw_tx: Vec<RawTx>,
    players: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_tx_id: Option<&'a str>,
    signer_id: &'a str,
    extra_parameters: ExtraParameters<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// One thing that is signed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawTx {
    key_derivation_path: String,
    /// What was hashed here to `payload`, in hex; empty where the client gave the hash.
    raw_tx: String,
    /// The digest that is signed, in hex.
    payload: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtraParameters<'a> {
    raw_message_data: RawMessageData<'a>,
    countersign: Countersign,
}

#[derive(Serialize)]
struct RawMessageData<'a> {
    messages: Vec<Message<'a>>,
    algorithm: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
}

#[derive(Serialize)]
struct Countersign {
    /// Members that only the workspace claims. None of these operations shows any.
    unverified: [(); 0],
}

/// Everything that an approval covers: the request id is a hash of it, so that an answer approves nothing else.
#[derive(BorshSerialize)]
struct Covered<'a> {
    pairing: PairingId,
    transaction: TransactionId,
    intent: Option<&'a IntentId>,
    operation: Operation,
    key: KeyId,
    epoch: u32,
    algorithm: Algorithm,
    paths: &'a [DerivationPath],
    digests: &'a [Digest],
    shown: &'a [u8],
}

/// Builds the request about a transaction. The same transaction gives the same bytes.
pub fn tx_sign_request(shown: &TransactionShown<'_>) -> Question {
    let mut payload = payload(shown);
    let covered = Covered {
        pairing: shown.pairing,
        transaction: shown.transaction,
        intent: shown.intent,
        operation: shown.decoded.operation,
        key: shown.key,
        epoch: shown.epoch,
        algorithm: shown.algorithm,
        paths: &shown.decoded.paths,
        digests: &shown.decoded.digests,
        shown: &json(&payload),
    };
    // Writing to memory fails only for lists of more than u32::MAX items; the request's body is far smaller.
    let covered = borsh::to_vec(&covered).unwrap_or_default();
    let request_id = uuid(digest_of("countersign/callback-request-id/v1", &covered));
    payload.request_id = Some(&request_id);
    let payload = json(&payload);
    Question { payload, request_id }
}

/// Strings and numbers into memory: this cannot fail. Should it ever, an empty payload is one that no handler approves.
fn json(payload: &Payload<'_>) -> Vec<u8> {
    serde_json::to_vec(payload).unwrap_or_default()
}

/// A UUID of version 8 (RFC 9562, section 5.8): 122 bits of the hash.
pub(super) fn uuid(hash: [u8; 32]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = hash;
    let bytes = [a, b, c, d, e, f, g & 0x0f | 0x80, h, i & 0x3f | 0x80, j, k, l, m, n, o, p];
    TransactionId(bytes).to_string()
}

fn payload<'a>(shown: &TransactionShown<'a>) -> Payload<'a> {
    let decoded = shown.decoded;
    let signed = decoded.paths.iter().zip(&decoded.digests).zip(&decoded.messages);
    Payload {
        tx_id: shown.transaction.to_string(),
        operation: decoded.operation.as_str(),
        source_type: "VAULT",
        source_id: decoded.vault_account.to_string(),
        dest_type: "",
        dest_id: "",
        asset: decoded.asset.id,
        amount: 0,
        amount_str: "0",
        requested_amount: 0,
        requested_amount_str: "0",
        fee: "0",
        dest_address_type: "",
        dest_address: "",
        destinations: [],
        raw_tx: signed.map(|((path, digest), message)| raw_tx(path, digest, message)).collect(),
        players: shown.players.iter().map(ToString::to_string).collect(),
        note: shown.intent.and(decoded.note.as_deref()),
        external_tx_id: shown.intent.and(decoded.external.as_deref()),
        signer_id: shown.signer.as_str(),
        extra_parameters: ExtraParameters {
            raw_message_data: RawMessageData {
                messages: decoded
                    .messages
                    .iter()
                    .map(|message| Message { content: &message.content_hex, r#type: message.kind.as_str() })
                    .collect(),
                algorithm: shown.algorithm.as_str(),
            },
            countersign: Countersign { unverified: [] },
        },
        request_id: None,
    }
}

fn raw_tx(path: &DerivationPath, digest: &Digest, message: &ShownMessage) -> RawTx {
    RawTx {
        key_derivation_path: path.to_string(),
        raw_tx: message.hashed.as_deref().map(hex::encode).unwrap_or_default(),
        payload: hex::encode(digest),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::intent::decode;
    use countersign_wire::Text;
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    const HASH: &str = "77b4e74099ce90c08503c0e0bb6e672dbe1c5e3e127ce333bf22eb581cd3f6ce";

    fn decoded(operation: &str, asset: &str, messages: Value) -> Decoded {
        let body = json!({
            "operation": operation,
            "assetId": asset,
            "source": {"type": "VAULT_ACCOUNT", "id": "3"},
            "note": "pay the miller",
            "externalTxId": "order-1",
            "extraParameters": {"rawMessageData": {"messages": messages}},
        });
        decode(body.to_string().as_bytes()).unwrap()
    }

    fn raw() -> Decoded {
        decoded("RAW", "ETH", json!([{"content": HASH}]))
    }

    fn intent() -> IntentId {
        IntentId {
            initiator: "client".parse().unwrap(),
            nonce: Text::new("n").unwrap(),
            external: Some(Text::new("order-1").unwrap()),
        }
    }

    struct Case {
        decoded: Decoded,
        intent: Option<IntentId>,
        signer: ApiUserId,
        players: Vec<PartyId>,
        pairing: u8,
        transaction: u8,
        key: u8,
        epoch: u32,
    }

    impl Case {
        fn new(decoded: Decoded) -> Self {
            let players = vec![PartyId([1; 32]), PartyId([2; 32])];
            let signer = "signer".parse().unwrap();
            Self { decoded, intent: Some(intent()), signer, players, pairing: 1, transaction: 2, key: 3, epoch: 0 }
        }

        fn ask(&self) -> Question {
            tx_sign_request(&TransactionShown {
                pairing: PairingId([self.pairing; 16]),
                transaction: TransactionId([self.transaction; 16]),
                intent: self.intent.as_ref(),
                decoded: &self.decoded,
                key: KeyId([self.key; 16]),
                epoch: self.epoch,
                algorithm: Algorithm::EcdsaSecp256k1,
                signer: &self.signer,
                players: &self.players,
            })
        }

        fn shown(&self) -> Value {
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
                "countersign": {"unverified": []},
            },
            "requestId": case.ask().request_id,
        });
        assert_eq!(case.shown(), expected);
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
}
