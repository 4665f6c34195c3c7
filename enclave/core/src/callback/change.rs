//! What a handler is shown of a configuration change. The workspace claims all of it.

use super::question::Question;
use super::request::uuid;
use borsh::BorshSerialize;
use countersign_token::strict_json;
use countersign_wire::Message;
use countersign_wire::callback::ConfigChange;
use countersign_wire::ids::PairingId;
use countersign_wire::limits::MAX_EXACT_NUMBER;
use countersign_wire::message::digest_of;
use countersign_wire::refusal::{Code, Refusal};
use serde::Serialize;
use serde_json::{Map, Value};

/// Payload of `config_change_sign_request`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    request_id: &'a str,
    signer_id: &'a str,
    r#type: &'a str,
    extra_info: Map<String, Value>,
}

/// Everything that an approval covers.
#[derive(BorshSerialize)]
struct Covered<'a> {
    secret: &'a [u8; 32],
    pairing: PairingId,
    change: [u8; 32],
}

/// Builds the request about a change. The same change gives the same bytes.
///
/// # Errors
/// [`Code::Malformed`]: its kind is no plain word, or what it is about is no JSON object.
pub(crate) fn config_change_sign_request(
    pairing: PairingId,
    secret: &[u8; 32],
    change: &ConfigChange,
) -> Result<Question, Refusal> {
    let malformed = |detail: String| Refusal::new(Code::Malformed, detail);
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if change.kind.is_empty() || !change.kind.bytes().all(plain) {
        return Err(malformed("expected the kind of a change to be of A-Z 0-9 _".into()));
    }
    let extra_info = strict_json::object(&change.extra_info)
        .map_err(|e| malformed(format!("what the change is about: expected a JSON object: {e}")))?;
    let inexact = |detail: &str| malformed(format!("what the change is about: {detail}"));
    extra_info.values().try_for_each(check_exact).map_err(inexact)?;
    let covered = Covered { secret, pairing, change: change.digest() };
    // Writing fixed-size fields to memory cannot fail.
    let covered = borsh::to_vec(&covered).unwrap_or_default();
    let request_id = uuid(digest_of("countersign/callback-change-id/v1", &covered));
    let payload =
        Payload { request_id: &request_id, signer_id: change.signer.as_str(), r#type: &change.kind, extra_info };
    let payload = serde_json::to_vec(&payload).map_err(|e| malformed(e.to_string()))?;
    Ok(Question { payload, request_id })
}

/// Numbers that readers of JSON round would be shown as others than the ones that the word covers.
fn check_exact(value: &Value) -> Result<(), &'static str> {
    match value {
        Value::Number(number) => match number.as_i64().map(i64::unsigned_abs) {
            Some(whole) if whole <= MAX_EXACT_NUMBER => Ok(()),
            _ => Err("expected whole numbers of at most 2^53 - 1; write others as texts"),
        },
        Value::Array(items) => items.iter().try_for_each(check_exact),
        Value::Object(members) => members.values().try_for_each(check_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use countersign_wire::ids::ChangeId;
    use countersign_wire::{Bytes, Text};
    use serde_json::json;
    use std::collections::BTreeSet;

    fn change() -> ConfigChange {
        ConfigChange {
            id: ChangeId([7; 16]),
            signer: "api-user-1".parse().unwrap(),
            kind: Text::new("UNMANAGED_WALLET").unwrap(),
            extra_info: Bytes::new(INFO.as_bytes().to_vec()).unwrap(),
        }
    }

    const INFO: &str =
        r#"{"name":"cold storage","asset":"ETH","address":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}"#;

    #[test]
    fn the_handler_sees_type_signer_and_what_it_is_about() {
        let question = config_change_sign_request(PairingId([1; 16]), &[0; 32], &change()).unwrap();
        let shown: Value = serde_json::from_slice(&question.payload).unwrap();
        let expected = json!({
            "requestId": question.request_id, "signerId": "api-user-1", "type": "UNMANAGED_WALLET",
            "extraInfo": serde_json::from_str::<Value>(INFO).unwrap(),
        });
        assert_eq!(shown, expected);
        assert_eq!(config_change_sign_request(PairingId([1; 16]), &[0; 32], &change()), Ok(question), "the same again");
    }

    /// The file that documents show.
    #[test]
    fn the_example_in_the_documents_is_what_is_sent() {
        let question = config_change_sign_request(PairingId([1; 16]), &[0; 32], &change()).unwrap();
        let shown: Value = serde_json::from_slice(&question.payload).unwrap();
        let shown = serde_json::to_string_pretty(&shown).unwrap() + "\n";
        assert_eq!(shown, include_str!("../../testdata/callback/config_change.json"));
    }

    #[test]
    fn t24_every_difference_is_another_request() {
        let id = |pairing: u8, change: &ConfigChange| {
            config_change_sign_request(PairingId([pairing; 16]), &[0; 32], change).unwrap().request_id
        };
        let mut ids = BTreeSet::from([id(1, &change()), id(2, &change())]);
        ids.insert(id(1, &ConfigChange { id: ChangeId([8; 16]), ..change() }));
        ids.insert(id(1, &ConfigChange { signer: "other".parse().unwrap(), ..change() }));
        ids.insert(id(1, &ConfigChange { kind: Text::new("ADD_USER").unwrap(), ..change() }));
        ids.insert(id(1, &ConfigChange { extra_info: Bytes::new(b"{}".to_vec()).unwrap(), ..change() }));
        assert_eq!(ids.len(), 6);
    }

    #[test]
    fn what_is_not_a_change_is_refused() {
        let code = |change: &ConfigChange| {
            config_change_sign_request(PairingId([1; 16]), &[0; 32], change).map_err(|r| r.code)
        };
        for kind in ["", "add_user", "ADD USER", "A\n"] {
            assert_eq!(code(&ConfigChange { kind: Text::new(kind).unwrap(), ..change() }), Err(Code::Malformed));
        }
        for info in ["", "[]", "{", r#"{"a":1,"a":2}"#, "{} x"] {
            let changed = ConfigChange { extra_info: Bytes::new(info.as_bytes().to_vec()).unwrap(), ..change() };
            assert_eq!(code(&changed), Err(Code::Malformed), "{info}");
        }
        for (number, is_exact) in [
            ("9007199254740991", true),
            ("-9007199254740991", true),
            ("9007199254740992", false),
            ("100000000000000000000001", false),
            ("0.5", false),
            ("1e3", false),
        ] {
            let info = format!(r#"{{"a":[{{"b":{number}}}]}}"#);
            let changed = ConfigChange { extra_info: Bytes::new(info.into_bytes()).unwrap(), ..change() };
            assert_eq!(code(&changed).is_ok(), is_exact, "{number}");
        }
    }
}
