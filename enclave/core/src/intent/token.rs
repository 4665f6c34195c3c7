//! The proof that a client asked: its own token over its own request, under a key that an operator gave.

use super::body::decode;
use crate::limits::CLOCK_SKEW_MS;
use countersign_token::{Algorithm, ClaimError, Claims, PublicKey, unverified_payload, verify};
use countersign_wire::Text;
use countersign_wire::command::Initiator;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::{IntentId, TransactionRequest};
use sha2::{Digest as _, Sha256};

/// The only method of a request that is an intent.
pub const INTENT_METHOD: &str = "POST";
/// The only path of a request that is an intent.
pub const INTENT_PATH: &str = "/v1/transactions";
/// Longest life that a client's token may give itself, in seconds.
pub const MAX_TOKEN_LIFE_SECONDS: u64 = 60;

/// A request that a known initiator asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedIntent {
    /// Which of its requests.
    pub id: IntentId,
    /// The token's `iat` (Unix ms).
    pub issued_at_ms: u64,
}

/// Verifies that one of `initiators` signed exactly this request, at most `max_age_ms` before `now_ms` and not before
/// `floor_ms`. `exp` dates the HTTP call, which is the workspace's matter: only its distance from `iat` is looked at.
pub fn verify_intent(
    request: &TransactionRequest,
    initiators: &[Initiator],
    now_ms: u64,
    max_age_ms: u64,
    floor_ms: u64,
) -> Result<VerifiedIntent, Refusal> {
    let (id, claims) = proven(request, initiators)?;
    let issued_at_ms = issued_at(&claims, now_ms, max_age_ms, floor_ms)?;
    Ok(VerifiedIntent { id, issued_at_ms })
}

/// Verifies that one of `initiators` signed exactly this request, at whatever time.
pub fn verify_initiator(request: &TransactionRequest, initiators: &[Initiator]) -> Result<(), Refusal> {
    proven(request, initiators).map(drop)
}

fn proven(request: &TransactionRequest, initiators: &[Initiator]) -> Result<(IntentId, Claims), Refusal> {
    let token = request.token.as_ref().ok_or_else(|| {
        Refusal::new(Code::IntentMissing, "intent is required, and the request carries no client's token")
    })?;
    if request.method.as_str() != INTENT_METHOD || request.path.as_str() != INTENT_PATH {
        return Err(mismatch(format!("only a {INTENT_METHOD} to {INTENT_PATH} is an intent")));
    }
    let initiator = initiator_of(token, initiators)?;
    let claims = Claims::parse(&verified(token, initiator)?).map_err(unfit)?;
    if claims.string("sub").map_err(unfit)? != initiator.user.as_str() {
        return Err(mismatch("the token's sub changed under verification"));
    }
    if claims.string("uri").map_err(unfit)? != INTENT_PATH {
        return Err(mismatch(format!("expected the token's uri to be {INTENT_PATH}")));
    }
    if claims.string("bodyHash").map_err(unfit)? != hex::encode(Sha256::digest(&*request.body)) {
        return Err(mismatch("the token's bodyHash is not the SHA-256 of the raw body in lower-case hex"));
    }
    let nonce = Text::new(claims.string("nonce").map_err(unfit)?).map_err(|e| mismatch(format!("nonce: {e} bytes")))?;
    let external = decode(&request.body, request.unsigned.as_deref())?.external;
    Ok((IntentId { initiator: initiator.user.clone(), nonce, external }, claims))
}

fn mismatch(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::IntentMismatch, detail)
}

fn unfit(error: ClaimError) -> Refusal {
    mismatch(format!("the client's token: {error}"))
}

fn untrusted(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::IntentUntrusted, detail)
}

/// Whose key the token names. Its word only selects among keys that operators gave.
fn initiator_of<'a>(token: &str, initiators: &'a [Initiator]) -> Result<&'a Initiator, Refusal> {
    let unreadable = |e: &dyn std::fmt::Display| untrusted(format!("the client's token cannot be read: {e}"));
    let payload = unverified_payload(token).map_err(|e| unreadable(&e))?;
    let claims = Claims::parse(&payload).map_err(|e| unreadable(&e))?;
    let user = claims.string("sub").map_err(|e| unreadable(&e))?;
    initiators.iter().find(|i| i.user.as_str() == user).ok_or_else(|| {
        untrusted("the token's API user is not an initiator: an operator adds it with `cosigner initiator add`")
    })
}

fn verified(token: &str, initiator: &Initiator) -> Result<Vec<u8>, Refusal> {
    let refused = |e: &dyn std::fmt::Display| untrusted(format!("initiator {}: {e}", initiator.user));
    let key = PublicKey::from_spki_der(&initiator.public_key).map_err(|e| refused(&e))?;
    if key.algorithm() != Algorithm::Rs256 {
        return Err(refused(&"expected an RSA key"));
    }
    verify(token, &key).map_err(|e| refused(&e))
}

fn issued_at(claims: &Claims, now_ms: u64, max_age_ms: u64, floor_ms: u64) -> Result<u64, Refusal> {
    let iat = claims.numeric_date("iat").map_err(unfit)?;
    let exp = claims.numeric_date("exp").map_err(unfit)?;
    if !exp.checked_sub(iat).is_some_and(|life| (1..=MAX_TOKEN_LIFE_SECONDS).contains(&life)) {
        return Err(mismatch(format!("expected the token's exp 1 to {MAX_TOKEN_LIFE_SECONDS} s after its iat")));
    }
    let stale = |detail: String| Err(Refusal::new(Code::IntentStale, detail));
    let issued_at_ms = iat.saturating_mul(1000);
    if issued_at_ms > now_ms.saturating_add(CLOCK_SKEW_MS) {
        let ahead = issued_at_ms.saturating_sub(now_ms) / 1000;
        return stale(format!("the token is from the future: its client's clock is {ahead} s ahead"));
    }
    let age_ms = now_ms.saturating_sub(issued_at_ms);
    if age_ms > max_age_ms {
        return stale(format!("the token is {} s old, at most {} s are allowed", age_ms / 1000, max_age_ms / 1000));
    }
    if issued_at_ms < floor_ms {
        return stale("the token is older than the oldest request that this co-signer still remembers".into());
    }
    Ok(issued_at_ms)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use countersign_token::{SigningKey, generate_p256, generate_rsa_2048};
    use countersign_wire::Bytes;
    use countersign_wire::ids::{GroupId, KeyId, TransactionId};
    use serde_json::{Value, json};
    use std::sync::LazyLock;

    static KEY: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::from_pkcs8_der(&generate_rsa_2048().unwrap()).unwrap());
    const NOW_S: u64 = 1_700_000_000;
    const NOW: u64 = NOW_S * 1000;
    const HOUR: u64 = 3_600_000;

    fn body(external: Option<&str>) -> Vec<u8> {
        json!({
            "operation": "RAW",
            "assetId": "ETH",
            "source": {"type": "VAULT_ACCOUNT", "id": "0"},
            "externalTxId": external,
            "extraParameters": {"rawMessageData": {"messages": [{"content": "00".repeat(32)}]}},
        })
        .to_string()
        .into_bytes()
    }

    fn claims(body: &[u8]) -> Value {
        json!({
            "uri": "/v1/transactions",
            "nonce": "nonce-1",
            "iat": NOW_S - 5,
            "exp": NOW_S + 50,
            "sub": "client",
            "bodyHash": hex::encode(Sha256::digest(body)),
        })
    }

    fn initiator(user: &str, key: &SigningKey) -> Initiator {
        Initiator { user: user.parse().unwrap(), public_key: Bytes::new(key.public().spki_der()).unwrap() }
    }

    fn request(claims: &Value) -> TransactionRequest {
        signed_by(&KEY, claims)
    }

    fn signed_by(key: &SigningKey, claims: &Value) -> TransactionRequest {
        TransactionRequest {
            transaction: TransactionId([1; 16]),
            group: GroupId([2; 16]),
            key: KeyId([3; 16]),
            signer: "signer".parse().unwrap(),
            method: Text::new("POST").unwrap(),
            path: Text::new("/v1/transactions").unwrap(),
            body: Bytes::new(body(Some("order-1"))).unwrap(),
            token: Some(Text::new(key.sign(claims.to_string().as_bytes(), None).unwrap()).unwrap()),
            unsigned: None,
        }
    }

    fn good() -> Value {
        claims(&body(Some("order-1")))
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims.as_object_mut().unwrap().insert(name.into(), value);
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name).unwrap();
        claims
    }

    fn check(request: &TransactionRequest) -> Result<VerifiedIntent, Code> {
        verify_intent(request, &[initiator("other", &KEY), initiator("client", &KEY)], NOW, HOUR, NOW - HOUR)
            .map_err(|r| r.code)
    }

    #[test]
    fn an_initiators_own_request_is_an_intent() {
        let verified = check(&request(&good())).unwrap();
        assert_eq!(verified.issued_at_ms, NOW - 5000);
        assert_eq!(verified.id.initiator.as_str(), "client");
        assert_eq!(verified.id.nonce.as_str(), "nonce-1");
        assert_eq!(verified.id.external.as_deref(), Some("order-1"));
    }

    #[test]
    fn a_request_without_a_token_is_missing_its_intent() {
        let request = TransactionRequest { token: None, ..request(&good()) };
        assert_eq!(check(&request), Err(Code::IntentMissing));
    }

    #[test]
    fn t55_only_a_post_to_v1_transactions_is_an_intent() {
        for method in ["GET", "PUT", "post", "PATCH", ""] {
            let request = TransactionRequest { method: Text::new(method).unwrap(), ..request(&good()) };
            assert_eq!(check(&request), Err(Code::IntentMismatch), "{method}");
        }
        for path in ["/v1/transactions/", "/v1/transactions?a=b", "/v1/vault/accounts", "/v1/Transactions", ""] {
            let other = TransactionRequest { path: Text::new(path).unwrap(), ..request(&good()) };
            assert_eq!(check(&other), Err(Code::IntentMismatch), "path {path}");
            assert_eq!(check(&request(&with("uri", json!(path)))), Err(Code::IntentMismatch), "uri {path}");
        }
    }

    #[test]
    fn t54_a_token_of_an_unknown_initiator_or_under_another_key_is_untrusted() {
        let foreign = SigningKey::from_pkcs8_der(&generate_rsa_2048().unwrap()).unwrap();
        assert_eq!(check(&signed_by(&foreign, &good())), Err(Code::IntentUntrusted));
        assert_eq!(check(&request(&with("sub", json!("stranger")))), Err(Code::IntentUntrusted));
        let initiators = [initiator("client", &foreign), initiator("other", &KEY)];
        let refused = verify_intent(&request(&good()), &initiators, NOW, HOUR, 0).map_err(|r| r.code);
        assert_eq!(refused, Err(Code::IntentUntrusted), "another initiator's key does not count");
        let p256 = SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap();
        let request = signed_by(&p256, &good());
        let refused = verify_intent(&request, &[initiator("client", &p256)], NOW, HOUR, 0).map_err(|r| r.code);
        assert_eq!(refused, Err(Code::IntentUntrusted), "clients sign RS256");
    }

    #[test]
    fn t11_a_body_other_than_the_signed_one_is_a_mismatch() {
        let other = TransactionRequest { body: Bytes::new(body(Some("order-2"))).unwrap(), ..request(&good()) };
        assert_eq!(check(&other), Err(Code::IntentMismatch));
        let mut spaced = body(Some("order-1"));
        spaced.push(b' ');
        let spaced = TransactionRequest { body: Bytes::new(spaced).unwrap(), ..request(&good()) };
        assert_eq!(check(&spaced), Err(Code::IntentMismatch), "the raw bytes are hashed");
    }

    #[test]
    fn t35_missing_and_wrong_typed_claims_are_refused() {
        for name in ["uri", "nonce", "iat", "exp", "bodyHash"] {
            assert_eq!(check(&request(&without(name))), Err(Code::IntentMismatch), "{name}");
            for value in [json!(null), json!(1.5), json!([]), json!({}), json!(""), json!(true)] {
                assert_eq!(check(&request(&with(name, value.clone()))), Err(Code::IntentMismatch), "{name} {value}");
            }
        }
        assert_eq!(check(&request(&with("iat", json!(NOW_S.to_string())))), Err(Code::IntentMismatch));
        assert_eq!(check(&request(&with("nonce", json!(7)))), Err(Code::IntentMismatch));
        assert_eq!(check(&request(&with("nonce", json!("n".repeat(129))))), Err(Code::IntentMismatch));
        for sub in [json!(null), json!(5), json!("")] {
            assert_eq!(check(&request(&with("sub", sub))), Err(Code::IntentUntrusted));
        }
        assert_eq!(check(&request(&without("sub"))), Err(Code::IntentUntrusted));
    }

    #[test]
    fn a_token_gives_itself_at_most_a_minute() {
        let lives = |life: i64| with("exp", json!(i64::try_from(NOW_S - 5).unwrap() + life));
        assert!(check(&request(&lives(60))).is_ok());
        assert!(check(&request(&lives(1))).is_ok());
        for life in [61, 0, -1] {
            assert_eq!(check(&request(&lives(life))), Err(Code::IntentMismatch), "{life}");
        }
    }

    #[test]
    fn t43_age_is_bounded_on_both_sides_and_exp_is_not_compared_with_now() {
        let issued = |iat: u64| {
            let mut claims = with("iat", json!(iat));
            claims["exp"] = json!(iat + 55);
            request(&claims)
        };
        assert!(check(&issued(NOW_S - 3600)).is_ok(), "long after exp, within the allowed age");
        assert_eq!(check(&issued(NOW_S - 3601)), Err(Code::IntentStale));
        assert!(check(&issued(NOW_S + CLOCK_SKEW_MS / 1000)).is_ok());
        assert_eq!(check(&issued(NOW_S + CLOCK_SKEW_MS / 1000 + 1)), Err(Code::IntentStale));
        let floor = |floor| verify_intent(&issued(NOW_S - 10), &[initiator("client", &KEY)], NOW, HOUR, floor);
        assert!(floor(NOW - 10_000).is_ok());
        assert_eq!(floor(NOW - 9_999).map_err(|r| r.code), Err(Code::IntentStale));
    }

    #[test]
    fn t33_t37_the_token_profile_is_strict() {
        let mut request = request(&good());
        let token = request.token.clone().unwrap();
        for bad in [format!("{}=", &*token), "a.b".to_owned(), String::new(), format!("{}.", &*token)] {
            request.token = Some(Text::new(bad).unwrap());
            assert_eq!(check(&request), Err(Code::IntentUntrusted));
        }
        let twice = good().to_string().replacen("{", "{\"sub\":\"client\",", 1);
        request.token = Some(Text::new(KEY.sign(twice.as_bytes(), None).unwrap()).unwrap());
        assert_eq!(check(&request), Err(Code::IntentUntrusted));
    }
}
