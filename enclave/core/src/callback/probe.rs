//! The request of an operator's test. Its answer approves nothing: there is nothing in it to sign, and its request id is of
//! a domain of its own.

use super::question::Question;
use super::request::uuid;
use countersign_wire::ids::ApiUserId;
use countersign_wire::message::digest_of;
use serde_json::json;

/// Builds a probe. `random` makes its request id one that no other request ever has.
pub(crate) fn probe(signer: &ApiUserId, random: [u8; 32]) -> Question {
    let request_id = uuid(digest_of("countersign/callback-test/v1", &random));
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
        "rawTx": [],
        "players": [],
        "note": "A test of the callback handler by an operator. Nothing is signed, whatever you answer.",
        "signerId": signer.as_str(),
        "extraParameters": {"rawMessageData": {"messages": []}, "countersign": {"test": true, "unverified": []}},
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
    fn a_probe_has_nothing_to_sign_and_says_what_it_is() {
        let question = probe(&"api-user-1".parse().unwrap(), [1; 32]);
        let shown: Value = serde_json::from_slice(&question.payload).unwrap();
        assert_eq!(shown["rawTx"], json!([]));
        assert_eq!(shown["extraParameters"]["countersign"]["test"], true);
        assert_eq!(shown["requestId"], question.request_id.as_str());
        assert_ne!(question.request_id, probe(&"api-user-1".parse().unwrap(), [2; 32]).request_id);
    }
}
