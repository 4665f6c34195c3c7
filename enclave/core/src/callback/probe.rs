//! The request of an operator's test. It looks like others, with a message that says what it is; its answer approves nothing,
//! as its request id is of a domain of its own, and nobody asked for a signature.

use super::question::Question;
use super::request::uuid;
use crate::intent;
use countersign_wire::ids::ApiUserId;
use countersign_wire::key::Algorithm;
use countersign_wire::message::digest_of;
use serde_json::json;

/// Builds a probe. `random` makes its request id one that no other request ever has.
pub(crate) fn probe(signer: &ApiUserId, random: [u8; 32]) -> Question {
    let request_id = uuid(digest_of("countersign/callback-test/v1", &random));
    let text = format!("A test of the callback handler by an operator, {request_id}. It is never signed.");
    let hashed = intent::eip191_enveloped(text.as_bytes());
    let payload = json!({
        "txId": request_id,
        "operation": "TYPED_MESSAGE",
        "sourceType": "VAULT",
        "sourceId": "0",
        "destType": "",
        "destId": "",
        "asset": "ETH_TEST5",
        "amount": 0,
        "amountStr": "0",
        "requestedAmount": 0,
        "requestedAmountStr": "0",
        "fee": "0",
        "destAddressType": "",
        "destAddress": "",
        "destinations": [],
        "rawTx": [{
            "keyDerivationPath": "[ 44, 1, 0, 0, 0 ]",
            "rawTx": hex::encode(&hashed),
            "payload": hex::encode(intent::keccak256(&hashed)),
        }],
        "players": [],
        "note": "A test of the callback handler by an operator. Nothing is signed, whatever you answer.",
        "signerId": signer.as_str(),
        "extraParameters": {
            "rawMessageData": {
                "messages": [{"content": hex::encode(text), "type": "EIP191"}],
                "algorithm": Algorithm::EcdsaSecp256k1.as_str(),
            },
            "countersign": {"test": true, "intent": null, "unverified": []},
        },
        "requestId": request_id,
    });
    Question { payload: payload.to_string().into_bytes(), request_id }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_probe_looks_like_other_requests_and_says_what_it_is() {
        let question = probe(&"api-user-1".parse().unwrap(), [1; 32]);
        let shown: Value = serde_json::from_slice(&question.payload).unwrap();
        assert_eq!(shown["rawTx"].as_array().unwrap().len(), 1);
        let content =
            hex::decode(shown["extraParameters"]["rawMessageData"]["messages"][0]["content"].as_str().unwrap());
        assert!(String::from_utf8(content.unwrap()).unwrap().starts_with("A test of the callback handler"));
        assert_eq!(shown["extraParameters"]["countersign"]["test"], true);
        assert_eq!(shown["requestId"], question.request_id.as_str());
        assert_ne!(question.request_id, probe(&"api-user-1".parse().unwrap(), [2; 32]).request_id);
    }
}
