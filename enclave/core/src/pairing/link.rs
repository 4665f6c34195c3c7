//! The link to a workspace: an access token, then the host keeps a WebSocket open with it.

use super::{Endpoint, answer, call};
use crate::effect::Effect;
use crate::input::ExchangeOutcome;
use crate::limits::{HELLO_EVERY_MS, LINK_STABLE_MS, WORKSPACE_RETRY_MAX_MS, WORKSPACE_RETRY_MS};
use crate::serving::{Cx, ExchangeOwner, PairingState};
use countersign_wire::Text;
use countersign_wire::host_link::LinkDown;
use countersign_wire::limits::MAX_TOKEN_BYTES;
use countersign_wire::pairing_http::{ACCESS_TOKEN_PATH, AccessToken, AccessTokenRequest, RELAY_PATH};
use countersign_wire::refusal::{Code, Refusal};

/// Where the link is.
#[derive(Default)]
pub(crate) struct Link {
    pub is_up: bool,
    asking: bool,
    /// When to ask for an access token again (Unix ms).
    retry_at_ms: Option<u64>,
    /// Since the link was last up for a while: a token alone is no success.
    failures: u32,
    up_since_ms: u64,
    last_hello_ms: u64,
    /// Why the last call failed, for the status.
    pub trouble: Option<Refusal>,
}

impl PairingState {
    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint { url: &self.record.url, root: self.record.root.as_deref(), networks: &self.record.networks }
    }

    /// Asks for an access token, unless that is under way.
    pub(crate) fn open_link(&mut self, cx: &mut Cx<'_>) {
        if self.link.asking || !self.record.is_confirmed() {
            return;
        }
        let refresh_token = String::from_utf8_lossy(self.record.refresh_token.expose()).into_owned();
        match call(&self.endpoint(), ACCESS_TOKEN_PATH, &AccessTokenRequest { refresh_token }) {
            Ok(spec) => {
                self.link.asking = true;
                self.link.retry_at_ms = None;
                cx.exchange(ExchangeOwner::AccessToken(self.record.id), spec);
            }
            Err(refusal) => self.link_failed(cx, refusal),
        }
    }

    /// The workspace answered the call for an access token.
    pub(crate) fn access_token(&mut self, cx: &mut Cx<'_>, outcome: ExchangeOutcome) {
        self.link.asking = false;
        match answer::<AccessToken>(outcome, "access token").and_then(|answer| usable(answer.access_token)) {
            Ok(access_token) => {
                let base = self.record.url.trim_end_matches('/').replacen("https://", "wss://", 1);
                cx.out.push(Effect::LinkOpen {
                    pairing: self.record.id,
                    url: Text::cut(format!("{base}{RELAY_PATH}")),
                    access_token,
                    root: self.record.root.as_ref().map(|root| root.to_vec()),
                });
            }
            Err(refusal) => self.link_failed(cx, refusal),
        }
    }

    fn link_failed(&mut self, cx: &mut Cx<'_>, refusal: Refusal) {
        tracing::warn!(pairing = %self.record.id, %refusal, "no link to the workspace; trying again");
        let pause = WORKSPACE_RETRY_MS.saturating_mul(1 << self.link.failures.min(10)).min(WORKSPACE_RETRY_MAX_MS);
        self.link.failures = self.link.failures.saturating_add(1);
        self.link.retry_at_ms = Some(cx.now.saturating_add(pause));
        self.link.trouble = Some(refusal);
    }

    /// The link came up.
    pub(crate) fn link_up(&mut self, cx: &mut Cx<'_>) {
        self.link.is_up = true;
        self.link.up_since_ms = cx.now;
        self.link.last_hello_ms = cx.now;
        self.hello(cx);
    }

    /// The link went down. The host tries again by itself where it can.
    pub(crate) fn link_down(&mut self, cx: &mut Cx<'_>, reason: LinkDown) {
        self.link_proved(cx.now);
        self.link.is_up = false;
        match reason {
            LinkDown::Connection => {}
            LinkDown::Unauthorised => {
                let detail = "the workspace's relay refused the access token that the workspace gave";
                self.link_failed(cx, Refusal::new(Code::TokenInvalid, detail));
            }
            LinkDown::Refused => {
                let detail = "the host cannot open this link: its log says why";
                self.link_failed(cx, Refusal::new(Code::Connect, detail));
            }
        }
    }

    /// A link that has been up for a while proves that all is well.
    fn link_proved(&mut self, now: u64) {
        if self.link.is_up && now.saturating_sub(self.link.up_since_ms) >= LINK_STABLE_MS {
            self.link.failures = 0;
            self.link.trouble = None;
        }
    }

    /// The host is gone, and with it everything that was under way.
    pub(crate) fn link_lost(&mut self) {
        self.link.is_up = false;
        self.link.asking = false;
        self.link.retry_at_ms = None;
    }

    /// Time passed.
    pub(crate) fn link_tick(&mut self, cx: &mut Cx<'_>) {
        self.link_proved(cx.now);
        if self.link.retry_at_ms.is_some_and(|at| at <= cx.now) {
            self.open_link(cx);
        }
        if self.link.is_up && cx.now.saturating_sub(self.link.last_hello_ms) >= HELLO_EVERY_MS {
            self.link.last_hello_ms = cx.now;
            self.hello(cx);
        }
    }
}

/// An access token as it may stand in a header; the host would refuse to open a link with another one.
fn usable(token: String) -> Result<Text<MAX_TOKEN_BYTES>, Refusal> {
    let malformed = |detail: String| Refusal::new(Code::Malformed, format!("access token: {detail}"));
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(malformed("expected visible ASCII characters, and at least one".into()));
    }
    Text::new(token).map_err(|e| malformed(e.to_string()))
}
