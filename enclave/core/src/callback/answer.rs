//! What a handler's answer means. Lenient in how it is wrapped, strict in what it says.

use super::handler::MAX_ANSWER_BYTES;
use crate::input::{ExchangeFailure, ExchangeOutcome};
use countersign_token::{PublicKey, TokenError, strict_json, verify_within};
use countersign_wire::limits::MAX_DETAIL_BYTES;
use countersign_wire::refusal::{Code, Refusal};
use serde_json::{Map, Value};

/// The handler's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It approved exactly what it was shown.
    Approved,
    /// It rejected: final for the request.
    Rejected {
        /// Its reason, without control characters, cut to [`MAX_DETAIL_BYTES`].
        reason: String,
    },
    /// There is no valid answer: the request is not approved, and may be asked about again.
    Failed(Refusal),
}

/// Judges an exchange: `key` is the handler's pinned key, `request_id` that of the request it was shown.
pub fn verdict(outcome: &ExchangeOutcome, key: &PublicKey, request_id: &str) -> Verdict {
    judge(outcome, key, request_id).unwrap_or_else(Verdict::Failed)
}

fn judge(outcome: &ExchangeOutcome, key: &PublicKey, request_id: &str) -> Result<Verdict, Refusal> {
    let answer = outcome.as_ref().map_err(failed)?;
    match answer.status {
        200 => {}
        300..=399 => {
            let detail = format!("the handler redirected (HTTP {}): configure the URL that it means", answer.status);
            return Err(Refusal::new(Code::Redirect, detail));
        }
        status => {
            return Err(Refusal::new(Code::HttpStatus, format!("expected HTTP 200 of the handler, got {status}")));
        }
    }
    let token = token(&answer.body)?;
    let payload = verify_within(&token, key, MAX_ANSWER_BYTES).map_err(refused_token)?;
    let said = strict_json::object(&payload).map_err(|e| malformed(format!("its payload: {e}")))?;
    let answered = text(&said, "requestId")?;
    if answered != request_id {
        let detail = format!("the handler answered another request than {request_id}");
        return Err(Refusal::new(Code::RequestIdMismatch, detail));
    }
    // Known handlers send null, or a reason beside an approval.
    let reason = match said.get("rejectionReason") {
        None | Some(Value::Null) => "",
        Some(Value::String(reason)) => reason,
        Some(_) => return Err(malformed("rejectionReason is not a text")),
    };
    match text(&said, "action")? {
        "APPROVE" => Ok(Verdict::Approved),
        "REJECT" => Ok(Verdict::Rejected { reason: printable(reason) }),
        action @ ("RETRY" | "IGNORE") => {
            let detail = format!("the handler answered {action}, which this co-signer does not support");
            Err(Refusal::new(Code::ActionUnsupported, detail))
        }
        _ => Err(malformed("expected the action APPROVE or REJECT")),
    }
}

fn malformed(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::AnswerMalformed, format!("the handler's answer cannot be read: {detail}"))
}

/// The reason code of each way in which an exchange ends without an answer.
fn failed(failure: &ExchangeFailure) -> Refusal {
    let code = match failure {
        ExchangeFailure::Dns(_) => Code::Dns,
        ExchangeFailure::AddressDenied(_) => Code::AddressDenied,
        ExchangeFailure::Connect(_) => Code::Connect,
        ExchangeFailure::Tls(_) => Code::TlsUntrusted,
        ExchangeFailure::Pin(_) => Code::PinMismatch,
        ExchangeFailure::Lost(_) => Code::ConnectionLost,
        ExchangeFailure::Http(_) => Code::AnswerMalformed,
        ExchangeFailure::TooLarge(_) => Code::AnswerTooLarge,
        ExchangeFailure::Timeout(_) => Code::CallbackTimeout,
        ExchangeFailure::Unavailable(_) => Code::Busy,
    };
    Refusal::new(code, format!("calling the handler: {failure}"))
}

/// The token: alone, or as a JSON string, and possibly with white space behind it.
fn token(body: &[u8]) -> Result<String, Refusal> {
    if body.len() > MAX_ANSWER_BYTES {
        let detail = format!("expected at most {MAX_ANSWER_BYTES} bytes of the handler, got {}", body.len());
        return Err(Refusal::new(Code::AnswerTooLarge, detail));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    let text = text.trim_end_matches([' ', '\t', '\r', '\n']);
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    strict_json::from_slice::<String>(text.as_bytes()).map_err(malformed)
}

fn refused_token(error: TokenError) -> Refusal {
    match error {
        TokenError::Algorithm { .. } | TokenError::Signature => {
            Refusal::new(Code::BadSignature, format!("the handler's answer: {error}"))
        }
        TokenError::TooLarge { .. } => Refusal::new(Code::AnswerTooLarge, format!("the handler's answer: {error}")),
        other => malformed(other),
    }
}

fn text<'a>(said: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    said.get(name).and_then(Value::as_str).ok_or_else(|| malformed(format!("expected {name} to be a text")))
}

/// A reason is shown on terminals: no control characters, and no more than a detail may be.
fn printable(reason: &str) -> String {
    let mut shown = String::new();
    for c in reason.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if shown.len().saturating_add(c.len_utf8()) > MAX_DETAIL_BYTES {
            break;
        }
        shown.push(c);
    }
    if shown.trim().is_empty() { "the handler gave no reason".into() } else { shown }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::input::HttpAnswer;
    use countersign_token::{SigningKey, generate_p256, generate_rsa_2048};
    use serde_json::json;
    use std::sync::LazyLock;

    static RSA: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::from_pkcs8_der(&generate_rsa_2048().unwrap()).unwrap());
    static P256: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap());
    const ID: &str = "9c794cee-7e27-86c9-9e9a-ed68295ff06b";

    fn signed(payload: &Value) -> String {
        P256.sign(payload.to_string().as_bytes(), None).unwrap()
    }

    fn body(body: impl Into<Vec<u8>>) -> ExchangeOutcome {
        Ok(HttpAnswer { status: 200, body: body.into() })
    }

    fn approve() -> Value {
        json!({"action": "APPROVE", "requestId": ID})
    }

    fn judged(outcome: &ExchangeOutcome) -> Verdict {
        verdict(outcome, P256.public(), ID)
    }

    fn code(outcome: &ExchangeOutcome) -> Option<Code> {
        match judged(outcome) {
            Verdict::Failed(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    #[test]
    fn approve_and_reject_are_understood_under_both_kinds_of_key() {
        assert_eq!(judged(&body(signed(&approve()))), Verdict::Approved);
        let rsa = RSA.sign(approve().to_string().as_bytes(), None).unwrap();
        assert_eq!(verdict(&body(rsa), RSA.public(), ID), Verdict::Approved);
        let reject = json!({"action": "REJECT", "requestId": ID, "rejectionReason": "too\nmuch\u{1b}[31m"});
        assert_eq!(judged(&body(signed(&reject))), Verdict::Rejected { reason: "too much [31m".into() });
        for reason in [json!(null), json!(""), json!(" ")] {
            let reject = json!({"action": "REJECT", "requestId": ID, "rejectionReason": reason});
            assert_eq!(
                judged(&body(signed(&reject))),
                Verdict::Rejected { reason: "the handler gave no reason".into() }
            );
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character_border() {
        let reject = json!({"action": "REJECT", "requestId": ID, "rejectionReason": "é".repeat(2000)});
        let Verdict::Rejected { reason } = judged(&body(signed(&reject))) else { panic!("expected a rejection") };
        assert_eq!(reason, "é".repeat(MAX_DETAIL_BYTES / 2));
    }

    #[test]
    fn answers_may_be_wrapped_as_known_handlers_do() {
        let token = signed(&approve());
        for wrapped in
            [format!("{token}\n"), format!("{token} \r\n\t"), format!("\"{token}\""), format!("\"{token}\"\n")]
        {
            assert_eq!(judged(&body(wrapped.clone())), Verdict::Approved, "{wrapped:?}");
        }
        let chatty = json!({
            "action": "APPROVE", "requestId": ID, "rejectionReason": "none", "iat": 1_700_000_000, "exp": 0, "more": {"a": 1},
        });
        assert_eq!(judged(&body(signed(&chatty))), Verdict::Approved);
        let with_kid = P256.sign(approve().to_string().as_bytes(), Some("../key")).unwrap();
        assert_eq!(judged(&body(with_kid)), Verdict::Approved);
    }

    #[test]
    fn t23_a_failed_exchange_is_never_an_approval_and_says_why() {
        let say = String::new;
        for (failure, expected) in [
            (ExchangeFailure::Dns(say()), Code::Dns),
            (ExchangeFailure::AddressDenied(say()), Code::AddressDenied),
            (ExchangeFailure::Connect(say()), Code::Connect),
            (ExchangeFailure::Tls(say()), Code::TlsUntrusted),
            (ExchangeFailure::Http(say()), Code::AnswerMalformed),
            (ExchangeFailure::TooLarge(1), Code::AnswerTooLarge),
            (ExchangeFailure::Timeout(1), Code::CallbackTimeout),
            (ExchangeFailure::Unavailable(say()), Code::Busy),
        ] {
            assert_eq!(code(&Err(failure)), Some(expected));
        }
    }

    #[test]
    fn t23_another_status_than_200_is_no_approval_whatever_the_body_says() {
        for status in [100, 201, 202, 204, 400, 401, 500, 503] {
            let answer = Ok(HttpAnswer { status, body: signed(&approve()).into_bytes() });
            assert_eq!(code(&answer), Some(Code::HttpStatus), "{status}");
        }
    }

    #[test]
    fn t30_a_redirect_is_refused() {
        for status in [300, 301, 302, 303, 307, 308, 399] {
            let answer = Ok(HttpAnswer { status, body: signed(&approve()).into_bytes() });
            assert_eq!(code(&answer), Some(Code::Redirect), "{status}");
        }
    }

    #[test]
    fn t23_a_malformed_or_oversized_answer_is_no_approval() {
        let token = signed(&approve());
        for bad in [
            String::new(),
            "APPROVE".into(),
            approve().to_string(),
            format!(" {token}"),
            format!("\"{token}"),
            format!("'{token}'"),
            format!("[\"{token}\"]"),
            format!("{token}.x"),
            format!("\"{token}\"x"),
        ] {
            assert_eq!(code(&body(bad.clone())), Some(Code::AnswerMalformed), "{bad:?}");
        }
        assert_eq!(code(&body(vec![0xff, 0xfe])), Some(Code::AnswerMalformed));
        let padded = format!("{token}{}", " ".repeat(MAX_ANSWER_BYTES));
        assert_eq!(code(&body(padded)), Some(Code::AnswerTooLarge));
        for payload in [
            json!({"requestId": ID}),
            json!({"action": "approve", "requestId": ID}),
            json!({"action": true, "requestId": ID}),
            json!({"action": ["APPROVE"], "requestId": ID}),
            json!({"action": "", "requestId": ID}),
            json!({"action": "APPROVE", "requestId": ID, "rejectionReason": {"a": 1}}),
            json!({"action": "APPROVE"}),
            json!({"action": "APPROVE", "requestId": [ID]}),
        ] {
            assert_eq!(code(&body(signed(&payload))), Some(Code::AnswerMalformed), "{payload}");
        }
    }

    #[test]
    fn t24_an_approval_of_another_request_is_refused() {
        for other in ["00000000-0000-8000-8000-000000000000", &ID.to_uppercase(), &format!("{ID} "), ""] {
            let answer = body(signed(&json!({"action": "APPROVE", "requestId": other})));
            assert_eq!(code(&answer), Some(Code::RequestIdMismatch), "{other:?}");
        }
    }

    #[test]
    fn t25_an_approval_signed_with_another_key_is_refused() {
        let other = SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap();
        let answer = body(other.sign(approve().to_string().as_bytes(), None).unwrap());
        assert_eq!(code(&answer), Some(Code::BadSignature));
        let answer = body(RSA.sign(approve().to_string().as_bytes(), None).unwrap());
        assert_eq!(code(&answer), Some(Code::BadSignature), "the algorithm is the pinned key's");
    }

    #[test]
    fn t37_an_answer_with_a_member_given_twice_is_refused() {
        let twice = format!(r#"{{"action":"REJECT","action":"APPROVE","requestId":"{ID}"}}"#);
        assert_eq!(code(&body(P256.sign(twice.as_bytes(), None).unwrap())), Some(Code::AnswerMalformed));
    }

    #[test]
    fn retry_and_ignore_are_not_supported_and_approve_nothing() {
        for action in ["RETRY", "IGNORE"] {
            let answer = body(signed(&json!({"action": action, "requestId": ID})));
            assert_eq!(code(&answer), Some(Code::ActionUnsupported));
        }
    }
}
