//! What a pairing token says. Its signature is checked later, with the key that the workspace proves.

use crate::exchange::url::HttpsUrl;
use crate::limits::CLOCK_SKEW_MS;
use countersign_token::{Claims, unverified_payload};
use countersign_wire::Text;
use countersign_wire::ids::{ApiUserId, WorkspaceId};
use countersign_wire::refusal::{Code, Refusal};

/// What a pairing token says.
#[derive(Debug, Clone)]
pub(super) struct TokenClaims {
    pub url: String,
    pub workspace: WorkspaceId,
    pub user: ApiUserId,
    pub jti: Text<{ countersign_wire::limits::MAX_NAME_BYTES }>,
    pub expires_at_ms: u64,
    issued_at_ms: u64,
}

impl TokenClaims {
    /// Reads a token, whatever the time is.
    pub(super) fn parse(token: &str) -> Result<Self, Refusal> {
        let invalid = |detail: String| Refusal::new(Code::TokenInvalid, format!("pairing token: {detail}"));
        let payload = unverified_payload(token).map_err(|e| invalid(e.to_string()))?;
        let claims = Claims::parse(&payload).map_err(|e| invalid(e.to_string()))?;
        let text = |name: &'static str| claims.string(name).map(str::to_owned).map_err(|e| invalid(e.to_string()));
        let date = |name: &'static str| {
            claims.numeric_date(name).map(|s| s.saturating_mul(1000)).map_err(|e| invalid(e.to_string()))
        };
        let (expires_at_ms, issued_at_ms) = (date("exp")?, date("iat")?);
        let user = text("sub")?;
        if text("userId")? != user {
            return Err(invalid("`sub` and `userId` differ".into()));
        }
        let url = text("iss")?;
        HttpsUrl::parse(&url).map_err(|e| invalid(format!("`iss`: {e}")))?;
        Ok(Self {
            url,
            workspace: text("tenantId")?.parse().map_err(|e| invalid(format!("`tenantId`: {e}")))?,
            user: user.parse().map_err(|e| invalid(format!("`sub`: {e}")))?,
            jti: Text::new(text("jti")?).map_err(|e| invalid(format!("`jti`: {e}")))?,
            expires_at_ms,
            issued_at_ms,
        })
    }

    /// Whether it may be used now.
    pub(super) fn check_time(&self, now: u64) -> Result<(), Refusal> {
        if self.issued_at_ms > now.saturating_add(CLOCK_SKEW_MS) {
            let ahead = self.issued_at_ms.saturating_sub(now) / 1000;
            let detail =
                format!("the pairing token is from {ahead} s in the future: check the clocks of workspace and enclave");
            return Err(Refusal::new(Code::ClockSkew, detail));
        }
        if self.expires_at_ms <= now {
            let ago = now.saturating_sub(self.expires_at_ms) / 1000;
            let detail = format!("the pairing token expired {ago} s ago: get a new one");
            return Err(Refusal::new(Code::TokenExpired, detail));
        }
        Ok(())
    }
}
