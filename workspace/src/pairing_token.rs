//! Pairing tokens: ES256 JWTs that pair one API user with one co-signer, once, within an hour.

use crate::identity::Identity;
use countersign_token::{Claims, TokenError, verify};
use countersign_wire::ids::ApiUserId;
use countersign_wire::refusal::{Code, Refusal};
use serde_json::json;

/// How long a token is valid, in seconds.
pub const LIFETIME_SECONDS: u64 = 3600;
/// How far the issuing clock may have been ahead, in seconds: the workspace checks its own tokens, so only a clock that
/// was set back shows.
pub const MAX_CLOCK_STEP_SECONDS: u64 = 30;

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingClaims {
    /// The API user.
    pub user: ApiUserId,
    /// The token's id, which is single-use.
    pub jti: String,
    /// Unix time in seconds.
    pub expires_at: u64,
}

/// A new token for `user`, and when it expires (Unix seconds).
///
/// # Errors
/// The cryptographic library could not sign.
pub fn issue(
    identity: &Identity,
    url: &str,
    user: &ApiUserId,
    jti: &str,
    now_seconds: u64,
) -> Result<(String, u64), TokenError> {
    let expires_at = now_seconds.saturating_add(LIFETIME_SECONDS);
    let claims = json!({
        "iss": url, "sub": user.as_str(), "userId": user.as_str(), "tenantId": identity.workspace.to_string(),
        "jti": jti, "iat": now_seconds, "exp": expires_at,
    });
    let token = identity.token_key.sign(claims.to_string().as_bytes(), Some(&identity.token_key_id()))?;
    Ok((token, expires_at))
}

/// Verifies a token of this workspace. Whether it was used is the store's to say.
///
/// # Errors
/// A refusal whose sentence says what to do.
pub fn check(identity: &Identity, url: &str, token: &str, now_seconds: u64) -> Result<PairingClaims, Refusal> {
    let invalid = |detail: String| Refusal::new(Code::TokenInvalid, format!("pairing token: {detail}"));
    let payload = verify(token, identity.token_key.public())
        .map_err(|e| invalid(format!("{e}; is it a token of this workspace? Ask its owner for a new one")))?;
    let claims = Claims::parse(&payload).map_err(|e| invalid(e.to_string()))?;
    let text = |name| claims.string(name).map_err(|e| invalid(e.to_string()));
    let date = |name| claims.numeric_date(name).map_err(|e| invalid(e.to_string()));
    if text("tenantId")? != identity.workspace.to_string() || text("iss")? != url {
        return Err(invalid(format!("it is for another workspace than {} at {url}", identity.workspace)));
    }
    let user: ApiUserId = text("sub")?.parse().map_err(|e| invalid(format!("sub: {e}")))?;
    if text("userId")? != user.as_str() {
        return Err(invalid("expected userId to equal sub".to_owned()));
    }
    let (issued_at, expires_at) = (date("iat")?, date("exp")?);
    if issued_at > now_seconds.saturating_add(MAX_CLOCK_STEP_SECONDS) {
        let ahead = issued_at.saturating_sub(now_seconds);
        let detail =
            format!("the pairing token was issued {ahead} s in the future: the workspace's clock was set back");
        return Err(Refusal::new(Code::ClockSkew, detail));
    }
    if expires_at <= now_seconds {
        let ago = now_seconds.saturating_sub(expires_at);
        let detail = format!("the pairing token expired {ago} s ago: ask the workspace's owner for a new one");
        return Err(Refusal::new(Code::TokenExpired, detail));
    }
    Ok(PairingClaims { user, jti: text("jti")?.to_owned(), expires_at })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use countersign_token::unverified_header_kid;

    const URL: &str = "https://workspace.example";
    const NOW: u64 = 1_700_000_000;

    fn identity() -> Identity {
        Identity::create(&tempfile::tempdir().unwrap().path().join("keys")).unwrap()
    }

    #[test]
    fn a_token_names_its_user_for_an_hour() {
        let identity = identity();
        let user: ApiUserId = "user-1".parse().unwrap();
        let (token, expires_at) = issue(&identity, URL, &user, "j", NOW).unwrap();
        assert_eq!(unverified_header_kid(&token).unwrap(), Some(identity.token_key_id()));
        let expected = PairingClaims { user, jti: "j".into(), expires_at };
        assert_eq!(check(&identity, URL, &token, NOW + LIFETIME_SECONDS - 1), Ok(expected));
        let code = |result: Result<PairingClaims, Refusal>| result.map_err(|r| r.code).unwrap_err();
        assert_eq!(code(check(&identity, URL, &token, NOW + LIFETIME_SECONDS)), Code::TokenExpired);
        assert_eq!(code(check(&identity, URL, &token, NOW - MAX_CLOCK_STEP_SECONDS - 1)), Code::ClockSkew);
        assert_eq!(code(check(&identity, "https://other.example", &token, NOW)), Code::TokenInvalid);
    }

    #[test]
    fn t35_a_token_of_another_workspace_or_with_other_claims_is_refused() {
        let (ours, other) = (identity(), identity());
        let (token, _) = issue(&other, URL, &"u".parse().unwrap(), "j", NOW).unwrap();
        assert_eq!(check(&ours, URL, &token, NOW).unwrap_err().code, Code::TokenInvalid);
        let tenant = ours.workspace.to_string();
        let good = json!({
            "iss": URL, "sub": "u", "userId": "u", "tenantId": tenant, "jti": "j", "iat": NOW, "exp": NOW + 60,
        });
        let signed = |claims: &serde_json::Value| ours.token_key.sign(claims.to_string().as_bytes(), None).unwrap();
        assert!(check(&ours, URL, &signed(&good), NOW).is_ok());
        for (name, value) in [
            ("exp", json!("1700000060")),
            ("iat", json!(null)),
            ("sub", json!("other")),
            ("userId", json!(7)),
            ("jti", json!("")),
            ("tenantId", json!("6f2c1f0e-0d0b-4c58-9a7b-0c8b4a1f2e3d")),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert_eq!(check(&ours, URL, &signed(&bad), NOW).unwrap_err().code, Code::TokenInvalid, "{name}");
            bad.as_object_mut().unwrap().remove(name);
            assert_eq!(check(&ours, URL, &signed(&bad), NOW).unwrap_err().code, Code::TokenInvalid, "{name}");
        }
    }
}
