//! What is sent to a handler: the very same payload in every attempt, as a token or as plain JSON.

use crate::effect::Body;
use countersign_token::SigningKey;
use countersign_wire::Bytes;
use countersign_wire::command::Handler;
use countersign_wire::ids::TransactionId;
use countersign_wire::refusal::{Code, Refusal};
use std::sync::Arc;

/// Largest payload of a request in bytes: JSON, before it is signed.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// How much longer than the call a dated request token lives, in seconds: clocks differ.
const TOKEN_GRACE_S: u64 = 60;

/// A request that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The object that the handler is shown, in JSON.
    pub payload: Vec<u8>,
    /// The UUID that the answer must repeat.
    pub request_id: String,
}

impl Question {
    /// The payload within the bounds of what can be sealed.
    pub(crate) fn bounded(&self) -> Result<Bytes<MAX_PAYLOAD_BYTES>, Refusal> {
        Bytes::new(self.payload.clone()).map_err(|e| {
            Refusal::new(Code::Malformed, format!("the request is too large to be shown to a handler: {e} bytes"))
        })
    }
}

/// The body of the `POST`: `payload` as a token of `key` where the handler has keys, as it is otherwise. `token_id` tells the
/// attempts of a series apart where the handler wants dated tokens.
pub(crate) fn body(handler: &Handler, payload: &[u8], key: &Arc<SigningKey>, now_ms: u64, token_id: [u8; 16]) -> Body {
    if handler.keys.is_empty() {
        return Body::Plain(payload.to_vec());
    }
    let dated = handler.dated_requests.then(|| dated(payload, handler.deadline_ms, now_ms, token_id)).flatten();
    Body::Token { payload: dated.unwrap_or_else(|| payload.to_vec()), key: key.clone() }
}

/// The payload with `iat`, `nbf`, `exp` (seconds, RFC 7519) and `jti`.
fn dated(payload: &[u8], deadline_ms: u32, now_ms: u64, token_id: [u8; 16]) -> Option<Vec<u8>> {
    let issued = now_ms / 1_000;
    let expires = issued.saturating_add(u64::from(deadline_ms) / 1_000).saturating_add(TOKEN_GRACE_S);
    // The payload is an object of ours with at least one member.
    let (last, members) = payload.split_last().filter(|(last, _)| **last == b'}')?;
    let id = TransactionId(token_id);
    let mut whole = members.to_vec();
    whole
        .extend_from_slice(format!(",\"iat\":{issued},\"nbf\":{issued},\"exp\":{expires},\"jti\":\"{id}\"").as_bytes());
    whole.push(*last);
    Some(whole)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::handler::tests::handler;
    use super::*;
    use countersign_token::{generate_p256, unverified_payload_within, verify_within};
    use countersign_wire::List;
    use serde_json::{Value, json};

    fn key() -> Arc<SigningKey> {
        Arc::new(SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap())
    }

    fn text(body: Body) -> String {
        String::from_utf8(body.bytes().unwrap()).unwrap()
    }

    #[test]
    fn with_keys_the_body_is_a_token_whose_payload_is_exactly_what_is_shown() {
        let (key, shown) = (key(), br#"{"requestId":"x","amount":0}"#);
        let token = text(body(&handler("https://h.example"), shown, &key, 5, [1; 16]));
        assert_eq!(verify_within(&token, key.public(), 4096).unwrap(), shown);
    }

    #[test]
    fn without_keys_the_body_is_what_is_shown() {
        let plain = countersign_wire::command::Handler { keys: List::default(), ..handler("https://h.example") };
        assert_eq!(text(body(&plain, b"{\"a\":1}", &key(), 5, [1; 16])), "{\"a\":1}");
    }

    #[test]
    fn dated_tokens_carry_four_claims_more_and_never_an_audience() {
        let dated = countersign_wire::command::Handler { dated_requests: true, ..handler("https://h.example") };
        let token = text(body(&dated, br#"{"requestId":"x"}"#, &key(), 1_700_000_000_999, [0xab; 16]));
        let payload = unverified_payload_within(&token, 4096).unwrap();
        let expected = json!({
            "requestId": "x", "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_000_090,
            "jti": "abababab-abab-abab-abab-abababababab",
        });
        assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), expected);
    }
}
