//! What a handler's answer means. Lenient in how it is wrapped, strict in what it says.

use super::handler::MAX_ANSWER_BYTES;
use crate::input::{ExchangeFailure, ExchangeReport};
use crate::limits::CLOCK_SKEW_MS;
use countersign_token::{PublicKey, TokenError, strict_json, verify_within};
use countersign_wire::admin::TestStep;
use countersign_wire::limits::MAX_DETAIL_BYTES;
use countersign_wire::refusal::{Code, Refusal};
use serde_json::{Map, Value};

/// What a handler can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It approves exactly what it was shown.
    Approve,
    /// It rejects: final for the request.
    Reject,
    /// It has no opinion.
    Ignore,
    /// It wants to be asked again later.
    Retry,
}

impl Action {
    const ALL: [Action; 4] = [Action::Approve, Action::Reject, Action::Ignore, Action::Retry];

    /// As the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Approve => "APPROVE",
            Action::Reject => "REJECT",
            Action::Ignore => "IGNORE",
            Action::Retry => "RETRY",
        }
    }
}

/// A valid answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The handler's word.
    pub action: Action,
    /// Its reason, without control characters, cut to [`MAX_DETAIL_BYTES`]; never empty.
    pub reason: String,
}

/// Why there is no valid answer, and at which step of the call that showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The step.
    pub step: TestStep,
    /// Why.
    pub refusal: Refusal,
}

/// What an answer means for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It approved exactly what it was shown.
    Approved,
    /// It rejected: final for the request.
    Rejected {
        /// Its reason.
        reason: String,
    },
    /// It is asked again later.
    Retry,
    /// It has no opinion. Never for what is signed.
    Ignored {
        /// Its reason.
        reason: String,
    },
    /// There is no valid answer: the request is not approved.
    Failed(Refusal),
}

/// What a valid answer means. `may_ignore`: for configuration changes alone a handler may have no opinion.
pub fn verdict(judged: Result<Said, Fault>, may_ignore: bool) -> Verdict {
    match judged {
        Err(fault) => Verdict::Failed(fault.refusal),
        Ok(Said { action: Action::Approve, .. }) => Verdict::Approved,
        Ok(Said { action: Action::Reject, reason }) => Verdict::Rejected { reason },
        Ok(Said { action: Action::Retry, .. }) => Verdict::Retry,
        Ok(Said { action: Action::Ignore, reason }) if may_ignore => Verdict::Ignored { reason },
        Ok(Said { action: Action::Ignore, .. }) => {
            let detail =
                "the handler answered IGNORE to something that is to be signed: expected APPROVE, REJECT or RETRY";
            Verdict::Failed(Refusal::new(Code::ActionUnsupported, detail))
        }
    }
}

/// Judges an exchange. `keys` are the handler's: an answer is a token under any of them, or, where there is none, plain JSON,
/// which TLS alone vouches for. `request_id` is that of the request it was shown, `now_ms` the time (Unix ms).
pub fn judge(report: &ExchangeReport, keys: &[PublicKey], request_id: &str, now_ms: u64) -> Result<Said, Fault> {
    let at = |step: TestStep| move |refusal: Refusal| Fault { step, refusal };
    let answer = report.outcome.as_ref().map_err(|failure| failed(report, failure))?;
    let http = at(TestStep::Http);
    match answer.status {
        200 => {}
        300..=399 => {
            let detail = format!("the handler redirected (HTTP {}): configure the URL that it means", answer.status);
            return Err(http(Refusal::new(Code::Redirect, detail)));
        }
        status => {
            return Err(http(Refusal::new(
                Code::HttpStatus,
                format!("expected HTTP 200 of the handler, got {status}"),
            )));
        }
    }
    let text = text_of(&answer.body).map_err(http)?;
    let said = if keys.is_empty() {
        strict_json::object(text.as_bytes()).map_err(|e| at(TestStep::Payload)(malformed(e)))?
    } else {
        let payload = token(text).and_then(|token| verified(&token, keys)).map_err(at(TestStep::Signature))?;
        let said = strict_json::object(&payload);
        let said = said.map_err(|e| at(TestStep::Payload)(malformed(format!("its payload: {e}"))))?;
        check_expiry(&said, now_ms).map_err(at(TestStep::Payload))?;
        said
    };
    read(&said, request_id).map_err(at(TestStep::Payload))
}

fn read(said: &Map<String, Value>, request_id: &str) -> Result<Said, Refusal> {
    if member(said, "requestId")? != request_id {
        let detail = format!("the handler answered another request than {request_id}");
        return Err(Refusal::new(Code::RequestIdMismatch, detail));
    }
    // Known handlers send null, or a reason beside an approval.
    let reason = match said.get("rejectionReason") {
        None | Some(Value::Null) => "",
        Some(Value::String(reason)) => reason,
        Some(_) => return Err(malformed("rejectionReason is not a text")),
    };
    let word = member(said, "action")?;
    let action = Action::ALL.into_iter().find(|action| action.as_str() == word);
    let action = action.ok_or_else(|| malformed("expected the action APPROVE, REJECT, IGNORE or RETRY"))?;
    Ok(Said { action, reason: printable(reason) })
}

/// A handler need not date its answers. One that does is taken at its word (RFC 7519, section 4.1.4).
fn check_expiry(said: &Map<String, Value>, now_ms: u64) -> Result<(), Refusal> {
    let Some(exp) = said.get("exp") else { return Ok(()) };
    let seconds = exp.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    let seconds = seconds.ok_or_else(|| malformed("expected exp to be a number of seconds, or absent"))?;
    // Seconds of a few thousand years are exact in a float, and a larger one is in the future anyhow.
    if seconds * 1_000.0 + CLOCK_SKEW_MS as f64 >= now_ms as f64 {
        return Ok(());
    }
    Err(Refusal::new(Code::AnswerExpired, "the handler's answer had expired when it came: check the handler's clock"))
}

/// The payload of a token under any of the keys. The algorithm is the key's, never the header's.
fn verified(token: &str, keys: &[PublicKey]) -> Result<Vec<u8>, Refusal> {
    let mut refused = malformed("there is no key to verify it with");
    for key in keys {
        match verify_within(token, key, MAX_ANSWER_BYTES) {
            Ok(payload) => return Ok(payload),
            Err(error) => refused = refused_token(error),
        }
    }
    Err(refused)
}

fn malformed(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::AnswerMalformed, format!("the handler's answer cannot be read: {detail}"))
}

/// The reason code of each way in which an exchange ends without an answer.
fn failed(report: &ExchangeReport, failure: &ExchangeFailure) -> Fault {
    let (code, step) = match failure {
        ExchangeFailure::Dns(_) => (Code::Dns, TestStep::Resolve),
        ExchangeFailure::AddressDenied(_) => (Code::AddressDenied, TestStep::Resolve),
        ExchangeFailure::Connect(_) => (Code::Connect, TestStep::Connect),
        ExchangeFailure::Tls(_) => (Code::TlsUntrusted, TestStep::Tls),
        ExchangeFailure::Pin(_) => (Code::PinMismatch, TestStep::Tls),
        ExchangeFailure::Lost(_) => (Code::ConnectionLost, TestStep::Http),
        ExchangeFailure::Http(_) => (Code::AnswerMalformed, TestStep::Http),
        ExchangeFailure::TooLarge(_) => (Code::AnswerTooLarge, TestStep::Http),
        ExchangeFailure::Timeout(_) => (Code::CallbackTimeout, report.unfinished.unwrap_or(TestStep::Connect)),
        ExchangeFailure::Unavailable(_) => (Code::Busy, TestStep::Connect),
    };
    Fault { step, refusal: Refusal::new(code, format!("calling the handler: {failure}")) }
}

/// The body as text, without white space behind it.
fn text_of(body: &[u8]) -> Result<&str, Refusal> {
    if body.len() > MAX_ANSWER_BYTES {
        let detail = format!("expected at most {MAX_ANSWER_BYTES} bytes of the handler, got {}", body.len());
        return Err(Refusal::new(Code::AnswerTooLarge, detail));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    let text = text.trim_end_matches([' ', '\t', '\r', '\n']);
    if text.is_empty() { Err(malformed("it is empty")) } else { Ok(text) }
}

/// The token: alone, or as a JSON string.
fn token(text: &str) -> Result<String, Refusal> {
    if text.starts_with('"') {
        strict_json::from_slice(text.as_bytes()).map_err(malformed)
    } else {
        Ok(text.to_owned())
    }
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

fn member<'a>(said: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
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
    use crate::input::{ExchangeOutcome, HttpAnswer};
    use countersign_token::{SigningKey, generate_p256, generate_rsa_2048};
    use serde_json::json;
    use std::sync::LazyLock;

    static RSA: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::from_pkcs8_der(&generate_rsa_2048().unwrap()).unwrap());
    static P256: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap());
    const NOW: u64 = 1_800_000_000_000;
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

    fn under(outcome: &ExchangeOutcome, keys: &[PublicKey]) -> Verdict {
        verdict(judge(&outcome.clone().into(), keys, ID, NOW), false)
    }

    fn judged(outcome: &ExchangeOutcome) -> Verdict {
        under(outcome, &[P256.public().clone()])
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
        assert_eq!(under(&body(rsa), &[RSA.public().clone()]), Verdict::Approved);
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
            "action": "APPROVE", "requestId": ID, "rejectionReason": "none", "iat": 1_700_000_000, "nbf": 0, "more": {"a": 1},
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
            (ExchangeFailure::Pin(say()), Code::PinMismatch),
            (ExchangeFailure::Lost(say()), Code::ConnectionLost),
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
    fn t23_an_answer_that_says_itself_that_it_is_over_is_no_approval() {
        let dated = |exp: Value| {
            let mut answer = approve();
            answer["exp"] = exp;
            body(signed(&answer))
        };
        let now_s = NOW / 1_000;
        let skew_s = CLOCK_SKEW_MS / 1_000;
        for good in [json!(now_s), json!(now_s + 60), json!(now_s - skew_s), json!(now_s as f64 + 0.5), json!(1e300)] {
            assert_eq!(judged(&dated(good.clone())), Verdict::Approved, "{good}");
        }
        assert_eq!(code(&dated(json!(now_s - skew_s - 1))), Some(Code::AnswerExpired));
        assert_eq!(code(&dated(json!(0))), Some(Code::AnswerExpired));
        for bad in [json!("1800000000"), json!(null), json!([]), json!(-1), json!(true)] {
            assert_eq!(code(&dated(bad.clone())), Some(Code::AnswerMalformed), "{bad}");
        }
    }

    #[test]
    fn either_of_two_active_keys_may_sign_and_no_third_one() {
        let both = [RSA.public().clone(), P256.public().clone()];
        for key in [&*RSA, &*P256] {
            let answer = body(key.sign(approve().to_string().as_bytes(), None).unwrap());
            assert_eq!(under(&answer, &both), Verdict::Approved);
        }
        let third = SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap();
        let answer = body(third.sign(approve().to_string().as_bytes(), None).unwrap());
        assert!(matches!(under(&answer, &both), Verdict::Failed(r) if r.code == Code::BadSignature));
    }

    #[test]
    fn without_keys_the_answer_is_plain_json_and_with_keys_plain_json_approves_nothing() {
        let plain = body(format!("{}\n", approve()));
        assert_eq!(under(&plain, &[]), Verdict::Approved);
        assert_eq!(code(&plain), Some(Code::AnswerMalformed));
        for bad in [signed(&approve()), "[]".into(), "APPROVE".into(), "{\"action\":\"APPROVE\"".into()] {
            assert!(matches!(under(&body(bad), &[]), Verdict::Failed(r) if r.code == Code::AnswerMalformed));
        }
        let twice = format!(r#"{{"action":"REJECT","action":"APPROVE","requestId":"{ID}"}}"#);
        assert!(matches!(under(&body(twice), &[]), Verdict::Failed(r) if r.code == Code::AnswerMalformed));
    }

    #[test]
    fn retry_is_for_everything_and_ignore_for_configuration_changes_alone() {
        let say = |action: &str| body(signed(&json!({"action": action, "requestId": ID, "rejectionReason": "later"})));
        assert_eq!(judged(&say("RETRY")), Verdict::Retry);
        assert_eq!(code(&say("IGNORE")), Some(Code::ActionUnsupported));
        let keys = [P256.public().clone()];
        let of_change = verdict(judge(&say("IGNORE").into(), &keys, ID, NOW), true);
        assert_eq!(of_change, Verdict::Ignored { reason: "later".into() });
    }

    #[test]
    fn a_fault_names_the_step_of_the_call_where_it_showed() {
        let keys = [P256.public().clone()];
        let step = |outcome: ExchangeOutcome| judge(&outcome.into(), &keys, ID, NOW).map_err(|fault| fault.step);
        for (failure, expected) in [
            (ExchangeFailure::Dns(String::new()), TestStep::Resolve),
            (ExchangeFailure::AddressDenied(String::new()), TestStep::Resolve),
            (ExchangeFailure::Connect(String::new()), TestStep::Connect),
            (ExchangeFailure::Pin(String::new()), TestStep::Tls),
            (ExchangeFailure::Lost(String::new()), TestStep::Http),
        ] {
            assert_eq!(step(Err(failure)), Err(expected));
        }
        assert_eq!(step(Ok(HttpAnswer { status: 500, body: vec![] })), Err(TestStep::Http));
        assert_eq!(step(body("a.b.c")), Err(TestStep::Signature));
        assert_eq!(step(body(signed(&json!({"action": "APPROVE", "requestId": "other"})))), Err(TestStep::Payload));
        let mut slow = ExchangeReport::from(Err(ExchangeFailure::Timeout(1)));
        for unfinished in [TestStep::Resolve, TestStep::Connect, TestStep::Tls, TestStep::Http] {
            slow.unfinished = Some(unfinished);
            assert_eq!(judge(&slow, &keys, ID, NOW).map_err(|fault| fault.step), Err(unfinished));
        }
    }
}
